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
