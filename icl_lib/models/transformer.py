"""The transformer of the book: embedding, blocks of attention and MLP, read-out.

Sources: Garg et al. 2022, Section 3, and Zhang et al. 2024, Section 4.3 and Appendix E (a GPT-style
model on prompts); von Oswald et al. 2023, architecture and Tables 1-3 (attention stacks on
constructed tokens, full transformers on raw elements). They differ in their
:class:`icl_lib.models.config.TransformerConfig` alone.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from icl_lib._tensor_checks import (
    between,
    check_generator,
    check_shape,
    instance,
    one_of,
    real_tensors,
)
from icl_lib.layers.attention import AttentionLayer
from icl_lib.layers.tape import Patch, Tape, check_names
from icl_lib.models.blocks import MLP, Block, draw_weights, empty_linear
from icl_lib.models.config import CONSTRUCTED, TransformerConfig
from icl_lib.tasks.tokens import constructed_tokens, interleave


class Transformer(nn.Module):
    """Predict every y_i of a prompt, or every next element of a sequence, from what came before.

    The first weights are drawn from ``generator`` alone, where None is torch's global one.

    ``run_with_cache`` and ``patch`` know these activations (B prompts or sequences of T tokens; k
    counts blocks from 0), in the order in which they are made:

    * "embed" (B, T, width): the residual stream before the first block, positions included
    * "blocks.k.attention_input" (B, T, width): what the attention layer reads
    * "blocks.k.scores", "blocks.k.weights" (B, H, T, T), of softmax layers: before the mask, and
      after the softmax; rows attend. A fused layer forms them only if they are asked for
    * "blocks.k.heads" (B, T, H, key_size): each head's output, before its projection P_h
    * "blocks.k.attention" (B, T, width): the layer's update, the sum over heads of P_h heads_h
    * "blocks.k.mlp" (B, T, width): the MLP's update, if there is one
    * "blocks.k" (B, T, width): the residual stream after the block, clipped
    """

    def __init__(self, config: TransformerConfig, generator: torch.Generator | None = None):
        super().__init__()
        instance("config", config, TransformerConfig)
        check_generator(generator, optional=True)
        self.config, learned = config, config.reads not in CONSTRUCTED
        outputs = 1 if config.reads == "pairs" else config.n
        self.embed = empty_linear(config.n, config.width, config.biases) if learned else None
        self.readout = empty_linear(config.width, outputs, config.biases) if learned else None
        rows = torch.empty(config.max_length or 0, config.width)
        self.positions = nn.Parameter(rows) if config.positions == "learned" else None
        blocks = nn.ModuleList(_block(config, index) for index in range(len(config.layers)))
        self.blocks = cast(Sequence[Block], blocks)  # a ModuleList forgets the type of its parts
        self.norm = nn.LayerNorm(config.width) if config.final_norm else nn.Identity()
        draw_weights(self, config.init_std, generator)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the predictions.

        Parameters
        ----------
        inputs : for "pairs" xs (B, n, d), the query last, and ys (B, n-1) or (B, n), whose last
            label is never read; the result (B, n) has in entry i the prediction of y_i from the
            first i pairs. For all others states (B, T, n); the result (B, T, n) has in entry t the
            prediction of s_{t+1}

        Raises
        ------
        ValueError
            If number, shapes or dtypes do not fit, or there are more tokens than positions.
        """
        return self._predictions(self._stream(inputs, Tape(), len(self.blocks)))

    def predict_query(self, xs: Tensor, ys: Tensor, x_query: Tensor) -> Tensor:
        """Return the prediction (B,) for ``x_query`` (B, d) after n examples xs, ys.

        Raises
        ------
        ValueError
            If the model does not read pairs, or the shapes or dtypes do not fit.
        """
        one_of("reads", self.config.reads, ("pairs",))
        xs, ys, x_query = self._real(xs=xs, ys=ys, x_query=x_query)
        check_shape("xs", xs, "B", "n", self.config.n)
        check_shape("ys", ys, *xs.shape[:2])
        check_shape("x_query", x_query, xs.shape[0], xs.shape[2])
        return self(torch.cat([xs, x_query.unsqueeze(1)], dim=1), ys)[:, -1]

    def run_with_cache(
        self,
        *inputs: Tensor,
        patch: Mapping[str, Patch] | None = None,
        names: Collection[str] | None = None,
        stop_at_layer: int | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the predictions and the activations by name (the class lists them).

        Parameters
        ----------
        inputs : as for :meth:`forward`
        patch : what takes the place of named activations: a tensor of the activation's shape, or a
            function that maps the activation to one. All that follows is computed from it. The
            activation's own value changes nothing, but for rounding where the scores or weights of
            a fused layer are patched
        names : the activations to keep, None for all
        stop_at_layer : how many blocks run, None for all; if it is given, the residual stream after
            them is returned instead of predictions

        Raises
        ------
        ValueError
            As :meth:`forward`; and if there is no such activation, or a patch does not fit it.
        """
        depth = len(self.blocks) if stop_at_layer is None else stop_at_layer
        between("stop_at_layer", depth, 0, len(self.blocks))
        known = self.activations()[: self.activations().index(self._after(depth)) + 1]
        keep = known if names is None else self._known("names", names, known)
        if patch is not None:
            instance("patch", patch, Mapping)
            self._known("patch", patch, known)
        tape = Tape(frozenset(keep), patch)
        stream = self._stream(inputs, tape, depth)
        return stream if stop_at_layer is not None else self._predictions(stream), tape.cache

    def run_with_patch(self, *inputs: Tensor, patch: Mapping[str, Patch]) -> Tensor:
        """Return the predictions with some activations replaced, as :meth:`run_with_cache` does."""
        instance("patch", patch, Mapping)
        return self.run_with_cache(*inputs, patch=patch, names=())[0]

    def streams(self, *inputs: Tensor) -> list[Tensor]:
        """Return the residual stream (B, T, width) before the first and after every block."""
        names = [self._after(depth) for depth in range(len(self.blocks) + 1)]
        cache = self.run_with_cache(*inputs, names=names)[1]
        return [cache[name] for name in names]

    def activations(self) -> list[str]:
        """Return the names of all activations, in the order in which they are made."""
        names = [self._after(0)]
        for k, block in enumerate(self.blocks):
            names += [f"blocks.{k}.{name}" for name in block.activations()]
            names += [self._after(k + 1)]
        return names

    def replace_layer(self, index: int, layer: nn.Module) -> Transformer:
        """Return a copy of the model whose attention layer ``index`` (0 the first) is ``layer``.

        ``layer`` maps (B, T, width) to (B, T, width); it is not copied. The copy's config still
        describes the original.

        Raises
        ------
        ValueError
            If there is no such layer, or ``layer`` is no ``torch.nn.Module``.
        """
        index = between("index", index, 0, len(self.blocks) - 1)
        replaced = copy.deepcopy(self)
        replaced.blocks[index].attention = instance("layer", layer, nn.Module)
        return replaced

    def checked(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the inputs of :meth:`forward` in the precision of the weights.

        Raises
        ------
        ValueError
            If number, shapes or dtypes do not fit, or there are more tokens than positions.
        """
        names = ("xs", "ys") if self.config.reads == "pairs" else ("states",)
        if len(inputs) != len(names):
            raise ValueError(f"inputs must be {names}, got {len(inputs)} of them")
        given = dict(zip(names, inputs, strict=True))
        inputs = self._real(**given)
        axis = "n" if self.config.reads == "pairs" else "T"
        check_shape(names[0], inputs[0], "B", axis, self.config.n)
        points, most = inputs[0].shape[1], self.config.max_length
        if self.config.reads == "pairs" and points > (self.config.max_points or points):
            raise ValueError(
                f"xs must hold at most max_points = {self.config.max_points} inputs, got {points}"
            )
        if self.config.reads != "pairs" and points > (most or points):
            raise ValueError(f"states must hold at most max_length = {most}, got {points}")
        return tuple(inputs)

    def _predictions(self, stream: Tensor) -> Tensor:
        """Return what the residual stream (B, T, width) after the last block holds."""
        if self.readout is None:
            return self.norm(stream)[..., : self.config.n]
        if self.config.reads == "pairs":
            return self.readout(self.norm(stream[:, 0::2])).squeeze(-1)  # at the x tokens
        return self.readout(self.norm(stream))

    def _real(self, **tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors in the precision of the weights, if the model has any."""
        weights = next(self.parameters(), None)
        if weights is None:
            return real_tensors(**tensors)
        return real_tensors(weights=weights, **tensors)[1:]

    def _stream(self, inputs: tuple[Tensor, ...], tape: Tape, depth: int) -> Tensor:
        """Return the residual stream (B, T, width) after ``depth`` blocks."""
        tokens = model_tokens(self.config, *self.checked(*inputs))
        stream = tokens if self.embed is None else self.embed(tokens)
        if self.positions is not None:
            stream = stream + self.positions[: stream.shape[1]]
        stream, clip = tape(self._after(0), stream), self.config.clip
        for k, block in enumerate(self.blocks[:depth]):
            stream = block(stream, tape.within(f"blocks.{k}."))
            stream = stream if clip is None else stream.clamp(-clip, clip)
            stream = tape(self._after(k + 1), stream)
        return stream

    @staticmethod
    def _after(depth: int) -> str:
        """Return the name of the residual stream after ``depth`` blocks."""
        return f"blocks.{depth - 1}" if depth else "embed"

    @staticmethod
    def _known(argument: str, names: Collection[str], known: list[str]) -> Collection[str]:
        if unknown := [name for name in check_names(argument, names) if name not in known]:
            raise ValueError(f"{argument} must be among {known}, got {unknown}")
        return names


def model_tokens(config: TransformerConfig, *inputs: Tensor) -> Tensor:
    """Return the tokens (B, T, ...) that a model of this config makes of its inputs.

    Raises
    ------
    ValueError
        If the shape or the dtype of the inputs does not fit.
    """
    if instance("config", config, TransformerConfig).reads == "pairs":
        return interleave(*inputs)  # (B, 2n-1, d)
    (states,) = real_tensors(**dict(zip(("states",), inputs, strict=True)))
    check_shape("states", states, "B", "T", config.n)
    if config.reads == "elements":
        return states
    tokens = constructed_tokens(states)
    if config.reads == "two-channel":
        known = 2 * config.n
        tokens = torch.cat([torch.zeros_like(tokens[..., :known]), tokens[..., known:]], dim=-1)
    return tokens


def _block(config: TransformerConfig, index: int) -> Block:
    attention = AttentionLayer(
        config.layers[index],
        config.width,
        config.heads,
        config.key_size,
        positions=config.positions == "sinusoidal" and index == 0,
        unit_keys=config.unit_keys and index > 0,
        biases=config.biases,
        fused=config.fused,
    )
    sizes = (config.width, config.mlp, config.activation, config.biases)
    mlp = MLP(*sizes) if config.mlp else None
    return Block(attention, config.width, mlp, config.layer_norm)
