"""What a sweep varies: seeds, settings along a dotted path, and the names of the runs they make.

A run with other settings than the book's has a name of its own, such as
``lsa1-k20-s0+training.lr=0.003``. The name is a file name and a key of an object store, and can be
read back. A setting that has the book's value is left out of it: that run is the book's.
"""

from __future__ import annotations

import itertools
import re
import types
from dataclasses import fields, is_dataclass, replace
from typing import Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import quote, unquote

MOST_SEEDS = 1000
IDENTITY = ("name", "seed")  # what a run is called; not a setting
JOINT = "~"  # between the elements of a tuple: a comma separates two values
WORDS = {"none": None, "true": True, "false": False}


def parse_seeds(text: str) -> list[int]:
    """Return the seeds that "0-4" or "0,3" name.

    Raises
    ------
    ValueError
        If the text names no seeds, or more than ``MOST_SEEDS`` in one range.
    """
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", part)
        low, high = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if low > high or high - low >= MOST_SEEDS:
            raise ValueError(
                f"--seeds must be such as 0-4 or 0,3 (at most {MOST_SEEDS}), got {text!r}"
            )
        seeds += range(low, high + 1)
    return list(dict.fromkeys(seeds))


def grid(texts: list[str]) -> list[dict[str, str]]:
    """Return every combination of the values in ``texts``, such as ["batch=8,16", "length=20"].

    >>> grid(["batch=8,16", "length=20"])
    [{'batch': '8', 'length': '20'}, {'batch': '16', 'length': '20'}]

    Raises
    ------
    ValueError
        If a text is not FIELD=VALUE,VALUE..., or a field comes twice.
    """
    choices: dict[str, list[str]] = {}
    for text in texts:
        path, equals, values = text.partition("=")
        if not equals or not path or not all(values.split(",")):
            raise ValueError(f"--set must be such as training.lr=1e-3,3e-3, got {text!r}")
        if path in choices:
            raise ValueError(f"--set must name a field once, got {path!r} twice")
        choices[path] = values.split(",")
    return [dict(zip(choices, each, strict=True)) for each in itertools.product(*choices.values())]


def with_settings(run, settings: dict[str, str]):
    """Return ``run``, a dataclass, with other values at the dotted paths, under a name of its own.

    Snapshots after a smaller number of steps than before are left out.

    Raises
    ------
    ValueError
        If there is no such field (the message lists those that exist), or the value does not fit.
    """
    changed, texts = run, {}
    for path, text in sorted(settings.items()):
        value, before = _read(run, path, text), _at(run, path)
        if value != before:
            texts[path] = write_value(value)
            changed = _replaced(changed, path.split("."), value)
    if not texts:
        return run
    changed = replace(changed, name=name_of(run.name, texts))
    if "training.steps" in texts and "snapshots" in {field.name for field in fields(changed)}:
        kept = tuple(step for step in changed.snapshots if step <= changed.training.steps)
        changed = replace(changed, snapshots=kept)
    return changed


def name_of(base: str, settings: dict[str, str]) -> str:
    """Return the name of the run ``base`` with these settings.

    >>> name_of("lsa1-k20-s0", {"training.lr": "0.003", "batch": "8"})
    'lsa1-k20-s0+batch=8+training.lr=0.003'
    """
    return base + "".join(f"+{path}={quote(settings[path], safe='')}" for path in sorted(settings))


def parse_name(name: str) -> tuple[str, int, dict[str, str]]:
    """Return family, seed and settings of a run's name: the inverse of :func:`name_of`.

    >>> parse_name("lsa1-k20-s0+training.lr=0.003")
    ('lsa1-k20', 0, {'training.lr': '0.003'})

    Raises
    ------
    ValueError
        If it is no such name.
    """
    base, *parts = name.split("+")
    found = re.fullmatch(r"(.+)-s([0-9]+)", base)
    pairs = [part.partition("=") for part in parts]
    if not found or not all(path and equals for path, equals, _ in pairs):
        raise ValueError(f"name must be such as lsa1-k20-s0+training.lr=0.003, got {name!r}")
    return found[1], int(found[2]), {path: unquote(text) for path, _, text in pairs}


def write_value(value: Any) -> str:
    """Return the one text of a value, which :func:`read_value` reads back."""
    if isinstance(value, tuple):
        return JOINT.join(map(write_value, value))
    for word, meaning in WORDS.items():
        if value is meaning:
            return word
    return repr(value) if isinstance(value, float) else str(value)


def read_value(kind: Any, text: str) -> Any:
    """Return the value of the type ``kind`` that ``text`` spells.

    >>> read_value(float | None, "3e-3"), read_value(tuple[int, ...], "1~2"), read_value(int, "8")
    (0.003, (1, 2), 8)

    Raises
    ------
    ValueError
        If it spells none.
    """
    if get_origin(kind) in (Union, types.UnionType):
        for member in sorted(get_args(kind), key=lambda each: each is not type(None)):
            try:
                return read_value(member, text)
            except ValueError:
                continue
    elif get_origin(kind) is tuple:
        return tuple(read_value(get_args(kind)[0], part) for part in text.split(JOINT) if part)
    elif kind in (bool, type(None)):
        if text in WORDS and isinstance(WORDS[text], kind):
            return WORDS[text]
    elif kind in (int, float):
        return kind(text)
    elif kind is str:
        return text
    raise ValueError(f"{text!r} is no value of the type {kind}")


def _read(run, path: str, text: str) -> Any:
    owner = _owner(run, path)
    kind = get_type_hints(type(owner))[path.rpartition(".")[2]]
    try:
        return read_value(kind, text)
    except ValueError as error:
        raise ValueError(f"{path} must be {_words(kind)}, got {text!r}") from error


def _owner(run, path: str):
    """Return the dataclass that holds the last field of ``path``, after a check of every field."""
    at, *rest = path.split(".")
    names = [field.name for field in fields(run) if field.name not in IDENTITY]
    if at in IDENTITY:
        raise ValueError(f"{at} is no setting: seeds are chosen by --seeds")
    if at not in names:
        raise ValueError(f"{type(run).__name__} has no field {at!r}, expected one of {names}")
    if not rest:
        return run
    if not is_dataclass(inner := getattr(run, at)):
        raise ValueError(f"{at} of {type(run).__name__} has no fields, got {path!r}")
    return _owner(inner, ".".join(rest))


def _at(run, path: str) -> Any:
    return getattr(_owner(run, path), path.rpartition(".")[2])


def _replaced(run, path: list[str], value: Any):
    inner = value if len(path) == 1 else _replaced(getattr(run, path[0]), path[1:], value)
    return replace(run, **{path[0]: inner})


def _words(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
