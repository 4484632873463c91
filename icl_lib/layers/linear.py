"""Linear attention: softmax attention without the softmax."""

from __future__ import annotations

from torch import Tensor

from icl_lib._checks import positive
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
        If the shapes do not fit or the normaliser is not positive.
    """
    check_qkv(queries, keys, values)
    positive("normaliser", normaliser)
    if not causal:
        # Associativity: K^T V first costs T d_k d_v, not T^2.
        return queries @ (keys.transpose(-1, -2) @ values) / normaliser
    scores = queries @ keys.transpose(-1, -2)
    return (scores * causal_mask(scores.shape[-1], scores.device)) @ values / normaliser
