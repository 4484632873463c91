"""Configurations of runs as the four former kinds wrote them into their checkpoints."""

from __future__ import annotations

from dataclasses import asdict

from icl_lib.experiments.conversion import TASKS


def common(run):
    return {
        "name": run.name,
        "seed": run.seed,
        "batch": run.batch,
        "training": asdict(run.training),
    }


def old_prompts(run):
    """As the first kind wrote it."""
    model = asdict(run.model)
    return {**common(run), "inputs": run.task.covariance, "n_train": run.length, "model": model}


def old_sequences(run):
    """As the second and the third kind wrote it."""
    task = next(old for old, new in TASKS.items() if new == type(run.task.dynamics).__name__)
    model = getattr(run.model, "steps", None) or asdict(run.model)
    sizes = {"length": run.length, "snapshots": run.snapshots}
    return {**common(run), **sizes, "task": task, "model": model}


def old_on_top(run):
    """As the fourth kind wrote it: prompts have two more fields than twins."""
    old = {**common(run), "base": run.below[0].name}
    if run.family.startswith("twins"):
        return old
    eos = run.below[1].name if len(run.below) > 1 else None
    return {**old, "prefix": run.model.prefix, "eos_run": eos}
