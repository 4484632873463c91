"""Closed forms at the optimum of one linear self-attention layer (Zhang et al. 2024, section 4).

The layer predicts ``y_hat = b_hat^T A x_query`` with ``b_hat = (1/n) sum_i y_i x_i``; the (d, d)
matrix ``A`` is called the preconditioner. Trained on ``n_train`` (N) examples the layer ends at
``A = Gamma^{-1}`` and keeps it for prompts of any length ``n_test`` (M). ``math.inf`` is a length.
Convention: losses carry the factor 1/2, risks do not; theorem numbers are those of arXiv v3.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from icl_lib import _checks
from icl_lib.theory import _inputs, _matrices


class OptimalWeights(NamedTuple):
    """The two (d+1, d+1) matrices of the trained layer, values-projection and keys-queries."""

    w_pv: np.ndarray
    w_kq: np.ndarray


class Risk(NamedTuple):
    """Expected squared error in its three parts: finite N, finite M, label noise."""

    bias: float
    variance: float
    noise: float
    total = property(sum, doc="Sum of the three parts.")


class ArbitraryLabelRisk(NamedTuple):
    """The three terms of Theorem 4.2: best linear predictor, order 1/M, order 1/N^2."""

    best_linear: float
    variance: float
    bias: float
    total = property(sum, doc="Sum of the three terms.")


def gamma(covariance, n_train, *, noise_var=0.0) -> np.ndarray:
    """Return Gamma = (1 + 1/N) Lambda + (tr Lambda + s^2)/N I, shape (d, d).

    Lambda Gamma is the second moment of the empirical covariance of N inputs.
    Source: Zhang et al. 2024, Theorem 4.1; the training label noise s^2 is derived.
    Raises ``ValueError`` for a covariance that is not positive definite or a length below 1.

    >>> gamma(np.diag([2.0, 1.0]), 10).round(3).tolist()
    [[2.5, 0.0], [0.0, 1.4]]
    """
    covariance = _checks.covariance_matrix("covariance", covariance)
    per_n = _inputs.inverse_length("n_train", n_train)
    return _matrices.gamma_matrix(covariance, per_n, _checks.nonnegative("noise_var", noise_var))


def optimal_preconditioner(covariance, n_train, *, prior=None, noise_var=0.0) -> np.ndarray:
    """Return the best A for tasks w ~ N(0, Psi) and label noise s^2, shape (d, d).

    ``A = [(1 + 1/N) Psi Lambda + (tr(Psi Lambda) + s^2)/N I]^{-1} Psi``. It is symmetric even
    where ``prior`` = Psi (d, d), the identity by default, does not commute with Lambda.
    Directions outside the range of Psi = R R^T, R (d, r), are never answered: the limit N -> inf is
    ``R (R^T Lambda R)^{-1} R^T``, which is Lambda^{-1} for r = d and a projector for Lambda = I.
    Eigenvalues up to d times the rounding error of the largest, in the dtype of Psi, count as 0.
    Source: derived; Psi = I, s = 0 gives Gamma^{-1} of Zhang et al. 2024, Theorem 4.1.
    Raises ``ValueError`` where Psi is not a positive semidefinite (d, d) matrix.

    >>> optimal_preconditioner(np.eye(2), 3).round(3).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    >>> optimal_preconditioner(np.eye(2), math.inf, prior=np.diag([3.0, 0.0])).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    covariance = _checks.covariance_matrix("covariance", covariance)
    root = _inputs.prior_root("prior", prior, covariance)
    prior = _inputs.prior_like("prior", prior, covariance)
    per_n = _inputs.inverse_length("n_train", n_train)
    shift = per_n * (np.trace(prior @ covariance) + _checks.nonnegative("noise_var", noise_var))
    if root.shape[1] < len(covariance):
        return _matrices.shrunk_on_range(covariance, root, per_n, shift)
    if shift == 0:  # N = inf: Lambda^{-1} recovers every w exactly
        return np.linalg.inv(covariance)
    system = (1 + per_n) * prior @ covariance + shift * np.eye(len(covariance))
    solution = np.linalg.solve(system, prior)
    return (solution + solution.T) / 2


