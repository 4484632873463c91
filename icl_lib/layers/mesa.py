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

from icl_lib._checks import positive_int
from icl_lib.layers.recursive_mesa import check_mesa, recursive_mesa

BLOCK = 2**18  # numbers in one array that is worked on at a time: what a processor's cache holds
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
    factors and the inverse that is carried on) are computed in float64 whatever the input's type.
    The backward pass is closed as well and keeps six arrays of the size of the queries and one
    d_v x d state a chunk.

    Convention: ``lam`` is lambda, so 1/lambda is added to the diagonal; the current position is
    included; forgetting acts on the regulariser too.

    Parameters
    ----------
    queries, keys : (..., T, d)
    values : (..., T, d_v)
    lam : lambda > 0, a number or a tensor that broadcasts with the leading axes, such as (H,)
    forgetting : gamma (..., T) in (0, 1]; none means 1
    chunk : positions a chunk; the default depends on d, and strong forgetting shortens it

    Raises
    ------
    ValueError
        If the shapes do not fit, lambda is not positive or gamma is not in (0, 1].
    """
    lam = check_mesa(queries, keys, values, lam, forgetting)
    length, size = keys.shape[-2:]
    chunk = min(
        length, (32 if size <= 32 else 64) if chunk is None else positive_int("chunk", chunk)
    )
    flat = [part.reshape(-1, *part.shape[-2:]) for part in (queries, keys, values)]
    lam = lam.expand(keys.shape[:-2]).reshape(-1)
    gamma = None if forgetting is None else forgetting.reshape(-1, length)
    chunk = chunk if gamma is None else _short_enough(gamma, chunk)
    outputs = []
    for rows in torch.arange(len(lam)).split(max(1, BLOCK // (length * size))):
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        decay = lam.new_ones(0) if gamma is None else gamma[part]
        outputs.append(_ChunkedMesa.apply(*(x[part] for x in flat), lam[part], decay, chunk))
    return torch.cat(outputs).view(values.shape)


class _Chunks(NamedTuple):
    """Keys and values weighted for the chunk they are in, and the decays of forgetting.

    ``weight`` (N, n, C) is 1/sqrt(c_t) with c_t the product of gamma from the chunk's start to t:
    within a chunk, H_t/c_t = H_start + sum (k_s/sqrt(c_s)) (k_s/sqrt(c_s))^T. ``total`` (N, n) is
    c at the chunk's end. None of them exists without forgetting.
    """

    keys: Tensor
    values: Tensor
    weight: Tensor | None
    total: Tensor | None


def _split(part: Tensor, chunk: int) -> Tensor:
    """Return (N, n, C, d) for (N, T, d), zeros appended: a zero key changes nothing."""
    padding = -part.shape[1] % chunk
    if padding:
        part = torch.nn.functional.pad(part, (0, 0, 0, padding))
    return part.unflatten(1, (-1, chunk))


def _short_enough(gamma: Tensor, chunk: int) -> int:
    """Return ``chunk``, halved until no chunk forgets by more than ``FORGETTING``: digits go with it."""
    logs = _split(gamma.detach().double().log().unsqueeze(-1), chunk).sum(-2)
    while chunk > 1 and float(logs.min()) < math.log(FORGETTING):
        chunk //= 2
        logs = _split(gamma.detach().double().log().unsqueeze(-1), chunk).sum(-2)
    return chunk


def _weighted(keys: Tensor, values: Tensor, gamma: Tensor, chunk: int) -> _Chunks:
    keys, values = _split(keys, chunk), _split(values, chunk)
    if gamma.numel() == 0:
        return _Chunks(keys, values, None, None)
    padding = keys.shape[1] * chunk - gamma.shape[1]
    gamma = torch.nn.functional.pad(gamma.double(), (0, padding), value=1.0)
    decay = gamma.unflatten(1, (-1, chunk)).cumprod(-1)
    weight = decay.rsqrt()
    return _Chunks(
        keys * weight.unsqueeze(-1), values * weight.unsqueeze(-1), weight, decay[..., -1]
    )


def _carry(chunks: _Chunks, lam: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return per chunk: R and Phi at its start, and its G and U, all float64.

    For keys K (C, d) and values V of a chunk, S = I + K R K^T = L L^T; leading blocks of a Cholesky
    factor factor the leading blocks, so G = L^-1 K R and U = L^-1 (V - K Phi^T) serve all prefixes:
    R_t = R - sum_{i<=t} G_i^T G_i and Phi_t = Phi + sum_{i<=t} U_i^T G_i (times 1/c_t for R).
    """
    keys, values = chunks.keys.double(), chunks.values.double()
    count, size, n_values = keys.shape[1], keys.shape[-1], values.shape[-1]
    inverse = torch.diag_embed(lam.double().unsqueeze(-1).expand(-1, size))  # R_0 = lambda I
    solution = keys.new_zeros(keys.shape[0], n_values, size)
    identity = torch.eye(keys.shape[2], dtype=keys.dtype)
    starts = []
    for index in range(count):
        k, v = keys[:, index], values[:, index]
        both = torch.cat([k @ inverse, torch.baddbmm(v, k, solution.mT, alpha=-1)], dim=-1)
        factor = torch.linalg.cholesky(torch.baddbmm(identity, both[..., :size], k.mT))
        both = torch.linalg.solve_triangular(factor, both, upper=False)
        starts.append((inverse, solution, both))
        g, u = both[..., :size], both[..., size:]
        inverse, solution = inverse - g.mT @ g, torch.baddbmm(solution, u.mT, g)
        if chunks.total is not None:
            inverse = inverse / chunks.total[:, index, None, None]
    inverses, solutions, both = (torch.stack(part, dim=1) for part in zip(*starts, strict=True))
    return inverses, solutions, both[..., :size], both[..., size:]


