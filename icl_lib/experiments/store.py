"""Train a run, keep what comes of it, and verify what is on disk: all of them take a run."""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from icl_lib._storage import StateError
from icl_lib.experiments import checkpoint, storage
from icl_lib.experiments.run import Experiment
from icl_lib.experiments.storage import is_number, record, run_lock, state_path
from icl_lib.tasks.randomness import OFFSET_VARIABLE, seed_offset
from icl_lib.training import TrainingError, TrainLog, train

# no run depends on these
AROUND = ("claims", "contest", "exercises", "statistics", "teaching")


class Verification(NamedTuple):
    """Result of re-evaluating a checkpoint: recorded and measured value of its metric."""

    name: str
    recorded: float
    measured: float

    @property
    def ok(self) -> bool:
        """Whether both agree to one part in a thousand: other BLAS libraries round differently."""
        return math.isclose(self.recorded, self.measured, rel_tol=1e-3)


def train_experiment(run: Experiment, *, progress: bool = True, save_every: int = 500) -> dict:
    """Train a run, continuing where it stopped, and return its metadata.

    Writes ``checkpoints/NAME.safetensors`` and an entry of ``checkpoints/record.json``. A run
    that diverges leaves an entry too. All that can be found out before the training is: whether
    the record can be read, the folders written to, the disk has room and the run is free.

    It trains with as many threads as torch has; another number gives other roundings, and so
    another file. The command, ``python -m icl_lib.experiments train``, takes one.

    Raises
    ------
    ValueError
        If the seeds have an offset, the record or a checkpoint below the run is damaged, or the
        state of the unfinished run is damaged or of another one; the message says which command
        removes that state.
    TrainingError
        If the loss diverges.
    OSError
        If a folder cannot be written to, or another process trains this run. If only the result
        cannot be written, the finished run stays in its state, and the same command writes it.
    """
    if offset := seed_offset():  # other draws are another run, under the name of this one
        raise ValueError(f"{OFFSET_VARIABLE} must be 0 or unset, got {offset}")
    run = run.attach(checkpoint.load_model)
    record()
    model = run.build_model()
    needed = storage.needed_bytes(model, len(run.snapshots))
    for folder in (checkpoint.folder(), storage.state_folder()):
        storage.check_room(folder, needed)
    if checkpoint.path_of(run).is_dir():
        raise OSError(f"checkpoint {checkpoint.path_of(run)} is a folder, expected a file or none")
    with run_lock(run.name):
        try:
            log = _trained(run, model, progress, save_every)
            metadata = metadata_of(run, model, log)
        except TrainingError as error:
            storage.add_entry(run.name, {"status": "failed", "reason": str(error)})
            state_path(run).unlink(missing_ok=True)
            raise
        _keep(run, model, metadata)
    return metadata


def forget(run: Experiment) -> list[Path]:
    """Remove the state of an unfinished run; return what was removed.

    Raises
    ------
    OSError
        If another process trains it, or a file cannot be removed.
    """
    path = state_path(run)
    with run_lock(run.name):
        partial = path.parent.glob(f"{glob.escape(path.name)}.*.partial")
        found = [file for file in (path, *partial) if os.path.lexists(file)]
        for file in found:
            if file.is_dir() and not file.is_symlink():
                shutil.rmtree(file)
            else:
                file.unlink()
    return found


def verify(run: Experiment) -> Verification:
    """Load the checkpoint of a run, evaluate it again and compare with its record.

    Raises
    ------
    ValueError
        If the file is missing, damaged, foreign or of another run.
    """
    model, metadata = checkpoint.load(run)
    metric, metrics = run.metric, metadata.get("metrics")
    recorded = metrics.get(metric) if isinstance(metrics, dict) else None
    if not is_number(recorded):
        raise ValueError(
            f"checkpoint {checkpoint.path_of(run)} must record a {metric}, got {recorded!r}"
        )
    measured = run.attach(checkpoint.load_model).evaluate(model)[metric]
    return Verification(run.name, recorded, measured)


def _trained(run, model, progress: bool, save_every: int) -> TrainLog:
    try:
        return train(
            model,
            run.loss_at,
            run.training,
            zero_loss=run.zero_loss,
            state_path=state_path(run),
            identity=identity_of(run),
            progress=progress,
            save_every=save_every,
            snapshot_steps=run.snapshots,
        )
    except StateError as error:
        command = f"python -m icl_lib.experiments forget {run.name}"
        raise ValueError(f"{error}; to start anew, remove it with {command}") from error


def identity_of(run: Experiment) -> dict:
    """Return all that an unfinished run depends on: another value means another run."""
    return {
        "configuration": run.configuration(),
        "below": {
            lower.name: checkpoint.read(checkpoint.path_of(lower))[1]["content_sha256"]
            for lower in run.below
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


def metadata_of(run: Experiment, model, log: TrainLog) -> dict:
    """Return what is kept beside the weights of a finished run: settings, trace, scores, curves.

    Raises
    ------
    TrainingError
        If the scores are not finite numbers.
    """
    metrics = run.evaluate(model.eval())
    if not all(is_number(value) for value in metrics.values()):
        raise TrainingError(f"the evaluation gives {metrics}, expected finite numbers")
    # weights were kept on the way only for runs that have curves
    curves = {"curves": run.curves(model, log.snapshots)} if run.snapshots else {}
    return {
        "name": run.name,
        "configuration": json.loads(json.dumps(run.configuration())),
        "seed": run.seed,
        "versions": checkpoint.versions(),
        "final_loss": log.final_loss,
        "loss_trace": log.trace,
        "metrics": metrics,
        **curves,
        "wall_seconds": round(log.seconds, 1),
    }


def _keep(run, model, metadata: dict) -> None:
    """Write the checkpoint and the entry; only then is the state removed."""
    name, state = run.name, state_path(run)
    entry = {
        "status": "completed",
        **metadata["metrics"],
        "final_loss": metadata["final_loss"],
        "wall_seconds": metadata["wall_seconds"],
    }
    try:
        checkpoint.write(checkpoint.path_of(run), model, metadata)
        storage.add_entry(name, entry)
    except (OSError, ValueError) as error:
        raise OSError(
            f"{name} is trained, but could not be stored in {checkpoint.folder()}: {error}. The "
            f"finished run is kept in {state}: remove the cause, then "
            f"python -m icl_lib.experiments train {name} stores it without training again"
        ) from error
    state.unlink(missing_ok=True)
