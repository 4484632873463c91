"""Linear probes: what can be read off an activation with one matrix, in-sample and held-out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from icl_lib._checks import finite_array, flag, indices, nonnegative, positive_int, shown, solve


class Probe(NamedTuple):
    """A fitted probe: ``weights`` (p, k) and ``intercept`` (k,)."""

    weights: np.ndarray
    intercept: np.ndarray

    def predict(self, features) -> np.ndarray:
        """Return the predictions (n, k) for features (n, p)."""
        x = finite_array("features", features, ndim=2)
        weights = finite_array("probe.weights", self.weights, ndim=2)
        if x.shape[1] != len(weights):
            raise ValueError(f"features must have {len(weights)} columns, got {x.shape[1]}")
        return x @ weights + finite_array("probe.intercept", self.intercept, ndim=1)


def fit_probe(features, targets, *, ridge: float = 0.0, intercept: bool = True) -> Probe:
    """Fit targets (n, k) from features (n, p) by least squares, with an intercept unless told not.

    Convention: minimises the sum of squared errors plus ``ridge`` times the squared norm of the
    weights; ``ridge=0`` gives the solution of minimum norm. Equals
    ``sklearn.linear_model.Ridge(alpha=ridge, fit_intercept=intercept)`` for ridge > 0.

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
    ridge, intercept = nonnegative("ridge", ridge), flag("intercept", intercept)
    x_mean, y_mean = x.mean(0), y.mean(0)
    if not intercept:
        x_mean, y_mean = np.zeros_like(x_mean), np.zeros_like(y_mean)
    centred, residual = x - x_mean, y - y_mean
    if ridge == 0:
        weights = np.linalg.lstsq(centred, residual, rcond=None)[0]
    else:
        gram = centred.T @ centred + ridge * np.eye(x.shape[1])
        weights = solve("ridge", gram, centred.T @ residual)
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
    if not isinstance(probe, Probe):
        raise ValueError(f"probe must be what fit_probe returns, got {shown(probe)}")
    y, predicted = finite_array("targets", targets, ndim=2), probe.predict(features)
    if y.shape != predicted.shape:
        raise ValueError(f"targets must have shape {predicted.shape}, got {y.shape}")
    total = ((y - y.mean(0)) ** 2).sum()
    if not total > 0:
        raise ValueError("targets must vary, got the same row throughout")
    return float(((y - predicted) ** 2).sum() / total)


class ProbeErrors(NamedTuple):
    """Errors of linear probes, (layers, positions) each, 1/2 the squared error summed over targets.

    ``in_sample`` is measured on the rows of the fit, ``held_out`` on the others.
    """

    in_sample: np.ndarray
    held_out: np.ndarray


def probe_errors(
    streams, targets, positions, *, n_fit: int, ridge: float = 0.0, intercept: bool = False
) -> ProbeErrors:
    """Fit a probe for every layer and position: streams (L, B, T, p), targets (B, T, k).

    Source: von Oswald et al. 2023, probing protocol: one least-squares fit (minimum norm, no
    intercept) a layer and position, scored on the same 256 sequences. We fit on the first ``n_fit``
    sequences and score on these and on all others.

    Parameters
    ----------
    streams : (L, B, T, p) activations
    targets : (B, T, k) what is read off
    positions : indices of the positions, 0 the first
    n_fit : sequences of the fit, fewer than B
    ridge, intercept : as in :func:`fit_probe`

    Raises
    ------
    ValueError
        If the shapes do not fit, ``n_fit`` leaves no sequence on one of the sides, or ``positions``
        are not integers from 0 to T - 1.
    """
    x, y = finite_array("streams", streams, ndim=4), finite_array("targets", targets, ndim=3)
    if x.shape[1:3] != y.shape[:2] or not y.shape[2]:
        raise ValueError(f"targets must have shape {x.shape[1:3]} + (k,), got {y.shape}")
    if not 0 < positive_int("n_fit", n_fit) < x.shape[1]:
        raise ValueError(f"n_fit must be below the {x.shape[1]} sequences, got {n_fit}")
    positions = indices("positions", positions, x.shape[2])
    table = np.zeros((2, x.shape[0], len(positions)))
    for layer, part in enumerate(x):
        for column, t in enumerate(positions):
            probe = fit_probe(part[:n_fit, t], y[:n_fit, t], ridge=ridge, intercept=intercept)
            squares = ((probe.predict(part[:, t]) - y[:, t]) ** 2).sum(-1) / 2
            table[:, layer, column] = squares[:n_fit].mean(), squares[n_fit:].mean()
    return ProbeErrors(*table)


def token_probe_errors(
    features, states, positions, *, n_fit: int, ridge: float = 0.0
) -> ProbeErrors:
    """Decode the elements s_t' of a sequence from features (B, p), states (B, T, n).

    Source: von Oswald et al. 2023, Figure 2A: which elements does the first layer's output at the
    last position hold? They fit and score on the same 256 sequences, without an intercept.
    Convention: the mean squared error of one coordinate, without 1/2; results are (positions,).

    Raises
    ------
    ValueError
        If the shapes do not fit or ``n_fit`` leaves no sequence on one of the sides.
    """
    x, y = finite_array("features", features, ndim=2), finite_array("states", states, ndim=3)
    if len(x) != len(y):
        raise ValueError(f"states must hold {len(x)} sequences, as features, got {len(y)}")
    if not y.shape[2]:
        raise ValueError(f"states must have shape (B, T, n) with n >= 1, got {y.shape}")
    positions = indices("positions", positions, y.shape[1])
    wanted = np.moveaxis(y[:, positions], 1, 0)  # (positions, B, n)
    table = [
        probe_errors(
            x[None, :, None], target[:, None], [0], n_fit=n_fit, ridge=ridge, intercept=False
        )
        for target in wanted
    ]
    per_coordinate = 2 * np.array(table)[..., 0, 0] / y.shape[-1]
    return ProbeErrors(*per_coordinate.T)
