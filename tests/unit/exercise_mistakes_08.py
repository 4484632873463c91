"""Right and wrong answers to the exercises of Chapter 8, written as students write them.

name -> (right answers, [(wrong answer, words that its hint must contain)]).
"""

from __future__ import annotations

import numpy as np
from exercise_mistakes_07 import gamma, only_diagonal
from scipy.optimize import minimize, minimize_scalar


def alpha(samples, n, *, trace=None):
    """By loops: the sums over samples and coordinates of the two sides."""
    above = below = 0.0
    for lam in samples:
        total = lam.sum() if trace is None else trace(lam)
        for x in lam:
            above += x**2
            below += ((1 + 1 / n) * x + total / n) * x**2
    return above / below


def alpha_by_minimising(samples, n):
    """Minimise the average loss over multiples of the identity."""
    g = (1 + 1 / n) * samples + samples.sum(1, keepdims=True) / n

    def loss(a):
        return np.mean(a**2 * g * samples**2 - 2 * a * samples**2)

    return (loss(-1) - loss(1)) / (2 * (loss(1) + loss(-1)))


def alpha_of_each_axis(samples, n):
    g = samples + (samples + samples.sum(1)[:, None]) / n
    return (samples**2).sum(0) / (g * samples**2).sum(0)


def alpha_of_each_sample(samples, n):
    return np.mean([alpha(lam[None], n) for lam in samples])


ALPHA = (
    [alpha, alpha_by_minimising],
    [
        (alpha_of_each_axis, "each axis"),
        (lambda s, n: alpha_of_each_axis(s, n).mean(), "ratios of the axes"),
        (alpha_of_each_sample, "average of ratios"),
        (
            lambda s, n: np.mean(1 / (s + (s + s.sum(1)[:, None]) / n)),
            "averages the best matrices",
        ),
        (lambda s, n: 1 / np.mean(s + (s + s.sum(1)[:, None]) / n), "inverts the average"),
        (lambda s, n: alpha(s, 1e12), "limit of long prompts"),
        (lambda s, n: alpha(s, n, trace=lambda lam: s.sum() / len(s)), "averaged first"),
        (lambda s, n: alpha(s, n, trace=np.mean), "not their mean"),
        (lambda s, n: alpha(s, n, trace=lambda lam: 0), "trace is missing"),
        (lambda s, n: alpha(s, n, trace=lambda lam: n * lam.sum()), "divided by N"),
        (
            lambda s, n: s.sum() / (s * (s + (s + s.sum(1)[:, None]) / n)).sum(),
            "one power of Lambda",
        ),
        (lambda s, n: 1 / alpha(s, n), "upside down"),
    ],
)


def two_kinds(variances, probabilities):
    above = sum(p * v**2 for v, p in zip(variances, probabilities, strict=True))
    below = sum(p * v**3 for v, p in zip(variances, probabilities, strict=True))
    return above / below


def two_kinds_by_minimising(variances, probabilities):
    def loss(a):
        return np.sum(probabilities * variances * (a * variances - 1) ** 2)

    return minimize_scalar(loss, tol=1e-12).x


TWO_KINDS = (
    [two_kinds, two_kinds_by_minimising],
    [
        (lambda v, p: np.sum(p / v), "averages the best factors"),
        (lambda v, p: 1 / np.average(v, weights=p), "large variances weigh more"),
        (lambda v, p: (p * v).sum() / (p * v * v).sum(), "query has the variance"),
        (lambda v, p: 1 / two_kinds(v, p), "upside down"),
        (lambda v, p: two_kinds(v, np.ones(len(v))), "probabilities do not enter"),
        (lambda v, p: (p * v * v).sum() / (p * v).sum() ** 3, "denominator is a power"),
        (lambda v, p: (p * v).sum() ** 2 / (p * v**3).sum(), "numerator is a power"),
        (
            lambda v, p: np.sum(p * v * (two_kinds(v, p) * v - 1) ** 2),
            "error that is left",
        ),
        (lambda v, p: 1 / v[p.argmax()], "most frequent"),
    ],
)


def at_scale(c, lam, *, a=None, weight=None):
    a = np.sum(lam**2) / np.sum(lam**3) if a is None else a
    weight = c * lam if weight is None else weight
    return np.sum(weight * (a * c * lam - 1) ** 2) / np.sum(weight)


def at_scale_by_moments(c, lam):
    m1, m2, m3 = np.mean(lam), np.mean(lam**2), np.mean(lam**3)
    return 1 + (c**2 - 2 * c) * m2**2 / (m1 * m3)


