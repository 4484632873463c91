"""Softmax attention as a pure function, and its two steps: scores, then weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

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
    scores = attention_scores(queries, keys)
    weights = causal_softmax(scores) if causal else torch.softmax(scores, dim=-1)
    return weights @ values


def attention_scores(queries: Tensor, keys: Tensor) -> Tensor:
    """Return Q K^T / sqrt(d_k), (..., T, T), for queries and keys (..., T, d_k); no mask.

    Raises
    ------
    ValueError
        If the shapes or the dtypes do not fit.
    """
    queries, keys, _ = check_qkv(queries, keys, keys)
    return queries @ keys.transpose(-1, -2) / math.sqrt(keys.shape[-1])


def causal_softmax(scores: Tensor) -> Tensor:
    """Return the attention weights (..., T, T): the softmax of each row up to its own position.

    Raises
    ------
    ValueError
        If ``scores`` is not (..., T, T).

    Examples
    --------
    >>> causal_softmax(torch.zeros(2, 2))
    tensor([[1.0000, 0.0000],
            [0.5000, 0.5000]])
    """
    (scores,) = real_tensors(scores=scores)
    check_shape("scores", scores, "...", "T", "T")
    mask = causal_mask(scores.shape[-1], scores.device)
    return torch.softmax(scores.masked_fill(~mask, -math.inf), dim=-1)


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
