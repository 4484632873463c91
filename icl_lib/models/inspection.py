"""What a trained transformer looks at and computes: attention, gradients, products of weights."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from icl_lib._tensor_checks import between, check_shape, instance, real_tensors, size
from icl_lib.layers.attention import AttentionLayer
from icl_lib.models.transformer import Transformer


def weights_by_distance(weights: Tensor, distances: int, first: int = 10) -> Tensor:
    """Return the mean attention on t, t-1, ..., (..., distances), for weights (..., T, T).

    The mean runs over the rows t >= ``first`` (0-based), where all distances exist.
    Source: von Oswald et al. 2023, Figures 3A, 14 and 15.

    Raises
    ------
    ValueError
        If ``weights`` are no square matrices, or ``first`` is below ``distances - 1`` or beyond the
        last row.

    Examples
    --------
    >>> weights_by_distance(torch.eye(3), 2, first=1)
    tensor([1., 0.])
    """
    (weights,) = real_tensors(weights=weights)
    check_shape("weights", weights, "...", "T", "T")
    distances, first = size("distances", distances), size("first", first, minimum=0)
    length = weights.shape[-1]
    if not distances - 1 <= first < length:
        raise ValueError(
            f"first must lie between distances - 1 = {distances - 1} and {length - 1}, got {first}"
        )
    diagonals = [
        weights.diagonal(-lag, dim1=-2, dim2=-1)[..., first - lag :].mean(-1)
        for lag in range(distances)
    ]
    return torch.stack(diagonals, dim=-1)


def first_layer_weights(model: Transformer, states: Tensor) -> Tensor:
    """Return the first layer's softmax weights (B, H, T, T) for states (B, T, n).

    Raises
    ------
    ValueError
        If the first layer is no softmax layer, or the states do not fit the model.
    """
    instance("model", model, Transformer)
    name = "blocks.0.weights"
    return model.run_with_cache(states, names=[name], stop_at_layer=1)[1][name]


def sensitivity(model: Transformer, states: Tensor, *, layer: int = 1) -> Tensor:
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
        If the model has no such layer, or the states do not fit it.
    """
    layer = between("layer", layer, 1, len(instance("model", model, Transformer).blocks))
    (states,) = model.checked(states)
    states = states.detach().requires_grad_(True)
    stream, _ = model.run_with_cache(states, names=(), stop_at_layer=layer)
    norms = [
        torch.autograd.grad(coordinate.sum(), states, retain_graph=True)[0].norm(dim=-1)
        for coordinate in stream[:, -1].unbind(-1)
    ]
    return torch.stack(norms).mean((0, 1))


class ElementMaps(NamedTuple):
    """How a layer's output holds the elements: token t is about current s_t + previous s_{t-1}.

    ``current`` and ``previous`` are (width, n); ``unexplained`` is the share of the tokens' squared
    norm that the two leave.
    """

    current: Tensor
    previous: Tensor
    unexplained: float


def element_maps(model: Transformer, states: Tensor, first: int = 10) -> ElementMaps:
    """Fit the first block's output by s_t and s_{t-1}: one least-squares fit over (B, T, n) states.

    Positions t >= ``first`` (0-based) of all sequences enter, in float64, without an intercept.

    Raises
    ------
    ValueError
        If ``first`` is below 1, fewer tokens are left than the 2n numbers to fit from, or the
        states or their tokens are not finite.
    """
    (states,) = instance("model", model, Transformer).checked(states)
    batch, length, n = states.shape
    first = size("first", first, minimum=0)
    if first < 1 or batch * (length - first) < 2 * n:
        raise ValueError(
            f"first must be at least 1 and leave at least 2n = {2 * n} tokens, got {first} for "
            f"{batch} sequences of {length}"
        )
    with torch.no_grad():
        tokens, _ = model.run_with_cache(states, names=(), stop_at_layer=1)
    tokens = tokens[:, first:].flatten(0, 1).double()
    pairs = torch.cat([states[:, first:], states[:, first - 1 : -1]], dim=-1)
    pairs = pairs.flatten(0, 1).double()
    if not bool(pairs.isfinite().all() & tokens.isfinite().all()):
        raise ValueError("states must be finite and make finite tokens, got NaN or infinity")
    maps = torch.linalg.lstsq(pairs, tokens).solution
    left = (tokens - pairs @ maps).square().sum() / tokens.square().sum()
    return ElementMaps(maps[:n].T, maps[n:].T, float(left))


class ElementProducts(NamedTuple):
    """A layer's products between elements instead of tokens, for every head.

    ``key_query`` (H, 2, 2, n, n) has D_a^T W_k^T W_q D_b with a the key's and b the query's part of
    the token, ``written`` (H, 2, n, n) has R P W_v D_a, with the model's read-out R, and ``moved``
    (H, 2, 2, n, n) what P W_v D_a adds to part b: its coefficients in [D_0 D_1] by least squares,
    axes b, a. Parts are 0: the current, 1: the previous element.
    """

    key_query: Tensor
    written: Tensor
    moved: Tensor


def element_products(model: Transformer, index: int, maps: ElementMaps) -> ElementProducts:
    """Return the products of the attention layer ``index`` (0 the first) between elements.

    In these coordinates the weights can be compared with the blocks of Propositions 1 and 2.
    Source: von Oswald et al. 2023, Figure 10, which shows the products of a softmax model.

    Raises
    ------
    ValueError
        If ``index`` is not a layer after the first, whose input the maps describe, or the maps are
        not those of this model.
    """
    blocks = instance("model", model, Transformer).blocks
    index = between("index", index, 1, len(blocks) - 1)
    instance("maps", maps, ElementMaps)
    current, previous = real_tensors(
        **{"maps.current": maps.current, "maps.previous": maps.previous}
    )
    for name, part in (("maps.current", current), ("maps.previous", previous)):
        check_shape(name, part, model.config.width, model.config.n)
    maps = ElementMaps(current, previous, maps.unexplained)
    layer = cast(AttentionLayer, blocks[index].attention)
    readout = cast(nn.Linear, model.readout)
    d = torch.stack([maps.current, maps.previous])
    w_q, w_k, w_v, p = (w.detach().to(d.dtype) for w in (layer.w_q, layer.w_k, layer.w_v, layer.p))
    keys, queries = (torch.einsum("hkw,awn->hakn", w, d) for w in (w_k, w_q))
    added = torch.einsum("hwk,hkv,avn->hawn", p, w_v, d)
    written = readout.weight.detach().to(d.dtype) @ added
    moved = (torch.linalg.pinv(torch.cat([*d], dim=1)) @ added).unflatten(2, (2, -1))
    key_query = torch.einsum("hakn,hbkm->habnm", keys, queries)
    return ElementProducts(key_query, written, moved.transpose(1, 2))


def identity_share(matrices: Tensor) -> Tensor:
    """Return (...): the share of the squared norm of (..., n, n) that "mean diagonal times I" has.

    A matrix of independent entries with mean zero has about 1 / n^2.

    Raises
    ------
    ValueError
        If the matrices are not square or one is zero.

    Examples
    --------
    >>> identity_share(torch.tensor([[3.0, 0.0], [0.0, 3.0]]))
    tensor(1.)
    """
    (matrices,) = real_tensors(matrices=matrices)
    check_shape("matrices", matrices, "...", "n", "n")
    if bool((matrices == 0).all(-1).all(-1).any()):
        raise ValueError("matrices must not be zero, got a matrix of zeros only")
    means = matrices.diagonal(dim1=-2, dim2=-1).mean(-1)
    return matrices.shape[-1] * means.square() / matrices.square().sum((-2, -1))
