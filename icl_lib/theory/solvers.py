"""Textbook predictors that the layer is compared with.

Every solver maps a prompt ``xs`` (..., n, d), ``ys`` (..., n) and ``x_query`` (..., d) to
predictions of shape (...); the leading axes of prompt and query broadcast. NumPy in, NumPy float64
out (CPU torch tensors are read too).
Shapes that do not fit, n = 0 and entries that are not finite raise ``ValueError``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from icl_lib import _checks
from icl_lib.theory import _inputs


def least_squares(xs, ys, x_query) -> np.ndarray:
    """Predict with the minimum-norm least-squares fit: (..., n, d), (..., n), (..., d) -> (...).

    Equals ``numpy.linalg.lstsq`` per prompt; exact on noiseless linear prompts once n >= d.

    >>> float(least_squares([[1.0, 0.0], [1.0, 1.0]], [2.0, 5.0], [0.0, 2.0]).round(6))
    6.0
    """
    xs, ys, x_query = _prompt(xs, ys, x_query)
    cutoff = max(xs.shape[-2:]) * np.finfo(float).eps
    return _predict(np.linalg.pinv(xs, rcond=cutoff) @ ys[..., None], x_query)


def ridge(xs, ys, x_query, ridge) -> np.ndarray:
    """Predict with w = (X^T X + ridge I)^{-1} X^T y: (..., n, d), (..., n), (..., d) -> (...).

    Convention: ``ridge`` is added to the diagonal of the *sum* X^T X; ridge = 0 is its limit,
    ``least_squares``. Equals ``sklearn.linear_model.Ridge(alpha=ridge, fit_intercept=False)``.

    >>> float(ridge([[1.0], [1.0]], [2.0, 4.0], [1.0], 1.0))
    2.0
    """
    penalty = _checks.nonnegative("ridge", ridge)
    if penalty == 0:
        return least_squares(xs, ys, x_query)
    xs, ys, x_query = _prompt(xs, ys, x_query)
    x_t = np.swapaxes(xs, -1, -2)
    system = x_t @ xs + penalty * np.eye(xs.shape[-1])
    return _predict(_checks.solve("ridge", system, x_t @ ys[..., None]), x_query)


def averaging(xs, ys, x_query) -> np.ndarray:
    """Predict x_query . mean_i(y_i x_i): (..., n, d), (..., n), (..., d) -> (...).

    The linear layer with A = I; one gradient step of size 1 from w = 0.

    >>> float(averaging([[1.0], [1.0]], [2.0, 4.0], [1.0]))
    3.0
    """
    return gradient_descent(xs, ys, x_query, 1.0)


def gradient_descent(xs, ys, x_query, step_size, steps=1, w0=None) -> np.ndarray:
    """Predict after ``steps`` gradient steps: (..., n, d), (..., n), (..., d) -> (...).

    ``w0`` (..., d) is the start, zero by default.
    Convention: the loss is (1/2n) sum_i (<w, x_i> - y_i)^2, so the gradient is a mean.

    >>> float(gradient_descent([[1.0], [1.0]], [2.0, 4.0], [1.0], 0.5, steps=2))
    2.25
    """
    xs, ys, x_query = _prompt(xs, ys, x_query)
    step_size = _checks.nonnegative("step_size", step_size)
    w = _checks.finite_array("w0", np.zeros(xs.shape[-1]) if w0 is None else w0)
    if w.shape not in (xs.shape[-1:], xs.shape[:-2] + xs.shape[-1:]):
        raise ValueError(f"w0 must have shape (d,) or (..., d) as xs {xs.shape}, got {w.shape}")
    w, x_t = w[..., None], np.swapaxes(xs, -1, -2)
    for _ in range(_checks.positive_int("steps", steps, minimum=0)):
        w = w - step_size / xs.shape[-2] * (x_t @ (xs @ w - ys[..., None]))
    return _checks.finite_result(_predict(w, x_query), "xs", "step_size", "steps")


def bayes_linear(xs, ys, x_query, *, prior=None, noise_var) -> np.ndarray:
    """Predict with the posterior mean of w ~ N(0, Psi): (..., n, d), (..., n), (..., d) -> (...).

    ``prior`` = Psi (d, d), I by default; labels have Gaussian noise of variance ``noise_var``.
    The smallest risk of any predictor. It is ridge regression on the inputs Psi^{1/2} x; outside
    the range of Psi (as in `optimum.optimal_preconditioner`) the weights are 0.

    >>> float(bayes_linear([[1.0], [1.0]], [2.0, 4.0], [1.0], noise_var=1.0))
    2.0
    """
    noise_var = _checks.nonnegative("noise_var", noise_var)
    xs, ys, x_query = _prompt(xs, ys, x_query)
    if prior is None:
        return ridge(xs, ys, x_query, noise_var)
    root = _inputs.prior_root("prior", prior, xs)
    if not root.shape[1]:
        return np.zeros(np.broadcast_shapes(xs.shape[:-2], x_query.shape[:-1]))
    return ridge(xs @ root, ys, x_query @ root, noise_var)


def nearest_neighbours(xs, ys, x_query, k=3) -> np.ndarray:
    """Predict the mean label of the k nearest inputs: (..., n, d), (..., n), (..., d) -> (...).

    Euclidean distance; all n examples where n < k. For n >= k equals
    ``sklearn.neighbors.KNeighborsRegressor(n_neighbors=k)``.

    >>> float(nearest_neighbours([[0.0], [1.0], [9.0]], [1.0, 3.0, 5.0], [0.4], k=2))
    2.0
    """
    xs, ys, x_query = _prompt(xs, ys, x_query)
    k = min(_checks.positive_int("k", k), xs.shape[-2])
    distance = np.sum((xs - x_query[..., None, :]) ** 2, axis=-1)
    nearest = np.argsort(distance, axis=-1, kind="stable")[..., :k]
    labels = np.broadcast_to(ys, distance.shape)
    return np.take_along_axis(labels, nearest, axis=-1).mean(axis=-1)


def prefix_predictions(solver: Callable, xs, ys) -> np.ndarray:
    """Predict every label from the pairs before it: xs (..., n, d), ys (..., n) -> (..., n).

    Entry i is ``solver(xs[..., :i, :], ys[..., :i], xs[..., i, :])``; entry 0 is 0.

    >>> prefix_predictions(least_squares, [[1.0], [2.0], [3.0]], [1.0, 2.0, 3.0]).round(6).tolist()
    [0.0, 2.0, 3.0]
    """
    if not callable(solver):
        raise ValueError(f"solver must be a function, got {_checks.shown(solver)}")
    xs = _checks.finite_array("xs", xs)
    xs, ys, _ = _prompt(xs, ys, np.zeros(xs.shape[-1:]))
    predictions = np.zeros_like(ys)
    for i in range(1, ys.shape[-1]):
        answer = solver(xs[..., :i, :], ys[..., :i], xs[..., i, :])
        if np.shape(answer) != ys.shape[:-1]:
            raise ValueError(f"solver must return shape {ys.shape[:-1]}, got {np.shape(answer)}")
        predictions[..., i] = answer
    return predictions


def _predict(w, x_query) -> np.ndarray:
    """<w, x_query> for w (..., d, 1) and x_query (..., d)."""
    return np.sum(w[..., 0] * x_query, axis=-1)


def _prompt(xs, ys, x_query) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    xs, ys = _checks.finite_array("xs", xs), _checks.finite_array("ys", ys)
    x_query = _checks.finite_array("x_query", x_query)
    if xs.ndim < 2 or 0 in xs.shape[-2:]:
        raise ValueError(f"xs must have shape (..., n, d) with n, d >= 1, got {xs.shape}")
    if ys.shape != xs.shape[:-1]:
        raise ValueError(f"ys must have shape {xs.shape[:-1]}, got shape {ys.shape}")
    if x_query.ndim < 1:
        raise ValueError("x_query must have shape (..., d), got a number")
    _checks.same_dim("x_query", x_query, "xs", xs)
    try:
        np.broadcast_shapes(xs.shape[:-2], x_query.shape[:-1])
    except ValueError:
        raise ValueError(
            f"x_query must have shape (..., d) that fits xs, got {x_query.shape} and {xs.shape}"
        ) from None
    return xs, ys, x_query
