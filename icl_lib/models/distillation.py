"""Replace one softmax layer of a trained transformer by a linear layer that imitates it.

Source: von Oswald et al. 2023, Figure 5A and Figure 19 (Hinton et al. 2015 for distillation).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from icl_lib._tensor_checks import between, check_generator, instance, positive_scale
from icl_lib.layers.attention import AttentionLayer
from icl_lib.models.transformer import Transformer


class LinearTwins(nn.Module):
    """One linear attention layer for every attention layer of a model, with its heads and sizes.

    Weights start as N(0, init_std^2) from ``generator``, where None is torch's global one. The
    linear layers see what the originals see: the residual stream before each layer, and positions
    in the first.

    Raises
    ------
    ValueError
        If ``model`` is no :class:`icl_lib.models.transformer.Transformer`, ``init_std`` not
        positive, or ``generator`` neither None nor a ``torch.Generator``.
    """

    def __init__(self, model: Transformer, init_std: float = 0.02, generator=None):
        super().__init__()
        instance("model", model, Transformer)
        positive_scale("init_std", init_std)
        check_generator(generator, optional=True)
        twins = nn.ModuleList(_linear_like(layer) for layer in _attention_of(model))
        self.layers = cast(Sequence[AttentionLayer], twins)
        with torch.no_grad():
            for weight in self.parameters():
                weight.normal_(0.0, init_std, generator=generator)

    def losses(self, model: Transformer, states: Tensor) -> Tensor:
        """Return each layer's squared distance to the original, (layers,), on states (B, T, n).

        Convention: mean over all entries of the difference, divided by the mean square of the
        original's output, so that 1 is a layer that writes nothing.

        Raises
        ------
        ValueError
            If the model has other layers than these, or the states do not fit it.
        """
        self._check_original(model)
        parts = ("attention_input", "attention")
        kept = [f"blocks.{k}.{part}" for k in range(len(self.layers)) for part in parts]
        with torch.no_grad():
            cache = model.run_with_cache(states, names=kept)[1]
        losses = []
        for k, twin in enumerate(self.layers):
            seen, target = (cache[f"blocks.{k}.{part}"] for part in parts)
            losses.append((twin(seen) - target).square().mean() / target.square().mean())
        return torch.stack(losses)

    def install(self, model: Transformer, index: int) -> Transformer:
        """Return a copy of ``model`` whose attention layer ``index`` is its linear imitation.

        Raises
        ------
        ValueError
            If there is no such layer, or the model has other layers than these.
        """
        self._check_original(model)
        index = between("index", index, 0, len(self.layers) - 1)
        return model.replace_layer(index, self.layers[index])

    def _check_original(self, model: Transformer) -> None:
        """Check that ``model`` has layers of the sizes that these imitate."""
        originals = _attention_of(instance("model", model, Transformer))
        theirs = [tuple(layer.w_v.shape) for layer in originals]
        ours = [tuple(layer.w_v.shape) for layer in self.layers]
        if theirs != ours:
            raise ValueError(f"model must have layers of the sizes {ours}, got {theirs}")


def _attention_of(model: Transformer) -> list[AttentionLayer]:
    return [cast(AttentionLayer, block.attention) for block in model.blocks]


def _linear_like(layer: AttentionLayer) -> AttentionLayer:
    heads, key_size, width = layer.w_v.shape
    return AttentionLayer(
        "linear",
        width,
        heads,
        key_size,
        positions=layer.positions,
        unit_keys=layer.unit_keys,
        biases=layer.biases,
    )