def optimal_weights(covariance, n_train) -> OptimalWeights:
    """Return the weights that gradient flow ends at: ``w_pv`` and ``w_kq``, each (d+1, d+1).

    Source: Zhang et al. 2024, Theorem 4.1, eq. (4.1).
    Convention: balanced, ``w_pv[d, d] = ||w_kq||_F``; the prediction sees only the product.

    >>> w_pv, w_kq = optimal_weights(np.eye(4), 5)
    >>> round(float(w_pv[4, 4] * w_kq[0, 0]), 6)
    0.5
    """
    return balanced_weights(np.linalg.inv(gamma(covariance, n_train)))


def balanced_weights(preconditioner) -> OptimalWeights:
    """Split a nonzero (d, d) preconditioner A into balanced layer weights, each (d+1, d+1).

    Source: the form of Zhang et al. 2024, eqs. (4.1) and (4.12).
    Raises ``ValueError`` unless A is a (d, d) matrix of finite numbers, not all of them 0.
    """
    matrix = _checks.finite_array("preconditioner", preconditioner, ndim=2)
    scale = math.sqrt(np.linalg.norm(matrix))
    if matrix.shape[0] != matrix.shape[1] or scale == 0:
        raise ValueError(f"preconditioner must be (d, d) and not 0, got shape {matrix.shape}")
    w_pv, w_kq = np.zeros((2, len(matrix) + 1, len(matrix) + 1))
    w_pv[-1, -1] = scale
    w_kq[:-1, :-1] = matrix / scale
    return OptimalWeights(w_pv, w_kq)


def minimum_loss(covariance, n_train) -> float:
    """Return the smallest training loss ``tr(Gamma^{-1} Lambda (Lambda + tr(Lambda) I)) / (2N)``.

    Source: Zhang et al. 2024, Corollary A.2, plus the constant tr(Lambda)/2 left out there.
    Convention: with the 1/2; twice this is the risk at M = N.

    >>> round(2 * minimum_loss(np.eye(5), 20), 6)  # d (d + 1) / (N + d + 1)
    1.153846
    """
    covariance = _checks.covariance_matrix("covariance", covariance)
    per_n = _inputs.inverse_length("n_train", n_train)
    return float(np.trace(_matrices.shrinkage(covariance, per_n) @ covariance) / 2)


def zero_predictor_loss(covariance) -> float:
    """Return the loss of always predicting 0, tr(Lambda)/2 (with the 1/2).

    >>> zero_predictor_loss(np.eye(5))
    2.5
    """
    return float(np.trace(_checks.covariance_matrix("covariance", covariance)) / 2)


def risk(covariance, n_train, n_test, *, w=None, noise_var=0.0) -> Risk:
    """Return the exact test risk of the layer trained noiselessly at length N, as a ``Risk``.

    ``w`` (d,) fixes the task; None averages over w ~ N(0, I). ``noise_var`` is the label noise
    s^2 in the test prompt only. With W = w w^T or I and t = tr(Lambda)::

        bias     = tr(W Gamma^{-2} Lambda (Lambda + t I)^2) / N^2
        variance = [tr(W Lambda) tr(Gamma^{-2} Lambda^2) + tr(W Gamma^{-2} Lambda^3)] / M
        noise    = s^2 tr(Gamma^{-2} Lambda^2) / M

    Source: derived; equals Zhang et al. 2024, Theorem 4.2, eq. (4.6), for linear labels.
    Convention: no 1/2; error against the clean target (add s^2 for a noisy one).

    >>> round(risk(np.diag([2, 1, 0.5, 0.25, 0.125]), 20, 40).total, 6)
    0.505085
    """
    covariance = _checks.covariance_matrix("covariance", covariance)
    per_n = _inputs.inverse_length("n_train", n_train)
    per_m = _inputs.inverse_length("n_test", n_test)
    whitened = np.linalg.solve(
        _matrices.gamma_matrix(covariance, per_n), covariance
    )  # Gamma^{-1} Lambda
    moment = np.eye(len(covariance)) if w is None else _inputs.outer_square("w", w, covariance)
    spread = np.trace(whitened @ whitened)
    own_axis = np.trace(moment @ whitened @ whitened @ covariance)
    return Risk(
        bias=_matrices.finite_n_bias(moment, covariance, per_n),
        variance=float(per_m * (np.trace(moment @ covariance) * spread + own_axis)),
        noise=float(per_m * _checks.nonnegative("noise_var", noise_var) * spread),
    )


