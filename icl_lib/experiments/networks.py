"""From the configuration of a run to its untrained model, and from a trained model to a predictor.

The one place that knows which class belongs to which configuration.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from icl_lib._checks import positive_int
from icl_lib.analysis.evaluation import Predictor
from icl_lib.models.config import TransformerConfig
from icl_lib.models.distillation import LinearTwins
from icl_lib.models.learned_inverse import LearnedInverse
from icl_lib.models.prompting import Prompt
from icl_lib.models.transformer import Transformer

Frozen = tuple[nn.Module, ...]


@dataclass(frozen=True)
class IterationConfig:
    """A :class:`icl_lib.models.learned_inverse.LearnedInverse` of so many ``steps``."""

    steps: int

    def __post_init__(self):
        positive_int("steps", self.steps)


@dataclass(frozen=True)
class PromptConfig:
    """A learned prompt of a frozen model of n-dimensional tokens.

    An EOS vector alone, or ``prefix`` vectors; with ``fixed_eos`` the EOS is that of the second run
    below, which stays as it is.
    """

    n: int = 10
    prefix: int = 0
    fixed_eos: bool = False

    def __post_init__(self):
        positive_int("n", self.n)
        positive_int("prefix", self.prefix, minimum=0)


@dataclass(frozen=True)
class TwinsConfig:
    """Linear imitations of all attention layers of a model with the configuration ``original``."""

    original: TransformerConfig


class Imitation:
    """Linear twins on their frozen original: what a distillation is trained and judged by."""

    def __init__(self, twins: LinearTwins, original: Transformer):
        self.twins, self.original = twins, original

    def __call__(self, states: Tensor) -> Tensor:
        """Return each layer's distance to the original, (layers,), on states (B, T, n)."""
        return self.twins.losses(self.original, states)

    def replaced(self) -> list[Transformer]:
        """Return the original with one layer replaced by its imitation, for every layer."""
        return [self.twins.install(self.original, k) for k in range(len(self.twins.layers))]


Config = TransformerConfig | IterationConfig | PromptConfig | TwinsConfig


def build(config: Config, generator: torch.Generator, frozen: Frozen = ()) -> nn.Module:
    """Return the untrained model; ``frozen`` are the models below it, if they are needed.

    Raises
    ------
    ValueError
        If a prompt needs the EOS of a run below and there is none, or ``config`` is of no kind.
    """
    if isinstance(config, TransformerConfig):
        return Transformer(config, generator)
    if isinstance(config, IterationConfig):
        return LearnedInverse(config.steps)
    if isinstance(config, PromptConfig):
        eos = cast(Prompt, _below(frozen, 1)).eos if config.fixed_eos else None
        return Prompt(config.n, config.prefix, eos, generator)
    if isinstance(config, TwinsConfig):
        # of the original only the sizes are needed, so any weights will do
        return LinearTwins(Transformer(config.original, torch.Generator()), generator=generator)
    raise ValueError(f"model must be a configuration, one of {Config}, got {config!r}")


def predictor(model: nn.Module, frozen: Frozen = ()) -> Predictor:
    """Return what is judged: the model itself, or the model together with the one below it.

    Raises
    ------
    ValueError
        If the model stands on another one and ``frozen`` is empty.
    """
    if isinstance(model, Prompt):
        return partial(model, _below(frozen, 0))
    if isinstance(model, LinearTwins):
        return Imitation(model, cast(Transformer, _below(frozen, 0)))
    return model


def plain(config: Config) -> dict:
    """Return the configuration as plain data."""
    return asdict(config)


def _below(frozen: Frozen, index: int) -> nn.Module:
    if len(frozen) <= index:
        raise ValueError(
            f"frozen must hold the models below the run, got {len(frozen)}: "
            "attach(load) loads them, and icl_lib.experiments.named does so by itself"
        )
    return frozen[index]
