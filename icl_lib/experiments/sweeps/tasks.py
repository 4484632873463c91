"""What a worker does with one run: train it unless it is done, and keep the result in the store.

A task is plain data, so that every back end can send it. Doing it twice changes nothing.
"""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from icl_lib._storage import write_whole
from icl_lib.experiments.sweeps import runs
from icl_lib.experiments.sweeps.leases import Busy, file_lock, lease
from icl_lib.experiments.sweeps.store import Store, sha256
from icl_lib.training import TrainingError

COMPLETED, FAILED, BUSY = "completed", "failed", "busy"
DIVERGED, SYSTEM, ERROR = "diverged", "system", "error"  # kinds of failures
_ONE_RUN = threading.Lock()  # a run is one thread, also in a worker with several


@dataclass(frozen=True)
class Task:
    """One run of a sweep.

    ``scratch`` is a folder for the states of unfinished runs; ``bases`` maps the names of the
    checkpoints that the run is trained on to the addresses of their stores (the book's own if
    there are none); ``module`` is imported first, to add runs to the registry.
    """

    name: str
    family: str
    seed: int
    store: str
    scratch: str
    settings: dict[str, str] = field(default_factory=dict)
    bases: dict[str, str] = field(default_factory=dict)
    module: str | None = None
    save_every: int = 500
    retry_failed: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a task: "completed", "failed" or "busy" (another process has the run)."""

    name: str
    status: str
    trained: bool = False
    seconds: float = 0.0
    record: dict = field(default_factory=dict)
    stored: bool = True  # whether the store has the record

    @property
    def reason(self) -> str:
        """Why it failed, or who has it."""
        return self.record.get("reason", "")


def perform(task: Task) -> Outcome:
    """Do one task; what goes wrong is the outcome's reason, and no exception."""
    with _ONE_RUN:
        folder = Path(task.scratch) / task.name
        started = time.perf_counter()
        try:
            store = Store(task.store)
            with lease(store, task.name):
                return _attempt(task, store, folder)
        except Busy as busy:
            return Outcome(task.name, BUSY, record={"reason": str(busy)})
        except Exception as error:
            # without the lease nothing is written: the run may be somebody else's, and done
            return _failure(task, None, folder, error, started)


def _attempt(task: Task, store: Store, folder: Path) -> Outcome:
    started = time.perf_counter()
    try:
        with file_lock(folder.with_name(f"{task.name}.lock")):
            return _unless_done(task, store, folder)
    except Busy:
        raise
    except Exception as error:  # a run that fails is a result, and the sweep goes on
        return _failure(task, store, folder, error, started)


def _unless_done(task: Task, store: Store, folder: Path) -> Outcome:
    entry = store.record(task.name)
    if entry and store.is_done(task.name, entry):
        shutil.rmtree(folder, ignore_errors=True)  # its worker was killed before it could
        return Outcome(task.name, COMPLETED, record=entry)
    if entry and entry.get("kind") == DIVERGED and not task.retry_failed:
        return Outcome(task.name, FAILED, record=entry)
    record = _trained(task, store, folder)
    shutil.rmtree(folder, ignore_errors=True)
    return Outcome(task.name, COMPLETED, True, record["seconds"], record)


def _trained(task: Task, store: Store, folder: Path) -> dict:
    """Train and store the run; the record comes last, and only then is it done."""
    run = runs.make(task.family, task.seed, task.settings, task.module)
    if run.name != task.name:
        raise ValueError(f"task {task.name} makes the run {run.name}: other code than the sweep's")
    folder.mkdir(parents=True, exist_ok=True)
    with runs.bases_in(folder / "bases", _bases(task)):
        path, metadata = runs.fit(run, folder, task.save_every)
    blob = path.read_bytes()
    record = {
        **_common(task, COMPLETED),
        "metric": run.metric,
        "metrics": metadata["metrics"],
        "final_loss": metadata["final_loss"],
        "seconds": metadata["wall_seconds"],
        "sha256": sha256(blob),
        "weights_sha256": runs.weights_sha256(path),
        "earlier": _earlier(store.record(task.name), folder),
    }
    store.write(f"{task.name}.safetensors", blob)
    store.write_record(task.name, record)
    return record


def _bases(task: Task) -> dict[str, bytes]:
    found = {name: Store(store).read(f"{name}.safetensors") for name, store in task.bases.items()}
    if missing := sorted(name for name, blob in found.items() if blob is None):
        raise OSError(f"{task.name} is trained on {missing}, which is not in the store yet")
    return {name: blob for name, blob in found.items() if blob is not None}


def _failure(task: Task, store: Store | None, folder: Path, error, started: float) -> Outcome:
    """Keep the reason, in the store and beside the state: a store that refuses has no record."""
    kind = SYSTEM if isinstance(error, OSError) else ERROR
    if isinstance(error, TrainingError):
        kind = DIVERGED
        with suppress(OSError):
            (folder / "state.pt").unlink(missing_ok=True)
    record = {**_common(task, FAILED), "kind": kind, "reason": f"{type(error).__name__}: {error}"}
    record["earlier"] = _earlier(None, folder)
    stored = False
    if store is not None:
        with suppress(OSError):
            record["earlier"] = _earlier(store.record(task.name), folder)
            store.write_record(task.name, record)
            stored = True
    with suppress(OSError):
        write_whole(folder / "failure.json", json.dumps(record).encode())
    return Outcome(task.name, FAILED, True, time.perf_counter() - started, record, stored)


def _common(task: Task, status: str) -> dict:
    return {
        "name": task.name,
        "status": status,
        "family": task.family,
        "seed": task.seed,
        "settings": task.settings,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "device": runs.versions()["device"],
        "versions": runs.versions(),
        "commit": runs.commit(),
    }


def _earlier(stored: dict | None, folder: Path) -> list[dict]:
    """Return the failures before this attempt: of the store's record and of the scratch folder."""
    known = [stored]
    with suppress(OSError, ValueError):
        known.append(json.loads((folder / "failure.json").read_bytes()))
    failures = {}
    for entry in known:
        if entry is None:
            continue
        last = [entry] if entry["status"] == FAILED else []
        for failure in [*entry.get("earlier", []), *last]:
            short = {key: failure.get(key) for key in ("date", "host", "kind", "reason")}
            failures[json.dumps(short)] = short
    return sorted(failures.values(), key=lambda failure: failure["date"])