def preconditioner_risk(
    preconditioner, covariance, n_test, *, prior=None, noise_var=0.0, query_covariance=None
) -> float:
    """Return the risk of any (d, d) preconditioner A; none of the matrices need commute.

    Inputs x ~ N(0, Lambda), query of second moment Lambda_q (default Lambda), tasks of
    covariance Psi = ``prior`` (default I), label noise s^2 in the prompt::

        tr(A Lambda_q A^T E[b b^T]) - 2 tr(A Lambda_q Psi Lambda) + tr(Psi Lambda_q)
        E[b b^T] = (1 + 1/M) Lambda Psi Lambda + (tr(Psi Lambda) + s^2)/M Lambda

    Source: derived. Convention: no 1/2; error against the clean target.

    >>> preconditioner_risk(np.zeros((3, 3)), np.eye(3), 10)  # predicting 0
    3.0
    """
    covariance = _checks.covariance_matrix("covariance", covariance)
    matrix = _inputs.square_like("preconditioner", preconditioner, covariance)
    prior = _inputs.prior_like("prior", prior, covariance)
    query = covariance if query_covariance is None else query_covariance
    query = _inputs.psd_like("query_covariance", query, covariance)
    per_m = _inputs.inverse_length("n_test", n_test)
    label_var = np.trace(prior @ covariance) + _checks.nonnegative("noise_var", noise_var)
    b_moment = (1 + per_m) * covariance @ prior @ covariance + per_m * label_var * covariance
    squared = matrix @ query @ matrix.T @ b_moment
    return float(np.trace(squared - 2 * matrix @ query @ prior @ covariance + prior @ query))


def best_linear_predictor(covariance, cross_moment) -> np.ndarray:
    """Return a = Lambda^{-1} E[x y], shape (d,): the best linear predictor without intercept.

    Source: Zhang et al. 2024, Theorem 4.2.

    >>> best_linear_predictor(np.diag([2.0, 1.0]), [4.0, 3.0]).tolist()
    [2.0, 3.0]
    """
    covariance = _checks.covariance_matrix("covariance", covariance)
    cross_moment = _inputs.vector_like("cross_moment", cross_moment, covariance)
    return np.linalg.solve(covariance, cross_moment)


