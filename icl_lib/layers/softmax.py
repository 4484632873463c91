"""Softmax attention: a pure function and a thin multi-head module."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from icl_lib._tensor_checks import check_shape, described, flag, real_tensors, size


def softmax_attention(queries: Tensor, keys: Tensor, values: Tensor, *, causal: bool) -> Tensor:
    """Return softmax(Q K^T / sqrt(d_k)) V, shape (..., T, d_v).

    Source: Vaswani et al. 2017, eq. (1).
    Convention: tokens are rows here, (..., T, d); Zhang et al. write tokens as columns.
    Equals ``torch.nn.functional.scaled_dot_product_attention``.

    Parameters
    ----------
    queries, keys : (..., T, d_k)
    values : (..., T, d_v)
    causal : whether token t sees only tokens up to t

    Raises
    ------
    ValueError
        If the shapes or the dtypes do not fit (see :mod:`icl_lib.layers` on precision).
    """
    queries, keys, values = check_qkv(queries, keys, values)
    flag("causal", causal)
    scores = queries @ keys.transpose(-1, -2) / math.sqrt(keys.shape[-1])  # (..., T, T)
    if causal:
        scores = scores.masked_fill(~causal_mask(scores.shape[-1], scores.device), -math.inf)
    return torch.softmax(scores, dim=-1) @ values


def causal_mask(length: int, device=None) -> Tensor:
    """Return the (T, T) mask that is True where the column is not after the row.

    Raises
    ------
    ValueError
        If ``length`` is not a positive integer or ``device`` neither None nor a ``torch.device``.

    Examples
    --------
    >>> causal_mask(2)
    tensor([[ True, False],
            [ True,  True]])
    """
    length = size("length", length)
    if not isinstance(device, torch.device | None):
        raise ValueError(f"device must be a torch.device or None, got {described(device)}")
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


def check_qkv(queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys (..., T, d) and values (..., T, d_v) if they belong together.

    Raises
    ------
    ValueError
        Naming the argument whose shape or dtype does not fit.
    """
    queries, keys, values = real_tensors(queries=queries, keys=keys, values=values)
    check_shape("queries", queries, "...", "T", "d")
    if queries.shape != keys.shape:
        raise ValueError(
            f"keys must have the shape of queries, {tuple(queries.shape)}, got {tuple(keys.shape)}"
        )
    if values.shape[:-1] != keys.shape[:-1] or values.shape[-1] == 0:
        raise ValueError(
            f"values must have shape {tuple(keys.shape[:-1])} + (d_v,), got {tuple(values.shape)}"
        )
    return queries, keys, values


class SoftmaxAttention(nn.Module):
    """Causal multi-head softmax attention on tokens (B, T, width).

    Source: Vaswani et al. 2017, Section 3.2.

    Raises
    ------
    ValueError
        If ``width`` or ``heads`` is not a positive integer, or heads do not divide the width.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        if size("width", width) % size("heads", heads):
            raise ValueError(f"width must be a multiple of heads = {heads}, got {width}")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, T, width) to tokens of the same shape."""
        _, tokens = real_tensors(weights=self.qkv.weight, tokens=tokens)
        check_shape("tokens", tokens, "B", "T", self.qkv.in_features)
        split = self.qkv(tokens).unflatten(-1, (3, self.heads, -1))  # (B, T, 3, H, d_head)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)  # each (B, H, T, d_head)
        mixed = softmax_attention(queries, keys, values, causal=True)
        return self.out(mixed.transpose(1, 2).flatten(-2))