SCALE = (
    [at_scale, at_scale_by_moments],
    [
        (lambda c, lam: at_scale(c, lam) * np.mean(c * lam), "divide it by that of predicting"),
        (lambda c, lam: at_scale(c, lam) * c, "take that at scale c"),
        (lambda c, lam: at_scale(1, lam), "does not change with c"),
        (lambda c, lam: at_scale(1, c * lam), "does not change with c"),
        (lambda c, lam: at_scale(c, lam, a=1 / lam.mean()), "one over the mean"),
        (lambda c, lam: at_scale(c, lam, a=1), "a = 1"),
        (lambda c, lam: at_scale(c**2, lam), "multiplies the variance"),
        (lambda c, lam: at_scale(c, lam, weight=np.ones_like(lam)), "query's variance"),
        (
            lambda c, lam: (np.sum(lam**2) / np.sum(lam**3) * c * lam.mean() - 1) ** 2,
            "insert the mean variance",
        ),
    ],
)


def average_loss(A, covariances, n):
    return np.mean(
        [np.trace(c @ gamma(c, n) @ A @ c @ A.T) - 2 * np.trace(c @ c @ A) for c in covariances]
    )


def best_matrix(covariances, n):
    """With columns stacked: vec(P A Q) = (Q' kron P) vec(A)."""
    system = sum(np.kron(c.T, c @ gamma(c, n)) for c in covariances)
    right = sum(c @ c for c in covariances).ravel(order="F")
    d = covariances.shape[1]
    return np.linalg.solve(system, right).reshape((d, d), order="F")


def best_matrix_by_minimising(covariances, n):
    d = covariances.shape[1]

    def slope(x):
        A = x.reshape(d, d)
        return np.mean([2 * (c @ gamma(c, n) @ A @ c - c @ c) for c in covariances], 0).ravel()

    found = minimize(
        lambda x: average_loss(x.reshape(d, d), covariances, n),
        np.zeros(d * d),
        jac=slope,
        method="CG",
        options={"gtol": 1e-11, "maxiter": 5000},
    )
    return found.x.reshape(d, d)


def paper_formula(covariances, n):
    left = np.mean([gamma(c, n) @ c @ c for c in covariances], axis=0)
    return np.linalg.inv(left) @ np.mean([c @ c for c in covariances], axis=0)


def best_scalar(covariances, n):
    above = sum(np.trace(c @ c) for c in covariances)
    return above / sum(np.trace(c @ gamma(c, n) @ c) for c in covariances)


def best_matrix_with(covariances, n, right):
    system = np.mean([np.kron(c @ gamma(c, n), c) for c in covariances], axis=0)
    return np.linalg.solve(system, right.ravel()).reshape(right.shape)


BEST_MATRIX = (
    [best_matrix, best_matrix_by_minimising],
    [
        (
            lambda cs, n: sum(np.linalg.inv(gamma(c, n)) for c in cs) / len(cs),
            "averages the best matrices",
        ),
        (lambda cs, n: np.linalg.inv(gamma(np.mean(cs, axis=0), n)), "the average covariance"),
        (paper_formula, "for diagonal covariances"),
        (lambda cs, n: only_diagonal(paper_formula(cs, n)), "your matrix is diagonal"),
        (lambda cs, n: best_matrix(cs, n).T, "A transposed"),
        (lambda cs, n: best_scalar(cs, n) * np.eye(cs.shape[-1]), "A may be any matrix"),
        (best_scalar, "return the best (d, d) matrix"),
        (lambda cs, n: long_prompts(cs), "replaced by Lambda"),
        (lambda cs, n: best_matrix_with(cs, n, np.mean(cs, axis=0)), "mean of Lambda squared"),
        (
            lambda cs, n: best_matrix_with(cs, n, np.linalg.matrix_power(np.mean(cs, 0), 2)),
            "average the squares",
        ),
        (
            lambda cs, n: best_matrix_with(cs, n, np.sum(cs @ cs, axis=0)),
            "the other added up",
        ),
    ],
)


def long_prompts(covariances):
    system = sum(np.kron(c @ c, c) for c in covariances)
    right = sum(c @ c for c in covariances)
    return np.linalg.solve(system, right.ravel()).reshape(right.shape)


TABLE = {
    "08-alpha": ALPHA,
    "08-two-kinds": TWO_KINDS,
    "08-scale": SCALE,
    "08-best-matrix": BEST_MATRIX,
}
