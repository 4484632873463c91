"""Named runs on top of a trained model that stays fixed: prompts and linear imitations of layers.

Source: von Oswald et al. 2023, Figures 5, 8 and 18.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property

import torch
from torch import nn

from icl_lib._checks import positive_int
from icl_lib.experiments.raw import RAW_EXPERIMENTS
from icl_lib.experiments.sequences import EVALUATION_SEED, predict, sequence_loss
from icl_lib.models.distillation import LinearTwins
from icl_lib.models.prompting import Prompt, freeze
from icl_lib.tasks.few_shot import FewShotRegression
from icl_lib.tasks.randomness import generators, weights_generator
from icl_lib.training import TrainConfig

PAIRS = 40  # labelled pairs in a prompt while it is tuned
EVALUATION_PROMPTS = 1024
ZERO_LOSS = 10 / 6  # 1/2 n / 3 for n = 10 inputs uniform on [-1, 1]

ADAPTED_SETTINGS = {
    "eos": "Adam, lr 1e-3, batch 64 in the code and 256 in the text, 5000 steps",
    "prefix": "20 vectors, Adam, lr 1e-3, batch 128, 5000 steps",
    "twins": "AdamW, lr 1e-3 constant, 15000 steps",
}


@dataclass(frozen=True)
class AdaptedExperiment:
    """A run whose ``base`` is the name of a checkpoint that is loaded and never changed."""

    name: str
    base: str
    training: TrainConfig
    seed: int
    batch: int

    metric = "loss"
    snapshots = ()

    def __post_init__(self):
        positive_int("seed", self.seed, minimum=0)
        positive_int("batch", self.batch)

    @property
    def family(self) -> str:
        """The name without its seed."""
        return self.name.rsplit("-s", 1)[0]

    @property
    def paper(self) -> str:
        """The published settings of this kind of run, in words."""
        return next(text for key, text in ADAPTED_SETTINGS.items() if self.family.startswith(key))

    @property
    def below(self) -> tuple[str, ...]:
        """The runs whose checkpoints this one is trained on."""
        return (self.base,)

    @cached_property
    def frozen(self) -> nn.Module:
        """The trained model, without gradients."""
        return freeze(_load(self.base))

    def generator(self) -> torch.Generator:
        """Return the generator of the initial weights."""
        return weights_generator(self.seed)

    def with_seed(self, seed: int):
        """Return the same run with another seed."""
        return replace(self, name=f"{self.family}-s{seed}", seed=seed)

    def configuration(self) -> dict:
        """Return the run as plain data, for the checkpoint's metadata."""
        return asdict(self)


@dataclass(frozen=True)
class PromptExperiment(AdaptedExperiment):
    """Tune a prompt: an EOS vector, or ``prefix`` vectors with the EOS of the run ``eos_run``."""

    prefix: int = 0
    eos_run: str | None = None

    task = FewShotRegression()

    def __post_init__(self):
        super().__post_init__()
        positive_int("prefix", self.prefix, minimum=0)

    @property
    def below(self) -> tuple[str, ...]:
        """The base, and the run whose EOS stays fixed."""
        return (self.base,) if self.eos_run is None else (self.base, self.eos_run)

    def build_model(self) -> Prompt:
        """Return the untrained prompt; the learned EOS of ``eos_run`` is part of it, and fixed."""
        eos = None if self.eos_run is None else _load(self.eos_run).eos
        return Prompt(self.task.n, self.prefix, eos, self.generator())

    def loss_at(self, prompt: Prompt, step: int) -> torch.Tensor:
        """Return the loss of one step: 1/2 squared error at the inputs' positions, their mean."""
        few = self.task.sample(self.batch, PAIRS, generators(self.seed, step))
        return sequence_loss(prompt(self.frozen, few.xs, few.ys), few.ys)

    zero_loss = ZERO_LOSS

    def evaluate(self, prompt: Prompt) -> dict[str, float]:
        """Return the mean loss over positions on fixed prompts, with its standard error."""
        few = self.task.sample(EVALUATION_PROMPTS, PAIRS, generators(EVALUATION_SEED))
        with torch.no_grad():
            predictions = prompt(lambda tokens: predict(self.frozen, tokens), few.xs, few.ys)
        each = (predictions - few.ys).square().sum(-1).mean(-1) / 2
        return {
            "loss": float(each.mean()),
            "standard_error": float(each.std() / EVALUATION_PROMPTS**0.5),
        }


