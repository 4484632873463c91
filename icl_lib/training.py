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
from icl_lib._storage import StateError, layout, read_state, whose_state, write_state

LARGEST_COUNT = 2**31 - 1  # no training has more steps


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
        checked = {
            "steps": _count("steps", self.steps),
            "lr": positive("lr", self.lr),
            "warmup": _count("warmup", self.warmup, minimum=0),
            "weight_decay": nonnegative("weight_decay", self.weight_decay),
            "log_every": _count("log_every", self.log_every),
        }
        if self.clip_norm is not None:
            checked["clip_norm"] = positive("clip_norm", self.clip_norm)
        for name, value in checked.items():  # plain ints and floats, as a state file keeps them
            object.__setattr__(self, name, value)
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
    identity: dict | None = None,
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
    identity : whose state that is: plain data on which ``loss_at`` depends, such as
        ``{"task": "gaussian", "batch": 64, "seed": 0}``; the other arguments, the initial weights
        and the version of torch are added here
    save_every : steps between two saves of the state; the last step is saved too
    snapshot_steps : after how many steps a copy of the weights is kept; 0 is the start
    progress : whether to show a progress bar

    Raises
    ------
    TrainingError
        If the loss or the weights are not finite, or the loss stays above twice ``zero_loss``.
    ValueError
        If an argument or the loss is of a wrong kind, or the file at ``state_path`` is damaged or
        of another training; the model is then as it was.
    OSError
        If the state cannot be written; the state of the last save is still there.
    """
    _check_kinds(model, loss_at, config, state_path, progress)
    zero_loss = None if zero_loss is None else positive("zero_loss", zero_loss)
    save_every = _count("save_every", save_every)
    wanted = _checked_steps(snapshot_steps, config.steps)
    path = None if state_path is None else Path(state_path)
    optimizer = _optimizer(model, config)
    run = _Run(TrainLog(), first_step=0, window_sum=0.0, high_windows=0)
    if path is not None:
        settings = {"training": asdict(config), "zero_loss": zero_loss}
        whose = whose_state(identity or {}, model, snapshot_steps=sorted(wanted), **settings)
        if os.path.lexists(path):
            run = _restore(path, whose, model, optimizer, config, wanted)
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
        if step + 1 == config.steps:
            _check_weights(model)
        run.log.seconds = time.perf_counter() - started
        if path is not None and ((step + 1) % save_every == 0 or step + 1 == config.steps):
            _save(path, whose, model, optimizer, run, step + 1)
    return run.log


@dataclass
class _Run:
    log: TrainLog
    first_step: int
    window_sum: float
    high_windows: int


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    kind = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[config.optimizer]
    # foreach: one call for all weights, the same numbers a fifth faster
    return kind(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, foreach=True)


def _one_step(model, optimizer, loss_at, step: int, config: TrainConfig) -> float:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, config)
    optimizer.zero_grad()
    loss = loss_at(model, step)
    _check_loss(loss, step)
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


def _save(path: Path, whose: dict, model, optimizer, run: _Run, step: int) -> None:
    tensors = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    guard = {"window_sum": run.window_sum, "high_windows": run.high_windows}
    write_state(path, whose, {"step": step, "log": vars(run.log), **tensors, **guard})


def _restore(path: Path, whose: dict, model, optimizer, config: TrainConfig, wanted) -> _Run:
    state = read_state(path, whose)
    try:
        step, log = state["step"], TrainLog(**state["log"])
        run = _Run(log, step, float(state["window_sum"]), int(state["high_windows"]))
        last = min(step, config.steps)
        logged = [k for k in range(1, last + 1) if k % config.log_every == 0 or k == config.steps]
        fits = (
            0 < step == last
            and [k for k, _ in log.trace] == logged
            and [k for k, _ in log.snapshots] == sorted(k for k in wanted if k <= step)
            and layout(state["model"]) == layout(model.state_dict())
        )
        if not fits:
            raise ValueError(f"what it holds is not what step {step} leaves behind")
        optimizer.load_state_dict(state["optimizer"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"state file {path} contradicts itself: {error!r}") from error
    model.load_state_dict(state["model"])
    return run


def _count(name: str, value, minimum: int = 1) -> int:
    if positive_int(name, value, minimum) > LARGEST_COUNT:
        raise ValueError(f"{name} must be an integer of at most {LARGEST_COUNT}, got a larger one")
    return int(value)


def _check_kinds(model, loss_at, config, state_path, progress) -> None:
    if not isinstance(model, nn.Module) or not any(p.requires_grad for p in model.parameters()):
        raise ValueError(f"model must be a torch module with weights to train, got {model!r}")
    if not callable(loss_at):
        raise ValueError(f"loss_at must be a function of (model, step), got {loss_at!r}")
    if not isinstance(config, TrainConfig):
        raise ValueError(f"config must be a TrainConfig, got {config!r}")
    if not isinstance(state_path, str | Path | None):
        raise ValueError(f"state_path must be a path or None, got {state_path!r}")
    if not isinstance(progress, bool):
        raise ValueError(f"progress must be True or False, got {progress!r}")


def _checked_steps(steps, last: int) -> frozenset[int]:
    if not isinstance(steps, Iterable):
        raise ValueError(f"snapshot_steps must be a sequence of integers, got {steps!r}")
    wanted = frozenset(_count("snapshot_steps", step, minimum=0) for step in steps)
    if max(wanted, default=0) > last:
        raise ValueError(f"snapshot_steps must be at most steps = {last}, got {max(wanted)}")
    return wanted


def _check_loss(loss, step: int) -> None:
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        shown = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
        raise ValueError(
            f"loss_at must return a scalar tensor with a gradient, got {shown} at step {step}"
        )


def _check_weights(model: nn.Module) -> None:
    bad = [k for k, value in model.state_dict().items() if not torch.isfinite(value).all()]
    if bad:
        raise TrainingError(f"the weights {bad} are not finite: try a lower learning rate")
