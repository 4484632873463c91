"""Argument checks shared by every floor of the library.

NumPy only, so that `icl_lib.theory` can use them without importing torch. Each check returns the
value in the form the caller works with and raises a ``ValueError`` that names the argument, what
came and what was expected.
"""

from __future__ import annotations

import numbers

import numpy as np


def finite_array(name: str, value, ndim: int | None = None) -> np.ndarray:
    """Return ``value`` as a float64 array, finite and with ``ndim`` axes if that is given."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers, got {value!r}") from error
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinite entries")
    return array


def psd_matrix(name: str, value) -> np.ndarray:
    """Return ``value`` as a (d, d) float64 matrix, symmetric and positive semidefinite."""
    matrix = _symmetric(name, value)
    smallest = np.linalg.eigvalsh(matrix)[0]
    if smallest < -1e-10 * max(1.0, np.abs(matrix).max()):
        raise ValueError(
            f"{name} must be positive semidefinite, got smallest eigenvalue {smallest:.3g}"
        )
    return matrix


def covariance_matrix(name: str, value) -> np.ndarray:
    """Return ``value`` as a (d, d) float64 matrix, symmetric and positive definite."""
    matrix = _symmetric(name, value)
    smallest = np.linalg.eigvalsh(matrix)[0]
    if smallest <= 0:
        raise ValueError(
            f"{name} must be positive definite, got smallest eigenvalue {smallest:.3g}"
        )
    return matrix


def positive_int(name: str, value, minimum: int = 1) -> int:
    """Return ``value`` as an int of at least ``minimum``; booleans and floats are refused."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}")
    return int(value)


def nonnegative(name: str, value) -> float:
    """Return ``value`` as a finite float of at least 0."""
    number = _number(name, value)
    if number < 0:
        raise ValueError(f"{name} must be at least 0, got {value!r}")
    return number


def positive(name: str, value) -> float:
    """Return ``value`` as a finite float above 0."""
    number = _number(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be above 0, got {value!r}")
    return number


def same_dim(name_a: str, a, name_b: str, b) -> None:
    """Check that the last axes of ``a`` and ``b`` have the same length."""
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(
            f"{name_a} and {name_b} must have the same last axis, "
            f"got shapes {tuple(a.shape)} and {tuple(b.shape)}"
        )


def _number(name: str, value) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not np.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return float(value)


def _symmetric(name: str, value) -> np.ndarray:
    matrix = finite_array(name, value, ndim=2)
    if matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise ValueError(f"{name} must be a square (d, d) matrix, got shape {matrix.shape}")
    scale = max(1.0, np.abs(matrix).max())
    if np.abs(matrix - matrix.T).max() > 1e-10 * scale:
        raise ValueError(f"{name} must be symmetric, got an asymmetric matrix")
    return (matrix + matrix.T) / 2
