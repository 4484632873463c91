"""Weights written by hand: gradient steps and preconditioning in linear attention layers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from icl_lib._tensor_checks import (
    check_shape,
    finite_tensors,
    instance,
    nonnegative_scale,
    positive_scale,
    real_dtype,
    real_tensors,
    size,
)
from icl_lib.layers.attention import AttentionLayer, sinusoidal_positions
from icl_lib.layers.linear import linear_attention
from icl_lib.tasks.tokens import previous_states


def preconditioned_step(preconditioner: Tensor) -> tuple[Tensor, Tensor]:
    """Return (w_pv, w_kq), (d+1, d+1) each, that predict (mean of y_i x_i)^T A x_query.

    Source: Zhang et al. 2024, eq. (4.2)-(4.3), for any matrix A in place of the inverse of Gamma.

    Parameters
    ----------
    preconditioner : (d, d) matrix A

    Raises
    ------
    ValueError
        If A is not square or not finite.
    """
    (preconditioner,) = finite_tensors(preconditioner=preconditioner)
    check_shape("preconditioner", preconditioner, "d", "d")
    d = preconditioner.shape[0]
    w_pv, w_kq = (preconditioner.new_zeros(d + 1, d + 1) for _ in range(2))
    w_pv[-1, -1] = 1.0
    w_kq[:d, :d] = preconditioner
    return w_pv, w_kq


def one_gd_step(d: int, step_size: float, dtype=torch.float64) -> tuple[Tensor, Tensor]:
    """Return (w_pv, w_kq) of one gradient step from w = 0 on least squares.

    Source: von Oswald et al. 2022, Proposition 1; Zhang et al. 2024, remark after Theorem 4.1.
    Convention: the gradient of 1/(2n) sum (y_i - <w, x_i>)^2, an average, so that the prediction
    is step_size * <mean of y_i x_i, x_query>.

    Raises
    ------
    ValueError
        If d or step_size is not positive, or dtype is neither float32 nor float64.

    Examples
    --------
    >>> one_gd_step(1, 0.5)[1]
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]], dtype=torch.float64)
    """
    positive_scale("step_size", step_size)
    return preconditioned_step(step_size * torch.eye(size("d", d), dtype=real_dtype(dtype)))


class LayerWeights(NamedTuple):
    """One linear head by its products A = W_k^T W_q and B = P W_v, and a token-wise map.

    All are (w, w). The layer is e_t <- skip e_t + B sum_{t'<=t} e_t' (e_t'^T A e_t); rows of A
    index the key token's coordinates, columns the query token's.
    """

    key_query: Tensor
    value: Tensor
    skip: Tensor


def apply_layer(tokens: Tensor, weights: LayerWeights) -> Tensor:
    """Return the layer's output (..., T, w) for tokens (..., T, w), without any clipping.

    Raises
    ------
    ValueError
        If the tokens do not have the width or the dtype of the weights.
    """
    instance("weights", weights, LayerWeights)
    names = ("weights.key_query", "weights.value", "weights.skip")
    *parts, tokens = real_tensors(**dict(zip(names, weights, strict=True)), tokens=tokens)
    width = parts[0].shape[-1] if parts[0].ndim else 0
    for name, part in zip(names, parts, strict=True):
        check_shape(name, part, width, width)
    check_shape("tokens", tokens, "...", "T", width)
    weights = LayerWeights(*parts)
    queries = tokens @ weights.key_query.T  # A e_t
    mixed = linear_attention(queries, tokens, tokens, causal=True)
    return tokens @ weights.skip.T + mixed @ weights.value.T


def _blocks(n: int, channels: int, entries: dict, dtype) -> Tensor:
    """Return a (channels n, channels n) matrix from blocks {(row, column): (n, n) or number}."""
    matrix = torch.zeros(channels * n, channels * n, dtype=dtype)
    for (row, column), block in entries.items():
        block = block if isinstance(block, Tensor) else block * torch.eye(n, dtype=dtype)
        matrix[row * n : (row + 1) * n, column * n : (column + 1) * n] = block
    return matrix


def gradient_step_layer(
    n: int, step_size: float, phi_0: Tensor | None = None, dtype=torch.float64
) -> LayerWeights:
    """Return weights on tokens (Phi_0 s_t, s_t, s_{t-1}) that take one full-batch gradient step.

    Source: von Oswald et al. 2023, Proposition 1: the first channel becomes
    (Phi_0 - eta grad L_t(Phi_0)) s_t at every position at once; all pairs up to (s_{t-1}, s_t)
    count. Convention: L_t is a sum over pairs with the factor 1/2.

    Raises
    ------
    ValueError
        If ``n`` or ``step_size`` is not positive, ``phi_0`` is not (n, n) and finite, or ``dtype``
        is neither float32 nor float64, or not that of ``phi_0``.
    """
    step_size = positive_scale("step_size", step_size)
    n, dtype = size("n", n), real_dtype(dtype)
    phi_0 = torch.zeros(n, n, dtype=dtype) if phi_0 is None else phi_0
    _, phi_0 = real_tensors(weights=torch.zeros((), dtype=dtype), phi_0=phi_0)
    (phi_0,) = finite_tensors(phi_0=phi_0)
    check_shape("phi_0", phi_0, n, n)
    value = _blocks(n, 3, {(0, 1): step_size, (0, 2): -step_size * phi_0}, dtype)
    key_query = _blocks(n, 3, {(2, 1): 1.0}, dtype)  # key s_{t'-1}, query s_t
    return LayerWeights(key_query, value, torch.eye(3 * n, dtype=dtype))


def richardson_layer(
    n: int, step_size: float, ridge: float, momentum: float = 0.0, dtype=torch.float64
) -> LayerWeights:
    """Return weights on tokens (x_t, x_t before, s_t, s_{t-1}) that improve x_t = H_t^-1 s_t.

    Source: von Oswald et al. 2023, Proposition 2 and its second-order Richardson iteration,
    x <- x + alpha (s_t - (S S^T + ridge I) x) + beta (x - x_before) with S = [s_1 .. s_{t-1}].
    ``momentum`` 0 and a constant step is the Neumann series; other sequences of both give
    Chebyshev's iteration. The head computes -alpha S S^T x (key and value s_{t'-1}, query x_t);
    the scaled additions, which the paper leaves to further heads, are the map ``skip``.

    Raises
    ------
    ValueError
        If ``n`` or ``step_size`` is not positive, ``ridge`` or ``momentum`` is negative, or
        ``dtype`` is neither float32 nor float64.
    """
    n, dtype = size("n", n), real_dtype(dtype)
    alpha, beta = positive_scale("step_size", step_size), nonnegative_scale("momentum", momentum)
    ridge = nonnegative_scale("ridge", ridge)
    key_query = _blocks(n, 4, {(3, 0): 1.0}, dtype)
    value = _blocks(n, 4, {(0, 3): -alpha}, dtype)
    keep = {(0, 0): 1.0 - alpha * ridge + beta, (0, 1): -beta, (0, 2): alpha, (1, 0): 1.0}
    skip = _blocks(n, 4, {**keep, (2, 2): 1.0, (3, 3): 1.0}, dtype)
    return LayerWeights(key_query, value, skip)


def readout_layer(n: int, dtype=torch.float64) -> LayerWeights:
    """Return weights on tokens (x_t, x_t before, s_t, s_{t-1}) that end Proposition 2.

    Source: von Oswald et al. 2023, Proposition 2, last layer: the second channel becomes
    sum_{t'<=t} s_t' s_{t'-1}^T x_t, one step of Proposition 1 from 0 whose query is x_t.

    Raises
    ------
    ValueError
        If ``n`` is not a positive integer or ``dtype`` is neither float32 nor float64.
    """
    n, dtype = size("n", n), real_dtype(dtype)
    key_query = _blocks(n, 4, {(3, 0): 1.0}, dtype)
    value = _blocks(n, 4, {(1, 2): 1.0}, dtype)
    skip = _blocks(n, 4, {(0, 0): 1.0, (2, 2): 1.0, (3, 3): 1.0}, dtype)
    return LayerWeights(key_query, value, skip)


def richardson_tokens(states: Tensor) -> Tensor:
    """Return the start (0, 0, s_t, s_{t-1}), (..., T, 4n), for states (..., T, n); s_0 = 0.

    Raises
    ------
    ValueError
        If ``states`` has fewer than two axes.
    """
    (states,) = real_tensors(states=states)
    zero = torch.zeros_like(states)
    return torch.cat([zero, zero, states, previous_states(states)], dim=-1)


def step_back(width: int, dtype=torch.float64) -> Tensor:
    """Return R (width, width) with R code(t) = code(t - 1) for sinusoidal position codes.

    It turns the plane of each frequency's sine and cosine back by that frequency.
    Source: Vaswani et al. 2017, Section 3.5 (the code of t + k is linear in the code of t).

    Raises
    ------
    ValueError
        If ``width`` is odd: the last frequency would lack its cosine.
    """
    if size("width", width) % 2:
        raise ValueError(f"width must be even, got {width}")
    # the code of position 1 holds the sine and cosine of every frequency's turn
    sine, cosine = sinusoidal_positions(2, width, dtype)[1].chunk(2)
    top = torch.cat([cosine.diag(), -sine.diag()], dim=1)
    return torch.cat([top, torch.cat([sine.diag(), cosine.diag()], dim=1)])


def copying_layer(n: int, sharpness: float) -> AttentionLayer:
    """Return a one-head softmax layer that writes s_{t-1} into the last channel of a token.

    On tokens (0, s_t, s_t, 0) it makes the constructed tokens (0, s_t, s_t, s_{t-1}), so the layers
    of Chapters 10 to 12 can follow it. Keys are position codes, queries are codes turned back
    by one step, times ``sharpness``: the logit is largest where t' = t - 1. The first token has no
    predecessor and copies itself. Source: von Oswald et al. 2023, Figure 1 and the copying layer
    of the methods, which give no weights; these are ours.

    Raises
    ------
    ValueError
        If ``n`` or ``sharpness`` is not positive.
    """
    n, sharpness = size("n", n), positive_scale("sharpness", sharpness)
    width = 4 * n
    layer = AttentionLayer("softmax", width, 1, width, positions=True).double()
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()
        layer.w_k[0, :, width:] = torch.eye(width)
        layer.w_q[0, :, width:] = sharpness * step_back(width)
        layer.w_v[0] = _blocks(n, 4, {(0, 1): 1.0}, torch.float64)
        layer.p[0] = _blocks(n, 4, {(3, 0): 1.0}, torch.float64)
    return layer.requires_grad_(False)
