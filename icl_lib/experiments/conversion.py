"""Checkpoints of the four former kinds of runs, read as those of the one :class:`Run`.

``python -m icl_lib.experiments convert`` rewrites every file of the checkpoints' folder whose
metadata still has the fields of a former kind. What the two descriptions both say is compared; what
only the new one says (sizes of test sets, laws of the data in full) is added. The weights keep
every bit; the configuration and the content hash follow. A new file stays as it is, byte for byte.
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save

from icl_lib._storage import differences, plain, write_whole
from icl_lib.experiments import checkpoint
from icl_lib.experiments.run import Experiment

SAME = ("name", "training", "seed", "batch")  # fields that every kind had, under these names
TASKS = {
    "linear": "LinearDynamics",
    "contracting": "ContractingDynamics",
    "fixed": "FixedTeacher",
    "partial": "PartiallyObserved",
    "nonlinear": "NonlinearDynamics",
}


def convert(path: str | Path, run: Experiment) -> bool:
    """Rewrite the checkpoint of a run with today's configuration; return whether it had an old one.

    Raises
    ------
    ValueError
        If the file is damaged, or its configuration says something else than the run does; it then
        stays as it is, and the message names it.
    OSError
        If it cannot be written.
    """
    tensors, metadata = checkpoint.read(path)
    new = plain("configuration", run.configuration())
    old = metadata.get("configuration")
    if old == new:
        return False
    try:
        said = former(old)
        unlike = differences(said, {key: _at(new, key) for key in said})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"checkpoint {path} cannot be converted: {old!r} is no configuration of a former run"
        ) from error
    if unlike:
        raise ValueError(f"checkpoint {path} cannot be converted: {'; '.join(unlike)}")
    metadata["configuration"] = new
    metadata["content_sha256"] = checkpoint.content_sha256(tensors, metadata)
    header = {checkpoint.METADATA_KEY: checkpoint.as_text(metadata)}
    write_whole(Path(path), save(tensors, header))
    return True


def former(old) -> dict:
    """Return what a former configuration says, under the names of today: "model.steps" and so on.

    Every field of it is used up; one that is unknown raises ``KeyError``.
    """
    if not isinstance(old, dict):
        raise TypeError(f"a configuration must be a dict, got {type(old).__name__}")
    left = dict(old)
    said = {key: left.pop(key) for key in SAME}
    if "n_train" in left:  # prompts for a GPT-style model
        said |= {"length": left.pop("n_train"), "task.covariance": left.pop("inputs")}
        said |= {"model": left.pop("model"), "snapshots": []}
    elif "base" in left:  # on top of a frozen model
        eos = left.pop("eos_run", None)
        said["below"] = [left.pop("base"), *([eos] if eos else [])]
        if "prefix" in left:
            said |= {"model.prefix": left.pop("prefix"), "model.fixed_eos": eos is not None}
    else:  # sequences
        model = left.pop("model")
        said |= {"model.steps": model} if isinstance(model, int) else {"model": model}
        said |= {key: left.pop(key) for key in ("length", "snapshots")}
        said["task.kind"] = TASKS[left.pop("task")]
    if left:
        raise KeyError(sorted(left)[0])
    return said


def _at(configuration: dict, key: str):
    """Return the part of a configuration that "model.steps" and the like name."""
    found = configuration
    for part in key.split("."):
        found = found[part]
    return found