@dataclass(frozen=True)
class TwinExperiment(AdaptedExperiment):
    """Distil every softmax layer of ``base`` into a linear one, all at once."""

    @property
    def original(self):
        """The run of the model whose layers are imitated."""
        return RAW_EXPERIMENTS[self.base]

    def build_model(self) -> LinearTwins:
        """Return the untrained linear layers."""
        return LinearTwins(self.original.build_model(), generator=self.generator())

    def loss_at(self, twins: LinearTwins, step: int) -> torch.Tensor:
        """Return the loss of one step: the relative squared distances of all layers, their sum."""
        sequences = self.original.dynamics.sample(
            self.batch, self.original.length, generators(self.seed, step)
        )
        return twins.losses(self.frozen, sequences.inputs).sum()

    @property
    def zero_loss(self) -> float:
        """The loss of linear layers that write nothing: 1 a layer."""
        return float(len(self.original.model.layers))

    def evaluate(self, twins: LinearTwins) -> dict[str, float]:
        """Return "loss_1", ...: the loss with that layer replaced, over the original's loss.

        "loss" is the mean of these ratios over the layers.
        """
        inputs, targets = self.original.test_set_pair
        with torch.no_grad():
            reference = float(sequence_loss(predict(self.frozen, inputs), targets))
            ratios = [
                float(
                    sequence_loss(predict(twins.install(self.frozen, layer), inputs), targets)
                    / reference
                )
                for layer in range(len(twins.layers))
            ]
        each = {f"loss_{layer}": ratio for layer, ratio in enumerate(ratios, start=1)}
        return {"loss": sum(ratios) / len(ratios), **each}


def _load(name: str) -> nn.Module:
    from icl_lib.experiments import checkpoint  # imports the registry, which lists these runs

    return checkpoint.load(name)[0]


def _prompt(name: str, base: str, steps: int, **parts) -> PromptExperiment:
    training = TrainConfig(steps=steps, lr=1e-2, warmup=50, clip_norm=1.0, log_every=50)
    return PromptExperiment(f"{name}-s0", base, training, 0, 16, **parts)


def _twins(name: str, base: str, steps: int) -> TwinExperiment:
    training = TrainConfig(steps=steps, lr=3e-3, warmup=200, clip_norm=1.0, log_every=100)
    return TwinExperiment(f"{name}-s0", base, training, 0, 32)


PREFIX = 20

ADAPTED_FAMILIES = [
    (_prompt("eos-hybrid", "long-hybrid-s0", 1000), 1),
    (_prompt("eos-softmax7", "long-softmax7-s0", 1000), 1),
    (_prompt("prefix-hybrid", "long-hybrid-s0", 1000, prefix=PREFIX, eos_run="eos-hybrid-s0"), 1),
    (
        _prompt(
            "prefix-softmax7", "long-softmax7-s0", 1000, prefix=PREFIX, eos_run="eos-softmax7-s0"
        ),
        1,
    ),
    (_twins("twins-n4", "softmax7-n4-s0", 3000), 1),
    (_twins("twins-n10", "softmax7-s0", 3000), 1),
    (_twins("twins2-n20", "softmax2-n20-s0", 3000), 1),
]

ADAPTED_EXPERIMENTS = {
    run.name: run for first, seeds in ADAPTED_FAMILIES for run in map(first.with_seed, range(seeds))
}
