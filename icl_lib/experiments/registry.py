"""Every named run: what is trained on what, with which seed, and how it is judged.

One family of GPT-style models serves Chapters 1, 7 and 8: trained on prompts with a fixed
covariance (the identity) or with a random one (diagonal, Exp(1) entries), with N examples.
Source: Zhang et al. 2024, Section 4.3 and Appendix E, at a scale that one CPU core can train:
d = 5 instead of 20 with N/d near the paper's 2, 3.5 and 5 (N = 10, 18, 25), 3 layers instead of 12,
width 64 instead of 256, 5 000 steps instead of 500 000.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np
import torch

from icl_lib._checks import positive_int
from icl_lib.experiments.adapted import ADAPTED_EXPERIMENTS, AdaptedExperiment
from icl_lib.experiments.raw import RAW_EXPERIMENTS
from icl_lib.experiments.sequences import SEQUENCE_EXPERIMENTS, SequenceExperiment
from icl_lib.models.config import TransformerConfig
from icl_lib.models.transformer import Transformer
from icl_lib.tasks.inputs import GaussianInputs, RandomDiagonalInputs
from icl_lib.tasks.randomness import generators, weights_generator
from icl_lib.tasks.regression import LinearRegression
from icl_lib.training import TrainConfig

EVALUATION_SEED = 1_000_003  # no training seed: evaluation prompts are never trained on
EVALUATION_PROMPTS = 2048
SEED = "0|[1-9][0-9]{0,5}"  # one spelling for one seed, and EVALUATION_SEED is out of reach
BATCH = 64
GPT_TRAINING = TrainConfig(steps=5000, lr=1e-3, warmup=400, clip_norm=3.0, log_every=200)


@dataclass(frozen=True)
class Experiment:
    """One run: a transformer trained on linear-regression prompts.

    ``inputs`` is "fixed" (x ~ N(0, I)) or "random" (x ~ N(0, diag(Exp(1), ..., Exp(1))), a new
    covariance for every prompt). ``n_train`` is N, the number of examples before the query.
    """

    name: str
    inputs: str
    n_train: int
    seed: int
    model: TransformerConfig
    training: TrainConfig = GPT_TRAINING
    batch: int = BATCH

    metric = "normalised_error"
    below = ()  # the runs whose checkpoints this one is trained on
    paper = "d = 20, N = 40, 70 or 100, 12 layers, width 256, 8 heads, 500 000 steps"
    snapshots = ()

    def __post_init__(self):
        if self.inputs not in ("fixed", "random"):
            raise ValueError(f"inputs must be 'fixed' or 'random', got {self.inputs!r}")
        if positive_int("n_train", self.n_train) >= self.model.max_points:
            raise ValueError(
                f"n_train must be below max_points = {self.model.max_points}, got {self.n_train}"
            )
        positive_int("seed", self.seed, minimum=0)
        positive_int("batch", self.batch)

    @property
    def family(self) -> str:
        """The name without its seed."""
        return self.name.rsplit("-s", 1)[0]

    @cached_property
    def task(self) -> LinearRegression:
        """The training task."""
        if self.inputs == "fixed":
            return LinearRegression(GaussianInputs(np.eye(self.model.n)))
        return LinearRegression(RandomDiagonalInputs(self.model.n))

    def build_model(self) -> Transformer:
        """Return the untrained model; its initial weights depend on the seed alone."""
        return Transformer(self.model, weights_generator(self.seed))

    def loss_at(self, model: Transformer, step: int) -> torch.Tensor:
        """Return the training loss of one step: mean squared error over all N + 1 prefixes.

        Convention: no factor 1/2; the mean runs over prompts and prefixes, as in Garg et al.
        """
        prompts = self.task.sample(self.batch, self.n_train + 1, generators(self.seed, step))
        return (model(prompts.xs, prompts.ys) - prompts.ys).square().mean()

    @property
    def zero_loss(self) -> float:
        """The loss of predicting zero: E y^2 = d for both input laws."""
        return float(self.model.n)

    def evaluate(self, model: Transformer) -> dict[str, float]:
        """Return the normalised error at M = N on fixed prompts, with its standard error.

        Normalised: the squared error divided by E y^2 = d, so that predicting zero scores 1.
        """
        prompts = self.task.sample(
            EVALUATION_PROMPTS, self.n_train + 1, generators(EVALUATION_SEED)
        )
        with torch.no_grad():
            error = (model(prompts.xs, prompts.ys) - prompts.ys)[:, -1].square() / self.model.n
        return {
            "normalised_error": float(error.mean()),
            "standard_error": float(error.std() / EVALUATION_PROMPTS**0.5),
        }

    def with_seed(self, seed: int) -> Experiment:
        """Return the same run with another seed."""
        return replace(self, name=f"{self.family}-s{seed}", seed=seed)

    def configuration(self) -> dict:
        """Return the run as plain data, for the checkpoint's metadata."""
        return asdict(self)


def _gpt(d: int, inputs: str, n_train: int, seed: int, max_points: int) -> Experiment:
    model = TransformerConfig.gpt(d, max_points=max_points)
    return Experiment(f"gpt-d{d}-{inputs}-n{n_train}-s{seed}", inputs, n_train, seed, model)


# (d, inputs, N, largest prompt): how many seeds are trained
FAMILIES = {
    (5, "fixed", 10, 51): 3,
    (5, "fixed", 18, 51): 3,
    (5, "fixed", 25, 51): 3,
    (5, "random", 10, 51): 3,
    (5, "random", 18, 51): 3,
    (5, "random", 25, 51): 2,
    (8, "fixed", 20, 33): 3,
}


def _all() -> dict[str, Experiment]:
    runs = [
        _gpt(d, inputs, n_train, seed, max_points)
        for (d, inputs, n_train, max_points), count in FAMILIES.items()
        for seed in range(count)
    ]
    return {run.name: run for run in runs}


EXPERIMENTS: dict[str, Experiment | SequenceExperiment | AdaptedExperiment] = {
    **_all(),
    **SEQUENCE_EXPERIMENTS,
    **RAW_EXPERIMENTS,
    **ADAPTED_EXPERIMENTS,
}


def families() -> list[str]:
    """Return the names of all families of runs, seeds left out."""
    return list(dict.fromkeys(run.family for run in EXPERIMENTS.values()))


def get(name: str) -> Experiment | SequenceExperiment | AdaptedExperiment:
    """Return the experiment called ``name``, such as "lsa2-k20-s0"; any seed of a family exists.

    Raises
    ------
    ValueError
        If there is no such family; the message lists them.
    """
    if not isinstance(name, str):
        raise ValueError(f"name must be a name such as 'lsa1-k20-s0', got {name!r}")
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    family, _, seed = name.rpartition("-s")
    if family not in families() or not re.fullmatch(SEED, seed):
        raise ValueError(f"name must be one of {families()} and a seed, '-s0', got {name!r}")
    first = next(run for run in EXPERIMENTS.values() if run.family == family)
    return first.with_seed(int(seed))
