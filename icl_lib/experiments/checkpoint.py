"""Checkpoints: one safetensors file a run, with its provenance, refused if anything is off."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from icl_lib._storage import differences, hash_tensors, layout, plain, write_whole
from icl_lib.experiments.run import Experiment

METADATA_KEY = "icl_lib"
CHANGING = ("wall_seconds", "content_sha256")  # what two runs of one command may differ in


def folder() -> Path:
    """Return the folder of the checkpoints: ``ICL_CHECKPOINTS`` or the repository's own.

    Raises
    ------
    ValueError
        If the library was installed without its repository, and no folder is named.
    """
    if named := os.environ.get("ICL_CHECKPOINTS"):
        return Path(named)
    repository = Path(__file__).resolve().parents[2]
    if not (repository / "_toc.yml").is_file():
        raise ValueError(
            "checkpoints need the book's repository: clone it and work there, or name a folder in "
            f"ICL_CHECKPOINTS; the library was installed without it, in {repository}"
        )
    return repository / "checkpoints"


def path_of(run: Experiment) -> Path:
    """Return where the checkpoint of a run lies."""
    return folder() / f"{run.name}.safetensors"


def versions() -> dict[str, str]:
    """Return the versions and the device that a run depends on."""
    threads = torch.get_num_threads()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device": f"cpu, {platform.machine()}, {threads} thread{'s' * (threads > 1)}",
    }


def content_sha256(tensors: dict[str, torch.Tensor], metadata: dict) -> str:
    """Return a hash of all weights and of all metadata but the wall time."""
    digest = hashlib.sha256()
    hash_tensors(digest, tensors)
    fixed = {key: value for key, value in metadata.items() if key not in CHANGING}
    digest.update(json.dumps(fixed, sort_keys=True).encode())
    return digest.hexdigest()


def write(path: Path, model: torch.nn.Module, metadata: dict) -> None:
    """Write the model's weights and ``metadata`` to ``path``, completely or not at all.

    Raises
    ------
    ValueError
        If the weights are not finite, or ``metadata`` is no dict of plain data.
    OSError
        If the file cannot be written; an older one is then still there.
    """
    path = _checked_path(path)
    if not isinstance(model, torch.nn.Module):
        raise ValueError(f"model must be a torch module, got {model!r}")
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    if bad := [name for name, value in tensors.items() if not torch.isfinite(value).all()]:
        raise ValueError(f"model must have finite weights, got NaN or infinite ones in {bad}")
    metadata = plain("metadata", metadata)
    metadata = dict(metadata, content_sha256=content_sha256(tensors, metadata))
    write_whole(path, save(tensors, {METADATA_KEY: as_text(metadata)}))


def as_text(metadata: dict) -> str:
    """Return the metadata as it stands in a file: the same data give the same bytes."""
    return json.dumps(metadata, sort_keys=True)


def read(path: str | Path) -> tuple[dict[str, torch.Tensor], dict]:
    """Return the tensors and the metadata of a checkpoint file.

    Raises
    ------
    ValueError
        If the file is missing, damaged, not ours, or changed after it was written.
    """
    path = _checked_path(path)
    if not path.is_file():
        raise ValueError(
            f"checkpoint {path} does not exist: train it with python -m "
            f"icl_lib.experiments train {path.stem}"
        )
    # safetensors opens files behind Python's back; the book's build must see what a chapter reads
    sys.audit("icl_lib.read", str(path))
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"checkpoint {path} is damaged, expected safetensors: {error}") from error
    if METADATA_KEY not in header:
        raise ValueError(
            f"checkpoint {path} is foreign: expected metadata {METADATA_KEY!r}, "
            f"got {sorted(header)}"
        )
    metadata = _parsed(path, header[METADATA_KEY])
    if metadata.get("content_sha256") != content_sha256(tensors, metadata):
        raise ValueError(f"checkpoint {path} is damaged: its content does not match its hash")
    return tensors, metadata


def load(run: Experiment, path: str | Path | None = None) -> tuple[torch.nn.Module, dict]:
    """Return the trained model of a run and its metadata.

    Raises
    ------
    ValueError
        If the file is missing, damaged, foreign or of another run.
    """
    path = path_of(run) if path is None else _checked_path(path)
    tensors, metadata = read(path)
    _check_belongs(path, metadata, run)
    model = run.attach(load_model).build_model()
    if unlike := differences(layout(tensors), layout(model.state_dict())):
        raise ValueError(f"checkpoint {path} holds other tensors: {'; '.join(unlike)}")
    model.load_state_dict(tensors)
    return model.eval(), metadata


def load_model(run: Experiment) -> torch.nn.Module:
    """Return the trained model of a run alone: what a run on top of it is attached to."""
    return load(run)[0]


def _parsed(path: Path, text: str) -> dict:
    try:
        metadata = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"checkpoint {path} is damaged: its metadata is no JSON") from error
    if not isinstance(metadata, dict):
        raise ValueError(f"checkpoint {path} is damaged: its metadata must be a JSON object")
    return metadata


def _checked_path(path) -> Path:
    if not isinstance(path, str | Path):
        raise ValueError(f"path must be a path, got {path!r}")
    return Path(path)


def _check_belongs(path: Path, metadata: dict, run: Experiment) -> None:
    expected = json.loads(json.dumps(run.configuration()))
    got = metadata.get("configuration")
    if got != expected:
        raise ValueError(
            f"checkpoint {path} belongs to the configuration {got}, expected {expected}"
        )
