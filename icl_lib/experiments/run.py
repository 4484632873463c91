"""One named run: what is trained on what, with which seed, and how it is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from icl_lib._checks import nonnegative, positive_int
from icl_lib.analysis.evaluation import Batch, Predictor
from icl_lib.experiments import networks
from icl_lib.experiments.curves import Compression, FirstLayer, Snapshots
from icl_lib.experiments.data import Data
from icl_lib.experiments.judging import Judge
from icl_lib.models.prompting import freeze
from icl_lib.models.transformer import Transformer
from icl_lib.tasks.randomness import generators, seed_offset, weights_generator
from icl_lib.training import TrainConfig

EVALUATION_SEED = 1_000_003  # no training seed: what a run is judged on is never trained on


class Experiment(Protocol):
    """What the store needs of a run to train, keep, load and verify it."""

    @property
    def name(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def training(self) -> TrainConfig: ...
    @property
    def snapshots(self) -> tuple[int, ...]: ...
    @property
    def below(self) -> tuple[Experiment, ...]: ...
    @property
    def family(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def zero_loss(self) -> float: ...
    @property
    def published(self) -> Published: ...
    def attach(self, load: Callable[[Experiment], nn.Module]) -> Experiment: ...
    def build_model(self) -> nn.Module: ...
    def loss_at(self, model: nn.Module, step: int) -> Tensor: ...
    def evaluate(self, model: nn.Module) -> dict[str, float]: ...
    def curves(self, model: nn.Module, snapshots: Snapshots) -> dict: ...
    def configuration(self) -> dict: ...
    def with_seed(self, seed: int) -> Experiment: ...


@dataclass(frozen=True)
class Published:
    """The settings with which the authors trained their counterpart, and where they stand."""

    source: str
    steps: int | None = None
    batch: int | None = None
    lr: float | None = None
    schedule: str | None = None
    weight_decay: float | None = None
    init_std: float | None = None
    note: str | None = None

    def plain(self) -> dict:
        """Return what is known, as plain data."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Run:
    """A family's run with one seed, described by data alone.

    Parameters
    ----------
    task : what is drawn; ``batch`` prompts or sequences of length ``length`` a step
    model : the configuration of what is trained (:mod:`icl_lib.experiments.networks`)
    evaluation : what is minimised, and how the finished model is judged
    below : the runs whose finished models this one is trained on; ``frozen`` holds those models
        once :meth:`attach` has loaded them
    snapshots : the steps whose weights are kept until the end, for the curves that ``watched`` says
    known_zero_loss : the loss of predicting zero; None if it is measured on the test set

    Raises
    ------
    ValueError
        If the seed is negative, or batch or length is no positive integer.
    """

    name: str
    task: Data
    model: networks.Config
    training: TrainConfig
    evaluation: Judge
    seed: int
    published: Published
    batch: int = 64
    length: int = 50
    snapshots: tuple[int, ...] = ()
    watched: Compression | FirstLayer | None = None
    known_zero_loss: float | None = None
    below: tuple[Run, ...] = ()
    frozen: networks.Frozen = field(default=(), compare=False, repr=False)

    def __post_init__(self):
        positive_int("seed", self.seed, minimum=0)
        positive_int("batch", self.batch)
        positive_int("length", self.length)
        if self.known_zero_loss is not None:
            nonnegative("known_zero_loss", self.known_zero_loss)
        most = getattr(self.model, "max_points", None)
        if most is not None and self.length >= most:
            raise ValueError(f"length must be below max_points = {most}, got {self.length}")

    @property
    def family(self) -> str:
        """The name without its seed."""
        return self.name.rsplit("-s", 1)[0]

    @property
    def metric(self) -> str:
        """The number of :meth:`evaluate` that the record compares."""
        return self.evaluation.metric

    @property
    def zero_loss(self) -> float:
        """The loss of predicting zero."""
        if self.known_zero_loss is not None:
            return self.known_zero_loss
        return float(self.evaluation.loss(_zero, self.test_set()))

    def attach(self, load: Callable[[Run], nn.Module]) -> Run:
        """Return the run together with the models below it, which ``load`` gets and no run changes.

        A run that stands on none is returned as it is.
        """
        if not self.below or self.frozen:
            return self
        return replace(self, frozen=tuple(freeze(load(run)) for run in self.below))

    def build_model(self) -> nn.Module:
        """Return the untrained model; its initial weights depend on the seed alone."""
        return networks.build(self.model, weights_generator(self.seed), self.frozen)

    def predictor(self, model: nn.Module) -> Predictor:
        """Return what maps the inputs of a batch to predictions of its targets."""
        return networks.predictor(model, self.frozen)

    def loss_at(self, model: nn.Module, step: int) -> Tensor:
        """Return the training loss of one step, a pure function of the weights, seed and step."""
        batch = self.task.sample(self.batch, self.length, generators(self.seed, step))
        return self.evaluation.loss(self.predictor(model), batch)

    def test_set(self) -> Batch:
        """Return the fixed batch on which every seed of the family is judged."""
        return evaluation_batch(self.task, self.evaluation.examples, self.length, seed_offset())

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return the metric and its standard error, or the metric's parts, on the test set."""
        return self.evaluation.scores(self.predictor(model), self.test_set())

    def curves(self, model: nn.Module, snapshots: Snapshots) -> dict:
        """Return what ``watched`` measures at the snapshots; {} if there is nothing to watch."""
        if self.watched is None or not snapshots:
            return {}
        # what is watched are transformers
        models = cast(Transformer, model), cast(Transformer, self.build_model())
        return self.watched.curves(*models, snapshots, self.test_set())

    def with_seed(self, seed: int) -> Run:
        """Return the same run with another seed."""
        return replace(self, name=f"{self.family}-s{seed}", seed=seed)

    def configuration(self) -> dict:
        """Return the run as plain data, for the checkpoint's metadata: all that it depends on."""
        return {
            "name": self.name,
            "task": self.task.plain(),
            "model": networks.plain(self.model),
            "training": asdict(self.training),
            "evaluation": self.evaluation.plain(),
            "seed": self.seed,
            "batch": self.batch,
            "length": self.length,
            "snapshots": self.snapshots,
            "watched": None if self.watched is None else self.watched.plain(),
            "known_zero_loss": self.known_zero_loss,
            "below": [run.name for run in self.below],
        }


@lru_cache(maxsize=8)
def evaluation_batch(task: Data, examples: int, length: int, offset: int) -> Batch:
    """Return the test set of a task, drawn once: ``evaluation_batch.cache_clear()`` forgets all.

    ``offset`` is that of the environment's seeds, which the draws depend on.
    """
    return task.sample(examples, length, generators(EVALUATION_SEED))


def _zero(*inputs: Tensor) -> Tensor:
    """Predict zero, whatever the inputs."""
    return torch.zeros(())
