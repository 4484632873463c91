"""Gradient flow on the layer's loss, in the slice that Assumption 3.3 starts in and never leaves.

The unknowns are ``u11`` (d, d), the block of the key-query matrix, and ``u``, the last entry of
the value-projection matrix; the preconditioner is ``u * u11``. The loss is the shifted loss of
eq. (5.5), L - tr(Lambda)/2: 0 for the zero predictor, -tr(Lambda^2 Gamma^{-1})/2 at the optimum.
Convention: with the 1/2 of the paper's loss; t is the time of ``d theta/dt = -grad L``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from icl_lib import _checks
from icl_lib.theory import _inputs
from icl_lib.theory._integration import integrate
from icl_lib.theory.optimum import gamma
from icl_lib.theory.random_covariance import Moments, moments


class Flow(NamedTuple):
    """A solved flow: t (T,), u11 (T, d, d), u (T,), loss (T,), grad_norm2 (T,)."""

    t: np.ndarray
    u11: np.ndarray
    u: np.ndarray
    loss: np.ndarray
    grad_norm2: np.ndarray


def shifted_loss(u11, u, covariance, n_train):
    """Return tr[u^2/2 Gamma Lambda U Lambda U^T - u Lambda^2 U^T] for U = ``u11`` (..., d, d).

    ``u`` has shape (...), and so has the result.
    Source: Zhang et al. 2024, eq. (5.5).

    >>> float(shifted_loss(np.eye(2), 0.0, np.eye(2), 4))
    0.0
    """
    curvature, covariance = _curvature(covariance, n_train), np.asarray(covariance, dtype=float)
    u11, u = _inputs.state_like(u11, u, covariance)
    return _shifted_loss(u11, u, curvature, covariance)


def minimum_shifted_loss(covariance, n_train) -> float:
    """Return -tr(Lambda^2 Gamma^{-1})/2, reached where u U_11 = Gamma^{-1} and only there.

    Source: Zhang et al. 2024, Lemma 5.3 and Corollary A.2.

    >>> round(minimum_shifted_loss(np.eye(2), 3), 6)
    -0.5
    """
    matrix = gamma(covariance, n_train)
    covariance = np.asarray(covariance, dtype=float)
    return float(-np.trace(covariance @ covariance @ np.linalg.inv(matrix)) / 2)


def gradient(u11, u, covariance, n_train) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient of the shifted loss: by U_11, shape (..., d, d), and by u, shape (...).

    Source: Zhang et al. 2024, Lemma 5.2, eq. (5.4). Convention: the gradient, not minus it.

    >>> g11, g = gradient(np.eye(2) * 0.5, 1.0, np.eye(2), 3)  # Gamma^{-1} = I/2: the minimum
    >>> bool(np.allclose(g11, 0) and np.allclose(g, 0))
    True
    """
    curvature, covariance = _curvature(covariance, n_train), np.asarray(covariance, dtype=float)
    u11, u = _inputs.state_like(u11, u, covariance)
    return _gradient(u11, u, curvature, covariance)


def simulate(
    covariance, n_train, theta, sigma, t_max, *, n_times=301, rtol=1e-10, atol=1e-12
) -> Flow:
    """Solve the flow from U_11 = sigma Theta Theta^T, u = sigma up to ``t_max``; return a ``Flow``.

    ``theta`` (d, d) has ||Theta Theta^T||_F = 1 (see ``normalise_theta``); ``n_times`` equally
    spaced times are kept. Source: Zhang et al. 2024, Assumption 3.3 and eq. (5.4).
    Raises ``ValueError`` for a theta of another norm, any argument out of range (``rtol`` and
    ``atol`` are above 0 and at most 1e-3, ``atol`` at most ``sigma``), and where the solver gives
    up or its solution loses the balance u^2 - ||U_11||_F^2, which the flow keeps (Lemma A.3).

    >>> flow = simulate(np.eye(2), 3, normalise_theta(np.eye(2)), 0.1, 20.0)
    >>> (flow.u[-1] * flow.u11[-1]).round(6).tolist()  # Gamma^{-1}
    [[0.5, 0.0], [0.0, 0.5]]
    """
    curvature, covariance = _curvature(covariance, n_train), np.asarray(covariance, dtype=float)

    def slope(u11, u):
        return _gradient(u11, u, curvature, covariance)

    t, u11, u = integrate(slope, len(covariance), theta, sigma, t_max, n_times, rtol, atol)
    loss = _shifted_loss(u11, u, curvature, covariance)
    return Flow(t, u11, u, loss, _norm2(*slope(u11, u)))


def normalise_theta(matrix) -> np.ndarray:
    """Return theta (d, d), the multiple of ``matrix`` with ||theta theta^T||_F = 1.

    Source: Zhang et al. 2024, Assumption 3.3.

    >>> theta = normalise_theta(3 * np.eye(4))
    >>> round(float(np.linalg.norm(theta @ theta.T)), 12)
    1.0
    """
    matrix = _checks.finite_array("matrix", matrix, ndim=2)
    size = np.linalg.norm(matrix @ matrix.T)
    if matrix.shape[0] != matrix.shape[1] or size == 0:
        raise ValueError(f"matrix must be (d, d) and nonzero, got {matrix.tolist()}")
    return matrix / math.sqrt(size)


