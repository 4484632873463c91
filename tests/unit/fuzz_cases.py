"""What `fuzzing.fuzz` puts in the place of a valid argument, by the kind of that argument."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Case:
    """One replacement. ``refuse``: no result is right. ``same_as``: what the result must equal."""

    label: str
    value: Any
    refuse: bool = False
    same_as: Any = None


class _Unreadable:
    """Like a torch tensor that requires a gradient: NumPy cannot read it."""

    def __array__(self, *_, **__):
        raise RuntimeError("no NumPy array without detach()")


def replacements(value) -> Iterator[Case]:
    """Yield the replacements for a valid ``value``, by its kind."""
    yield Case("None", None, refuse=True)
    yield Case("object", object(), refuse=True)
    if isinstance(value, bool):
        yield from _for_flag()
    elif isinstance(value, str):
        yield from _for_text()
    elif isinstance(value, int):
        yield from _for_integer(value)
    elif isinstance(value, float):
        yield from _for_number(value)
    elif isinstance(value, np.ndarray):
        yield from _for_array(value)
    elif callable(value):
        yield from _for_function()
    elif isinstance(value, list | tuple | dict):
        yield from _for_container(value)
    else:
        raise TypeError(f"no replacements are known for a value of type {type(value).__name__}")


def _for_flag() -> Iterator[Case]:
    for label, value in {"'no'": "no", "nan": np.nan, "2": 2, "array": np.ones(2)}.items():
        yield Case(label, value, refuse=True)


def _for_text() -> Iterator[Case]:
    yield from (Case("3", 3, refuse=True), Case("bytes", b"text", refuse=True))
    yield from (Case("empty", ""), Case("unknown", "no such thing"))


def _for_integer(value: int) -> Iterator[Case]:
    for label, bad in {
        "fraction": value + 0.5,
        "str": str(value),
        "nan": np.nan,
        "inf": np.inf,
        "-inf": -np.inf,
        "complex": value + 0j,
        "1e300": 1e300,
        "object array": np.array([value], dtype=object),
    }.items():
        yield Case(label, bad, refuse=True)
    for label, odd in {
        "0": 0,
        "-1": -1,
        "True": True,
        "10**30": 10**30,
        "10**400": 10**400,
        "-10**30": -(10**30),
        "float": float(value),
        "array": np.array([value]),
        "1": 1,
    }.items():
        yield Case(label, odd)
    yield Case("int64", np.int64(value), same_as=value)
    yield Case("uint8", np.uint8(value), same_as=value)


def _for_number(value: float) -> Iterator[Case]:
    for label, bad in {
        "str": str(value),
        "nan": np.nan,
        "inf": np.inf,
        "-inf": -np.inf,
        "complex": complex(value, 0.5),
        "complex128": np.complex128(value),
        "object array": np.array(value, dtype=object),
        "text array": np.array(str(value)),
    }.items():
        yield Case(label, bad, refuse=True)
    for label, odd in {
        "0.0": 0.0,
        "negative": -value,
        "True": True,
        "10**30": 10**30,
        "10**400": 10**400,
        "1e300": 1e300,
        "-1e300": -1e300,
        "1e30": 1e30,
        "1e-300": 1e-300,
        "1e-320": 1e-320,
        "array of one": np.array([value]),
        "long array": np.full(7, value),
        "matrix": np.full((2, 3), value),
        "empty": np.array([]),
        "list": [value],
    }.items():
        yield Case(label, odd)
    for kind in (np.float16, np.float32):
        yield Case(kind.__name__, kind(value), same_as=float(kind(value)))
    whole = max(1, round(value))
    yield Case("int", whole, same_as=float(whole))
    yield Case("int64", np.int64(whole), same_as=float(whole))


def _for_array(value: np.ndarray) -> Iterator[Case]:
    yield from _spoilt_arrays(value)
    row = np.atleast_1d(value)
    for label, odd in {
        "one axis more": value[None],
        "two axes more": value[None, None],
        "one axis less": row[0],
        "longer": np.concatenate([row, row[..., -1:]], axis=-1),
        "more rows": np.concatenate([row, row[-1:]], axis=0),
        "empty": row[..., :0],
        "no rows": row[:0],
        "empty list": [],
        "a number": 1.5,
        "True": True,
        "0": 0 * value,
        "negative": -value,
        "1e300": np.full_like(value, 1e300),
        "times 1e300": value * 1e300,
        "times 1e30": value * 1e30,
        "times 1e-300": value * 1e-300,
        "10**30": np.full(value.shape, 10**30, dtype=object).tolist(),
        "dict": dict(enumerate(row)),
        "set": set(value.ravel().tolist()),
        "ragged": [[1.0], [1.0, 2.0]],
    }.items():
        yield Case(label, odd)
    if value.ndim == 2 and value.shape[0] == value.shape[1]:
        yield Case("larger square", np.eye(len(value) + 1))
    yield from _promoted_arrays(value)


def _spoilt_arrays(value: np.ndarray) -> Iterator[Case]:
    """Entries and dtypes that must be refused."""
    for label, entry in {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}.items():
        bad = value.copy()
        bad.flat[-1] = entry
        yield Case(label, bad, refuse=True)
    yield Case("all nan", np.full_like(value, np.nan), refuse=True)
    yield Case("complex128", value + 0.5j, refuse=True)
    yield Case("complex, real entries", value.astype(np.complex64), refuse=True)
    yield Case("text", "text", refuse=True)
    yield Case("text array", value.astype(str), refuse=True)
    yield Case("object array", value.astype(object), refuse=True)
    yield Case("Nones", np.full(value.shape, None).tolist(), refuse=True)
    yield Case("dates", value.astype("datetime64[s]"), refuse=True)
    yield Case("masked", np.ma.masked_array(value, mask=True), refuse=True)
    yield Case("no array", _Unreadable(), refuse=True)


def _promoted_arrays(value: np.ndarray) -> Iterator[Case]:
    """The same numbers in another form: the result must be that of the float64 array."""
    for kind in (np.float16, np.float32, np.longdouble):
        yield Case(kind.__name__, value.astype(kind), same_as=value.astype(kind).astype(float))
    whole = np.rint(value)
    for kind in (np.int64, np.int8, bool):
        yield Case(kind.__name__, whole.astype(kind), same_as=whole.astype(kind).astype(float))
    yield Case("list", value.tolist(), same_as=value)
    yield Case("Fortran order", np.array(value, order="F"), same_as=value)
    frozen = value.copy()
    frozen.flags.writeable = False
    yield Case("read-only", frozen, same_as=value)
    yield Case("big-endian", value.astype(">f8"), same_as=value)


def _for_function() -> Iterator[Case]:
    yield Case("3", 3, refuse=True)
    yield Case("text", "text", refuse=True)


def _for_container(value) -> Iterator[Case]:
    """Lists, tuples (named ones too) and dictionaries; their entries too, in a list."""
    yield Case("3", 3, refuse=True)
    yield Case("nan", np.nan, refuse=True)
    yield Case("empty", {} if isinstance(value, dict) else [])
    yield Case("empty array", np.array([]))
    if isinstance(value, dict):
        for label, entry in {"None": None, "text": "text", "nan": [np.nan], "number": 3}.items():
            yield Case(f"{label} in it", dict.fromkeys(value, entry), refuse=True)
        yield Case("keys of numbers", dict(enumerate(value.values())), refuse=True)
    elif isinstance(value, tuple):
        spoilt = [None if i else part for i, part in enumerate(value)]
        yield Case("None in it", type(value)(*spoilt), refuse=True)
        yield Case("text in it", type(value)(*["text"] * len(value)), refuse=True)
        yield Case("nan in it", type(value)(*(np.nan * part for part in value)), refuse=True)
    else:
        for label, entry in {"None": None, "nan": np.nan, "10**30": 10**30, "1.5": 1.5}.items():
            yield Case(f"{label} in it", [*value[:-1], entry], refuse=True)
