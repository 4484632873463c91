"""Train an experiment, keep the record of all runs, and verify what is on disk."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import NamedTuple

import torch

from icl_lib.experiments import checkpoint
from icl_lib.experiments.registry import get
from icl_lib.training import TrainingError, train

RECORD = "record.json"


class Verification(NamedTuple):
    """Result of re-evaluating a checkpoint: recorded and measured value of its metric."""

    name: str
    recorded: float
    measured: float

    @property
    def ok(self) -> bool:
        """Whether both agree to one part in a thousand: other BLAS libraries round differently."""
        return math.isclose(self.recorded, self.measured, rel_tol=1e-3)


def state_folder() -> Path:
    """Return where unfinished runs keep their state: ``ICL_STATE`` or the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("ICL_STATE", cache / "icl_lib"))


def train_experiment(name: str, *, progress: bool = True, save_every: int = 500) -> dict:
    """Train the experiment ``name``, continuing where it stopped, and return its metadata.

    Writes ``checkpoints/NAME.safetensors`` and an entry of ``checkpoints/record.json``. A run
    that diverges leaves an entry too.

    Raises
    ------
    ValueError
        If there is no such experiment.
    TrainingError
        If the loss diverges.
    """
    experiment = get(name)
    torch.set_num_threads(1)
    model = experiment.build_model()
    state = state_folder() / f"{name}.pt"
    try:
        log = train(
            model,
            experiment.loss_at,
            experiment.training,
            zero_loss=experiment.zero_loss,
            state_path=state,
            progress=progress,
            save_every=save_every,
            snapshot_steps=experiment.snapshots,
        )
    except TrainingError as error:
        _record(name, {"status": "failed", "reason": str(error)})
        raise
    metadata = {
        "name": name,
        "configuration": json.loads(json.dumps(experiment.configuration())),
        "seed": experiment.seed,
        "versions": checkpoint.versions(),
        "final_loss": log.final_loss,
        "loss_trace": log.trace,
        "metrics": experiment.evaluate(model.eval()),
        **_curves(experiment, model, log),
        "wall_seconds": round(log.seconds, 1),
    }
    checkpoint.write(checkpoint.path_of(name), model, metadata)
    _record(
        name,
        {
            "status": "completed",
            **metadata["metrics"],
            "final_loss": log.final_loss,
            "wall_seconds": metadata["wall_seconds"],
        },
    )
    state.unlink(missing_ok=True)
    return metadata


def verify(name: str) -> Verification:
    """Load the checkpoint of ``name``, evaluate it again and compare with its record.

    Raises
    ------
    ValueError
        If the file is missing, damaged, foreign or of another run.
    """
    torch.set_num_threads(1)
    model, metadata = checkpoint.load(name)
    metric = get(name).metric
    return Verification(name, metadata["metrics"][metric], get(name).evaluate(model)[metric])


def record() -> dict[str, dict]:
    """Return the record of all runs, the failed ones included."""
    path = checkpoint.folder() / RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def completed(family: str) -> list[str]:
    """Return the names of all recorded, completed seeds of a family such as "gpt-d5-fixed-n18".

    Raises
    ------
    ValueError
        If there is none.
    """
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
        If fewer than two seeds of the family are on record.
    """
    logs = [math.log(record()[name][get(name).metric]) for name in completed(family)]
    if len(logs) < 2:
        raise ValueError(f"family {family!r} must have two recorded seeds, got {len(logs)}")
    mean = sum(logs) / len(logs)
    spread = 3 * (sum((value - mean) ** 2 for value in logs) / (len(logs) - 1)) ** 0.5
    return math.exp(mean - spread), math.exp(mean + spread)


def _curves(experiment, model, log) -> dict:
    """Return {"curves": ...} for runs whose weights were kept on the way, else nothing."""
    return {"curves": experiment.curves(model, log.snapshots)} if experiment.snapshots else {}


def _record(name: str, entry: dict) -> None:
    path = checkpoint.folder() / RECORD
    entries = dict(sorted({**record(), name: entry}.items()))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)
