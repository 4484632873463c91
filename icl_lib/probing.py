"""Linear probes: what can be read off an activation with one matrix, in-sample and held-out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from icl_lib._checks import finite_array, nonnegative


class Probe(NamedTuple):
    """A fitted probe: ``weights`` (p, k) and ``intercept`` (k,)."""

    weights: np.ndarray
    intercept: np.ndarray

    def predict(self, features) -> np.ndarray:
        """Return the predictions (n, k) for features (n, p)."""
        x = finite_array("features", features, ndim=2)
        if x.shape[1] != len(self.weights):
            raise ValueError(f"features must have {len(self.weights)} columns, got {x.shape[1]}")
        return x @ self.weights + self.intercept


def fit_probe(features, targets, *, ridge: float = 0.0) -> Probe:
    """Fit targets (n, k) from features (n, p) by least squares with an intercept.

    Convention: minimises the sum of squared errors plus ``ridge`` times the squared norm of the
    weights; ``ridge=0`` gives the solution of minimum norm. Equals
    ``sklearn.linear_model.Ridge(alpha=ridge)`` for ridge > 0.

    Raises
    ------
    ValueError
        If the shapes do not fit, entries are not finite or ``ridge`` is negative.
    """
    x, y = finite_array("features", features, ndim=2), finite_array("targets", targets, ndim=2)
    if len(x) != len(y):
        raise ValueError(f"targets must have {len(x)} rows, as features, got {len(y)}")
    if len(x) == 0:
        raise ValueError("features must have at least one row, got none")
    nonnegative("ridge", ridge)
    x_mean, y_mean = x.mean(0), y.mean(0)
    centred, residual = x - x_mean, y - y_mean
    if ridge == 0:
        weights = np.linalg.lstsq(centred, residual, rcond=None)[0]
    else:
        gram = centred.T @ centred + ridge * np.eye(x.shape[1])
        weights = np.linalg.solve(gram, centred.T @ residual)
    return Probe(weights, y_mean - x_mean @ weights)


def unexplained_variance(probe: Probe, features, targets) -> float:
    """Return the share of the targets' variance that the probe leaves: 0 perfect, 1 the mean.

    On the data of the fit it is in-sample; a probe with as many features as rows always scores 0
    there, so report it on held-out rows too.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the targets are constant.
    """
    y, predicted = finite_array("targets", targets, ndim=2), probe.predict(features)
    if y.shape != predicted.shape:
        raise ValueError(f"targets must have shape {predicted.shape}, got {y.shape}")
    total = ((y - y.mean(0)) ** 2).sum()
    if not total > 0:
        raise ValueError("targets must vary, got the same row throughout")
    return float(((y - predicted) ** 2).sum() / total)
