"""Checkpoints of former kinds of runs and models, read as those of today.

``python -m icl_lib.experiments convert`` rewrites every file of the checkpoints' folder that still
describes one of the four former kinds of runs, or holds one of the three former model classes. What
the two descriptions both say is compared; what only the new one says (sizes of test sets, laws of
the data in full) is added. Tensors are renamed, split and permuted, never computed with, so that
every weight keeps its bits. A new file stays as it is, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import cast

from safetensors.torch import save
from torch import Tensor

from icl_lib._storage import differences, layout, plain, write_whole
from icl_lib.experiments import checkpoint
from icl_lib.experiments.run import Experiment
from icl_lib.models.config import TransformerConfig

Tensors = dict[str, Tensor]

SAME = ("name", "training", "seed", "batch")  # fields that every kind had, under these names
TASKS = {
    "linear": "LinearDynamics",
    "contracting": "ContractingDynamics",
    "fixed": "FixedTeacher",
    "partial": "PartiallyObserved",
    "nonlinear": "NonlinearDynamics",
}
GPT_NAMES = {
    r"read_in\.": "embed.",
    r"read_out\.": "readout.",
    r"positions\.weight$": "positions",
    r"(blocks\.\d+\.)norm_attention\.": r"\1attention_norm.",
    r"(blocks\.\d+\.)norm_mlp\.": r"\1mlp_norm.",
    r"(blocks\.\d+\.)mlp\.0\.": r"\1mlp.up.",
    r"(blocks\.\d+\.)mlp\.2\.": r"\1mlp.down.",
}
STACK_NAMES = {r"(blocks\.\d+\.)(w_[qkv]|p|log_lambda)$": r"\1attention.\2"}
RAW_NAMES = {
    r"(embed|readout)$": r"\1.weight",
    r"(blocks\.\d+\.mlp\.)w_1$": r"\1up.weight",
    r"(blocks\.\d+\.mlp\.)w_2$": r"\1down.weight",
}


def convert(path: str | Path, run: Experiment) -> bool:
    """Rewrite the checkpoint of a run as today's; return whether it was a former one.

    Raises
    ------
    ValueError
        If the file is damaged, or its configuration or its weights are not those of the run; it
        then stays as it is, and the message names it.
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
    if not unlike and former_model(cast(dict, old).get("model")):
        tensors = renamed(tensors, new["model"])
        unlike = differences(layout(tensors), layout(run.build_model().state_dict()))
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
        said |= {"model": model_of_today(left.pop("model")), "snapshots": []}
    elif "base" in left:  # on top of a frozen model
        eos = left.pop("eos_run", None)
        said["below"] = [left.pop("base"), *([eos] if eos else [])]
        if "prefix" in left:
            said |= {"model.prefix": left.pop("prefix"), "model.fixed_eos": eos is not None}
    else:  # sequences
        model = left.pop("model")
        steps = isinstance(model, int)
        said |= {"model.steps": model} if steps else {"model": model_of_today(model)}
        said |= {key: left.pop(key) for key in ("length", "snapshots")}
        said["task.kind"] = TASKS[left.pop("task")]
    if left:
        raise KeyError(sorted(left)[0])
    return said


def former_model(config) -> bool:
    """Whether a checkpoint with this model configuration holds one of the three former classes."""
    return isinstance(config, dict) and "reads" not in config


def model_of_today(old: dict) -> dict:
    """Return the fields of today's config for those of a former one, or for its own.

    Raises
    ------
    KeyError
        If they are those of no model.
    """
    if not former_model(old):
        return old
    makers: list[Callable] = [
        TransformerConfig.gpt,
        lambda tokens, **fields: TransformerConfig.constructed(reads=tokens, **fields),
        TransformerConfig.elements,
    ]
    kinds = ({"d", "max_points"}, {"tokens", "clip"}, {"mlp", "unit_keys"})
    for maker, fields in zip(makers, kinds, strict=True):
        if fields <= set(old):
            try:
                return plain("model", vars(maker(**old)))
            except ValueError as error:
                raise KeyError(str(error)) from error
    raise KeyError("model")


def renamed(tensors: Tensors, config: dict) -> Tensors:
    """Return former tensors under the names that the transformer of this config has today."""
    if config["reads"] == "pairs":
        return _by_names(_unpacked(tensors, config["heads"]), GPT_NAMES)
    return _by_names(tensors, RAW_NAMES if config["reads"] == "elements" else STACK_NAMES)


def _by_names(tensors: Tensors, names: dict[str, str]) -> Tensors:
    return {_name(old, names): tensor.contiguous() for old, tensor in tensors.items()}


def _name(name: str, names: dict[str, str]) -> str:
    for old, new in names.items():
        name = re.sub(f"^{old}", new, name)
    return name


def _unpacked(tensors: Tensors, heads: int) -> Tensors:
    """Split the packed matrices of queries, keys and values, and cut all by heads."""
    found = {}
    for name, tensor in tensors.items():
        block, _, part = name.rpartition("attention.")
        prefix = f"{block}attention."
        if part.startswith("qkv."):
            letter = "w" if part == "qkv.weight" else "b"
            for kind, piece in zip("qkv", tensor.chunk(3), strict=True):
                found[f"{prefix}{letter}_{kind}"] = piece.unflatten(0, (heads, -1))
        elif part == "out.weight":
            found[f"{prefix}p"] = tensor.unflatten(1, (heads, -1)).transpose(0, 1)
        elif part == "out.bias":
            found[f"{prefix}b_p"] = tensor
        else:
            found[name] = tensor
    return found


def _at(configuration: dict, key: str):
    """Return the part of a configuration that "model.steps" and the like name."""
    found = configuration
    for part in key.split("."):
        found = found[part]
    return found
