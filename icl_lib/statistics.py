"""Standard errors: of a mean, of a regression, and a vector's distance from theory in errors.

NumPy only. A claim that compares theory with a random measurement needs one of these.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from icl_lib._checks import finite_array


class Estimate(NamedTuple):
    """A measured number and its standard error."""

    value: float
    se: float


def mean_and_se(samples) -> Estimate:
    """Return the mean of independent ``samples`` (S,) and its standard error.

    Raises
    ------
    ValueError
        If there are fewer than two samples, or they are not finite.

    Examples
    --------
    >>> mean_and_se([1.0, 2.0, 3.0, 4.0])
    Estimate(value=2.5, se=0.6454972243679028)
    """
    samples = finite_array("samples", samples, ndim=1)
    if len(samples) < 2:
        raise ValueError(f"samples must be at least two, got {len(samples)}")
    return Estimate(float(samples.mean()), float(samples.std(ddof=1) / len(samples) ** 0.5))


def mean_and_covariance(samples) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (k,) of independent ``samples`` (S, k) and that mean's covariance (k, k).

    Raises
    ------
    ValueError
        If there are fewer than k + 2 samples, or they are not finite.
    """
    samples = finite_array("samples", samples, ndim=2)
    if len(samples) < samples.shape[1] + 2:
        raise ValueError(f"samples must be at least {samples.shape[1] + 2}, got {len(samples)}")
    covariance = np.atleast_2d(np.cov(samples, rowvar=False)) / len(samples)
    return samples.mean(0), covariance


def regression(features, target) -> tuple[np.ndarray, np.ndarray]:
    """Return least-squares coefficients (k,) and their covariance (k, k), any noise admitted.

    The covariance is the sandwich of White (1980): the residuals may have another variance in every
    row. Equals ``statsmodels.api.OLS(target, features).fit(cov_type="HC0")``.

    Parameters
    ----------
    features : (S, k), S above k, of full rank
    target : (S,)

    Raises
    ------
    ValueError
        If the shapes do not fit, or the features are not of full rank.
    """
    features, target = finite_array("features", features, 2), finite_array("target", target, 1)
    if len(features) != len(target) or len(features) <= features.shape[1]:
        raise ValueError(
            f"features must have shape (S, k) with S above k, a row for each target, got shapes "
            f"{features.shape} and {target.shape}"
        )
    gram = features.T @ features
    if np.linalg.matrix_rank(gram, hermitian=True) < len(gram):
        raise ValueError("features must be of full rank, got columns that depend on each other")
    coefficients = np.linalg.solve(gram, features.T @ target)
    residuals = target - features @ coefficients
    weighted = features * residuals[:, None]
    bread = np.linalg.inv(gram)
    return coefficients, bread @ (weighted.T @ weighted) @ bread


def distance_in_errors(difference, covariance) -> Estimate:
    """Return how far a measured vector is from theory: its mean square in standard errors, about 1.

    ``difference`` (k,) is measured minus expected, ``covariance`` (k, k) that of the measurement.
    The value is d' C^-1 d / k. If the theory is right and the measurement a mean of many samples,
    k times the value is chi-squared with k degrees of freedom (Wald's test): mean 1, standard
    error sqrt(2 / k).

    Raises
    ------
    ValueError
        If the shapes do not fit, or the covariance is singular.
    """
    difference = finite_array("difference", difference, ndim=1)
    covariance = finite_array("covariance", covariance, ndim=2)
    k = len(difference)
    if covariance.shape != (k, k) or k == 0:
        raise ValueError(f"covariance must have shape {(k, k)}, got shape {covariance.shape}")
    if np.linalg.matrix_rank(covariance, hermitian=True) < k:
        raise ValueError("covariance must be invertible, got a singular matrix")
    value = difference @ np.linalg.solve(covariance, difference) / k
    return Estimate(float(value), (2 / k) ** 0.5)
