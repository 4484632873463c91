"""Attention stacks and learned iterations on random dynamical systems, for Chapters 10 to 13.

Source: von Oswald et al. 2023, Tables 1-3 and released settings; each run's ``published`` holds the
authors' settings, beside which ours are smaller (one CPU thread for a few minutes a run).
"""

from __future__ import annotations

from icl_lib.experiments.curves import Compression
from icl_lib.experiments.data import NextState
from icl_lib.experiments.judging import HalfSquaredError
from icl_lib.experiments.networks import IterationConfig
from icl_lib.experiments.run import Published, Run
from icl_lib.models.config import TransformerConfig
from icl_lib.tasks.dynamics import ContractingDynamics, FixedTeacher, LinearDynamics
from icl_lib.training import TrainConfig

TASKS = {
    "linear": NextState(LinearDynamics()),
    "contracting": NextState(ContractingDynamics()),
    "fixed": NextState(FixedTeacher()),
}
SOURCE = "von Oswald et al. 2023, Tables 1-3 and released settings"


def _published(lr: float, steps: int, note: str | None = None) -> Published:
    return Published(
        SOURCE,
        steps=steps,
        batch=256,
        lr=lr,
        schedule="constant",
        weight_decay=0.1,
        init_std=2e-4,
        note=note,
    )


PUBLISHED_LINEAR = {
    1: _published(1e-4, 5000),
    2: _published(1e-4, 5000),
    4: _published(1e-4, 10000),
    6: _published(1e-4, 15000, "batch 512 for compression"),
}
PUBLISHED_MESA = _published(4e-4, 5000)
PUBLISHED_ITERATION = Published(SOURCE, steps=20000, batch=256, lr=3e-4, note="AdamW, peak lr")


def _name(family: str, task: str) -> str:
    return f"{family}-s0" if task == "linear" else f"{task}-{family}-s0"


def _training(steps: int, lr: float) -> TrainConfig:
    return TrainConfig(
        steps=steps, lr=lr, warmup=200, weight_decay=0.1, clip_norm=1.0, log_every=100
    )


def _snapshots(steps: int) -> tuple[int, ...]:
    dense = [s for s in range(0, 1000, 100) if s <= steps]
    return (*dense, *range(1000, steps + 1, 250 if steps <= 3000 else 500))


def linear(depth: int, key_size: int, task: str, steps: int, lr: float = 1e-3) -> Run:
    """Return the first seed of a stack of linear attention layers."""
    one = depth == 1
    model = TransformerConfig.constructed(
        ("linear",) * depth,
        heads=2 if one else 4,
        key_size=key_size,
        reads="two-channel" if one else "constructed",
    )
    return Run(
        name=_name(f"lsa{depth}-k{key_size}", task),
        task=TASKS[task],
        model=model,
        training=_training(steps, lr),
        evaluation=HalfSquaredError(),
        seed=0,
        published=PUBLISHED_LINEAR[depth],
        snapshots=_snapshots(steps),
        watched=Compression(),
    )


def mesa(task: str, steps: int) -> Run:
    """Return the first seed of one mesa-layer."""
    return Run(
        name=_name("mesa1", task),
        task=TASKS[task],
        model=TransformerConfig.constructed(("mesa",)),
        training=_training(steps, 1e-3),
        evaluation=HalfSquaredError(),
        seed=0,
        published=PUBLISHED_MESA,
    )


def iteration(steps: int, task: str) -> Run:
    """Return the first seed of least squares with ``steps`` learned steps towards the inverse."""
    return Run(
        name=_name(f"chebyshev{steps}", task),
        task=TASKS[task],
        model=IterationConfig(steps),
        training=TrainConfig(steps=2000, lr=1e-2, warmup=200, clip_norm=1.0, log_every=100),
        evaluation=HalfSquaredError(),
        seed=0,
        published=PUBLISHED_ITERATION,
    )


# one run a family, with the number of seeds that are trained
FAMILIES = [
    (linear(1, 20, "linear", 2000), 5),
    (linear(2, 20, "linear", 3000), 3),
    (linear(2, 40, "linear", 3000), 3),
    (linear(4, 20, "linear", 2500), 3),
    (linear(4, 40, "linear", 2500), 3),
    (linear(6, 20, "linear", 3000), 5),
    (linear(6, 40, "linear", 3000), 5),
    (mesa("linear", 3000), 3),
    (linear(1, 20, "contracting", 2000), 3),
    (linear(1, 20, "fixed", 5000, lr=3e-3), 3),
    (linear(2, 20, "contracting", 3000), 1),
    (linear(2, 20, "fixed", 3000), 1),
    (linear(4, 20, "contracting", 2500), 1),
    (linear(4, 20, "fixed", 2500), 1),
    (linear(6, 20, "contracting", 3000), 1),
    (linear(6, 20, "fixed", 3000), 1),
    (mesa("contracting", 3000), 1),
    (mesa("fixed", 3000), 1),
    (iteration(2, "linear"), 1),
    (iteration(4, "linear"), 1),
    (iteration(6, "linear"), 3),
    (iteration(6, "contracting"), 1),
    (iteration(6, "fixed"), 1),
]
