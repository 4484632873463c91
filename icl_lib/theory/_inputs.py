"""Argument checks that only the theory needs: prompt lengths, and shapes that fit each other."""

from __future__ import annotations

import math

import numpy as np

from icl_lib import _checks


def inverse_length(name: str, value) -> float:
    """Return 1/value for a prompt length: an integer of at least 1, or ``math.inf`` (gives 0)."""
    if isinstance(value, float) and value == math.inf:
        return 0.0
    return 1.0 / _checks.positive_int(name, value)


def prior_like(name: str, value, covariance) -> np.ndarray:
    """Return the covariance of the tasks w, shape (d, d): ``value``, or I where it is None."""
    return psd_like(name, np.eye(len(covariance)) if value is None else value, covariance)


def prior_root(name: str, value, like) -> np.ndarray:
    """Return R (d, r) with R R^T = Psi and r its rank, for the (d, d) prior ``value``, I if None.

    ``like`` has d as its last axis. Eigenvalues of at most d times the rounding error of the
    largest, in the dtype the prior came in, count as 0: they are what rounding leaves of 0.
    """
    d = like.shape[-1]
    if value is None:
        return np.eye(d)
    eigenvalues, basis = np.linalg.eigh(_checks.psd_matrix(name, value))
    if len(basis) != d:
        raise ValueError(f"{name} must have shape {(d, d)}, got shape {basis.shape}")
    held = eigenvalues > d * _checks.precision(value) * eigenvalues[-1]
    first = d - np.count_nonzero(held)  # eigenvalues ascend
    return basis[:, first:] * np.sqrt(eigenvalues[first:])


def psd_like(name: str, value, covariance) -> np.ndarray:
    """Return ``value`` as a positive semidefinite (d, d) matrix that fits the covariance."""
    matrix = _checks.psd_matrix(name, value)
    _checks.same_dim(name, matrix, "covariance", covariance)
    return matrix


def square_like(name: str, value, covariance) -> np.ndarray:
    """Return ``value`` as any finite (d, d) matrix that fits the covariance."""
    matrix = _checks.finite_array(name, value, ndim=2)
    if matrix.shape != covariance.shape:
        raise ValueError(f"{name} must have shape {covariance.shape}, got shape {matrix.shape}")
    return matrix


def outer_square(name: str, value, covariance) -> np.ndarray:
    """Return v v^T, shape (d, d), for a (d,) vector ``value`` that fits the covariance."""
    vector = vector_like(name, value, covariance)
    return np.outer(vector, vector)


def vector_like(name: str, value, covariance) -> np.ndarray:
    """Return ``value`` as a (d,) vector that fits the covariance."""
    vector = _checks.finite_array(name, value, ndim=1)
    _checks.same_dim(name, vector, "covariance", covariance)
    return vector


def normalised_theta(name: str, value, d: int) -> np.ndarray:
    """Return ``value`` as a (d, d) matrix Theta with ||Theta Theta^T||_F = 1.

    To 1e-8, and in lower precision to ten times the rounding error of the dtype it came in.
    """
    theta = _checks.finite_array(name, value, ndim=2)
    if theta.shape != (d, d):
        raise ValueError(f"{name} must have shape {(d, d)}, got shape {theta.shape}")
    size = np.linalg.norm(theta @ theta.T)
    tolerance = max(1e-8, 10 * _checks.precision(value))
    if abs(size - 1) > tolerance:
        raise ValueError(
            f"{name} must have ||theta theta^T||_F = 1 to {tolerance:.1g}, got {size:.12g}"
        )
    return theta


def state_like(u11, u, covariance) -> tuple[np.ndarray, np.ndarray]:
    """Return u11 (..., d, d) and u (...) as arrays whose shapes fit each other and Lambda."""
    u11, u = _checks.finite_array("u11", u11), _checks.finite_array("u", u)
    if u11.shape[-2:] != covariance.shape or u11.ndim < 2:
        raise ValueError(f"u11 must end in shape {covariance.shape}, got shape {u11.shape}")
    if u.shape not in ((), u11.shape[:-2]):
        raise ValueError(f"u must have shape {u11.shape[:-2]}, got shape {u.shape}")
    return u11, u


def law_like(name: str, value) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the three arrays (d,), (d,), (d, d) of `random_covariance.Moments`."""
    try:
        gamma, xi, zeta = value
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be the three arrays of random_covariance.moments, "
            f"got {_checks.shown(value)}"
        ) from None
    gamma, xi = _checks.finite_array(name, gamma, ndim=1), _checks.finite_array(name, xi, ndim=1)
    zeta = _checks.finite_array(name, zeta, ndim=2)
    if not gamma.shape == xi.shape or zeta.shape != 2 * xi.shape or not xi.size:
        raise ValueError(f"{name} must have shapes (d,), (d,), (d, d), got zeta {zeta.shape}")
    return gamma, xi, zeta


def shaped(name: str, value, *shapes) -> np.ndarray:
    """Return ``value`` of one of the shapes, broadcast to the last of them."""
    array, expected = _checks.finite_array(name, value), " or ".join(map(str, shapes))
    if array.shape not in shapes:
        raise ValueError(f"{name} must have shape {expected}, got shape {array.shape}")
    return np.broadcast_to(array, shapes[-1])