def max_scale(covariance, n_train) -> float:
    """Return sqrt(2/(sqrt(d) ||Gamma||_op)), below which sigma makes the initial loss negative.

    Sufficient, not necessary, for convergence. Source: Zhang et al. 2024, Theorem 4.1.

    >>> round(max_scale(np.diag([2, 1, 0.5, 0.25, 0.125]), 20), 6)
    0.624453
    """
    matrix = gamma(covariance, n_train)
    return math.sqrt(2 / (math.sqrt(len(matrix)) * np.linalg.norm(matrix, 2)))


def initial_loss_bound(covariance, n_train, theta, sigma) -> float:
    """Return the paper's upper bound on the shifted loss at t = 0, negative below ``max_scale``.

    ``sigma^2/2 ||Lambda Theta||_F^2 [sqrt(d) sigma^2 ||Gamma||_op - 2]``.
    Source: Zhang et al. 2024, proof of Lemma A.4.
    """
    sigma = _checks.positive("sigma", sigma)
    return -(sigma**2) / 2 * _signal(covariance, n_train, theta, sigma)


def u_lower_bound(covariance, n_train, theta, sigma) -> float:
    """Return the paper's lower bound on u(t) for all t >= 0.

    ``sqrt(sigma^2 ||Lambda Theta||_F^2 [2 - sqrt(d) sigma^2 ||Gamma||_op]
    / (2 sqrt(d) ||Lambda||_op^2))``. Source: Zhang et al. 2024, Lemma A.5.
    Raises ``ValueError`` for sigma at or above ``max_scale``, where the bound says nothing.
    """
    sigma = _below_max_scale(covariance, n_train, sigma)
    signal = _signal(covariance, n_train, theta, sigma)
    size = np.linalg.norm(np.asarray(covariance, dtype=float), 2)
    return float(sigma / size * math.sqrt(signal / (2 * math.sqrt(len(covariance)))))


def pl_constant(covariance, n_train, theta, sigma) -> float:
    """Return mu of the inequality ||grad||^2 >= mu (loss - minimum) along the flow.

    Source: Zhang et al. 2024, Lemma 5.4, eq. (5.7).
    Raises ``ValueError`` for sigma at or above ``max_scale``.
    """
    precision = np.linalg.inv(_checks.covariance_matrix("covariance", covariance))
    bound = u_lower_bound(covariance, n_train, theta, sigma)
    traces = np.trace(np.linalg.inv(gamma(covariance, n_train)) @ precision) * np.trace(precision)
    return float(2 * bound**2 / traces)


def asymptotic_rate(covariance, n_train) -> float:
    """Return the rate r with loss - minimum ~ exp(-r t) as t -> inf, for a generic theta.

    Twice the smallest positive Hessian eigenvalue at the minimum. In the eigenbasis of Lambda
    (eigenvalues l, those of Gamma g, u the limit of u(t)) an off-diagonal entry decays at rate
    ``u^2 g_i l_i l_j``; the diagonal ones and u move together, through
    ``u^2 diag(g l^2) + v v^T`` with ``v = l / (u sqrt(g))``.
    Source: derived. Leaving out v, the motion of u, gives the smaller 2 u^2 min(g) min(l)^2.

    >>> round(asymptotic_rate(np.diag([2, 1, 0.5, 0.25, 0.125]), 20), 4)
    0.0571
    """
    scales = np.linalg.eigvalsh(gamma(covariance, n_train))
    covariance = np.asarray(covariance, dtype=float)
    eigenvalues = np.linalg.eigvalsh(covariance)  # both ascending, so they pair up
    u = np.sum(scales**-2.0) ** 0.25
    coupling = eigenvalues / (u * np.sqrt(scales))
    rates = u**2 * np.outer(scales * eigenvalues, eigenvalues)
    together = np.diag(np.diag(rates)) + np.outer(coupling, coupling)
    off_diagonal = rates[~np.eye(len(rates), dtype=bool)]
    return float(2 * min(np.linalg.eigvalsh(together)[0], off_diagonal.min(initial=np.inf)))


def logistic_s(t, d, n_train, sigma):
    """Return s(t) = u(t)^2 / d for Lambda = I and Theta Theta^T = I/sqrt(d); t (...) to (...).

    ``s = s_inf / (1 + (s_inf/s_0 - 1) exp(-2 sqrt(d) t))``, ``s_0 = sigma^2/d``,
    ``s_inf = 1/(sqrt(d) (1 + (d + 1)/N))``: a plateau, then one drop of the loss.
    Source: derived. Raises ``ValueError`` for a t < 0 before which s was infinite.

    >>> float(logistic_s(0.0, 4, 10, 0.2).round(6))
    0.01
    """
    limit, ratio = _logistic(d, n_train, sigma)
    with np.errstate(over="ignore", invalid="ignore"):  # far back s is 0, or NaN: refused below
        size = 1 + ratio * np.exp(-2 * math.sqrt(d) * _checks.finite_array("t", t))
    if not (size > 0).all():
        raise ValueError(f"t and sigma = {sigma!r} must give a finite s, got t = {t!r}")
    return limit / size


