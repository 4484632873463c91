"""What a reader's function returned: whether it can be read, and how it relates to the right one.

An output is a tuple of float arrays; a function that returns one array has a tuple of one.
"""

from __future__ import annotations

import numpy as np

Output = tuple[np.ndarray, ...]


def unchanged(output: Output) -> Output:
    """Return the output as it is."""
    return output


def read(value, parts_expected: int = 1) -> Output:
    """Return ``value``, an array or a tuple (or list, if several are expected), as an output."""
    is_list = isinstance(value, list) and len(value) == parts_expected > 1
    parts = value if isinstance(value, tuple) or is_list else (value,)
    return tuple(np.asarray(part, dtype=float) for part in parts)


def unreadable(value, returns: str) -> str:
    """Return what is wrong with a value that is no finite real array or tuple of them, or ''."""
    if value is None or value is ...:
        return (
            "your function returned nothing. "
            f"Hint: it should end with a `return`, and return {returns}."
        )
    parts = value if isinstance(value, tuple) else (value,)
    for part in parts:
        try:
            array = np.asarray(part)
        except Exception as error:  # a tensor says in its own words why NumPy cannot read it
            return f"NumPy cannot read what your function returned: {error}. Hint: use NumPy only."
        if array.dtype.kind == "c":
            return (
                "your function returned complex numbers. Hint: where does a square root of a "
                "negative number or an eigenvalue of an asymmetric matrix come in?"
            )
        if array.dtype.kind not in "iuf" or not array.size:
            return f"your function returned {_kind(part, array)}. Hint: it should return {returns}."
        if not np.isfinite(array).all():
            return (
                "your function returned NaN or infinity. "
                "Hint: look for a division by zero, or for the logarithm or root of a number "
                "that is not positive."
            )
    return ""


def changed(before: dict, after: dict) -> str:
    """Return a message if the function has changed an argument in place, or ''."""
    for name, value in before.items():
        if not np.array_equal(value, after[name]):
            return (
                f"your function changes its argument {name}. Hint: `+=` and assignments to "
                "entries change the caller's array; work on a copy."
            )
    return ""


def same(got: Output, expected: Output, tolerance: float) -> bool:
    """Return whether the outputs have the same shapes and entries, relative to the largest one."""
    if [part.shape for part in got] != [part.shape for part in expected]:
        return False
    return all(
        np.abs(g - e).max() <= tolerance * (np.abs(e).max() + 1e-3)
        for g, e in zip(got, expected, strict=True)
    )


def all_same(got: list[Output], expected: list[Output], tolerance: float) -> bool:
    """Return whether two lists of outputs agree on every input."""
    return all(same(g, e, tolerance) for g, e in zip(got, expected, strict=True))


def deviation(got: Output, right: Output, tolerance: float) -> str:
    """Say how far an output is from the right one, in words."""
    if len(got) != len(right):
        return f"it returned {_count(len(got))} where {_count(len(right))} belong"
    for place, (g, r) in enumerate(zip(got, right, strict=True), start=1):
        which = f"value {place} " if len(right) > 1 else ""
        if g.shape != r.shape:
            return f"{which or 'it '}has the shape {g.shape} and not {r.shape}"
        error, scale = np.abs(g - r).max(), np.abs(r).max()
        if not same((g,), (r,), tolerance):
            share = f", {100 * error / scale:.2g} % of the right value" if scale else ""
            entry = " in one entry" if r.ndim and r.size > 1 else ""
            return f"{which}off by {error:.3g}{entry}{share if not r.ndim else ''}"
    return "off"


def relation(got: list[Output], right: list[Output], returns: str, tolerance: float) -> str:
    """Return a plain fact that relates all outputs to the right ones, or ''."""
    if [len(g) for g in got] != [len(r) for r in right]:
        return f"it should return {returns}."
    if all_same([g[::-1] for g in got], right, tolerance) and len(right[0]) > 1:
        return "the values are right and come in the wrong order."
    if all_same(
        [_map(np.squeeze, g) for g in got], [_map(np.squeeze, r) for r in right], tolerance
    ):
        return f"the values are right and only their shape is not; return {returns}."
    if [_shapes(g) for g in got] != [_shapes(r) for r in right]:
        if all_same([_map(np.transpose, g) for g in got], right, tolerance):
            return "it is the transpose of the right result."
        return f"it should return {returns}."
    if all_same([_map(np.transpose, g) for g in got], right, tolerance):
        return "it is the transpose of the right result."
    if all_same([_map(np.negative, g) for g in got], right, tolerance):
        return "it has the opposite sign on every input."
    return _one_constant(got, right, tolerance)


def _one_constant(got: list[Output], right: list[Output], tolerance: float) -> str:
    """Return whether one factor, one number or a small deviation separates all outputs."""
    g, r = (np.concatenate([part.ravel() for o in side for part in o]) for side in (got, right))
    factor = (g @ r) / (r @ r) if r.any() else 0.0
    if factor and np.allclose(g, factor * r, rtol=0, atol=tolerance * np.abs(g).max()):
        return f"it is {factor:.4g} times the right result on every input."
    offset = np.mean(g - r)
    if np.allclose(g, r + offset, rtol=0, atol=tolerance * (np.abs(r).max() + abs(offset))):
        return f"it is the right result plus {offset:.4g} on every input."
    largest = max(
        np.abs(a - b).max() / max(np.abs(b).max(), 1e-3)
        for gs, rs in zip(got, right, strict=True)
        for a, b in zip(gs, rs, strict=True)
    )
    if largest < 0.01:
        return (
            f"it is nearly right on every input, within {100 * largest:.2g} %: does it round, stop "
            "an iteration early, use a coarse grid, or leave out something small?"
        )
    return ""


def _map(function, output: Output) -> Output:
    return tuple(function(part) for part in output)


def _shapes(output: Output) -> list[tuple[int, ...]]:
    return [part.shape for part in output]


def _count(parts: int) -> str:
    return "one value" if parts == 1 else f"{parts} values"


def _kind(part, array: np.ndarray) -> str:
    if not array.size:
        return f"an empty array of shape {array.shape}"
    if array.dtype.kind == "b":
        return "True or False, or an array of them"
    return f"something that is not a number: {type(part).__name__}"
