"""Random inputs for the checkers: no covariance is diagonal and no two lengths are equal.

A shortcut that is right for a diagonal covariance, for Lambda = I, or at N = M must not pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def dimension(rng: np.random.Generator, low: int = 2, high: int = 5) -> int:
    """Return a dimension from ``low`` to ``high``, both included."""
    return int(rng.integers(low, high + 1))


def length(rng: np.random.Generator, low: int = 2, high: int = 30) -> int:
    """Return a prompt length from ``low`` to ``high``."""
    return int(rng.integers(low, high + 1))


def two_lengths(rng: np.random.Generator, low: int = 2, high: int = 30) -> tuple[int, int]:
    """Return two lengths that differ, for training and test."""
    first, second = rng.choice(np.arange(low, high + 1), size=2, replace=False)
    return int(first), int(second)


def covariance(rng: np.random.Generator, d: int) -> np.ndarray:
    """Return a (d, d) covariance with turned axes and eigenvalues from about 0.2 to 3."""
    while True:
        axes = np.linalg.qr(rng.standard_normal((d, d)))[0]
        turned = (axes * np.exp(rng.uniform(-1.5, 1.1, d))) @ axes.T
        if np.abs(turned - diagonal(turned)).max() > 0.1:  # a nearly diagonal one proves nothing
            return (turned + turned.T) / 2


def prompt(
    rng: np.random.Generator, n: int, d: int, noise: float = 0.3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return xs (n, d), ys (n,) = <w, x> + noise, and x_query (d,)."""
    xs, w_star = rng.standard_normal((n, d)), rng.standard_normal(d)
    return xs, xs @ w_star + noise * rng.standard_normal(n), rng.standard_normal(d)


def prompt_case(rng: np.random.Generator, number: int) -> dict[str, Any]:
    """Return the arguments xs, ys and x_query of a short noisy prompt."""
    xs, ys, x_query = prompt(rng, length(rng, 3, 9), dimension(rng, 2, 4))
    return {"xs": xs, "ys": ys, "x_query": x_query}


def two_covariances(rng: np.random.Generator, number: int) -> dict[str, Any]:
    """Return the arguments covariance and shifted, which have no axis in common."""
    d = dimension(rng, 2, 4)
    return {"covariance": covariance(rng, d), "shifted": covariance(rng, d)}


def diagonal(matrix: np.ndarray) -> np.ndarray:
    """Return the matrix (d, d) without what is beside its diagonal."""
    return np.diag(np.diag(matrix))
