"""The mesa-layer: a layer whose output is the solution of a regularised least-squares problem.

Source: von Oswald et al. 2023, Section "Mesa-layer" and Appendices B and C. At every position t

    Phi_t = argmin 1/2 sum_{t'<=t} |v_t' - Phi k_t'|^2 + |Phi|^2 / (2 lambda),   o_t = Phi_t q_t,

and with R_t = (sum_{t'<=t} k_t' k_t'^T + I/lambda)^-1 the solution is Phi_t = V_t K_t^T R_t. With
forgetting factors gamma, older terms and the regulariser are multiplied by gamma_t at each step.

Two exact forms: :func:`recursive_mesa`, one Sherman-Morrison update a position (the paper's), and
:func:`mesa_attention`, which treats a whole chunk of positions with a few matrix products.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from icl_lib._tensor_checks import size
from icl_lib.layers.recursive_mesa import check_mesa, recursive_mesa

CHUNK = 32  # positions a chunk at most: longer chunks need fewer steps, but more work a position
BLOCK = 2**17  # numbers in the largest array worked on at a time, so that a cache holds it
FORGETTING = 1e-4  # the least product of gamma in one chunk

__all__ = ["mesa_attention", "recursive_mesa"]


def mesa_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    lam: Tensor | float,
    forgetting: Tensor | None = None,
    *,
    chunk: int | None = None,
) -> Tensor:
    """Return o_t = Phi_t q_t at all positions, (..., T, d_v): exact, in chunks of positions.

    Source: von Oswald et al. 2023, mesa-layer and Appendix B; the chunked form is derived in
    Chapter 11. Equals ``scipy.linalg.cho_solve`` on every prefix. Delicate steps (the triangular
    factors and the inverse that is carried on) are computed in float64 whatever the input's dtype.
    The backward pass is closed as well and keeps five arrays of the size of the queries (two are
    the keys and values themselves) and one d x d_v state a chunk.

    Convention: ``lam`` is lambda, so 1/lambda is added to the diagonal; the current position is
    included; forgetting acts on the regulariser too. The error grows with the system's condition,
    lambda times the keys' squared size: about 1e-7 of the output for 1e9, 1e-4 for 1e12.

    Parameters
    ----------
    queries, keys : (..., T, d)
    values : (..., T, d_v)
    lam : lambda > 0, at most 1e12: a number or a tensor that broadcasts with the leading axes
    forgetting : gamma (..., T) in (0, 1]; none means 1
    chunk : positions a chunk, by default 32 or a little less; strong forgetting shortens it

    Raises
    ------
    ValueError
        If the shapes or the dtypes do not fit (see :mod:`icl_lib.layers` on precision), lambda is
        not positive or gamma is not in (0, 1].

    Examples
    --------
    >>> pairs = torch.tensor([[1, 0], [0, 1], [1, 1]])  # integers: computed in float32
    >>> mesa_attention(pairs, pairs, pairs, 1.0)
    tensor([[0.5000, 0.0000],
            [0.0000, 0.5000],
            [0.7500, 0.7500]])
    """
    queries, keys, values, lam, forgetting = check_mesa(queries, keys, values, lam, forgetting)
    length = keys.shape[-2]
    if chunk is None:
        chunk = -(-length // -(-length // CHUNK))  # equal chunks: 50 positions are 25 + 25
    chunk = min(length, size("chunk", chunk))
    flat = [part.reshape(-1, *part.shape[-2:]) for part in (queries, keys, values)]
    lam = lam.expand(keys.shape[:-2]).reshape(-1)
    gamma = lam.new_ones(0) if forgetting is None else forgetting.reshape(-1, length)
    chunk = chunk if forgetting is None else _short_enough(gamma, chunk)
    return _ChunkedMesa.apply(*flat, lam, gamma, chunk).view(values.shape)


class _Chunks(NamedTuple):
    """Keys and values (n, N, C, .) weighted for the chunk they are in, and how forgetting decays.

    ``weight`` (n, N, C, 1) is 1/sqrt(c_t) with c_t the product of gamma from the chunk's start to
    t: within a chunk, H_t/c_t = H_start + sum (k_s/sqrt(c_s)) (k_s/sqrt(c_s))^T. ``total``
    (n, N, 1, 1) is c at the chunk's end. Both are None where nothing is forgotten.
    """

    keys: Tensor
    values: Tensor
    weight: Tensor | None
    total: Tensor | None

    def decays(self, part: slice, rows: slice):
        """Return c at the end of each chunk in ``part``, or a None for each."""
        if self.total is None:
            return [None] * len(self.keys[part])
        return self.total[part, rows].unbind()


def _split(part: Tensor, chunk: int, fill: float = 0.0) -> Tensor:
    """Return (n, N, C, ...) for (N, T, ...), padded at the end: a zero key changes nothing.

    Chunks come first: then all rows of one chunk, or of all chunks, are one batch of matrices that
    lie one after the other, which is what fast batched products ask for.
    """
    padding = -part.shape[1] % chunk
    if padding:
        widths = (0, 0) * (part.ndim - 2) + (0, padding)
        part = torch.nn.functional.pad(part, widths, value=fill)
    return part.unflatten(1, (-1, chunk)).transpose(0, 1)


def _join(part: Tensor, length: int) -> Tensor:
    """Return (N, T, ...) for (n, N, C, ...): the inverse of :func:`_split`."""
    return part.transpose(0, 1).flatten(1, 2)[:, :length]


def _short_enough(gamma: Tensor, chunk: int) -> int:
    """Return ``chunk``, halved until none decays below ``FORGETTING``: digits are lost with it."""
    logs = gamma.detach().double().log()
    while chunk > 1 and float(_split(logs, chunk).sum(-1).min()) < math.log(FORGETTING):
        chunk //= 2
    return chunk


def _weighted(keys: Tensor, values: Tensor, gamma: Tensor, chunk: int, dtype) -> _Chunks:
    keys, values = _split(keys, chunk), _split(values, chunk)
    if gamma.numel() == 0:
        return _Chunks(keys, values, None, None)
    decay = _split(gamma.double(), chunk, 1.0).cumprod(-1)
    weight, total = decay.rsqrt().unsqueeze(-1).to(dtype), decay[..., -1, None, None].to(dtype)
    return _Chunks(keys * weight, values * weight, weight, total)


def _blocks(chunks: _Chunks):
    """Yield rows and, for each, the parts of its time axis: slices whose arrays fit BLOCK.

    A block has all rows or a single chunk, so that its first two axes flatten without a copy.
    """
    length, count, chunk, size = chunks.keys.shape
    numbers = max(chunk, size) * (size + chunks.values.shape[-1])  # [G | -U] or [R | Phi^T]
    rows = max(1, min(count, BLOCK // numbers))
    span = max(1, BLOCK // (rows * numbers)) if rows == count else 1
    for row in range(0, count, rows):
        yield slice(row, row + rows), [slice(i, i + span) for i in range(0, length, span)]


def _carry(keys: Tensor, values: Tensor, state: Tensor, decays):
    """Walk over chunks; return W at the start of each and at the end, and every [G | -U].

    W = [R | Phi^T] is the state (N, d, d + d_v), ``keys`` and ``values`` are (n, N, C, .). With
    S = I + K R K^T = L L^T, the leading blocks of L factor the leading blocks of S. So
    [G | -U] = L^-1 (K W - [0 | V]) serves all prefixes: W_t = W - sum_{i<=t} G_i^T [G_i | -U_i].
    """
    (length, rows, chunk, size), width = keys.shape, state.shape[-1]
    states = keys.new_empty(length + 1, *state.shape)
    solutions = keys.new_empty(length, rows, chunk, width)
    system = keys.new_empty(rows, chunk, chunk)
    identity = torch.eye(chunk, dtype=keys.dtype, device=keys.device)
    diagonal = system.diagonal(dim1=1, dim2=2)
    states[0] = state
    before, after = states[:-1].unbind(), states[1:].unbind()
    arrays = (keys.unbind(), keys.mT.unbind(), values.unbind(), before, after)
    out = (solutions.unbind(), solutions[..., :size].mT.unbind())
    for k, k_t, v, start, end, both, g_t, decay in zip(*arrays, *out, decays, strict=True):
        hits = torch.bmm(k, start)
        hits[..., size:].sub_(v)
        torch.bmm(hits[..., :size], k_t, out=system)
        diagonal.add_(1)
        # inverting L and one product take less time than solving for all columns of the right side
        factor, failed = torch.linalg.cholesky_ex(system)
        if (
            not failed.is_meta and failed.any()
        ):  # NaN or overflow in a row: its outputs are NaN, those of others are not
            factor[failed > 0] = torch.nan
        inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
        torch.bmm(inverse, hits, out=both)
        torch.baddbmm(start, g_t, both, alpha=-1, out=end)
        if decay is not None:
            inverse = end[..., :size].div_(decay)  # H is multiplied by c at the end of the chunk
            # the division makes what rounding left asymmetric grow, in the end beyond R itself
            inverse.copy_((inverse + inverse.mT) / 2)
    return states, solutions


class _ChunkedMesa(torch.autograd.Function):
    """Forward and backward pass over flat (N, T, d) arrays; formulas in Chapter 11."""

    @staticmethod
    def forward(ctx, queries, keys, values, lam, gamma, chunk):
        q, chunks = _split(queries, chunk), _weighted(keys, values, gamma, chunk, torch.float64)
        size, n_values = keys.shape[-1], values.shape[-1]
        solved, output = keys.new_empty(q.shape), torch.empty_like(chunks.values, dtype=keys.dtype)
        both = keys.new_empty(*q.shape[:-1], size + n_values)  # [G | -U]
        solution = keys.new_empty(*q.shape[:2], size, n_values)  # Phi^T at the start of each chunk
        for rows, parts in _blocks(chunks):
            state = both.new_zeros(len(lam[rows]), size, size + n_values, dtype=torch.float64)
            state.diagonal(dim1=1, dim2=2)[:] = lam[rows, None]  # R_0 = lambda I, Phi_0 = 0
            for part in parts:
                at = (part, rows)
                k, v, query = (_wide(part[at]) for part in (*chunks[:2], q))
                states, found = _carry(k, v, state, chunks.decays(*at))
                result, state = _read_out(query, states[:-1], found), states[-1]
                solved[at], output[at] = result[..., :size], result[..., size:]
                both[at], solution[at] = found, states[:-1, ..., size:]
        ctx.save_for_backward(keys, values, lam, gamma, solved, solution, both)
        ctx.chunk = chunk
        return _join(output, keys.shape[1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        keys, values, lam, gamma, solved, solution, both = ctx.saved_tensors
        chunks, e = _weighted(keys, values, gamma, ctx.chunk, keys.dtype), _split(grad, ctx.chunk)
        d_queries, d_keys, d_values = map(torch.empty_like, (chunks.keys, *chunks[:2]))
        traces = keys.new_empty(d_keys.shape[:2])
        for rows, parts in _blocks(chunks):
            later = grad.new_zeros(len(lam[rows]), e.shape[-1] + keys.shape[-1], keys.shape[-1])
            for part in reversed(parts):
                at = (part, rows)
                pairs = torch.cat([chunks.values[at], chunks.keys[at]], dim=-1)
                adjoint, d_pairs, later = _block_gradient(
                    e[at], pairs, solved[at], solution[at], both[at], chunks.decays(*at), later
                )
                d_queries[at], traces[at] = adjoint, (solved[at] * adjoint).sum((-2, -1))
                d_values[at], d_keys[at] = d_pairs.tensor_split([values.shape[-1]], dim=-1)
        if chunks.weight is not None and chunks.total is not None:
            d_keys, d_values = d_keys.mul_(chunks.weight), d_values.mul_(chunks.weight)
            before = torch.nn.functional.pad(chunks.total[:-1, :, 0, 0], (0, 0, 1, 0), value=1.0)
            traces = traces * before.cumprod(0)  # 1/lambda on the diagonal decays like the data
        d_queries, d_keys, d_values = (
            _join(part, keys.shape[1]) for part in (d_queries, d_keys, d_values)
        )
        d_gamma = _forgetting_gradient(keys, values, d_keys, d_values, gamma)
        d_gamma = d_gamma if ctx.needs_input_grad[4] else None
        return d_queries, d_keys, d_values, traces.sum(0) / lam.square(), d_gamma, None


def _wide(part: Tensor) -> Tensor:
    """Return a contiguous copy in float64."""
    return torch.empty(part.shape, dtype=torch.float64, device=part.device).copy_(part)


def _read_out(queries: Tensor, states: Tensor, found: Tensor) -> Tensor:
    """Return [c_t R_t q_t | o_t], (n, N, C, d + d_v)."""
    shape, size = found.shape, queries.shape[-1]
    queries, states, found = (part.flatten(0, 1) for part in (queries, states, found))
    scores = torch.bmm(queries, found[..., :size].mT).tril_()
    return torch.bmm(queries, states).baddbmm_(scores, found, alpha=-1).view(shape)


def _block_gradient(e, pairs, solved, solution, both, decays, later):
    """Return the gradients of queries and of weighted ``pairs`` [V | K] of a block of chunks.

    ``later`` (N, d_v + d, d) is the sum over later chunks of [e_t | -a_t]^T (R_t q_t)^T with a_t =
    Phi_t^T e_t; it is returned with this block's terms added.
    """
    shape, n_values, size = e.shape[:3], e.shape[-1], solved.shape[-1]
    signed = torch.empty_like(pairs)
    signed[..., :n_values] = e
    signed, pairs, solved, solution, both = (
        part.flatten(0, 1) for part in (signed, pairs, solved, solution, both)
    )
    e, keys = signed[..., :n_values], pairs[..., n_values:]
    g, minus_u = both[..., :size], both[..., size:]
    adjoint = torch.bmm(e, solution.mT)  # a_t, the gradient of q_t
    adjoint.baddbmm_(torch.bmm(e, minus_u.mT).tril_(), g, alpha=-1)
    torch.neg(adjoint, out=signed[..., n_values:])
    sums = e.new_empty(len(decays) + 1, *later.shape)
    sums[-1] = later
    torch.bmm(signed.mT, solved, out=sums[:-1].flatten(0, 1))
    for i, decay in reversed(list(enumerate(decays))):
        if decay is not None:
            sums[i + 1].mul_(decay)
        sums[i].add_(sums[i + 1])
    after = sums[1:].flatten(0, 1)
    hits = torch.bmm(solved, keys.mT).tril_()  # (t, s): c_t R_t q_t . k_s
    d_pairs = torch.bmm(hits.mT, signed).baddbmm_(keys, after.mT)
    others = torch.bmm(signed, pairs.mT).tril_()
    d_pairs[..., n_values:].add_(torch.bmm(others.mT, solved).baddbmm_(pairs, after))
    return adjoint.view(*shape, size), d_pairs.view(*shape, -1), sums[0]


def _forgetting_gradient(keys, values, d_keys, d_values, gamma) -> Tensor:
    """Return dL/dgamma (N, T) from the gradients of keys and values.

    The solution does not change when all terms of its objective are scaled together, so only the
    scaling of single terms counts, and scaling term s by w is scaling k_s and v_s by sqrt(w).
    """
    if gamma.numel() == 0:
        return gamma
    each = ((keys * d_keys).sum(-1) + (values * d_values).sum(-1)) / 2
    return -each.flip(1).cumsum(1).flip(1) / gamma
