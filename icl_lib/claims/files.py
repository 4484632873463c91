"""The expectations: a file a chapter, ``book/claims/<chapter>.yml``, fixed before measuring."""

from __future__ import annotations

import math
import sys
from functools import lru_cache
from pathlib import Path

import yaml

KINDS = ("identity", "estimate", "published", "bound", "record")
MODES = ("absolute", "relative", "z", "at_most", "at_least")
VERDICTS = ("reproduced", "reproduced in part", "not at this scale", "differs")
NEEDED = ("kind", "statement", "source")
JUDGED = ("expected", "mode", "tolerance", "verdict", "holds")


def folder() -> Path:
    """Return ``book/claims``, looking upward from the working directory.

    Raises
    ------
    ValueError
        If there is none, as when a notebook runs outside the repository.
    """
    here = Path.cwd().resolve()
    for parent in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (parent / "book" / "claims").is_dir():
            return parent / "book" / "claims"
    raise ValueError(f"claims must run inside the repository, found no book/claims from {here}")


def specification(name: str) -> tuple[dict, bool]:
    """Return the entry called ``name``, and whether its chapter asks for nulls (``strict_null``).

    Raises
    ------
    ValueError
        If there is no such claim.
    """
    for chapter in every_chapter(str(folder())).values():
        if name in chapter["claims"]:
            return chapter["claims"][name], chapter["strict_null"]
    raise ValueError(f"name must be a claim of book/claims, got {name!r}")


@lru_cache
def every_chapter(path: str) -> dict[str, dict]:
    """Return slug -> chapter for all files of the folder ``path``, checked.

    A chapter holds ``strict_null`` and ``claims`` (name -> entry).

    Raises
    ------
    ValueError
        If a file or an entry is not as it must be; the message names it.
    """
    return {file.stem: read_chapter(file) for file in sorted(Path(path).glob("*.yml"))}


def every_claim(path: str | Path) -> dict[str, dict]:
    """Return name -> entry over all chapters of the folder ``path``."""
    return {
        name: entry
        for chapter in every_chapter(str(path)).values()
        for name, entry in chapter["claims"].items()
    }


def read_chapter(file: Path) -> dict:
    """Return the content of one file of expectations, checked.

    Raises
    ------
    ValueError
        If it is no mapping of ``strict_null`` and ``claims``, a key stands twice, or an entry is
        not as it must be.
    """
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        raise ValueError(f"claims file {file.name} cannot be read: {error}") from error
    if not isinstance(content, dict) or set(content) != {"strict_null", "claims"}:
        raise ValueError(f"claims file {file.name} must have the keys strict_null and claims")
    if not isinstance(content["strict_null"], bool) or not isinstance(content["claims"], dict):
        raise ValueError(f"claims file {file.name}: strict_null is true or false, claims a mapping")
    for name, entry in content["claims"].items():
        if not str(name).startswith(f"{file.stem}-"):
            raise ValueError(f"claim {name} of {file.name} must be named {file.stem}-...")
        check_entry(name, entry)
    return content


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # pyright: ignore[reportGeneralTypeIssues]
    """A safe loader that refuses a key that stands twice (YAML would let the last one win)."""


def _mapping(loader, node):
    keys = [loader.construct_object(key) for key, _ in node.value]
    twice = sorted({str(key) for key in keys if keys.count(key) > 1})
    if twice:
        raise yaml.YAMLError(f"{', '.join(twice)} stands twice, line {node.start_mark.line + 1}")
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def check_entry(name: str, entry: dict) -> None:
    """Check one entry: its keys, kind, mode, verdict and numbers.

    Raises
    ------
    ValueError
        If something is missing or of the wrong form; the message names claim and key.
    """
    if not isinstance(entry, dict):
        raise ValueError(f"claim {name} must be a mapping from keys to values, got {entry!r}")
    kind = entry.get("kind")
    if kind not in KINDS:
        raise ValueError(f"claim {name}: kind must be one of {KINDS}, got {kind!r}")
    needed = [*NEEDED, *(("band",) if kind == "record" else JUDGED)]
    needed += ["max_se"] if entry.get("mode") == "z" else []
    needed += ["recorded", "recorded_tolerance"] if entry.get("holds") is False else []
    if missing := [key for key in needed if key not in entry]:
        raise ValueError(f"claim {name} must have the keys {missing}, got {sorted(entry)}")
    if kind == "record":
        _check_band(name, entry["band"])
    else:
        _check_judged(name, entry)
    if "otherwise" in entry:
        _check_null(name, entry["otherwise"])


def _check_judged(name: str, entry: dict) -> None:
    if entry["mode"] not in MODES or entry["verdict"] not in VERDICTS:
        raise ValueError(
            f"claim {name} must have a mode of {MODES} and a verdict of {VERDICTS}, "
            f"got {entry['mode']!r} and {entry['verdict']!r}"
        )
    if not isinstance(entry["holds"], bool):
        raise ValueError(f"claim {name}: holds must be true or false, got {entry['holds']!r}")
    _number(name, "expected", entry["expected"])
    for key in ("tolerance", "max_se", "recorded_tolerance"):
        _number(name, key, entry.get(key, 0), least=0)
    _number(name, "recorded", entry.get("recorded", 0))
    if not entry["holds"] and not entry["recorded_tolerance"] > 0:
        raise ValueError(f"claim {name}: recorded_tolerance must be above 0")


def _check_band(name: str, band) -> None:
    if not isinstance(band, list) or len(band) != 2:
        raise ValueError(f"claim {name}: band must be a list [low, high], got {band!r}")
    for value in band:
        _number(name, "band", value)
    if band[0] > band[1]:
        raise ValueError(f"claim {name}: band must be [low, high], got {band!r}")


def _check_null(name: str, null) -> None:
    if not isinstance(null, dict) or not str(null.get("says") or "").strip():
        raise ValueError(f"claim {name}: otherwise must be a mapping with `says`, got {null!r}")
    if unknown := set(null) - {"says", "value", "source"}:
        raise ValueError(f"claim {name}: otherwise has unknown keys {sorted(unknown)}")
    if "value" in null:
        _number(name, "otherwise value", null["value"])
        if not str(null.get("source") or "").strip():
            raise ValueError(f"claim {name}: a null with a typed value must name its source")


def _number(name: str, key: str, value, least: float = -math.inf) -> None:
    # YAML reads 1e-3 as text (it wants 1.0e-3), and text compares with nothing
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not abs(value) <= sys.float_info.max or value < least:
        bound = "" if least == -math.inf else f" of at least {least:g}"
        raise ValueError(f"claim {name}: {key} must be a number{bound}, got {value!r}")