def arbitrary_label_risk(
    covariance, n_train, n_test, cross_moment, sigma, best_linear_error
) -> ArbitraryLabelRisk:
    """Return the exact risk for any label law with finite moments, as an ``ArbitraryLabelRisk``.

    ``cross_moment`` = E[x y] (d,), ``sigma`` = Cov(x y) (d, d), ``best_linear_error`` =
    min_w E(<w, x> - y)^2. Source: Zhang et al. 2024, Theorem 4.2, eq. (4.6), an exact equality.
    Convention: no 1/2; error against the label of the query as drawn, noise included.

    >>> w = [1.0, 0.0]  # y = x_1 without noise, so E[x y] = w
    >>> sigma = linear_label_sigma(np.eye(2), w)
    >>> round(arbitrary_label_risk(np.eye(2), 3, 3, w, sigma, 0.0).total, 6)
    0.5
    """
    covariance = _checks.covariance_matrix("covariance", covariance)
    a = best_linear_predictor(covariance, cross_moment)
    per_n = _inputs.inverse_length("n_train", n_train)
    precision = np.linalg.inv(_matrices.gamma_matrix(covariance, per_n))
    sigma = _inputs.psd_like("sigma", sigma, covariance)
    spread = np.trace(sigma @ precision @ precision @ covariance)
    return ArbitraryLabelRisk(
        best_linear=_checks.nonnegative("best_linear_error", best_linear_error),
        variance=float(spread * _inputs.inverse_length("n_test", n_test)),
        bias=_matrices.finite_n_bias(np.outer(a, a), covariance, per_n),
    )


def linear_label_sigma(covariance, w, noise_var=0.0) -> np.ndarray:
    """Return Sigma of (4.6), shape (d, d), for y = <w, x> + noise of variance s^2.

    ``Sigma = (w^T Lambda w + s^2) Lambda + Lambda w w^T Lambda``.
    Source: Zhang et al. 2024, below Theorem 4.2 (s = 0).

    >>> linear_label_sigma(np.eye(2), [1.0, 0.0], 0.5).tolist()
    [[2.5, 0.0], [0.0, 1.5]]
    """
    covariance = _checks.covariance_matrix("covariance", covariance)
    moment = _inputs.outer_square("w", w, covariance)
    label_var = np.trace(moment @ covariance) + _checks.nonnegative("noise_var", noise_var)
    return label_var * covariance + covariance @ moment @ covariance


def risk_bound(covariance, n_train, n_test, *, form="spectrum") -> float:
    """Return one of the paper's two upper bounds on the risk averaged over w ~ N(0, I).

    ``"spectrum"`` keeps tr(Lambda^{-1}), the looser ``"condition"`` the condition number.
    Source: Zhang et al. 2024, the two bounds before Corollary 4.3. Convention: no 1/2.

    >>> round(risk_bound(np.diag([2, 1, 0.5, 0.25, 0.125]), 20, 40), 6)
    1.269668
    """
    covariance = _checks.covariance_matrix("covariance", covariance)
    d, trace = len(covariance), np.trace(covariance)
    per_n = _inputs.inverse_length("n_train", n_train)
    per_m = _inputs.inverse_length("n_test", n_test)
    if form == "spectrum":
        floor = per_n**2 * ((1 + 2 * d) * trace + np.trace(np.linalg.inv(covariance)) * trace**2)
    elif form == "condition":
        floor = irreducible_error(covariance, n_train)
    else:
        raise ValueError(f"form must be 'spectrum' or 'condition', got {form!r}")
    return float(per_m * (d + 1) * trace + floor)


def irreducible_error(covariance, n_train) -> float:
    """Return eta = (1 + 2d + d^2 kappa) tr(Lambda) / N^2, kappa the condition number.

    Source: Zhang et al. 2024, Corollary 4.3.

    >>> irreducible_error(np.eye(2), 3)
    2.0
    """
    covariance = _checks.covariance_matrix("covariance", covariance)
    d, kappa = len(covariance), np.linalg.cond(covariance)
    per_n = _inputs.inverse_length("n_train", n_train)
    return float((1 + 2 * d + d**2 * kappa) * np.trace(covariance) * per_n**2)


def sufficient_length(covariance, epsilon) -> int:
    """Return the smallest integer M >= (d + 1) tr(Lambda) / epsilon.

    Source: Zhang et al. 2024, Corollary 4.3.

    >>> sufficient_length(np.eye(5), 0.1)
    300
    """
    covariance = _checks.covariance_matrix("covariance", covariance)
    enough = (len(covariance) + 1) * np.trace(covariance)
    return math.ceil(enough / _checks.positive("epsilon", epsilon))
