"""Exact risk of the trained layer when the test prompts differ from the training prompts.

The layer keeps ``A = Gamma^{-1}`` of its training covariance and training length N; the prompt, the
query or the task is then drawn from something else (Zhang et al. 2024, section 4.2, which discusses
the limits and states no theorem; the formulas here are derived). None of the matrices need commute.
Convention: no 1/2, error against the clean target; "normalised" means divided by E y_query^2 at
w ~ N(0, I) unless a docstring says otherwise.
"""

from __future__ import annotations

import math

import numpy as np

from icl_lib import _checks
from icl_lib.theory import optimum


def query_shift_risk(covariance, query_covariance, n_train, n_test, *, noise_var=0.0) -> float:
    """Return the risk when only the query changes, to second moment ``query_covariance`` (d, d).

    Tolerated: as N and M grow the risk goes to 0 for every query law.
    Source: derived; the limit is Zhang et al. 2024, eq. (4.8).

    >>> example = np.diag([2, 1, 0.5, 0.25, 0.125])
    >>> round(query_shift_risk(example, np.eye(5), 20, 40), 5)
    1.21316
    """
    if query_covariance is None:
        raise ValueError("query_covariance must be a (d, d) matrix, got None")
    preconditioner = optimum.optimal_preconditioner(covariance, n_train)
    return optimum.preconditioner_risk(
        preconditioner,
        covariance,
        n_test,
        noise_var=noise_var,
        query_covariance=query_covariance,
    )


def covariate_shift_risk(
    train_covariance, test_covariance, n_train, n_test, *, noise_var=0.0
) -> float:
    """Return the risk when prompt inputs and query both come from ``test_covariance`` (d, d).

    Not tolerated: Gamma^{-1} inverts the training covariance, whatever the prompt shows.
    Source: derived; discussed in Zhang et al. 2024, section 4.2.

    >>> example = np.diag([2, 1, 0.5, 0.25, 0.125])
    >>> round(covariate_shift_risk(example, 4 * example, 20, 40), 2)
    95.58
    """
    train_covariance = _checks.covariance_matrix("train_covariance", train_covariance)
    test_covariance = _checks.covariance_matrix("test_covariance", test_covariance)
    preconditioner = optimum.optimal_preconditioner(train_covariance, n_train)
    _checks.same_dim("train_covariance", preconditioner, "test_covariance", test_covariance)
    return optimum.preconditioner_risk(preconditioner, test_covariance, n_test, noise_var=noise_var)


def task_shift_risk(covariance, w, n_train, n_test, *, noise_var=0.0) -> float:
    """Return the risk on one fixed task w (d,), of any size and direction.

    Tolerated: w -> c w scales the noiseless risk by c^2, so the relative error stays.
    Source: Zhang et al. 2024, Theorem 4.2, for linear labels.

    >>> example = np.diag([2, 1, 0.5, 0.25, 0.125])
    >>> round(task_shift_risk(example, [1, -1, 0.5, 2, 0], 20, 40), 6)
    0.591526
    """
    if w is None:
        raise ValueError("w must be a vector of shape (d,), got None")
    return optimum.risk(covariance, n_train, n_test, w=w, noise_var=noise_var).total


def scaling_limit(scale) -> float:
    """Return (c^2 - 1)^2, the normalised error on inputs scaled by c as N, M -> inf.

    The prediction tends to c^2 times the target, for every training covariance.
    Source: derived from Zhang et al. 2024, section 4.2.

    >>> scaling_limit(2)
    9.0
    """
    return (_checks.nonnegative("scale", scale) ** 2 - 1) ** 2


def orthant_limit(d) -> float:
    """Return (2/pi)^2 (d - 1), the normalised error when a prompt keeps to one random orthant.

    Training is on I_d with N, M -> inf and the query is again N(0, I_d); the prompt's second
    moment has off-diagonal entries +-2/pi that the layer never saw.
    Source: derived; the setting is that of Garg et al. 2022.

    >>> round(orthant_limit(20), 2)
    7.7
    """
    return (2 / math.pi) ** 2 * (_checks.positive_int("d", d) - 1)


def subspace_limit(d, k) -> float:
    """Return (d/k - 1)^2, the normalised error when all inputs lie in a random k-dim subspace.

    Training is on I_d with N, M -> inf; prompt and query are projected and multiplied by
    sqrt(d/k), which keeps E ||x||^2 = d, so the layer answers (d/k) times the target.
    Source: derived; the setting is that of Garg et al. 2022.

    >>> subspace_limit(20, 10)
    1.0
    """
    d, k = _checks.positive_int("d", d), _checks.positive_int("k", k)
    if k > d:
        raise ValueError(f"k must be at most d = {d}, got {k}")
    return (d / k - 1) ** 2


def skewed_limit(eigenvalues) -> float:
    """Return sum lam (lam - 1)^2 / sum lam for test eigenvalues lam (d,), N, M -> inf.

    The normalised error of a layer trained on I_d and tested, prompt and query, on a covariance
    with these eigenvalues in any basis. Garg et al. 2022 scale them to sum to d.
    Source: derived.

    >>> skewed_limit([1.0, 1.0])
    0.0
    >>> spectrum = 1.0 / np.arange(1, 21) ** 2
    >>> round(skewed_limit(20 * spectrum / spectrum.sum()), 1)
    84.1
    """
    eigenvalues = _checks.finite_array("eigenvalues", eigenvalues, ndim=1)
    if (eigenvalues < 0).any() or not eigenvalues.any():
        raise ValueError(f"eigenvalues must be at least 0 and not all 0, got {eigenvalues}")
    return float(np.sum(eigenvalues * (eigenvalues - 1) ** 2) / eigenvalues.sum())
