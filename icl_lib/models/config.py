"""What a transformer reads and how large its parts are: one config for all models of the book."""

from __future__ import annotations

from dataclasses import dataclass

from icl_lib._tensor_checks import described, flag, one_of, positive_scale, size
from icl_lib.layers.attention import KINDS
from icl_lib.models.blocks import ACTIVATIONS

CONSTRUCTED = ("constructed", "two-channel")
READS = ("pairs", "elements", *CONSTRUCTED)
POSITIONS = ("none", "learned", "sinusoidal")


@dataclass(frozen=True)
class TransformerConfig:
    """What a :class:`icl_lib.models.transformer.Transformer` reads and how large its parts are.

    :meth:`gpt`, :meth:`constructed` and :meth:`elements` give the three models of the book.

    Parameters
    ----------
    reads : "pairs", a prompt x_1, y_1, x_2, ... with x and y as separate tokens; "elements", the
        elements s_t of a sequence; "constructed" tokens (0, s_t, s_t, s_{t-1}); or "two-channel",
        (0, 0, s_t, s_{t-1}). Constructed tokens are the stream itself: the first channel of four is
        the prediction, and there is no weight but those of the layers
    layers : the kind of every attention layer, "linear", "softmax" or "mesa"
    n : dimension of one element (of one x for "pairs")
    width : of the residual stream, 4n for constructed tokens
    heads, key_size : of every attention layer
    mlp : hidden units of the MLP after each attention layer, 0 for none
    activation : of the MLP, "gelu" or "relu"
    biases : whether all linear maps have one
    layer_norm : whether the input of each sub-layer is normalised
    final_norm : whether the input of the read-out is
    positions : "none"; "learned", a vector for every token, added to the embedding; "sinusoidal",
        codes that the queries and keys of the first layer see, and nothing else
    max_length : the number of learned positions, None for other kinds
    unit_keys : whether queries and keys have unit length from the second layer on
    clip : bound on every coordinate of the stream after each block, None for no bound
    init_std : of all matrices; None draws them uniform on +-1/sqrt(fan-in)
    fused : whether softmax layers call PyTorch's fused kernel (the same up to rounding)

    Raises
    ------
    ValueError
        If a field is not of its kind, or two do not fit together; the message names it.
    """

    reads: str
    layers: tuple[str, ...]
    n: int = 10
    width: int = 40
    heads: int = 4
    key_size: int = 20
    mlp: int = 0
    activation: str = "gelu"
    biases: bool = False
    layer_norm: bool = False
    final_norm: bool = False
    positions: str = "none"
    max_length: int | None = None
    unit_keys: bool = False
    clip: float | None = None
    init_std: float | None = 0.05
    fused: bool = True

    def __post_init__(self):
        one_of("reads", self.reads, READS)
        object.__setattr__(self, "layers", _checked_layers(self.layers))
        for name in ("n", "width", "heads", "key_size"):
            size(name, getattr(self, name))
        size("mlp", self.mlp, minimum=0)
        one_of("activation", self.activation, ACTIVATIONS)
        one_of("positions", self.positions, POSITIONS)
        for name in ("biases", "layer_norm", "final_norm", "unit_keys", "fused"):
            flag(name, getattr(self, name))
        for name in ("clip", "init_std"):
            if getattr(self, name) is not None:
                positive_scale(name, getattr(self, name))
        if self.positions == "learned":
            size("max_length", self.max_length)
        elif self.max_length is not None:
            raise ValueError(
                f"max_length must be None for positions {self.positions!r}, got {self.max_length!r}"
            )
        if self.reads in CONSTRUCTED and self.width != 4 * self.n:
            raise ValueError(
                f"width must be 4 n = {4 * self.n} for {self.reads} tokens, got {self.width}"
            )

    @classmethod
    def gpt(
        cls, d: int, *, width: int = 64, layers: int = 3, heads: int = 2, max_points: int = 51
    ) -> TransformerConfig:
        """Return the GPT-style model on prompts of up to ``max_points`` inputs x (d,).

        Source: Garg et al. 2022, Section 3. At this small scale GPT-2's N(0, 0.02^2) would sit on
        the first plateau of the loss for most of the training that one CPU core can afford.
        """
        sizes = {"d": d, "width": width, "layers": layers, "heads": heads, "max_points": max_points}
        for name, value in sizes.items():
            size(name, value)
        if width % heads:
            raise ValueError(f"width must be a multiple of heads = {heads}, got {width}")
        return cls(
            "pairs",
            ("softmax",) * layers,
            n=d,
            width=width,
            heads=heads,
            key_size=width // heads,
            mlp=4 * width,
            activation="relu",
            biases=True,
            layer_norm=True,
            final_norm=True,
            positions="learned",
            max_length=2 * max_points - 1,
            init_std=None,
            fused=False,  # no faster on prompts this short, and what the checkpoints were made with
        )

    @classmethod
    def constructed(cls, layers: tuple[str, ...], n: int = 10, **changes) -> TransformerConfig:
        """Return an attention stack on constructed tokens: no MLP, no norms, a clipped stream.

        Source: von Oswald et al. 2023, Tables 1-3. ``changes`` are other values of any field.
        """
        usual = {"reads": "constructed", "width": 4 * size("n", n), "clip": 4.0, "init_std": 0.01}
        return cls(**(usual | {"layers": layers, "n": n} | changes))

    @classmethod
    def elements(cls, layers: tuple[str, ...], **changes) -> TransformerConfig:
        """Return a transformer on raw elements, whose first layer sees sinusoidal codes.

        Source: von Oswald et al. 2023, Tables 2 and 3. ``changes`` are other values of any field.
        """
        return cls(**({"reads": "elements", "positions": "sinusoidal", "layers": layers} | changes))

    @property
    def max_points(self) -> int | None:
        """Largest number of inputs in a prompt, the query included; None without a bound."""
        return None if self.max_length is None else (self.max_length + 1) // 2


def _checked_layers(layers) -> tuple[str, ...]:
    named = isinstance(layers, (tuple, list)) and len(layers) > 0
    if not named or any(not isinstance(kind, str) or kind not in KINDS for kind in layers):
        raise ValueError(f"layers must be one or more of {KINDS}, got {described(layers)}")
    return tuple(layers)
