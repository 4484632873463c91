"""One layer, one covariance drawn per prompt (Zhang et al. 2024, Theorem 4.5).

Per prompt ``Lambda = diag(lambda_1, ..., lambda_d)`` with independent positive coordinates; they
enter through their first three raw moments ``m1``, ``m2``, ``m3``, arrays of shape (d,). A single
fixed matrix B cannot invert every Lambda, so the error stays away from 0 even as N, M -> inf.
The exponential formulas are for coordinates that are Exponential(1), times ``scale`` at test time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from icl_lib import _checks
from icl_lib.theory import _inputs, optimum
from icl_lib.theory.optimum import OptimalWeights


class Moments(NamedTuple):
    """Moments of Lambda that the loss sees: gamma (d,), xi (d,), zeta (d, d)."""

    gamma: np.ndarray
    xi: np.ndarray
    zeta: np.ndarray


def moments(m1, m2, m3, n_train) -> Moments:
    """Return gamma (d,), xi (d,), zeta (d, d) from the raw moments m1, m2, m3, each (d,).

    With Gamma = (1 + 1/N) Lambda + tr(Lambda)/N I these are ``gamma_i = E[Gamma_ii lambda_i^2]``,
    ``xi_i = E[lambda_i^2]`` and ``zeta_ij = E[Gamma_ii lambda_i lambda_j]``; so zeta_ii = gamma_i.
    Source: Zhang et al. 2024, appendix C.
    Raises ``ValueError`` where no positive random variable has these moments.

    >>> moments([1, 1], [2, 2], [6, 6], 10).gamma  # Exponential(1): 6 + (2d + 10)/N
    array([7.4, 7.4])
    """
    m1, m2, m3 = _raw_moments(m1, m2, m3)
    per_n = _inputs.inverse_length("n_train", n_train)
    pair = np.outer(m1, m1) * (m1.sum() - np.add.outer(m1, m1))  # lambda_k with k not i, j
    zeta = (1 + 2 * per_n) * np.outer(m2, m1) + per_n * (np.outer(m1, m2) + pair)
    gamma = (1 + 2 * per_n) * m3 + per_n * m2 * (m1.sum() - m1)
    np.fill_diagonal(zeta, gamma)
    return Moments(gamma, m2, zeta)


def optimal_preconditioner(m1, m2, m3, n_train) -> np.ndarray:
    """Return B = E[Gamma Lambda^2]^{-1} E[Lambda^2], a diagonal matrix of shape (d, d).

    Source: Zhang et al. 2024, Theorem 4.5.

    >>> float(optimal_preconditioner([1] * 5, [2] * 5, [6] * 5, 20)[0, 0].round(4))
    0.2857
    """
    law = moments(m1, m2, m3, n_train)
    return np.diag(law.xi / law.gamma)


def optimal_weights(m1, m2, m3, n_train) -> OptimalWeights:
    """Return the weights that gradient flow ends at, ``w_pv`` and ``w_kq``, each (d+1, d+1).

    Source: Zhang et al. 2024, Theorem 4.5, eq. (4.12).
    """
    return optimum.balanced_weights(optimal_preconditioner(m1, m2, m3, n_train))


def exponential_alpha(d, n_train) -> float:
    """Return alpha = 1/(3 + (d + 5)/N): B = alpha I for Exponential(1) coordinates.

    ``n_train`` may be ``math.inf``. Source: Zhang et al. 2024, section 4.3 (the limit 1/3).

    >>> exponential_alpha(5, math.inf) == 1 / 3
    True
    """
    d = _checks.positive_int("d", d)
    return 1 / (3 + (d + 5) * _inputs.inverse_length("n_train", n_train))


def exponential_minimum_loss(d, n_train) -> float:
    """Return the smallest training loss d (1 - 2 alpha)/2 for Exponential(1) coordinates.

    Source: derived. Convention: with the 1/2; d/2 is the loss of always predicting 0.

    >>> round(2 * exponential_minimum_loss(5, 20), 4)
    2.1429
    """
    alpha = exponential_alpha(d, n_train)
    return int(d) * (1 - 2 * alpha) / 2


def exponential_risk(alpha, d, n_test, *, scale=1.0) -> float:
    """Return R/d of the layer A = alpha I on covariances c diag(Exponential(1)), c = ``scale``.

    ``R/d = 6 alpha^2 c^3 - 4 alpha c^2 + c + alpha^2 c^3 (12 + 2 (d - 1))/M``.
    Source: derived. Convention: no 1/2, and divided by d and not by E y^2 = c d, so that
    always predicting 0 has R/d = c. ``n_test`` may be ``math.inf``.

    >>> round(exponential_risk(exponential_alpha(5, 20), 5, 40), 4)
    0.3878
    """
    alpha = float(_checks.finite_array("alpha", alpha, ndim=0))
    d, c = _checks.positive_int("d", d), _checks.positive("scale", scale)
    variance = _inputs.inverse_length("n_test", n_test) * (12 + 2 * (d - 1))
    return alpha**2 * c**3 * (6 + variance) - 4 * alpha * c**2 + c


def limit_error(scale) -> float:
    """Return R/d = 2/3 c^3 - 4/3 c^2 + c: trained on Exponential(1), tested at c, N, M -> inf.

    Source: derived from Zhang et al. 2024, eq. (4.13).

    >>> [round(limit_error(c), 2) for c in (1, 4, 9)]
    [0.33, 25.33, 387.0]
    """
    c = _checks.positive("scale", scale)
    return 2 / 3 * c**3 - 4 / 3 * c**2 + c


def fixed_model_limit_error(scale) -> float:
    """Return R/d = 6 c^3 - 4 c^2 + c: trained on the identity, tested at c, N, M -> inf.

    Source: derived.

    >>> [fixed_model_limit_error(c) for c in (1, 4, 9)]
    [3.0, 324.0, 4059.0]
    """
    c = _checks.positive("scale", scale)
    return 6 * c**3 - 4 * c**2 + c


def init_scale_bound(diagonals, theta, n_train) -> float:
    """Return the bound on the initial scale sigma, from sampled diagonals of Lambda, (S, d).

    ``sigma^2 < 2 ||E[Lambda] Theta||_F^2 / (sqrt(d) E[||Gamma||_op ||Lambda||_F^2])``.
    Source: Zhang et al. 2024, eq. (4.11); expectations are means over the S samples.

    >>> round(init_scale_bound(np.ones((1, 1)), np.eye(1), 2), 6)  # Gamma = 2
    1.0
    """
    diagonals = _checks.finite_array("diagonals", diagonals, ndim=2)
    if not diagonals.size or diagonals.min() < 1 / _checks.LARGEST:
        raise ValueError("diagonals must have shape (S, d) with entries above 0 (at least 1e-30)")
    theta = _inputs.normalised_theta("theta", theta, diagonals.shape[1])
    per_n = _inputs.inverse_length("n_train", n_train)
    gamma_op = (1 + per_n) * diagonals.max(axis=1) + per_n * diagonals.sum(axis=1)
    spread = np.mean(gamma_op * np.sum(diagonals**2, axis=1))
    signal = np.linalg.norm(diagonals.mean(axis=0)[:, None] * theta) ** 2
    return math.sqrt(2 * signal / (math.sqrt(len(theta)) * spread))


def _raw_moments(m1, m2, m3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    m1, m2, m3 = (
        _checks.finite_array(name, value, ndim=1)
        for name, value in (("m1", m1), ("m2", m2), ("m3", m3))
    )
    if not len(m1) == len(m2) == len(m3) > 0:
        raise ValueError(f"m1, m2, m3 must have one shape (d,), got {len(m1), len(m2), len(m3)}")
    slack = 1 - 1e-10
    if (m1 <= 0).any():
        raise ValueError(f"m1 must be above 0, got {m1}")
    if (m2 < slack * m1**2).any():
        raise ValueError(f"m2 must be at least m1**2 = {m1**2}, got {m2}")
    if (m1 * m3 < slack * m2**2).any():
        raise ValueError(f"m3 must be at least m2**2 / m1 = {m2**2 / m1}, got {m3}")
    return m1, m2, m3