class _ChunkedMesa(torch.autograd.Function):
    """Forward and backward pass over flat (N, T, d) arrays; formulas in Chapter 11."""

    @staticmethod
    def forward(ctx, queries, keys, values, lam, gamma, chunk):
        chunks = _weighted(keys, values, gamma, chunk)
        inverse, solution, g, u = _carry(chunks, lam)
        q = _split(queries, chunk).double()
        scores = (q @ g.mT).tril_()
        output = torch.matmul(q, solution.mT) + scores @ u
        solved = torch.matmul(q, inverse) - scores @ g  # c_t R_t q_t
        kept = [part.to(keys.dtype) for part in (solved, solution, g, u)]
        ctx.save_for_backward(keys, values, lam, gamma, *kept)
        ctx.chunk = chunk
        return output.flatten(1, 2)[:, : queries.shape[1]].to(queries.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        keys, values, lam, gamma, solved, solution, g, u = ctx.saved_tensors
        length, chunks = keys.shape[1], _weighted(keys, values, gamma, ctx.chunk)
        k, v = chunks.keys.to(keys.dtype), chunks.values.to(keys.dtype)
        e = _split(grad, ctx.chunk)
        adjoint = e @ solution + (e @ u.mT).tril_() @ g  # Phi_t^T e_t, the gradient of q_t
        later_e, later_adjoint = _later(e, adjoint, solved, chunks.total)
        hits = (solved @ k.mT).tril_()  # (t, s): c_t R_t q_t . k_s
        residual = (e @ v.mT - adjoint @ k.mT).tril_()
        d_values = hits.mT @ e + k @ later_e.mT
        d_keys = residual.mT @ solved - hits.mT @ adjoint
        d_keys = d_keys + v @ later_e - k @ (later_adjoint + later_adjoint.mT)
        if chunks.weight is not None:
            weight = chunks.weight.unsqueeze(-1).to(keys.dtype)
            d_values, d_keys = d_values * weight, d_keys * weight
        d_queries, d_keys, d_values = (
            part.flatten(1, 2)[:, :length] for part in (adjoint, d_keys, d_values)
        )
        d_lam = _lambda_gradient(solved, adjoint, lam, chunks.total)
        d_gamma = _forgetting_gradient(keys, values, d_keys, d_values, gamma)
        d_gamma = d_gamma if ctx.needs_input_grad[4] else None
        return d_queries, d_keys, d_values, d_lam, d_gamma, None


def _later(e: Tensor, adjoint: Tensor, solved: Tensor, total: Tensor | None):
    """Return sum over later chunks of e_t q*_t^T and of (Phi_t^T e_t) q*_t^T, (N, n, ., d).

    Both are decayed back to the start of the chunk that they are added to.
    """
    sums = torch.cat([e, adjoint], dim=-1).mT @ solved  # (N, n, d_v + d, d)
    if total is None:
        later = sums.flip(1).cumsum(1).flip(1) - sums
    else:
        rows = [torch.zeros_like(sums[:, 0])]
        for index in reversed(range(sums.shape[1] - 1)):
            decay = total[:, index, None, None].to(sums.dtype)
            rows.append(decay * (sums[:, index + 1] + rows[-1]))
        later = torch.stack(rows[::-1], dim=1)
    return later[..., : e.shape[-1], :], later[..., e.shape[-1] :, :]


def _lambda_gradient(solved, adjoint, lam, total) -> Tensor:
    """Return dL/dlambda (N,): 1/lambda stands on the diagonal of H_t, decayed like the data."""
    each = (solved * adjoint).sum((-2, -1))  # (N, n)
    if total is not None:
        before = torch.nn.functional.pad(total[:, :-1], (1, 0), value=1.0).cumprod(1)
        each = each * before.to(each.dtype)
    return each.sum(-1) / lam.square()


def _forgetting_gradient(keys, values, d_keys, d_values, gamma) -> Tensor:
    """Return dL/dgamma (N, T) from the gradients of keys and values.

    The solution does not change when all terms of its objective are scaled together, so only the
    scaling of single terms counts, and scaling term s by w is scaling k_s and v_s by sqrt(w).
    """
    if gamma.numel() == 0:
        return gamma
    each = ((keys * d_keys).sum(-1) + (values * d_values).sum(-1)) / 2
    return -each.flip(1).cumsum(1).flip(1) / gamma
