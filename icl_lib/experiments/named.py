"""The runs by name, for notebooks: the catalogue and the store in one place.

``load("lsa1-k20-s0")`` is a trained model and its metadata, ``load_family("lsa1-k20")`` the models
of all seeds on record.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from torch import nn

from icl_lib.experiments import checkpoint, store
from icl_lib.experiments.catalogue.registry import EXPERIMENTS, families, get
from icl_lib.experiments.storage import RECORD, record, record_path

__all__ = [
    "EXPERIMENTS",
    "completed",
    "evaluate",
    "families",
    "forget",
    "get",
    "load",
    "load_family",
    "load_model",
    "metadata_of",
    "path_of",
    "record",
    "seed_band",
    "train",
    "verify",
]


def path_of(name: str) -> Path:
    """Return where the checkpoint of the run ``name`` lies."""
    return checkpoint.path_of(get(name))


def load(name: str, path: str | Path | None = None) -> tuple[nn.Module, dict]:
    """Return the trained model of the run ``name`` and its metadata.

    Raises
    ------
    ValueError
        If the run is unknown or the file is missing, damaged, foreign or of another run.
    """
    return checkpoint.load(get(name), path)


def load_model(name: str) -> nn.Module:
    """Return the trained model of the run ``name``; errors as in :func:`load`."""
    return load(name)[0]


def metadata_of(name: str) -> dict:
    """Return what is recorded beside the weights of ``name``: metrics, trace, curves.

    Raises
    ------
    ValueError
        As in :func:`load`.
    """
    return load(name)[1]


def load_family(family: str) -> list[nn.Module]:
    """Return the trained models of all seeds of a family that are on record, in their order.

    Raises
    ------
    ValueError
        If there is none, or one of the files is not what it should be.
    """
    return [load_model(name) for name in completed(family)]


def evaluate(name: str) -> dict[str, float]:
    """Return what the finished run ``name`` scores on its test set, measured again."""
    run = get(name).attach(checkpoint.load_model)
    return run.evaluate(checkpoint.load_model(run))


def train(name: str, *, progress: bool = True, save_every: int = 500) -> dict:
    """Train the run ``name``: see :func:`icl_lib.experiments.store.train_experiment`."""
    return store.train_experiment(get(name), progress=progress, save_every=save_every)


def verify(name: str) -> store.Verification:
    """Evaluate the run ``name`` again: see :func:`icl_lib.experiments.store.verify`."""
    return store.verify(get(name))


def forget(name: str) -> list[Path]:
    """Remove an unfinished state: see :func:`icl_lib.experiments.store.forget`."""
    return store.forget(get(name))


def completed(family: str) -> list[str]:
    """Return the names of all recorded, completed seeds of a family such as "gpt-d5-fixed-n18".

    Raises
    ------
    ValueError
        If there is none, or the record is damaged.
    """
    if not isinstance(family, str):
        raise ValueError(f"family must be a name such as 'lsa1-k20', got {family!r}")
    names = [
        name
        for name, entry in record().items()
        if name.rsplit("-s", 1)[0] == family and entry["status"] == "completed"
    ]
    if not names:
        raise ValueError(f"family must have a completed run in {RECORD}, got {family!r}")
    return names


def seed_band(family: str) -> tuple[float, float]:
    """Return the band in which the metric of another seed or device should lie.

    The mean of the logarithm over the recorded seeds, plus and minus three standard deviations.

    Raises
    ------
    ValueError
        If fewer than two seeds of the family are on record, or one without a positive metric.
    """
    names, entries = completed(family), record()
    values: dict[str, Any] = {name: entries[name].get(get(name).metric) for name in names}
    if bad := {name: value for name, value in values.items() if not value or value <= 0}:
        raise ValueError(f"record {record_path()} must hold positive metrics, got {bad}")
    logs = [math.log(value) for value in values.values()]
    if len(logs) < 2:
        raise ValueError(f"family {family!r} must have two recorded seeds, got {len(logs)}")
    mean = sum(logs) / len(logs)
    spread = 3 * (sum((value - mean) ** 2 for value in logs) / (len(logs) - 1)) ** 0.5
    return math.exp(mean - spread), math.exp(mean + spread)
