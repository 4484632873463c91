"""RevAlg-d: a trained linear transformer read off as a few scalars per head.

The paper's first version calls it RevAlg-d, its second CompressedAlg-d. Source: von Oswald et al.
2023, Section "Multi-layer linear transformers" and the appendix on weight compression.
"""

from __future__ import annotations

import numbers
from dataclasses import replace
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from icl_lib._tensor_checks import (
    check_shape,
    described,
    finite_tensors,
    instance,
    real_tensors,
    size,
)
from icl_lib.layers.attention import AttentionLayer
from icl_lib.layers.softmax import causal_mask
from icl_lib.models.config import CONSTRUCTED, TransformerConfig
from icl_lib.models.transformer import Transformer, model_tokens

CHANNELS = 4


class Products(NamedTuple):
    """What a linear transformer computes with: A = W_k^T W_q and B = P W_v, (L, H, 4n, 4n)."""

    key_query: Tensor
    value: Tensor


class Coefficients(NamedTuple):
    """The scalars of RevAlg-d: ``key_query`` a and ``value`` b, (L, H, 4, 4) each.

    Rows of a index the channel of the key token, columns that of the query token; rows of b index
    the channel that is written, columns that of the value token.
    """

    key_query: Tensor
    value: Tensor


def products(model: Transformer) -> Products:
    """Return the products A and B (L, H, 4n, 4n) of a stack of linear layers.

    Raises
    ------
    ValueError
        If ``model`` is no :class:`icl_lib.models.transformer.Transformer` on constructed tokens, or
        a layer is not linear: the function of others is not given by the products alone.
    """
    config = _linear_stack("model.config", instance("model", model, Transformer).config)
    if set(config.layers) != {"linear"}:
        raise ValueError(f"model must have linear layers only, got {config.layers}")
    layers = [cast(AttentionLayer, block.attention) for block in model.blocks]
    pairs = [layer.products() for layer in layers]
    return Products(*(torch.stack(side).detach() for side in zip(*pairs, strict=True)))


def block_means(matrix: Tensor) -> Tensor:
    """Return (..., 4, 4): the mean diagonal of every n x n block of (..., 4n, 4n).

    Raises
    ------
    ValueError
        If the last two axes are not equal multiples of 4.

    Examples
    --------
    >>> block_means(torch.kron(torch.ones(4, 4), torch.tensor([[1.0, 9.0], [9.0, 3.0]])))[0]
    tensor([2., 2., 2., 2.])
    """
    (matrix,) = real_tensors(matrix=matrix)
    check_shape("matrix", matrix, "...", "4n", "4n")
    if matrix.shape[-1] % CHANNELS:
        raise ValueError(f"matrix must have shape (..., 4n, 4n), got {tuple(matrix.shape)}")
    blocks = matrix.unflatten(-1, (CHANNELS, -1)).unflatten(-3, (CHANNELS, -1))
    return torch.diagonal(blocks, dim1=-3, dim2=-1).mean(-1)  # blocks (..., 4, n, 4, n)


def expand(scalars: Tensor, n: int) -> Tensor:
    """Return (..., 4n, 4n): every scalar of (..., 4, 4) times the identity I_n.

    Raises
    ------
    ValueError
        If the scalars do not have that shape or ``n`` is not a positive integer.
    """
    (scalars,) = real_tensors(scalars=scalars)
    check_shape("scalars", scalars, "...", CHANNELS, CHANNELS)
    identity = torch.eye(size("n", n), dtype=scalars.dtype, device=scalars.device)
    return torch.kron(scalars.contiguous(), identity)  # kron fails on a transposed view


def read_off(weights: Products) -> Coefficients:
    """Return the scalars of RevAlg-d: the mean diagonal of every block. Read off, not trained.

    Raises
    ------
    ValueError
        If ``weights`` are no :class:`Products`.
    """
    weights = Products(*_pair("weights", weights, Products))
    return Coefficients(block_means(weights.key_query), block_means(weights.value))


