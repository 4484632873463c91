"""Checkpoints of the three former model classes, read as those of the one transformer.

``python -m icl_lib.experiments convert`` rewrites every file of the checkpoints' folder that still
has the old names. Tensors are renamed, split and permuted, never computed with, so that every
weight keeps its bits; the configuration and the content hash follow. A file that is already new
stays untouched, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from icl_lib._storage import differences, layout, plain
from icl_lib.experiments import checkpoint
from icl_lib.experiments.registry import get
from icl_lib.models.config import TransformerConfig

Tensors = dict[str, Tensor]

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


def convert(path: str | Path) -> bool:
    """Rewrite one checkpoint under the new names; return whether it had old ones.

    Raises
    ------
    ValueError
        If the file is damaged, or its weights or configuration are not those of a former model of
        the run that it names; it then stays as it is, and the message names it.
    OSError
        If it cannot be written.
    """
    tensors, metadata = checkpoint.read(path)
    path, run = Path(path), get(Path(path).stem)
    expected = plain("configuration", run.configuration())
    if metadata.get("configuration") == expected:
        return False
    metadata["configuration"] = _configuration(path, metadata.get("configuration"), expected)
    model = run.build_model()
    renamed = _renamed(tensors, metadata["configuration"]["model"])
    if unlike := differences(layout(renamed), layout(model.state_dict())):
        raise ValueError(f"checkpoint {path} cannot be converted: {'; '.join(unlike)}")
    model.load_state_dict(renamed)
    checkpoint.write(path, model, metadata)
    return True


def _renamed(tensors: Tensors, config: dict) -> Tensors:
    """Return the tensors under the names that the model of this config has today."""
    if config["reads"] == "pairs":
        return _by_names(_unpacked(tensors, config["heads"]), GPT_NAMES)
    return _by_names(tensors, RAW_NAMES if config["reads"] == "elements" else STACK_NAMES)


def _by_names(tensors: Tensors, names: dict[str, str]) -> Tensors:
    return {_name(old, names): tensor for old, tensor in tensors.items()}


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


def _configuration(path: Path, old, expected: dict) -> dict:
    """Return the run's configuration, if ``old`` says the same with the former fields."""
    model = expected.get("model")
    new = old
    if isinstance(old, dict) and isinstance(old.get("model"), dict) and isinstance(model, dict):
        new = {**old, "model": _model(old["model"])}
    if new != expected:
        raise ValueError(
            f"checkpoint {path} cannot be converted: it belongs to the configuration {old}, "
            f"which is not {expected}"
        )
    return expected


def _model(old: dict) -> dict | None:
    """Return the fields of today's config for those of a former one, None for others."""
    makers: list[Callable] = [
        TransformerConfig.gpt,
        lambda tokens, **fields: TransformerConfig.constructed(reads=tokens, **fields),
        TransformerConfig.elements,
    ]
    kinds = ({"d", "max_points"}, {"tokens", "clip"}, {"mlp", "unit_keys"})
    for maker, fields in zip(makers, kinds, strict=True):
        if fields <= set(old) and "reads" not in old:
            try:
                return plain("model", vars(maker(**old)))
            except (TypeError, ValueError):
                return None
    return None
