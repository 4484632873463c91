"""Argument checks that only the closed forms need: prompt lengths, and shapes that fit Lambda."""

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
    """Return ``value`` as a (d, d) matrix Theta with ||Theta Theta^T||_F = 1 (to 1e-8)."""
    theta = _checks.finite_array(name, value, ndim=2)
    if theta.shape != (d, d):
        raise ValueError(f"{name} must have shape {(d, d)}, got shape {theta.shape}")
    size = np.linalg.norm(theta @ theta.T)
    if abs(size - 1) > 1e-8:
        raise ValueError(f"{name} must have ||theta theta^T||_F = 1, got {size:.6g}")
    return theta


def state_like(u11, u, covariance) -> tuple[np.ndarray, np.ndarray]:
    """Return u11 (..., d, d) and u (...) as arrays whose shapes fit each other and Lambda."""
    u11, u = _checks.finite_array("u11", u11), _checks.finite_array("u", u)
    if u11.shape[-2:] != covariance.shape or u11.ndim < 2:
        raise ValueError(f"u11 must end in shape {covariance.shape}, got shape {u11.shape}")
    if u.shape not in ((), u11.shape[:-2]):
        raise ValueError(f"u must have shape {u11.shape[:-2]}, got shape {u.shape}")
    return u11, u
