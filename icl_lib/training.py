"""One plain training loop: progress bar, log, divergence guard, exact resumption.

The batch of step k must be a pure function of k (see :func:`icl_lib.tasks.randomness.generators`).
Then a run that is killed and started again ends in the same weights, bit for bit.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from icl_lib._checks import nonnegative, positive, positive_int


class TrainingError(RuntimeError):
    """Training cannot go on: the loss is not finite or far above that of predicting zero."""


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    ``lr`` rises linearly over ``warmup`` steps and then follows ``schedule`` ("cosine" down to 0,
    or "constant"). ``optimizer`` is "adamw" or "sgd"; ``clip_norm`` bounds the gradient's norm.
    """

    steps: int
    lr: float
    warmup: int = 0
    schedule: str = "cosine"
    optimizer: str = "adamw"
    weight_decay: float = 0.0
    clip_norm: float | None = None
    log_every: int = 100

    def __post_init__(self):
        positive_int("steps", self.steps)
        positive("lr", self.lr)
        positive_int("warmup", self.warmup, minimum=0)
        nonnegative("weight_decay", self.weight_decay)
        positive_int("log_every", self.log_every)
        if self.clip_norm is not None:
            positive("clip_norm", self.clip_norm)
        if self.schedule not in ("cosine", "constant"):
            raise ValueError(f"schedule must be 'cosine' or 'constant', got {self.schedule!r}")
        if self.optimizer not in ("adamw", "sgd"):
            raise ValueError(f"optimizer must be 'adamw' or 'sgd', got {self.optimizer!r}")


@dataclass
class TrainLog:
    """What training leaves behind.

    ``trace`` holds (step, mean loss since the last entry), ``snapshots`` (step, weights after that
    many steps) for the steps that were asked for.
    """

    trace: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    snapshots: list[tuple[int, dict[str, Tensor]]] = field(default_factory=list)

    @property
    def final_loss(self) -> float:
        """Mean loss over the last logged window."""
        return self.trace[-1][1]


def learning_rate(step: int, config: TrainConfig) -> float:
    """Return the learning rate of step 0, 1, ...; warm-up, then the schedule.

    >>> config = TrainConfig(steps=10, lr=1.0, warmup=2, schedule="constant")
    >>> [learning_rate(step, config) for step in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 1.0]
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    if config.schedule == "constant":
        return config.lr
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * 0.5 * (1.0 + math.cos(math.pi * progress))


def train(
    model: nn.Module,
    loss_at: Callable[[nn.Module, int], Tensor],
    config: TrainConfig,
    *,
    zero_loss: float | None = None,
    state_path: str | Path | None = None,
    save_every: int = 500,
    snapshot_steps: Iterable[int] = (),
    progress: bool = True,
) -> TrainLog:
    """Train ``model`` in place and return its log.

    Parameters
    ----------
    model : any module
    loss_at : maps (model, step) to a scalar loss; must depend on nothing else
    config : how to train
    zero_loss : loss of the zero predictor; three windows in a row above twice it stop the run
    state_path : where to keep the state for resumption; removed by nobody but the caller
    save_every : steps between two saves of the state
    snapshot_steps : after how many steps a copy of the weights is kept; 0 is the start
    progress : whether to show a progress bar

    Raises
    ------
    TrainingError
        If the loss is not finite or stays above twice ``zero_loss``.
    ValueError
        If ``state_path`` belongs to another configuration, or ``save_every`` is below 1.
    """
    positive_int("save_every", save_every)
    torch.set_num_threads(1)  # two spinning threads next to another process are far slower
    optimizer = _optimizer(model, config)
    run = _Run(TrainLog(), first_step=0, window_sum=0.0, high_windows=0)
    if state_path is not None and Path(state_path).exists():
        run = _restore(Path(state_path), model, optimizer, config)
    wanted = frozenset(snapshot_steps)
    if run.first_step == 0:
        _snapshot(run, model, 0, wanted)
    started = time.perf_counter() - run.log.seconds
    steps = tqdm(
        range(run.first_step, config.steps),
        initial=run.first_step,
        total=config.steps,
        disable=not progress,
        desc="training",
        leave=False,
    )
    for step in steps:
        loss = _one_step(model, optimizer, loss_at, step, config)
        run.window_sum += loss
        _snapshot(run, model, step + 1, wanted)
        if (step + 1) % config.log_every == 0 or step + 1 == config.steps:
            _close_window(run, step, config, zero_loss)
            steps.set_postfix(loss=f"{run.log.final_loss:.4g}")
        run.log.seconds = time.perf_counter() - started
        if state_path is not None and (step + 1) % save_every == 0:
            _save(Path(state_path), model, optimizer, config, run, step + 1)
    return run.log


@dataclass
class _Run:
    log: TrainLog
    first_step: int
    window_sum: float
    high_windows: int


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    kind = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[config.optimizer]
    return kind(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)


def _one_step(model, optimizer, loss_at, step: int, config: TrainConfig) -> float:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, config)
    optimizer.zero_grad()
    loss = loss_at(model, step)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss is {value} at step {step}: try a lower learning rate or clip_norm"
        )
    loss.backward()
    if config.clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    optimizer.step()
    return value


def _snapshot(run: _Run, model: nn.Module, done: int, wanted: frozenset[int]) -> None:
    if done in wanted:
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        run.log.snapshots.append((done, weights))


def _close_window(run: _Run, step: int, config: TrainConfig, zero_loss: float | None) -> None:
    since = step + 1 - (run.log.trace[-1][0] if run.log.trace else 0)
    mean = run.window_sum / since
    run.log.trace.append((step + 1, mean))
    run.window_sum = 0.0
    if zero_loss is None:
        return
    run.high_windows = run.high_windows + 1 if mean > 2.0 * zero_loss else 0
    if run.high_windows >= 3:
        raise TrainingError(
            f"the loss stays at {mean:.4g} up to step {step + 1}, above twice that of predicting "
            f"zero ({zero_loss:.4g}): try a lower learning rate, warm-up or clip_norm"
        )


def _save(path: Path, model, optimizer, config: TrainConfig, run: _Run, step: int) -> None:
    state = {
        "config": asdict(config),
        "step": step,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "trace": run.log.trace,
        "seconds": run.log.seconds,
        "snapshots": run.log.snapshots,
        "window_sum": run.window_sum,
        "high_windows": run.high_windows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    torch.save(state, partial)
    os.replace(partial, path)  # a kill leaves the old state or the new one, never half of it


def _restore(path: Path, model, optimizer, config: TrainConfig) -> _Run:
    state = torch.load(path, weights_only=True)
    if state["config"] != asdict(config):
        raise ValueError(
            f"state_path {path} belongs to another configuration, {state['config']}; "
            f"expected {asdict(config)}"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    snapshots = [tuple(entry) for entry in state["snapshots"]]
    log = TrainLog([tuple(entry) for entry in state["trace"]], state["seconds"], snapshots)
    return _Run(log, state["step"], state["window_sum"], state["high_windows"])
