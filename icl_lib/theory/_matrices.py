"""The matrices behind the closed forms, from arguments that have been checked; per_n is 1/N."""

from __future__ import annotations

import numpy as np


def gamma_matrix(covariance, per_n, noise_var=0.0) -> np.ndarray:
    """Return Gamma, as `optimum.gamma`."""
    shift = per_n * (np.trace(covariance) + noise_var)
    return (1 + per_n) * covariance + shift * np.eye(len(covariance))


def shrinkage(covariance, per_n) -> np.ndarray:
    """I - Gamma^{-1} Lambda = Gamma^{-1} (Lambda + tr(Lambda) I) / N, without cancellation."""
    widened = covariance + np.trace(covariance) * np.eye(len(covariance))
    return per_n * np.linalg.solve(gamma_matrix(covariance, per_n), widened)


def finite_n_bias(moment, covariance, per_n) -> float:
    """tr(W Gamma^{-2} Lambda (Lambda + tr(Lambda) I)^2) / N^2 for a (d, d) moment W of the task."""
    shrunk = shrinkage(covariance, per_n)
    return float(np.trace(moment @ shrunk @ shrunk @ covariance))


def shrunk_on_range(covariance, root, per_n, shift) -> np.ndarray:
    """[(1 + 1/N) Psi Lambda + shift I]^{-1} Psi for Psi = R R^T and ``root`` = R (d, r).

    As R [(1 + 1/N) R^T Lambda R + shift I]^{-1} R^T: (r, r) and invertible, at shift = 0 too, where
    the (d, d) system is nearly singular for a large N and loses log10(N) digits.
    """
    system = (1 + per_n) * root.T @ covariance @ root + shift * np.eye(root.shape[1])
    solution = root @ np.linalg.solve(system, root.T)
    return (solution + solution.T) / 2
