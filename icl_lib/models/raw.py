"""A transformer that reads the raw elements of a sequence and predicts each next one.

Source: von Oswald et al. 2023, full-fledged transformers (Tables 2 and 3): linear embedding and
read-out, positions that only the queries and keys of the first layer see, attention layers of any
kind, an MLP where the task needs one. No biases, no dropout.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from icl_lib._tensor_checks import (
    between,
    check_generator,
    check_shape,
    flag,
    instance,
    positive_scale,
    real_dtype,
    real_tensors,
    size,
)
from icl_lib.layers.softmax import causal_mask
from icl_lib.models.sequence import AttentionLayer, check_kinds


@dataclass(frozen=True)
class RawConfig:
    """Sizes of a :class:`RawTransformer`.

    ``layers`` names the kind of every attention layer: "linear", "softmax" or "mesa". ``n`` is the
    dimension of one element, ``width`` that of the residual stream. ``mlp`` is the number of hidden
    units of the MLP after each attention layer, 0 for none. ``layer_norm`` normalises the input of
    each sub-layer, as the paper's text has it and its released linear models have not.
    ``unit_keys`` divides queries and keys by their Euclidean norm from the second layer on.
    ``clip`` bounds every coordinate of the residual stream after each block. ``init_std`` is a
    standard deviation.
    """

    layers: tuple[str, ...]
    n: int = 10
    width: int = 40
    heads: int = 4
    key_size: int = 20
    mlp: int = 0
    layer_norm: bool = False
    unit_keys: bool = False
    clip: float | None = None
    init_std: float = 0.05

    def __post_init__(self):
        object.__setattr__(self, "layers", check_kinds(self.layers))
        for name in ("n", "width", "heads", "key_size"):
            size(name, getattr(self, name))
        size("mlp", self.mlp, minimum=0)
        flag("layer_norm", self.layer_norm), flag("unit_keys", self.unit_keys)
        if self.clip is not None:
            positive_scale("clip", self.clip)
        positive_scale("init_std", self.init_std)


def sinusoidal_positions(length: int, width: int, dtype=torch.float32) -> Tensor:
    """Return the positional encoding (T, width): sines, then cosines, of geometric frequencies.

    Source: Vaswani et al. 2017, Section 3.5, with t = 0 for the first position.
    Convention: all sines come first; the original interleaves them, a permutation of coordinates.

    Raises
    ------
    ValueError
        If a size is not a positive integer or ``dtype`` is neither float32 nor float64.

    Examples
    --------
    >>> sinusoidal_positions(2, 2)
    tensor([[0.0000, 1.0000],
            [0.8415, 0.5403]])
    """
    length, width, dtype = size("length", length), size("width", width), real_dtype(dtype)
    half = (width + 1) // 2
    rates = 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width].to(dtype)


class RawAttention(AttentionLayer):
    """An attention layer whose queries and keys may see positions, or have unit length.

    With ``positions``, ``w_q`` and ``w_k`` (H, n_a, 2 width) act on the token with its position's
    code below it; values see the token alone. Source: von Oswald et al. 2023, methods (positional
    encodings are concatenated to the input of the first layer's queries and keys).

    Raises
    ------
    ValueError
        If ``kind`` is unknown, a size is not a positive integer or an option not True or False.
    """

    def __init__(
        self, kind: str, width: int, heads: int, key_size: int, *, positions=False, unit_keys=False
    ):
        super().__init__(kind, width, heads, key_size)
        self.positions, self.unit_keys = flag("positions", positions), flag("unit_keys", unit_keys)
        if positions:
            for name in ("w_q", "w_k"):
                setattr(self, name, nn.Parameter(torch.empty(heads, key_size, 2 * width)))

    def project(self, tokens: Tensor) -> Tensor:
        """Return queries, keys and values (B, T, 3, H, n_a) of tokens (B, T, width).

        A token's code enters as W (token, code) = W_token token + W_code code, the same for all B.
        """
        tokens = self._checked(tokens)
        width = tokens.shape[-1]
        weights = torch.cat([self.w_q[..., :width], self.w_k[..., :width], self.w_v])
        projected = (tokens @ weights.flatten(0, 1).T).unflatten(-1, (3, *self.w_v.shape[:2]))
        if not self.positions and not self.unit_keys:
            return projected
        matchers, values = projected[:, :, :2], projected[:, :, 2:]
        if self.positions:
            codes = sinusoidal_positions(tokens.shape[1], width, tokens.dtype).to(tokens.device)
            w_code = torch.stack([self.w_q, self.w_k])[..., width:]  # (2, H, n_a, width)
            matchers = matchers + torch.einsum("jhaw,tw->tjha", w_code, codes)
        if self.unit_keys:
            matchers = nn.functional.normalize(matchers, dim=-1)
        return torch.cat([matchers, values], dim=2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the layer's update (B, T, width) for tokens (B, T, width).

        Softmax layers call PyTorch's fused kernel, three times faster than the formula of
        :func:`icl_lib.layers.softmax.softmax_attention` on 224 tokens.
        """
        if self.kind != "softmax":
            return super().forward(tokens)
        queries, keys, values = self.project(tokens).permute(2, 0, 3, 1, 4).unbind()
        fused = nn.functional.scaled_dot_product_attention
        mixed = fused(queries, keys, values, is_causal=True).transpose(1, 2).flatten(2)
        return mixed @ self.p.transpose(0, 1).flatten(1).T

    def attention_weights(self, tokens: Tensor) -> Tensor:
        """Return the softmax weights (B, H, T, T) of tokens (B, T, width): row t attends to t'.

        Raises
        ------
        ValueError
            If this is no softmax layer.
        """
        if self.kind != "softmax":
            raise ValueError(f"kind must be 'softmax' to have attention weights, got {self.kind!r}")
        queries, keys, _ = self.project(tokens).permute(2, 0, 3, 1, 4).unbind()
        scores = queries @ keys.transpose(-1, -2) / keys.shape[-1] ** 0.5
        mask = causal_mask(scores.shape[-1], scores.device)
        return scores.masked_fill(~mask, -torch.inf).softmax(-1)


class MLP(nn.Module):
    """W_2 GELU(W_1 x), without biases. Source: von Oswald et al. 2023, architecture."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        size("width", width), size("hidden", hidden)
        self.w_1 = nn.Parameter(torch.empty(hidden, width))
        self.w_2 = nn.Parameter(torch.empty(width, hidden))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (..., width) to updates of the same shape."""
        _, tokens = real_tensors(weights=self.w_1, tokens=tokens)
        check_shape("tokens", tokens, "...", self.w_1.shape[1])
        return nn.functional.gelu(tokens @ self.w_1.T, approximate="tanh") @ self.w_2.T


class Block(nn.Module):
    """Attention, then the MLP if there is one, each added to the residual stream."""

    def __init__(self, config: RawConfig, index: int):
        super().__init__()
        index = between("index", index, 0, len(instance("config", config, RawConfig).layers) - 1)
        self.clip = config.clip
        self.attention = RawAttention(
            config.layers[index],
            config.width,
            config.heads,
            config.key_size,
            positions=index == 0,
            unit_keys=config.unit_keys and index > 0,
        )
        self.attention_norm = nn.LayerNorm(config.width) if config.layer_norm else nn.Identity()
        self.mlp = MLP(config.width, config.mlp) if config.mlp else None
        has_norm = config.layer_norm and config.mlp
        self.mlp_norm = nn.LayerNorm(config.width) if has_norm else nn.Identity()

    def forward(self, stream: Tensor) -> Tensor:
        """Map the residual stream (B, T, width) to the next one."""
        _, stream = real_tensors(weights=self.attention.w_v, stream=stream)
        check_shape("stream", stream, "B", "T", self.attention.w_v.shape[-1])
        stream = stream + self.attention(self.attention_norm(stream))
        if self.mlp is not None:
            stream = stream + self.mlp(self.mlp_norm(stream))
        return stream if self.clip is None else stream.clamp(-self.clip, self.clip)


class RawTransformer(nn.Module):
    """Predict s_{t+1} from the raw elements s_1, ..., s_t for every t at once.

    Source: von Oswald et al. 2023, Tables 2 and 3. All weight matrices start as N(0, init_std^2),
    drawn from ``generator`` alone: None is torch's global generator.
    """

    def __init__(self, config: RawConfig, generator: torch.Generator | None = None):
        super().__init__()
        instance("config", config, RawConfig), check_generator(generator, optional=True)
        self.config = config
        self.embed = nn.Parameter(torch.empty(config.width, config.n))
        self.blocks = nn.ModuleList(Block(config, index) for index in range(len(config.layers)))
        self.readout = nn.Parameter(torch.empty(config.n, config.width))
        with torch.no_grad():
            for weight in self.parameters():
                if weight.ndim > 1:  # not lambda, not a LayerNorm's scale and shift
                    weight.normal_(0.0, config.init_std, generator=generator)

    def checked(self, states: Tensor) -> Tensor:
        """Return states (B, T, n) in the precision of the weights.

        Raises
        ------
        ValueError
            If the shape or the dtype does not fit.
        """
        _, states = real_tensors(weights=self.embed, states=states)
        check_shape("states", states, "B", "T", self.config.n)
        return states

    def embedded(self, states: Tensor) -> Tensor:
        """Return the residual stream (B, T, width) before the first block, for states (B, T, n)."""
        return self.checked(states) @ self.embed.T

    def streams(self, states: Tensor) -> list[Tensor]:
        """Return the residual stream (B, T, width) after the embedding and after every block.

        Raises
        ------
        ValueError
            If ``states`` is not (B, T, n) or not in the precision of the weights.
        """
        streams = [self.embedded(states)]
        for block in self.blocks:
            streams.append(block(streams[-1]))
        return streams

    def forward(self, states: Tensor) -> Tensor:
        """Return the predictions (B, T, n) for states (B, T, n)."""
        return self.streams(states)[-1] @ self.readout.T
