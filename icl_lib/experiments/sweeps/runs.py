"""The one place where sweeps touch the runs of the book: make one, train it, judge its file."""

from __future__ import annotations

import hashlib
import importlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from icl_lib._storage import StateError, hash_tensors
from icl_lib.experiments import checkpoint, named, storage, store
from icl_lib.experiments.sweeps.settings import with_settings
from icl_lib.tasks.randomness import OFFSET_VARIABLE, seed_offset
from icl_lib.training import train


def make(family: str, seed: int, settings: dict[str, str], module: str | None = None):
    """Return the run of a family with that seed and these settings.

    ``module`` is the name of a module that is imported first and adds runs to the registry.

    Raises
    ------
    ValueError
        If there is no such family, seed, field, value or module, or the seeds have an offset.
    """
    if module is not None:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise ValueError(f"module {module!r} cannot be imported: {error}") from error
    if offset := seed_offset():  # other draws are another run, under the name of this one
        raise ValueError(f"{OFFSET_VARIABLE} must be 0 or unset, got {offset}")
    return with_settings(named.get(f"{family}-s{seed}"), settings)


def book_runs(families: list[str] | None = None) -> list:
    """Return the book's runs of these families (or of all), each after those that it needs.

    Raises
    ------
    ValueError
        If there is no such family.
    """
    if unknown := sorted(set(families or ()) - set(named.families())):
        raise ValueError(f"family must be one of {named.families()}, got {unknown}")
    wanted = [run for run in named.EXPERIMENTS.values() if not families or run.family in families]
    return sorted(wanted, key=floor_of)


def book_run(name: str):
    """Return the run of the book with that name."""
    return named.get(name)


def floor_of(run) -> int:
    """Return how many runs have to be trained before this one, one on top of the other."""
    return max((1 + floor_of(lower) for lower in run.below), default=0)


def fit(run, folder: Path, save_every: int) -> tuple[Path, dict]:
    """Train ``run`` in ``folder``, continuing where it stopped; return its checkpoint and metadata.

    A state that is damaged, or was left by other code, is removed: the run begins anew.

    Raises
    ------
    TrainingError
        If the loss diverges.
    OSError
        If the folder cannot be written to, or has too little room.
    """
    torch.set_num_threads(1)
    path, state = folder / f"{run.name}.safetensors", folder / "state.pt"
    run = run.attach(checkpoint.load_model)
    model = run.build_model()
    storage.check_room(folder, storage.needed_bytes(model, len(run.snapshots)))
    try:
        log = _trained(run, model, state, save_every)
    except StateError:
        state.unlink(missing_ok=True)
        log = _trained(run, model, state, save_every)
    metadata = store.metadata_of(run, model, log)
    checkpoint.write(path, model, metadata)
    return path, metadata


def _trained(run, model, state: Path, save_every: int):
    return train(
        model,
        run.loss_at,
        run.training,
        zero_loss=run.zero_loss,
        state_path=state,
        identity=store.identity_of(run),
        progress=False,
        save_every=save_every,
        snapshot_steps=run.snapshots,
    )


@contextmanager
def bases_in(folder: Path, bases: dict[str, bytes]) -> Iterator[None]:
    """Let runs find the checkpoints ``bases`` (name: content) on which they are trained.

    Without any, they find those of the book.
    """
    if not bases:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, blob in bases.items():
        (folder / f"{name}.safetensors").write_bytes(blob)
    before = os.environ.get("ICL_CHECKPOINTS")
    os.environ["ICL_CHECKPOINTS"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["ICL_CHECKPOINTS"]
        else:
            os.environ["ICL_CHECKPOINTS"] = before


def recorded(name: str) -> dict:
    """Return what the book's record says of a run: {} if nothing."""
    return storage.record().get(name, {})


def book_folder() -> str:
    """Return the folder of the book's checkpoints."""
    return str(checkpoint.folder())


def book_weights(name: str) -> str | None:
    """Return a hash of the weights of the book's checkpoint; None if it is missing or damaged."""
    try:
        return weights_sha256(named.path_of(name))
    except ValueError:
        return None


def report_path() -> Path:
    """Return where the committed report of reproduced runs lies."""
    return storage.CHECKOUT / "book" / "reference" / "reproduced.json"


def weights_sha256(path: Path) -> str:
    """Return a hash of the weights alone in a checkpoint's file.

    Raises
    ------
    ValueError
        If there is no such file, or it is damaged.
    """
    digest = hashlib.sha256()
    hash_tensors(digest, checkpoint.read(path)[0])
    return digest.hexdigest()


def seed_band(family: str) -> tuple[float, float] | None:
    """Return the band in which another seed or device should lie; None with fewer than two seeds.

    The mean of the logarithm over the recorded seeds, plus and minus three standard deviations.
    """
    try:
        return named.seed_band(family)
    except ValueError:
        return None


@cache
def commit() -> str:
    """Return the commit of this checkout, "+" after it if files differ; "unknown" without git."""
    git = ["git", "-C", str(storage.CHECKOUT)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short=10", "HEAD"], check=True, capture_output=True, text=True
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "diff", "--quiet", "HEAD", "--", "icl_lib"], check=False, capture_output=True
        ).returncode
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def versions() -> dict[str, str]:
    """Return the versions and the device that a run depends on."""
    return checkpoint.versions()
