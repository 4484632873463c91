"""Few-shot regression by a learner that takes a prompt for a trajectory.

Shapes: ``xs``, ``ys`` (..., N, n). NumPy in, NumPy float64 out; wrong shapes and entries that are
not finite raise ``ValueError``.
"""

from __future__ import annotations

import numpy as np

from icl_lib import _checks


def trajectory_limit(w_star, covariance) -> np.ndarray:
    """Return the matrix (n, n) that least squares on x_1, y_1, x_2, y_2, ... tends to.

    A trajectory learner regresses every element on the one before. Half of its pairs are
    (x_i, y_i), half (y_i, x_{i+1}), and x_{i+1} is independent of y_i, so with Sigma = E x x^T
    Phi = W Sigma (Sigma + W Sigma W^T)^-1. A separator 0 after each pair changes nothing: the pairs
    (y_i, 0) add the same matrix to the Gram matrix, the pairs (0, x_{i+1}) add nothing.
    Source: ours, on the prompts of von Oswald et al. 2023, Figure 8.

    Raises ``ValueError`` unless both are (n, n) and ``covariance`` is symmetric and positive
    definite.

    >>> trajectory_limit(np.eye(2), np.eye(2)).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    w_star, covariance = _task(w_star, covariance)
    gram = covariance + w_star @ covariance @ w_star.T
    return np.linalg.solve(gram, covariance @ w_star.T).T


def trajectory_floor(w_star, covariance) -> float:
    """Return the loss of :func:`trajectory_limit`: 1/2 E |y - Phi x|^2 without label noise.

    For an orthogonal W and Sigma = I / 3 it is n / 24: Phi is W / 2.
    Source: ours, on the prompts of von Oswald et al. 2023, Figure 8.

    Raises ``ValueError`` as :func:`trajectory_limit`.

    >>> round(trajectory_floor(np.eye(10), np.eye(10) / 3), 6)
    0.416667
    """
    w_star, covariance = _task(w_star, covariance)
    error = w_star - trajectory_limit(w_star, covariance)
    return float(np.trace(error @ covariance @ error.T)) / 2


def pair_ridge(xs, ys, ridge) -> np.ndarray:
    """Predict y_i from x_i by ridge regression on the pairs before it: (..., N, n).

    What a learner would do that knows where the pairs are. Row i equals
    ``sklearn.linear_model.Ridge(alpha=ridge, fit_intercept=False)`` fitted on the rows before.
    Source: von Oswald et al. 2023, Figure 8, without the pairs between two examples.

    Raises ``ValueError`` if ``xs`` and ``ys`` differ in shape or ``ridge`` is not positive.
    """
    xs, ys = _checks.finite_array("xs", xs), _checks.finite_array("ys", ys)
    if xs.ndim < 2 or xs.shape != ys.shape:
        raise ValueError(f"ys must have the shape (..., N, n) of xs, {xs.shape}, got {ys.shape}")
    ridge = _checks.positive("ridge", ridge)
    gram = _sums_before(xs[..., :, None] * xs[..., None, :]) + ridge * np.eye(xs.shape[-1])
    cross = _sums_before(ys[..., :, None] * xs[..., None, :])
    return (cross @ _checks.solve("ridge", gram, xs[..., None]))[..., 0]


def _sums_before(terms: np.ndarray) -> np.ndarray:
    """Return the sum over all earlier rows, (..., N, n, n); 0 in the first."""
    return np.cumsum(terms, axis=-3) - terms


def _task(w_star, covariance) -> tuple[np.ndarray, np.ndarray]:
    covariance = _checks.covariance_matrix("covariance", covariance)
    w_star = _checks.finite_array("w_star", w_star, ndim=2)
    if w_star.shape != covariance.shape:
        raise ValueError(f"w_star must have shape {covariance.shape}, got {w_star.shape}")
    return w_star, covariance