def logistic_half_time(d, n_train, sigma) -> float:
    """Return t_1/2 = ln(s_inf/s_0 - 1)/(2 sqrt(d)), where s has reached half its limit.

    Source: derived. Raises ``ValueError`` where s starts at or above its limit.

    >>> t_half = logistic_half_time(4, 10, 0.2)
    >>> bool(np.isclose(2 * logistic_s(t_half, 4, 10, 0.2), logistic_s(99.0, 4, 10, 0.2)))
    True
    """
    _, ratio = _logistic(d, n_train, sigma)
    if ratio <= 0:
        raise ValueError(f"sigma must start s below its limit, got sigma = {sigma!r}")
    return math.log(ratio) / (2 * math.sqrt(d))


def random_shifted_loss(u11, u, moments: Moments):
    """Return u^2/2 sum zeta_ij U_ij^2 - u sum xi_i U_ii for U = ``u11`` (..., d, d), ``u`` (...).

    The shifted loss under random covariances (zeta_ii = gamma_i).
    Source: Zhang et al. 2024, appendix C.
    """
    moments = Moments(*_inputs.law_like("moments", moments))
    u11, u = _inputs.state_like(u11, u, moments.zeta)
    return _random_shifted_loss(u11, u, moments)


def _random_shifted_loss(u11, u, moments: Moments):
    quadratic = np.sum(moments.zeta * u11**2, axis=(-2, -1))
    return u**2 / 2 * quadratic - u * np.sum(np.diag(moments.xi) * u11, axis=(-2, -1))


def simulate_random(
    m1, m2, m3, n_train, theta, sigma, t_max, *, n_times=301, rtol=1e-10, atol=1e-12
) -> Flow:
    """Solve the flow under random covariances with raw moments m1, m2, m3 (d,); return a ``Flow``.

    Source: Zhang et al. 2024, Theorem 4.5 and appendix C. Other arguments as in ``simulate``.

    >>> theta = normalise_theta(np.eye(1))
    >>> flow = simulate_random([1.0], [2.0], [6.0], 2, theta, 0.3, 20.0)
    >>> round(float(flow.u[-1] * flow.u11[-1, 0, 0]), 6)  # 1/(3 + (d + 5)/N)
    0.166667
    """
    law = moments(m1, m2, m3, n_train)

    def slope(u11, u):
        flat = u[..., None, None]
        pull = np.diag(law.xi)
        g = np.sum((flat * law.zeta * u11 - pull) * u11, axis=(-2, -1))
        return flat**2 * law.zeta * u11 - flat * pull, g

    t, u11, u = integrate(slope, len(law.xi), theta, sigma, t_max, n_times, rtol, atol)
    return Flow(t, u11, u, _random_shifted_loss(u11, u, law), _norm2(*slope(u11, u)))


def _curvature(covariance, n_train) -> np.ndarray:
    """Gamma Lambda, symmetric: the second moment of the empirical covariance."""
    return gamma(covariance, n_train) @ np.asarray(covariance, dtype=float)


def _shifted_loss(u11, u, curvature, covariance):
    quadratic = np.sum((curvature @ u11 @ covariance) * u11, axis=(-2, -1))
    return u**2 / 2 * quadratic - u * np.sum((covariance @ covariance) * u11, axis=(-2, -1))


def _gradient(u11, u, curvature, covariance) -> tuple[np.ndarray, np.ndarray]:
    flat = u[..., None, None]
    residual = flat * (curvature @ u11 @ covariance) - covariance @ covariance
    return flat * residual, np.sum(residual * u11, axis=(-2, -1))


def _norm2(g11, g) -> np.ndarray:
    return np.sum(g11**2, axis=(-2, -1)) + g**2


def _signal(covariance, n_train, theta, sigma) -> float:
    """||Lambda Theta||_F^2 [2 - sqrt(d) sigma^2 ||Gamma||_op], positive below ``max_scale``."""
    matrix, covariance = gamma(covariance, n_train), np.asarray(covariance, dtype=float)
    theta = _inputs.normalised_theta("theta", theta, len(matrix))
    margin = 2 - math.sqrt(len(matrix)) * sigma**2 * np.linalg.norm(matrix, 2)
    return float(np.linalg.norm(covariance @ theta) ** 2 * margin)


def _below_max_scale(covariance, n_train, sigma) -> float:
    sigma, limit = _checks.positive("sigma", sigma), max_scale(covariance, n_train)
    if sigma >= limit:
        raise ValueError(f"sigma must be below max_scale = {limit:.6g}, got {sigma!r}")
    return sigma


def _logistic(d, n_train, sigma) -> tuple[float, float]:
    """The limit s_inf and the ratio s_inf/s_0 - 1."""
    d, sigma = _checks.positive_int("d", d), _checks.positive("sigma", sigma)
    limit = 1 / (math.sqrt(d) * (1 + (d + 1) * _inputs.inverse_length("n_train", n_train)))
    return limit, limit * d / sigma**2 - 1
