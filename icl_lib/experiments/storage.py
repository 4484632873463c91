"""Where runs are kept: their folders, the locks, the room on the disk, the record of all runs.

Two processes may train and record at once. The record has a lock, so that no entry is lost, and
every run has one, so that it is trained by one process at a time. The system frees both when their
process ends, killed or not.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeGuard

import torch
from filelock import FileLock, Timeout

from icl_lib._storage import reason, write_whole
from icl_lib.experiments import checkpoint
from icl_lib.experiments.run import Experiment

CHECKOUT = Path(__file__).resolve().parents[2]
RECORD = "record.json"
RECORD_WAIT = 60.0  # seconds; an entry takes milliseconds
SPARE_BYTES = 16 * 2**20  # for all that is not weights, and for others who write
STATUSES = ("completed", "failed")


def state_folder() -> Path:
    """Return where unfinished runs are kept: ``ICL_STATE`` or ``_build/training`` of the checkout.

    ``make clean`` empties the latter.
    """
    return Path(os.environ.get("ICL_STATE") or CHECKOUT / "_build" / "training")


def state_path(run: Experiment) -> Path:
    """Return where the state of an unfinished run lies."""
    return state_folder() / f"{run.name}.pt"


def record_path() -> Path:
    """Return where the record of all runs lies."""
    return checkpoint.folder() / RECORD


@contextmanager
def run_lock(name: str) -> Iterator[None]:
    """Hold the run ``name``, so that no other process trains it.

    Raises
    ------
    OSError
        If another process holds it; the message says which one.
    """
    folder = state_folder()
    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(folder / f"{name}.lock"), folder / f"{name}.pid"
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OSError(
            f"{name} is being trained by process {_written_pid(owner)} (lock {lock.lock_file}): "
            "wait until it has ended, or end it"
        ) from error
    try:
        owner.write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _written_pid(owner: Path) -> str:
    """Return what ``owner`` says; it may be gone again, half written or damaged."""
    try:
        return str(int(owner.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return "unknown"


def check_room(folder: Path, needed: int) -> None:
    """Check that files of ``needed`` bytes can be written to ``folder``, which is made if absent.

    Raises
    ------
    OSError
        If the folder cannot be made or written to, or the disk is too full; the message names it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"probe")
    except OSError as error:
        raise OSError(f"folder {folder} cannot be written to: {reason(error)}") from error
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            f"folder {folder} has {free / 1e6:.1f} MB free, {needed / 1e6:.1f} MB are needed"
        )


def needed_bytes(model: torch.nn.Module, snapshots: int) -> int:
    """Return what a run may write: new files beside old ones, and some room to spare.

    The state holds the weights, the two moments of AdamW and the snapshots; the checkpoint holds
    the weights.
    """
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    return 2 * (3 + snapshots + 1) * weights + SPARE_BYTES


def record() -> dict[str, dict]:
    """Return the record of all runs, the failed ones included; {} if there is none yet.

    Raises
    ------
    ValueError
        If the file is no record; the message names it.
    """
    path = record_path()
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_repeats)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"record {path} is damaged: {error}; git has the committed one") from error
    if not isinstance(entries, dict):
        raise ValueError(f"record {path} must be a JSON object, got {type(entries).__name__}")
    for name, entry in entries.items():
        _check_entry(path, name, entry)
    return entries


def add_entry(name: str, entry: dict) -> None:
    """Set the entry of the run ``name`` in the record; what others wrote meanwhile stays.

    Raises
    ------
    ValueError
        If ``entry`` has no status or a number that is not finite, or the record is damaged.
    OSError
        If the record cannot be written, or stays locked by another process.
    """
    path = record_path()
    _check_entry(path, name, entry)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path.with_name(f"{RECORD}.lock"), timeout=RECORD_WAIT):
            entries = dict(sorted({**record(), name: entry}.items()))
            write_whole(path, (json.dumps(entries, indent=1) + "\n").encode())
    except Timeout as error:
        raise OSError(f"record {path} was locked by another process for a minute") from error


def _without_repeats(pairs: list[tuple]) -> dict:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"twice {sorted({name for name in names if names.count(name) > 1})}")
    return entries


def _check_entry(path: Path, name: str, entry) -> None:
    where = f"record {path}, entry {name!r}:"
    if not isinstance(entry, dict) or entry.get("status") not in STATUSES:
        raise ValueError(f"{where} expected a status, one of {STATUSES}, got {entry!r}")
    for key, value in entry.items():
        if key not in ("status", "reason") and not is_number(value):
            raise ValueError(f"{where} {key} must be a finite number, got {value!r}")


def is_number(value) -> TypeGuard[float]:
    """Return whether ``value`` is a finite int or float, and no boolean."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max
