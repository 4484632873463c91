"""Train an experiment, keep the record of all runs, and verify what is on disk."""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import torch

from icl_lib._storage import StateError
from icl_lib.experiments import checkpoint, storage
from icl_lib.experiments.registry import get
from icl_lib.experiments.storage import RECORD, is_number, record, run_lock, state_path
from icl_lib.tasks.randomness import OFFSET_VARIABLE, seed_offset
from icl_lib.training import TrainingError, TrainLog, train

__all__ = [
    "Verification",
    "completed",
    "forget",
    "record",
    "seed_band",
    "train_experiment",
    "verify",
]
# no run depends on these
AROUND = ("claims", "contest", "doctor", "exercises", "plotting", "scrubber")


class Verification(NamedTuple):
    """Result of re-evaluating a checkpoint: recorded and measured value of its metric."""

    name: str
    recorded: float
    measured: float

    @property
    def ok(self) -> bool:
        """Whether both agree to one part in a thousand: other BLAS libraries round differently."""
        return math.isclose(self.recorded, self.measured, rel_tol=1e-3)


def train_experiment(name: str, *, progress: bool = True, save_every: int = 500) -> dict:
    """Train the experiment ``name``, continuing where it stopped, and return its metadata.

    Writes ``checkpoints/NAME.safetensors`` and an entry of ``checkpoints/record.json``. A run
    that diverges leaves an entry too. All that can be found out before the training is: whether
    the record can be read, the folders written to, the disk has room and the run is free.

    Raises
    ------
    ValueError
        If there is no such experiment, the seeds have an offset, the record is damaged, or the
        state of the unfinished run is damaged or of another one; the message says which command
        removes that state.
    TrainingError
        If the loss diverges.
    OSError
        If a folder cannot be written to, or another process trains this run. If only the result
        cannot be written, the finished run stays in its state, and the same command writes it.
    """
    experiment = get(name)
    if offset := seed_offset():  # other draws are another run, under the name of this one
        raise ValueError(f"{OFFSET_VARIABLE} must be 0 or unset, got {offset}")
    torch.set_num_threads(1)
    record()
    model = experiment.build_model()
    needed = storage.needed_bytes(model, len(experiment.snapshots))
    for folder in (checkpoint.folder(), storage.state_folder()):
        storage.check_room(folder, needed)
    if checkpoint.path_of(name).is_dir():
        raise OSError(f"checkpoint {checkpoint.path_of(name)} is a folder, expected a file or none")
    with run_lock(experiment.name):
        try:
            log = _trained(experiment, model, progress, save_every)
            metadata = _metadata(experiment, model, log)
        except TrainingError as error:
            storage.add_entry(experiment.name, {"status": "failed", "reason": str(error)})
            state_path(name).unlink(missing_ok=True)
            raise
        _keep(experiment, model, metadata)
    return metadata


def forget(name: str) -> list[Path]:
    """Remove the state of the unfinished run ``name``; return what was removed.

    Raises
    ------
    ValueError
        If there is no such experiment.
    OSError
        If another process trains it, or a file cannot be removed.
    """
    path = state_path(name)
    with run_lock(get(name).name):
        partial = path.parent.glob(f"{glob.escape(path.name)}.*.partial")
        found = [file for file in (path, *partial) if os.path.lexists(file)]
        for file in found:
            if file.is_dir() and not file.is_symlink():
                shutil.rmtree(file)
            else:
                file.unlink()
    return found


def verify(name: str) -> Verification:
    """Load the checkpoint of ``name``, evaluate it again and compare with its record.

    Raises
    ------
    ValueError
        If the file is missing, damaged, foreign or of another run.
    """
    torch.set_num_threads(1)
    model, metadata = checkpoint.load(name)
    metric, metrics = get(name).metric, metadata.get("metrics")
    recorded = metrics.get(metric) if isinstance(metrics, dict) else None
    if not is_number(recorded):
        raise ValueError(
            f"checkpoint {checkpoint.path_of(name)} must record a {metric}, got {recorded!r}"
        )
    return Verification(name, recorded, get(name).evaluate(model)[metric])


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
    values = {name: entries[name].get(get(name).metric) for name in names}
    if bad := {name: value for name, value in values.items() if not value or value <= 0}:
        raise ValueError(f"record {storage.record_path()} must hold positive metrics, got {bad}")
    logs = [math.log(value) for value in values.values()]
    if len(logs) < 2:
        raise ValueError(f"family {family!r} must have two recorded seeds, got {len(logs)}")
    mean = sum(logs) / len(logs)
    spread = 3 * (sum((value - mean) ** 2 for value in logs) / (len(logs) - 1)) ** 0.5
    return math.exp(mean - spread), math.exp(mean + spread)


def _trained(experiment, model, progress: bool, save_every: int) -> TrainLog:
    try:
        return train(
            model,
            experiment.loss_at,
            experiment.training,
            zero_loss=experiment.zero_loss,
            state_path=state_path(experiment.name),
            identity=_identity(experiment),
            progress=progress,
            save_every=save_every,
            snapshot_steps=experiment.snapshots,
        )
    except StateError as error:
        command = f"python -m icl_lib.experiments forget {experiment.name}"
        raise ValueError(f"{error}; to start anew, remove it with {command}") from error


def _identity(experiment) -> dict:
    """Return all that an unfinished run depends on: another value means another run."""
    return {
        "configuration": experiment.configuration(),
        "below": {
            name: checkpoint.read(checkpoint.path_of(name))[1]["content_sha256"]
            for name in experiment.below
        },
        "versions": checkpoint.versions(),
        "code": code_sha256(storage.CHECKOUT / "icl_lib"),
        "checkout": str(storage.CHECKOUT),
    }


def code_sha256(library: Path) -> str:
    """Return a hash of the library's code, without the modules that no run depends on."""
    digest = hashlib.sha256()
    for path in sorted(library.rglob("*.py")):
        part = path.relative_to(library)
        if part.with_suffix("").parts[0] not in AROUND:
            digest.update(f"{part.as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _metadata(experiment, model, log: TrainLog) -> dict:
    metrics = experiment.evaluate(model.eval())
    if not all(is_number(value) for value in metrics.values()):
        raise TrainingError(f"the evaluation gives {metrics}, expected finite numbers")
    # weights were kept on the way only for runs that have curves
    curves = {"curves": experiment.curves(model, log.snapshots)} if experiment.snapshots else {}
    return {
        "name": experiment.name,
        "configuration": json.loads(json.dumps(experiment.configuration())),
        "seed": experiment.seed,
        "versions": checkpoint.versions(),
        "final_loss": log.final_loss,
        "loss_trace": log.trace,
        "metrics": metrics,
        **curves,
        "wall_seconds": round(log.seconds, 1),
    }


def _keep(experiment, model, metadata: dict) -> None:
    """Write the checkpoint and the entry; only then is the state removed."""
    name, state = experiment.name, state_path(experiment.name)
    entry = {
        "status": "completed",
        **metadata["metrics"],
        "final_loss": metadata["final_loss"],
        "wall_seconds": metadata["wall_seconds"],
    }
    try:
        checkpoint.write(checkpoint.path_of(name), model, metadata)
        storage.add_entry(name, entry)
    except (OSError, ValueError) as error:
        raise OSError(
            f"{name} is trained, but could not be stored in {checkpoint.folder()}: {error}. The "
            f"finished run is kept in {state}: remove the cause, then "
            f"python -m icl_lib.experiments train {name} stores it without training again"
        ) from error
    state.unlink(missing_ok=True)
