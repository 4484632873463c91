"""The mesa-layer as the paper computes it: recursive least squares, one position at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from icl_lib._tensor_checks import MIN_SCALE, check_shape, positive_scale, real_tensors
from icl_lib.layers.softmax import check_qkv

MAX_LAMBDA = 1e12  # beyond it float64 has no digit left for R after the first keys


def recursive_mesa(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    lam: Tensor | float,
    forgetting: Tensor | None = None,
) -> Tensor:
    """Return o_t = Phi_t q_t at all positions, (..., T, d_v), by the Sherman-Morrison recursion.

    Source: von Oswald et al. 2023, mesa-layer and Appendix C.1: the queries become R_t q_t in a
    scan, then follows causal linear attention. The backward pass keeps the last R alone and runs
    the recursion in reverse; in float32 it drifts by about 1e-5 over 50 positions. Forgetting
    multiplies the drift at every step back: after 40 steps with gamma = 0.7 a float32 gradient has
    no digit left. Equals :func:`icl_lib.layers.mesa.mesa_attention`, which is faster and has no
    such drift, and statsmodels' ``RecursiveLS``.

    Parameters and errors are those of :func:`icl_lib.layers.mesa.mesa_attention`.
    """
    queries, keys, values, lam, forgetting = check_mesa(queries, keys, values, lam, forgetting)
    shape = keys.shape[:-1]
    gamma = torch.ones_like(keys[..., 0]) if forgetting is None else forgetting.expand(shape)
    flat = [part.reshape(-1, *part.shape[-2:]) for part in (queries, keys)]
    solved = _InverseScan.apply(
        *flat, lam.expand(shape[:-1]).reshape(-1), gamma.reshape(-1, shape[-1])
    )
    scores = solved.view_as(queries) @ keys.mT
    return (scores * decay_mask(gamma)) @ values


def decay_mask(forgetting: Tensor) -> Tensor:
    """Return (..., T, T): entry (t, s) is gamma_{s+1} ... gamma_t for s <= t and 0 above.

    Source: von Oswald et al. 2023, Appendix B (its transpose: tokens are rows here).

    Raises
    ------
    ValueError
        If ``forgetting`` (..., T) does not lie in (0, 1].

    Examples
    --------
    >>> decay_mask(torch.tensor([0.3, 0.5, 1.0]))
    tensor([[1.0000, 0.0000, 0.0000],
            [0.5000, 1.0000, 0.0000],
            [0.5000, 1.0000, 1.0000]])
    """
    logs = _check_forgetting(forgetting).log().cumsum(-1)
    # the exponent is masked first: above the diagonal it is positive and could overflow
    return (logs.unsqueeze(-1) - logs.unsqueeze(-2)).tril().exp().tril()


class _InverseScan(torch.autograd.Function):
    """q~_t = R_t q_t with R_t = (R - R k k^T R/(gamma + k^T R k))/gamma and R_0 = lambda I."""

    @staticmethod
    def forward(ctx, queries, keys, lam, gamma):
        identity = torch.eye(keys.shape[-1], dtype=keys.dtype, device=keys.device)
        inverse = lam[:, None, None] * identity
        solved = torch.empty_like(queries)
        for t in range(keys.shape[1]):
            hit = inverse @ keys[:, t].unsqueeze(-1)  # R k, (N, d, 1)
            scale = gamma[:, t, None, None]
            bend = scale + keys[:, t].unsqueeze(-2) @ hit
            inverse = (inverse - hit @ hit.mT / bend) / scale
            solved[:, t] = (inverse @ queries[:, t].unsqueeze(-1)).squeeze(-1)
        ctx.save_for_backward(queries, keys, gamma, inverse)
        return solved

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        queries, keys, gamma, inverse = ctx.saved_tensors
        d_queries, d_keys, d_gamma = map(torch.empty_like, (queries, keys, gamma))
        d_inverse = torch.zeros_like(inverse)  # dL/dR_t, all later positions included
        for t in reversed(range(keys.shape[1])):
            scale, key = gamma[:, t, None, None], keys[:, t].unsqueeze(-1)
            upstream = grad[:, t].unsqueeze(-1)
            d_queries[:, t] = (inverse @ upstream).squeeze(-1)
            d_inverse = d_inverse + upstream @ queries[:, t].unsqueeze(-2)
            hit = inverse @ key
            before = scale * (inverse - hit @ hit.mT / (key.mT @ hit - 1))  # R_{t-1}
            d_inverse, d_keys[:, t], d_gamma[:, t] = _step_gradient(
                d_inverse, inverse, before, key, scale
            )
            inverse = before
        return d_queries, d_keys, torch.diagonal(d_inverse, dim1=1, dim2=2).sum(-1), d_gamma


def _step_gradient(d_inverse, inverse, before, key, scale):
    """Pull dL/dR_t back through one update: return dL/dR_{t-1}, dL/dk_t, dL/dgamma_t."""
    hit = before @ key
    bend = scale + key.mT @ hit
    d_bend = hit.mT @ d_inverse @ hit / (scale * bend.square())
    d_hit = d_bend * key - (d_inverse + d_inverse.mT) @ hit / (scale * bend)
    d_key = before.mT @ d_hit + d_bend * hit
    d_scale = d_bend - (d_inverse * inverse).sum((-2, -1), keepdim=True) / scale
    return d_inverse / scale + d_hit @ key.mT, d_key.squeeze(-1), d_scale[:, 0, 0]


def check_mesa(queries, keys, values, lam, forgetting):
    """Return the arguments of a mesa-layer in one precision, lambda as a tensor.

    Lambda, a parameter of the layer, may be of another real dtype: it is converted to the keys'.

    Raises
    ------
    ValueError
        Naming the argument that does not fit.
    """
    queries, keys, values = check_qkv(queries, keys, values)
    if isinstance(lam, Tensor):
        (lam,) = real_tensors(lam=lam)
        lam = lam.to(keys)
    else:
        lam = torch.tensor(positive_scale("lam", lam), dtype=keys.dtype, device=keys.device)
    if not (lam.is_meta or bool(((lam >= MIN_SCALE) & (lam <= MAX_LAMBDA)).all())):
        raise ValueError(
            f"lam must be positive, between {MIN_SCALE:g} and {MAX_LAMBDA:g}, got entries from "
            f"{float(lam.min()):.3g} to {float(lam.max()):.3g}"
        )
    try:
        fits = torch.broadcast_shapes(lam.shape, keys.shape[:-2]) == keys.shape[:-2]
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"lam must broadcast with shape {tuple(keys.shape[:-2])}, got {tuple(lam.shape)}"
        )
    if forgetting is not None:
        _, forgetting = real_tensors(keys=keys, forgetting=forgetting)
        check_shape("forgetting", forgetting, *keys.shape[:-1])
        forgetting = _check_forgetting(forgetting)
    return queries, keys, values, lam, forgetting


def _check_forgetting(forgetting: Tensor) -> Tensor:
    (forgetting,) = real_tensors(forgetting=forgetting)
    check_shape("forgetting", forgetting, "...", "T")
    if not (forgetting.is_meta or bool(((forgetting > 0) & (forgetting <= 1)).all())):
        raise ValueError("forgetting must lie in (0, 1], got entries outside")
    return forgetting
