"""Arrays of a contest: torch or NumPy in, float64 NumPy inside; and whether two samples overlap."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from numbers import Number

import numpy as np


def numbers(name: str, value) -> np.ndarray:
    """Return an array or tensor as a float64 copy, finite and real.

    Raises
    ------
    ValueError
        Naming ``name`` if ``value`` is something else, complex, NaN or infinite.
    """
    if hasattr(value, "detach"):  # a torch tensor, on whatever device and of whatever precision
        value = value.detach().cpu()
        value = (value if value.is_complex() else value.double()).numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array of numbers, got {value!r}") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be an array of real numbers, got type {array.dtype}")
    array = array.astype(np.float64)
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise ValueError(
            f"{name} must be finite, got {bad} NaN or infinite of {array.size} entries"
        )
    return array


def targets_array(name: str, value) -> np.ndarray:
    """Return targets (B,), (B, T) or (B, T, n) as float64, with at least two prompts."""
    array = numbers(name, value)
    if array.ndim not in (1, 2, 3) or 0 in array.shape or len(array) < 2:
        raise ValueError(
            f"{name} must have shape (B,), (B, T) or (B, T, n) with at least 2 prompts, "
            f"got shape {array.shape}"
        )
    return array


def squared_errors(name: str, predictions, targets: np.ndarray, clip: float | None) -> np.ndarray:
    """Return the squared errors (B, T) of clipped predictions, summed over n; T = 1 for (B,).

    Raises
    ------
    ValueError
        Naming ``name`` if the predictions are not finite, have not the targets' shape or are so
        large that their errors are not finite.
    """
    array = numbers(name, predictions)
    if array.ndim and len(array) != len(targets):
        raise ValueError(f"{name} hold {len(array)} prompts, the targets {len(targets)}")
    if array.shape != targets.shape:
        raise ValueError(
            f"{name} must have the targets' shape {targets.shape}, got shape {array.shape}"
        )
    if clip is not None:
        array = np.clip(array, -clip, clip)
    with np.errstate(over="ignore"):
        squares = (array - targets) ** 2
        squares = squares.sum(-1) if squares.ndim == 3 else squares.reshape(len(squares), -1)
    if not np.isfinite(squares).all():
        raise ValueError(f"{name} must have finite squared errors, got {np.abs(array).max():.3g}")
    return squares


def leaves(prompts) -> list[np.ndarray]:
    """Return the arrays of numbers in prompts: an array, or a tuple, dict or dataclass of them."""
    if hasattr(prompts, "detach"):
        prompts = prompts.detach().cpu()
        return [(prompts if prompts.is_complex() else prompts.double()).numpy()]
    if dataclasses.is_dataclass(prompts) and not isinstance(prompts, type):
        prompts = [getattr(prompts, field.name) for field in dataclasses.fields(prompts)]
    if isinstance(prompts, Mapping):
        prompts = list(prompts.values())
    if isinstance(prompts, tuple | list) and not all(isinstance(p, Number) for p in prompts):
        return [leaf for part in prompts for leaf in leaves(part)]
    try:
        array = np.asarray(prompts)
    except (TypeError, ValueError):
        return []
    return [array] if array.dtype.kind in "biufc" else []


def fingerprint(*data) -> bytes:
    """Return a hash of all numbers in ``data``, to see whether somebody changed them."""
    digest = hashlib.sha256()
    for leaf in leaves(data):
        digest.update(repr((leaf.shape, leaf.dtype.str)).encode())
        digest.update(leaf.tobytes())
    return digest.digest()


def shared_prompts(prompts, targets: np.ndarray, other_prompts, other_targets: np.ndarray) -> int:
    """Return how many prompts of the first sample are in the second.

    Order, container and precision do not matter, and other targets do not make a prompt another
    one. All are shared if the targets are equal as a whole: then that is all there is to compare,
    or the same data came in another form.
    """
    if np.array_equal(targets, other_targets):
        return len(targets)
    known = set(_rows(other_prompts, len(other_targets)))
    return sum(row in known for row in _rows(prompts, len(targets)))


def _rows(prompts, count: int) -> list[bytes]:
    """One bytes object a prompt, in single precision so that a float32 copy is still the same."""
    parts = [leaf for leaf in leaves(prompts) if leaf.ndim and len(leaf) == count]
    if not parts:
        return []
    with np.errstate(over="ignore"):
        flat = [
            part.reshape(count, -1).astype(np.complex64 if part.dtype.kind == "c" else np.float32)
            for part in parts
        ]
    return [row.tobytes() for row in np.concatenate(flat, axis=1) + 0.0]  # -0 becomes 0
