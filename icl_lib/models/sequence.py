"""A stack of attention layers that reads a sequence and predicts each next element.

Source: von Oswald et al. 2023, architecture: no biases, no MLP, no LayerNorm; a residual stream
that is clipped after every layer. The four weight matrices of a head are kept as the paper writes
them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from icl_lib._tensor_checks import (
    check_generator,
    check_shape,
    described,
    instance,
    one_of,
    positive_scale,
    real_tensors,
    size,
)
from icl_lib.layers.linear import multi_head_linear_attention
from icl_lib.layers.mesa import mesa_attention
from icl_lib.layers.softmax import softmax_attention
from icl_lib.tasks.tokens import constructed_tokens

KINDS = ("linear", "softmax", "mesa")
TOKENS = ("constructed", "two-channel")


@dataclass(frozen=True)
class SequenceConfig:
    """Sizes of a :class:`SequenceModel`.

    ``layers`` names the kind of every layer: "linear", "softmax" or "mesa". ``n`` is the dimension
    of one element; tokens have 4n coordinates. ``tokens`` is "constructed", (0, s_t, s_t, s_{t-1}),
    or "two-channel", (0, 0, s_t, s_{t-1}), which the paper feeds to a single layer. ``clip`` bounds
    every coordinate of the residual stream after each layer; ``init_std`` is a standard deviation.
    """

    layers: tuple[str, ...]
    n: int = 10
    heads: int = 4
    key_size: int = 20
    tokens: str = "constructed"
    clip: float | None = 4.0
    init_std: float = 0.01

    def __post_init__(self):
        object.__setattr__(self, "layers", check_kinds(self.layers))
        one_of("tokens", self.tokens, TOKENS)
        for name in ("n", "heads", "key_size"):
            size(name, getattr(self, name))
        if self.clip is not None:
            positive_scale("clip", self.clip)
        positive_scale("init_std", self.init_std)

    @property
    def width(self) -> int:
        """Number of coordinates of a token: four channels."""
        return 4 * self.n


def check_kinds(layers) -> tuple[str, ...]:
    """Return ``layers``, one or more kinds of attention layers, as a tuple.

    Raises
    ------
    ValueError
        If there is none, or one that is not in ``KINDS``.
    """
    named = isinstance(layers, (tuple, list)) and len(layers) > 0
    if not named or any(not isinstance(kind, str) or kind not in KINDS for kind in layers):
        raise ValueError(f"layers must be one or more of {KINDS}, got {described(layers)}")
    return tuple(layers)


class AttentionLayer(nn.Module):
    """One multi-head attention layer: sum over heads of P_h applied to the head's output.

    Source: von Oswald et al. 2023, the definition of a self-attention layer. ``w_q``, ``w_k``,
    ``w_v`` (H, n_a, width) and ``p`` (H, width, n_a) act on column vectors, as in the paper. A mesa
    layer has ``log_lambda`` (H,) too: lambda = exp(log_lambda) is positive whatever the optimiser
    does.

    Raises
    ------
    ValueError
        If ``kind`` is not "linear", "softmax" or "mesa", or a size is not a positive integer.
    """

    def __init__(self, kind: str, width: int, heads: int, key_size: int):
        super().__init__()
        self.kind = one_of("kind", kind, KINDS)
        size("width", width), size("heads", heads), size("key_size", key_size)
        for name in ("w_q", "w_k", "w_v"):
            setattr(self, name, nn.Parameter(torch.empty(heads, key_size, width)))
        self.p = nn.Parameter(torch.empty(heads, width, key_size))
        if kind == "mesa":
            self.log_lambda = nn.Parameter(torch.zeros(heads))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the layer's update (B, T, width) for tokens (B, T, width).

        Raises
        ------
        ValueError
            If the shape or the dtype does not fit (see :mod:`icl_lib.models` on precision).
        """
        projections = self.project(tokens)
        if self.kind == "linear":
            mixed = multi_head_linear_attention(projections)
        else:
            queries, keys, values = projections.permute(2, 0, 3, 1, 4).unbind()
            if self.kind == "softmax":
                mixed = softmax_attention(queries, keys, values, causal=True)
            else:
                mixed = mesa_attention(queries, keys, values, self.log_lambda.exp())
            mixed = mixed.transpose(1, 2).flatten(2)
        output = self.p.transpose(0, 1).flatten(1)  # (width, H n_a)
        return mixed @ output.T

    def project(self, tokens: Tensor) -> Tensor:
        """Return queries, keys and values (B, T, 3, H, n_a) of tokens (B, T, width)."""
        tokens = self._checked(tokens)
        heads, key_size, _ = self.w_q.shape
        weights = torch.cat([self.w_q, self.w_k, self.w_v]).flatten(0, 1)  # (3 H n_a, width)
        if self.kind != "linear":
            return (tokens @ weights.T).unflatten(-1, (3, heads, key_size))
        columns = weights @ tokens.flatten(0, 1).T  # what linear heads read fastest
        return columns.view(3, heads, key_size, *tokens.shape[:2]).permute(3, 4, 0, 1, 2)

    def _checked(self, tokens: Tensor) -> Tensor:
        _, tokens = real_tensors(weights=self.w_v, tokens=tokens)
        check_shape("tokens", tokens, "B", "T", self.w_v.shape[-1])
        return tokens

    def products(self) -> tuple[Tensor, Tensor]:
        """Return A = W_k^T W_q and B = P W_v, (H, width, width) each.

        The function of a linear layer depends on its weights through these products alone.
        """
        return self.w_k.transpose(1, 2) @ self.w_q, self.p @ self.w_v


