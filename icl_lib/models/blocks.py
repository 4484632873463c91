"""The parts of a transformer between embedding and read-out, and the law of its first weights."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from icl_lib._tensor_checks import (
    check_generator,
    check_shape,
    flag,
    instance,
    one_of,
    positive_scale,
    real_tensors,
    size,
)
from icl_lib.layers.attention import AttentionLayer
from icl_lib.layers.tape import Tape, check_tape

ACTIVATIONS = ("gelu", "relu")
POSITION_STD = 0.3


def empty_linear(inputs: int, outputs: int, bias: bool) -> nn.Linear:
    """Return an ``nn.Linear`` without the draws from the global generator that it starts with.

    Raises
    ------
    ValueError
        If a size is not a positive integer or ``bias`` not True or False.
    """
    size("inputs", inputs)
    size("outputs", outputs)
    flag("bias", bias)
    return cast(nn.Linear, nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias))


class MLP(nn.Module):
    """W_2 phi(W_1 x + b_1) + b_2 on tokens (..., width), with ``hidden`` units in between.

    phi is GELU (the tanh form, as in GPT-2 and in von Oswald et al. 2023) or ReLU, with which a
    training step of the GPT-style models is a sixth faster on one CPU thread.

    Raises
    ------
    ValueError
        If a size is not a positive integer, ``activation`` unknown or ``biases`` no boolean.
    """

    def __init__(self, width: int, hidden: int, activation: str = "gelu", biases: bool = False):
        super().__init__()
        self.activation = one_of("activation", activation, ACTIVATIONS)
        self.up = empty_linear(size("width", width), size("hidden", hidden), flag("biases", biases))
        self.down = empty_linear(hidden, width, biases)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (..., width) to updates of the same shape."""
        _, tokens = real_tensors(weights=self.up.weight, tokens=tokens)
        check_shape("tokens", tokens, "...", self.up.in_features)
        hidden = self.up(tokens)
        if self.activation == "relu":
            return self.down(torch.relu(hidden))
        return self.down(nn.functional.gelu(hidden, approximate="tanh"))


class Block(nn.Module):
    """Attention, then the MLP if there is one, each added to the residual stream.

    ``layer_norm`` normalises what each of the two reads (pre-norm), not the stream itself.

    Parameters
    ----------
    attention : any module that maps (B, T, width) to (B, T, width), usually an AttentionLayer
    width : of the stream
    mlp : None for a block without one
    layer_norm : True or False

    Raises
    ------
    ValueError
        If an argument is not of its kind.
    """

    def __init__(
        self,
        attention: nn.Module,
        width: int,
        mlp: MLP | None = None,
        layer_norm: bool = False,
    ):
        super().__init__()
        instance("attention", attention, nn.Module)
        flag("layer_norm", layer_norm)
        self.width = size("width", width)
        self.attention_norm = nn.LayerNorm(width) if layer_norm else nn.Identity()
        self.attention = attention
        self.mlp_norm = nn.LayerNorm(width) if layer_norm and mlp is not None else nn.Identity()
        self.mlp = None if mlp is None else instance("mlp", mlp, MLP)

    def forward(self, stream: Tensor, tape: Tape | None = None) -> Tensor:
        """Map the residual stream (B, T, width) to the next one."""
        tape = check_tape(tape)
        weights = next(self.parameters(), None)
        given = {} if weights is None else {"weights": weights}
        *_, stream = real_tensors(**given, stream=stream)
        check_shape("stream", stream, "B", "T", self.width)
        seen = tape("attention_input", self.attention_norm(stream))
        # a layer that somebody put in the place of the original has no activations of its own
        ours = isinstance(self.attention, AttentionLayer)
        update = self.attention(seen, tape) if ours else self.attention(seen)
        stream = stream + tape("attention", update)
        if self.mlp is not None:
            stream = stream + tape("mlp", self.mlp(self.mlp_norm(stream)))
        return stream

    def activations(self) -> list[str]:
        """Return the names that a tape sees, in the order of the forward pass."""
        names = ["attention_input"]
        if isinstance(self.attention, AttentionLayer):
            names += ["scores", "weights"] if self.attention.kind == "softmax" else []
            names += ["heads"]
        return [*names, "attention", *(["mlp"] if self.mlp is not None else [])]


@torch.no_grad()
def draw_weights(
    model: nn.Module, init_std: float | None = None, generator: torch.Generator | None = None
) -> None:
    """Fill the linear maps of a transformer, then its learned positions, in a fixed order.

    With an ``init_std`` matrices are N(0, init_std^2) and biases 0. Without one matrices and biases
    are uniform on +-1/sqrt(fan-in) and positions N(0, 0.3^2). LayerNorms and lambdas stay as they
    are: the identity and 1.

    Raises
    ------
    ValueError
        If an argument is not of its kind.
    """
    instance("model", model, nn.Module)
    check_generator(generator, optional=True)
    if init_std is not None:
        positive_scale("init_std", init_std)

    def fill(weight: Tensor, fan_in: int) -> Tensor:
        if init_std is None:
            return weight.uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=generator)
        return weight.normal_(0.0, init_std, generator=generator) if weight.ndim > 1 else weight

    def fill_bias(bias: Tensor | None, fan_in: int) -> None:
        if bias is not None:
            fill(bias, fan_in) if init_std is None else bias.zero_()

    readout, positions = (getattr(model, name, None) for name in ("readout", "positions"))
    # a seed must give the weights that the recorded runs started from: uniform read-outs come last
    for module in sorted(model.modules(), key=lambda part: part is readout and init_std is None):
        if isinstance(module, nn.Linear):
            fill(module.weight, module.in_features)
            fill_bias(module.bias, module.in_features)
        elif isinstance(module, AttentionLayer):
            for name in "qkv":
                weight = getattr(module, f"w_{name}")
                fill(weight, weight.shape[-1])
            for name in "qkv":
                fill_bias(getattr(module, f"b_{name}", None), module.w_v.shape[-1])
            heads, width, key_size = module.p.shape
            if init_std is None:  # drawn as the matrix (width, H n_a) that it is in other code
                drawn = fill(module.p.new_empty(width, heads, key_size), heads * key_size)
                module.p.copy_(drawn.transpose(0, 1))
            else:
                fill(module.p, heads * key_size)
            fill_bias(module.b_p, heads * key_size)
    if positions is not None:
        std = POSITION_STD if init_std is None else init_std
        positions.normal_(0.0, std, generator=generator)
