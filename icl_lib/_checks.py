"""Argument checks shared by every floor of the library.

NumPy only, so that `icl_lib.theory` can use them without importing torch. Each check returns the
value in the form the caller works with and raises a ``ValueError`` that names the argument, what
came and what was expected.
"""

from __future__ import annotations

import numbers
import reprlib
from collections.abc import Iterable

import numpy as np

# Products of ten numbers of this size still fit into float64, so no formula here overflows within.
LARGEST = 1e30
SMALLEST = 1e-100  # of a number that must be above 0: its inverse may be squared
LARGEST_INT = 2**63 - 1


def finite_array(name: str, value, ndim: int | None = None) -> np.ndarray:
    """Return ``value`` as a float64 array, finite and with ``ndim`` axes if that is given.

    Integers, booleans and other real precisions are promoted; complex numbers, text, objects,
    masked entries and tensors that NumPy cannot read are refused, as are entries above 1e30.
    """
    raw = _read(name, value)
    array = raw.astype(np.float64, copy=False)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, got shape {array.shape}")
    # One pass for the largest, one for the smallest entry; comparisons with NaN are false.
    if array.size and not -LARGEST <= array.min() <= array.max() <= LARGEST:
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite, got NaN or infinite entries")
        raise ValueError(
            f"{name} must have entries of at most {LARGEST:g}, as products of larger ones "
            f"overflow, got {np.abs(array).max():.6g}"
        )
    return array


def precision(value) -> float:
    """Return the spacing of numbers at 1 in the dtype that ``value`` came in, float64 or coarser.

    An identity that holds for the caller's numbers holds up to a few of these.
    """
    dtype = np.asarray(value).dtype
    finest = float(np.finfo(np.float64).eps)
    return max(finest, float(np.finfo(dtype).eps)) if dtype.kind == "f" else finest


def psd_matrix(name: str, value) -> np.ndarray:
    """Return ``value`` as a (d, d) float64 matrix, symmetric and positive semidefinite."""
    matrix = _symmetric(name, value, smallest_scale=1.0)
    smallest = np.linalg.eigvalsh(matrix)[0]
    tolerance = max(1e-10, 10 * precision(value))
    if smallest < -tolerance * max(1.0, np.abs(matrix).max()):
        raise ValueError(
            f"{name} must be positive semidefinite, got smallest eigenvalue {smallest:.3g}"
        )
    return matrix


def covariance_matrix(name: str, value) -> np.ndarray:
    """Return ``value`` as a (d, d) float64 matrix, symmetric and positive definite.

    A smallest eigenvalue below d times the rounding error of the largest counts as 0: the inverse
    would be that of the rounding error.
    """
    matrix = _symmetric(name, value, smallest_scale=0.0)
    eigenvalues = np.linalg.eigvalsh(matrix)
    if eigenvalues[0] <= len(matrix) * np.finfo(np.float64).eps * eigenvalues[-1]:
        raise ValueError(
            f"{name} must be positive definite, got smallest eigenvalue {eigenvalues[0]:.3g} "
            f"and largest {eigenvalues[-1]:.3g}"
        )
    if eigenvalues[0] < 1 / LARGEST:
        raise ValueError(
            f"{name} must have eigenvalues of at least {1 / LARGEST:g}, as the inverse of smaller "
            f"ones overflows, got {eigenvalues[0]:.3g}"
        )
    return matrix


def positive_int(name: str, value, minimum: int = 1) -> int:
    """Return ``value`` as an int from ``minimum`` to 2**63 - 1; booleans and floats are refused."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {shown(value)}")
    if int(value) > LARGEST_INT:
        raise ValueError(f"{name} must be an integer of at most 2**63 - 1, got {shown(value)}")
    return int(value)


def nonnegative(name: str, value) -> float:
    """Return ``value`` as a finite float of at least 0 (and at most 1e30)."""
    number = _number(name, value)
    if number < 0:
        raise ValueError(f"{name} must be at least 0, got {shown(value)}")
    return number


def positive(name: str, value) -> float:
    """Return ``value`` as a finite float above 0 (from 1e-100 to 1e30)."""
    number = _number(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be above 0, got {shown(value)}")
    if number < SMALLEST:
        raise ValueError(f"{name} must be at least {SMALLEST:g}, got {shown(value)}")
    return number


def flag(name: str, value) -> bool:
    """Return ``value`` if it is True or False; nothing that only counts as true."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def text(name: str, value) -> str:
    """Return ``value`` if it is a string."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text, got {shown(value)}")
    return value


def texts(name: str, values) -> list[str]:
    """Return ``values`` as a list if all of them are strings (and it is not one string)."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{name} must be a list of texts, got {shown(values)}")
    return [text(name, value) for value in values]


def indices(name: str, values, length: int) -> list[int]:
    """Return ``values`` as a list, not empty, of integers from 0 to ``length - 1``."""
    array = _read(name, values)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be a list of integers, got {shown(values)}")
    if not 0 <= array.min() <= array.max() < length:
        raise ValueError(f"{name} must lie between 0 and {length - 1}, got {shown(values)}")
    return [int(index) for index in array]


def finite_result(value: np.ndarray, *names: str) -> np.ndarray:
    """Return a result if it is finite; the ValueError says which arguments took it too far."""
    if not np.isfinite(value).all():
        raise ValueError(f"{', '.join(names)} must keep the result finite, got an overflow")
    return value


def solve(name: str, system: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return ``system^{-1} right``; ``name`` is the argument that should make it invertible."""
    try:
        return np.linalg.solve(system, right)
    except np.linalg.LinAlgError as error:
        raise ValueError(f"{name} must make the system invertible, got a singular one") from error


def shown(value) -> str:
    """Return a short text of any value for an error message."""
    if isinstance(value, numbers.Integral) and abs(int(value)) > LARGEST_INT:
        return f"an integer of {int(value).bit_length()} bits"
    return reprlib.repr(value)


def same_dim(name_a: str, a, name_b: str, b) -> None:
    """Check that the last axes of ``a`` and ``b`` have the same length."""
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(
            f"{name_a} and {name_b} must have the same last axis, "
            f"got shapes {tuple(a.shape)} and {tuple(b.shape)}"
        )


def _read(name: str, value) -> np.ndarray:
    """Return ``value`` as an array of real numbers in the dtype it has."""
    try:
        array = np.asarray(value)
    except Exception as error:  # a tensor says in its own words why NumPy cannot read it
        raise ValueError(f"{name} must be an array that NumPy can read: {error}") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must be an array of real numbers, got dtype {array.dtype}: {shown(value)}"
        )
    if np.ma.is_masked(value):
        raise ValueError(f"{name} must not be masked, got masked entries")
    return array


def _number(name: str, value) -> float:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    try:
        number = float(value) if real else np.nan
    except OverflowError:
        number = np.inf
    if not np.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {shown(value)}")
    if abs(number) > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST:g} in size, got {shown(value)}")
    return number


def _symmetric(name: str, value, smallest_scale: float) -> np.ndarray:
    matrix = finite_array(name, value, ndim=2)
    if matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise ValueError(f"{name} must be a square (d, d) matrix, got shape {matrix.shape}")
    scale = max(smallest_scale, np.abs(matrix).max())
    if np.abs(matrix - matrix.T).max() > max(1e-10, 10 * precision(value)) * scale:
        raise ValueError(f"{name} must be symmetric, got an asymmetric matrix")
    return (matrix + matrix.T) / 2