class SequenceModel(nn.Module):
    """Predict s_{t+1} from s_1, ..., s_t for every t at once.

    Source: von Oswald et al. 2023, architecture and Tables 1-3 (constructed tokens). All weights
    start as N(0, init_std^2), drawn from ``generator`` alone: None is torch's global generator.
    """

    def __init__(self, config: SequenceConfig, generator: torch.Generator | None = None):
        super().__init__()
        instance("config", config, SequenceConfig), check_generator(generator, optional=True)
        self.config = config
        self.blocks = nn.ModuleList(
            AttentionLayer(kind, config.width, config.heads, config.key_size)
            for kind in config.layers
        )
        with torch.no_grad():
            for block in self.blocks:
                for weight in (block.w_q, block.w_k, block.w_v, block.p):
                    weight.normal_(0.0, config.init_std, generator=generator)

    def tokens(self, states: Tensor) -> Tensor:
        """Return the tokens (B, T, 4n) of states (B, T, n)."""
        _, states = real_tensors(weights=self.blocks[0].w_v, states=states)
        return model_tokens(states, self.config)

    def streams(self, states: Tensor) -> list[Tensor]:
        """Return the residual stream (B, T, 4n) before the first and after every layer."""
        streams = [self.tokens(states)]
        for block in self.blocks:
            update = streams[-1] + block(streams[-1])
            clip = self.config.clip
            streams.append(update if clip is None else update.clamp(-clip, clip))
        return streams

    def forward(self, states: Tensor) -> Tensor:
        """Return the predictions (B, T, n) for states (B, T, n): the stream's first channel.

        Raises
        ------
        ValueError
            If the shape or the dtype does not fit (see :mod:`icl_lib.models` on precision).
        """
        return self.streams(states)[-1][..., : self.config.n]


def model_tokens(states: Tensor, config: SequenceConfig) -> Tensor:
    """Return the tokens (B, T, 4n) of states (B, T, n) that a model of this config reads.

    Raises
    ------
    ValueError
        If the shape or the dtype of the states does not fit.
    """
    (states,) = real_tensors(states=states)
    check_shape("states", states, "B", "T", instance("config", config, SequenceConfig).n)
    tokens = constructed_tokens(states)
    if config.tokens == "two-channel":
        known = 2 * config.n
        tokens = torch.cat([torch.zeros_like(tokens[..., :known]), tokens[..., known:]], dim=-1)
    return tokens
