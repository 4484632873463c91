"""What a trained transformer looks at: attention by distance, gradients, probes of its tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from icl_lib._checks import positive_int
from icl_lib.models.raw import RawTransformer


def weights_by_distance(weights: Tensor, distances: int, first: int = 10) -> Tensor:
    """Return the mean attention on t, t-1, ..., (..., distances), for weights (..., T, T).

    The mean runs over the rows t >= ``first`` (0-based), where all distances exist.
    Source: von Oswald et al. 2023, Figures 3A, 14 and 15.

    Raises
    ------
    ValueError
        If ``first`` is below ``distances - 1`` or beyond the last row.

    Examples
    --------
    >>> weights_by_distance(torch.eye(3), 2, first=1)
    tensor([1., 0.])
    """
    length = weights.shape[-1]
    if not positive_int("distances", distances) - 1 <= first < length:
        raise ValueError(
            f"first must lie between distances - 1 = {distances - 1} and {length - 1}, got {first}"
        )
    diagonals = [
        weights.diagonal(-lag, dim1=-2, dim2=-1)[..., first - lag :].mean(-1)
        for lag in range(distances)
    ]
    return torch.stack(diagonals, dim=-1)


def first_layer_weights(model: RawTransformer, states: Tensor) -> Tensor:
    """Return the first layer's softmax weights (B, H, T, T) for states (B, T, n).

    Raises
    ------
    ValueError
        If the first layer is no softmax layer.
    """
    block = model.blocks[0]
    return block.attention.attention_weights(block.attention_norm(states @ model.embed.T))


def sensitivity(model: RawTransformer, states: Tensor, *, layer: int = 1) -> Tensor:
    """Return how much the last token after ``layer`` blocks depends on each element: (T,).

    The norm of the gradient of one coordinate of that token with respect to s_t', averaged over
    coordinates and sequences. Source: von Oswald et al. 2023, Figures 16, 22 and 23.

    Parameters
    ----------
    states : (B, T, n)
    layer : 1 for the first block's output

    Raises
    ------
    ValueError
        If the model has no such layer.
    """
    if not 1 <= layer <= len(model.blocks):
        raise ValueError(f"layer must be between 1 and {len(model.blocks)}, got {layer}")
    states = states.detach().requires_grad_(True)
    stream = states @ model.embed.T
    for block in model.blocks[:layer]:
        stream = block(stream)
    norms = [
        torch.autograd.grad(coordinate.sum(), states, retain_graph=True)[0].norm(dim=-1)
        for coordinate in stream[:, -1].unbind(-1)
    ]
    return torch.stack(norms).mean((0, 1))
