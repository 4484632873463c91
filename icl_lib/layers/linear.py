"""Linear attention: softmax attention without the softmax."""

from __future__ import annotations

import torch
from torch import Tensor

from icl_lib._tensor_checks import check_shape, flag, positive_scale, real_tensors
from icl_lib.layers.softmax import causal_mask, check_qkv


def linear_attention(
    queries: Tensor, keys: Tensor, values: Tensor, *, causal: bool, normaliser: float = 1.0
) -> Tensor:
    """Return (Q K^T / normaliser) V, shape (..., T, d_v).

    Source: Zhang et al. 2024, eq. (3.3), where the normaliser is rho; von Oswald et al. 2023.
    Convention: tokens are rows here, (..., T, d). Zhang et al. write tokens as columns, use no
    mask and set rho to the number of labelled examples.

    Parameters
    ----------
    queries, keys : (..., T, d_k)
    values : (..., T, d_v)
    causal : whether token t sees only tokens up to t
    normaliser : what the scores are divided by

    Raises
    ------
    ValueError
        If the shapes or the dtypes do not fit (see :mod:`icl_lib.layers` on precision), or the
        normaliser is not positive.
    """
    queries, keys, values = check_qkv(queries, keys, values)
    flag("causal", causal)
    positive_scale("normaliser", normaliser)
    if not causal:
        # Associativity: K^T V first costs T d_k d_v, not T^2.
        return queries @ (keys.transpose(-1, -2) @ values) / normaliser
    scores = queries @ keys.transpose(-1, -2)
    return (scores * causal_mask(scores.shape[-1], scores.device)) @ values / normaliser


def multi_head_linear_attention(projections: Tensor) -> Tensor:
    """Return o_t = sum_{t'<=t} v_t' (k_t' . q_t) of every head, (B, T, H n_a), heads side by side.

    Source: von Oswald et al. 2023, linear self-attention: no normaliser, no 1/sqrt(n_a), the
    current token included. Equals ``linear_attention(..., causal=True)`` a head at a time; written
    out with its backward pass because a training step spends half its time here: heads are read
    where they lie, without copies, and one T x T matrix a head is kept. Fastest if T is the last
    axis in memory, as :meth:`icl_lib.layers.attention.AttentionLayer.project` lays it out.

    Parameters
    ----------
    projections : (B, T, 3, H, n_a) queries, keys and values of every head

    Raises
    ------
    ValueError
        If the shape or the dtype does not fit.
    """
    (projections,) = real_tensors(projections=projections)
    check_shape("projections", projections, "B", "T", 3, "H", "n_a")
    return _LinearHeads.apply(projections)


class _LinearHeads(torch.autograd.Function):
    """Scores S = tril(Q K^T), output S V; dS = tril(G V^T), dQ = dS K, dK = dS^T Q, dV = S^T G.

    Written for the transposes, columns for tokens: small products run a quarter faster that way if
    a feature's values at all positions lie one after the other.
    """

    @staticmethod
    def forward(ctx, projections):
        batch, length, _, heads, size = projections.shape
        output = projections.new_empty(heads, size, batch, length)
        scores = projections.new_empty(heads, batch, length, length)
        for head, (queries, keys, values) in enumerate(_columns(projections)):
            torch.bmm(queries.mT, keys, out=scores[head]).tril_()
            output[head] = torch.bmm(values, scores[head].mT).transpose(0, 1)
        ctx.save_for_backward(projections, scores)
        return output.flatten(0, 1).permute(1, 2, 0)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        projections, scores = ctx.saved_tensors
        result = torch.empty_like(projections)
        upstreams = grad.unflatten(-1, projections.shape[-2:]).permute(2, 0, 3, 1)
        heads = zip(_columns(projections), _columns(result), upstreams, scores, strict=True)
        for (queries, keys, values), (d_queries, d_keys, d_values), upstream, score in heads:
            d_score = torch.bmm(upstream.mT, values).tril_()
            d_queries.copy_(torch.bmm(keys, d_score.mT))
            d_keys.copy_(torch.bmm(queries, d_score))
            d_values.copy_(torch.bmm(upstream, score))
        return result


def _columns(projections: Tensor):
    """Return for each head queries, keys and values (B, n_a, T) of (B, T, 3, H, n_a): views."""
    return [part.unbind() for part in projections.permute(3, 2, 0, 4, 1)]