def explained_share(matrix: Tensor) -> Tensor:
    """Return (...): the share of the squared Frobenius norm that "mean diagonal times I" explains.

    ``matrix`` is (..., 4n, 4n). One means that nothing is lost by compression.

    Raises
    ------
    ValueError
        If the shape does not fit or a matrix is zero, which leaves nothing to explain.
    """
    (matrix,) = real_tensors(matrix=matrix)
    means = block_means(matrix)
    if bool((matrix == 0).all(-1).all(-1).any()):
        raise ValueError("matrix must not be zero, got a matrix of zeros only")
    kept = expand(means, matrix.shape[-1] // CHANNELS)
    return kept.square().sum((-2, -1)) / matrix.square().sum((-2, -1))


def effective_coefficients(scalars: Coefficients) -> Tensor:
    """Return C (L, 4, 4, 4, 4) = sum over heads of b_h[out, value] a_h[key, query].

    Axes: layer, channel written, value channel, key channel, query channel. Heads can cancel each
    other; this sum is all that the function depends on.

    Raises
    ------
    ValueError
        If ``scalars`` are no :class:`Coefficients` (L, H, 4, 4).
    """
    scalars = Coefficients(*_pair("scalars", scalars, Coefficients))
    return torch.einsum("lhov,lhkq->lovkq", scalars.value, scalars.key_query)


def interpolate(weights: Products, scalars: Coefficients, share: float = 0.5) -> Products:
    """Return (1 - share) times the products plus share times their compressed form.

    Products are averaged, not the four factors of a head, which are not unique.

    Raises
    ------
    ValueError
        If ``share`` is not between 0 and 1, or the two do not belong together.
    """
    if isinstance(share, bool) or not isinstance(share, numbers.Real) or not 0 <= share <= 1:
        raise ValueError(f"share must be between 0 and 1, got {described(share)}")
    weights = Products(*_pair("weights", weights, Products))
    scalars = Coefficients(*_pair("scalars", scalars, Coefficients))
    n = weights.value.shape[-1] // CHANNELS
    return Products(
        *(
            torch.lerp(full, expand(part, n), share)
            for full, part in zip(weights, scalars, strict=True)
        )
    )


class ProductModel(nn.Module):
    """A linear transformer given by its products A and B; the same function as its model.

    Raises
    ------
    ValueError
        If the weights are not finite or do not have a matrix for every layer of ``config``.
    """

    form = Products
    key_query: Tensor
    value: Tensor

    def __init__(self, config: TransformerConfig, weights: Products | Coefficients):
        super().__init__()
        self.config = _linear_stack("config", config)
        key_query, value = _pair("weights", weights, self.form)
        finite_tensors(**{"weights.key_query": key_query, "weights.value": value})
        check_shape("weights", key_query, len(config.layers), "H", *2 * (self._matrix_size,))
        self.register_buffer("key_query", key_query)
        self.register_buffer("value", value)

    @property
    def _matrix_size(self) -> int:
        """Rows of one head's matrix: 4n for products, 4 for their compressed form."""
        return self.config.width if self.form is Products else CHANNELS

    def tokens(self, states: Tensor) -> Tensor:
        """Return the tokens (B, T, 4n) of states (B, T, n)."""
        _, states = real_tensors(weights=self.value, states=states)
        return model_tokens(self.config, states)

    def forward(self, states: Tensor) -> Tensor:
        """Return the predictions (B, T, n) for states (B, T, n)."""
        stream = self.tokens(states)
        clip = float("inf") if self.config.clip is None else self.config.clip
        for key_query, value in zip(self.key_query, self.value, strict=True):
            stream = (stream + self.update(stream, key_query, value)).clamp(-clip, clip)
        return stream[..., : self.config.n]

    def update(self, stream: Tensor, key_query: Tensor, value: Tensor) -> Tensor:
        """Return one layer's update (B, T, 4n) from its products (H, 4n, 4n)."""
        stream, key_query, value = self._checked(stream, key_query, value)
        queries = stream.unsqueeze(1) @ key_query.transpose(1, 2)  # (B, H, T, 4n): A_h e_t
        return (_attend(stream, queries) @ value.transpose(1, 2)).sum(1)

    def _checked(self, stream: Tensor, key_query: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        """Return the arguments of :meth:`update` in one precision."""
        parts = real_tensors(stream=stream, key_query=key_query, value=value)
        check_shape("stream", parts[0], "B", "T", self.config.width)
        check_shape("key_query", parts[1], "H", self._matrix_size, self._matrix_size)
        check_shape("value", parts[2], *parts[1].shape)
        return parts


class CompressedModel(ProductModel):
    """RevAlg-d with its own forward pass: 32 scalars a head, no 4n x 4n matrix anywhere.

    Source: von Oswald et al. 2023, weight compression: e_t <- e_t + sum_h B_h sum_{t'<=t} e_t'
    e_t'^T A_h e_t with A_h = a_h x I and B_h = b_h x I, the stream clipped as in the full model.
    """

    form = Coefficients

    def update(self, stream: Tensor, key_query: Tensor, value: Tensor) -> Tensor:
        """Return one layer's update (B, T, 4n) from its scalars (H, 4, 4)."""
        stream, key_query, value = self._checked(stream, key_query, value)
        channels = stream.unflatten(-1, (CHANNELS, -1))  # (B, T, 4, n)
        queries = torch.einsum("hwr,btrn->bhtwn", key_query, channels).flatten(-2)
        mixed = _attend(stream, queries).unflatten(-1, (CHANNELS, -1))
        return torch.einsum("hou,bhtun->bton", value, mixed).flatten(-2)


def _attend(stream: Tensor, queries: Tensor) -> Tensor:
    """Return sum_{t'<=t} e_t' (e_t' . query_t): all heads read the same keys and values.

    stream (B, T, w) and queries (B, H, T, w) give (B, H, T, w); heads are stacked along time, so
    that one matrix product serves them all.
    """
    heads, length = queries.shape[1:3]
    scores = queries.flatten(1, 2) @ stream.transpose(1, 2)  # (B, H T, T)
    scores = scores * causal_mask(length, scores.device).repeat(heads, 1)
    return (scores @ stream).unflatten(1, (heads, length))


def _linear_stack(name: str, config) -> TransformerConfig:
    """Return ``config`` if it is one of attention alone, on constructed tokens."""
    instance(name, config, TransformerConfig)
    if config.reads not in CONSTRUCTED or config != _attention_alone(config):
        raise ValueError(f"{name} must be that of an attention stack, got {config}")
    return config


def _attention_alone(config: TransformerConfig) -> TransformerConfig:
    """Return the config without all that products do not tell."""
    plain = {"mlp": 0, "biases": False, "layer_norm": False, "final_norm": False}
    return replace(config, **plain, positions="none", max_length=None, unit_keys=False)


def _pair(name: str, weights, form: type) -> tuple[Tensor, Tensor]:
    """Return the two parts (L, H, w, w) of ``weights``, an instance of ``form``."""
    names = (f"{name}.key_query", f"{name}.value")
    given = dict(zip(names, instance(name, weights, form), strict=True))
    key_query, value = real_tensors(**given)
    check_shape(names[0], key_query, "L", "H", *("w", "w") if form is Products else (4, 4))
    check_shape(names[1], value, *key_query.shape)
    return key_query, value
