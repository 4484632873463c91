"""Right and wrong answers to the exercises of Chapter 5, written as students write them.

name -> (right answers, [(wrong answer, words that its hint must contain)]).
"""

from __future__ import annotations

import numpy as np


def gamma(cov, n):
    return (1 + 1 / n) * cov + np.trace(cov) / n * np.eye(len(cov))


def risk_of(A, cov, m, s2=0.0, prior=None):
    """The risk of any matrix A, from E[b b'] and E[b w']."""
    prior = np.eye(len(cov)) if prior is None else prior
    bb = cov @ prior @ cov * (1 + 1 / m) + (np.trace(prior @ cov) + s2) / m * cov
    return (
        np.trace(A.T @ bb @ A @ cov) - 2 * np.trace(A @ cov @ prior @ cov) + np.trace(prior @ cov)
    )


def best_risk(lam, m, s2, *, own=1.0, noise=None):
    noise = s2 / m if noise is None else noise
    gam = lam + own * lam / m + lam.sum() / m + noise
    return sum(x - x * x / g for x, g in zip(lam, gam, strict=True))


def best_risk_by_matrix(lam, m, s2):
    cov = np.diag(lam)
    return risk_of(np.linalg.inv(gamma(cov, m) + s2 / m * np.eye(len(lam))), cov, m, s2)


def risk_of_the_noiseless_matrix(lam, m, s2):
    cov = np.diag(lam)
    return risk_of(np.linalg.inv(gamma(cov, m)), cov, m, s2)


BEST_RISK = (
    [best_risk, best_risk_by_matrix],
    [
        (
            lambda lam, m, s2: lam - lam**2 / (lam + (lam + lam.sum() + s2) / m),
            "risks of the axes",
        ),
        (lambda lam, m, s2: best_risk(lam, m, s2) / len(lam), "mean over the axes"),
        (lambda lam, m, s2: best_risk(lam, m, s2) / 2, "factor 1/2"),
        (lambda lam, m, s2: best_risk(lam, m, 0), "ignores the noise"),
        (risk_of_the_noiseless_matrix, "trained without noise"),
        (lambda lam, m, s2: best_risk(lam, m, s2, noise=s2), "divided by the number of examples"),
        (lambda lam, m, s2: best_risk(lam, m, s2 * s2), "do not square"),
        (lambda lam, m, s2: best_risk(lam, m, 0) + s2, "acts through the prompt"),
        (lambda lam, m, s2: best_risk(lam, m, s2) + s2, "target is clean"),
        (lambda lam, m, s2: lam.sum() - best_risk(lam, m, s2), "gains over predicting zero"),
        (lambda lam, m, s2: best_risk(lam, m, s2, own=0), "is lost"),
    ],
)


def directions(lam, n):
    return int(sum(x > 0.5 * ((1 + 1 / n) * x + lam.sum() / n) for x in lam))


def directions_by_matrix(lam, n):
    kept = np.diag(np.linalg.inv(gamma(np.diag(lam), n)) @ np.diag(lam))
    return np.count_nonzero(kept > 0.5)


def shares(lam, n, *, trace=None):
    return lam / (lam + lam / n + (lam.sum() if trace is None else trace) / n)


DIRECTIONS = (
    [directions, directions_by_matrix],
    [
        (shares, "shares that are kept"),
        (lambda lam, n: shares(lam, n).sum(), "add up the shares"),
        (lambda lam, n: np.count_nonzero(lam > lam.sum() / n), "compare with tr(Lambda)/N"),
        (lambda lam, n: np.count_nonzero(shares(lam, n) < 0.5), "given up"),
        (lambda lam, n: np.sum(shares(lam, n, trace=lam.mean()) > 0.5), "not their mean"),
        (lambda lam, n: np.sum(shares(lam, n, trace=lam.size) > 0.5), "only for Lambda = I"),
        (lambda lam, n: np.sum(shares(lam, n, trace=n * lam.sum()) > 0.5), "divided by N"),
        (lambda lam, n: len(lam), "every direction is kept"),
        (lambda lam, n: np.sum(shares(lam, n) > 0.5**0.5), "squared share"),
    ],
)


def risk_at(d, n, m):
    """R(N, M) for Lambda = I."""
    a = n / (n + d + 1)
    return risk_of(a * np.eye(d), np.eye(d), m)


def shortest(d, n):
    m = 1
    while risk_at(d, n, m) >= d - 1e-9:
        m += 1
    return m


def shortest_by_formula(d, n):
    return int(np.floor(n * (d + 1) / (n + 2 * d + 2))) + 1


def first_length(d, n, bias=1.0, variance=None, zero=None):
    a, m = n / (n + d + 1), 1
    variance = d * (d + 1) if variance is None else variance
    while bias * d * (1 - a) ** 2 + a**2 * variance / m >= (d if zero is None else zero) - 1e-9:
        m += 1
        if m > 9_999:
            return 0
    return m


SHORTEST = (
    [shortest, shortest_by_formula],
    [
        (lambda d, n: int(np.ceil(n * (d + 1) / (n + 2 * d + 2))), "strictly below"),
        (lambda d, n: shortest(d, n) - 1, "one too early"),
        (lambda d, n: n * (d + 1) / (n + 2 * (d + 1)), "which whole number"),
        (lambda d, n: d + 2, "infinitely long training"),
        (lambda d, n: d + 1, "border for infinitely long"),
        (lambda d, n: first_length(d, n, zero=1), "risk d, not 1"),
        (lambda d, n: first_length(d, n, bias=0), "bias is missing"),
        (lambda d, n: first_length(d, n, variance=2 * d), "one dimension"),
        (lambda d, n: first_length(d, n, variance=d * d), "not a^2 d/M"),
    ],
)


def risk(cov, n, m, s2):
    return risk_of(np.linalg.inv(gamma(cov, n)), cov, m, s2)


def risk_by_terms(cov, n, m, s2, *, parts=(1, 1, 1, 1), N=None, square=None, inverse=np.linalg.inv):
    """eq-05-risk; ``parts`` weighs bias, trace term, cubic term and noise."""
    t, eye = np.trace(cov), np.eye(len(cov))
    G2 = np.linalg.matrix_power(inverse(gamma(cov, N or n)), 2)
    square = np.linalg.matrix_power(cov + t * eye, 2) if square is None else square
    bias = np.trace(G2 @ cov @ square) / n**2
    terms = (t * np.trace(G2 @ cov @ cov), np.trace(G2 @ cov @ cov @ cov))
    noise = s2 * np.trace(G2 @ cov @ cov)
    return parts[0] * bias + (parts[1] * terms[0] + parts[2] * terms[1] + parts[3] * noise) / m


def risk_with_one_inverse(cov, n, m, s2):
    t, eye, G = np.trace(cov), np.eye(len(cov)), np.linalg.inv(gamma(cov, n))
    bias = np.trace(G @ cov @ (cov + t * eye) @ (cov + t * eye)) / n**2
    return bias + ((t + s2) * np.trace(G @ cov @ cov) + np.trace(G @ cov @ cov @ cov)) / m


RISK = (
    [risk, risk_by_terms],
    [
        (lambda c, n, m, s2: risk(c, m, n, s2), "exchanged"),
        (lambda c, n, m, s2: risk_by_terms(c, n, m, s2, N=m), "Gamma keeps the training length"),
        (
            lambda c, n, m, s2: risk_by_terms(c, n, m, s2, parts=(n**2 / m**2, 1, 1, 1)),
            "comes from training",
        ),
        (lambda c, n, m, s2: risk_by_terms(c, n, m, s2, parts=(n, 1, 1, 1)), "square of N"),
        (lambda c, n, m, s2: 0.5 * risk(c, n, m, s2), "factor 1/2"),
        (lambda c, n, m, s2: risk(c, n, m, 0), "ignores the label noise"),
        (lambda c, n, m, s2: risk(c, n, m, 0) + s2, "averaged over M examples"),
        (lambda c, n, m, s2: risk_by_terms(c, n, m, s2, parts=(1, 1, 1, m)), "not divided by the"),
        (lambda c, n, m, s2: risk_by_terms(c, n, m, s2, parts=(1, 1, 0, 1)), "Lambda cubed"),
        (lambda c, n, m, s2: risk_by_terms(c, n, m, s2, parts=(1, 0, 1, 1)), "trace of Lambda is"),
        (risk_with_one_inverse, "enters squared"),
        (lambda c, n, m, s2: risk(c * np.eye(len(c)), n, m, s2), "beside the diagonal"),
        (lambda c, n, m, s2: risk_by_terms(c, n, m, s2, inverse=lambda g: g**-1.0), "the entries"),
        (
            lambda c, n, m, s2: risk_by_terms(
                c, n, m, s2, square=c @ c + np.trace(c) ** 2 * np.eye(len(c))
            ),
            "mixed term",
        ),
        (
            lambda c, n, m, s2: risk_by_terms(
                c, n, m, s2, square=(c + np.trace(c)) @ (c + np.trace(c))
            ),
            "every entry",
        ),
        (lambda c, n, m, s2: risk_by_terms(c, n, m, s2, parts=(0, 1, 1, 1)), "bias is missing"),
        (lambda c, n, m, s2: risk_by_terms(c, n, m, s2, parts=(1, 0, 0, 0)), "this is the bias"),
    ],
)

TABLE = {
    "05-best-risk": BEST_RISK,
    "05-directions": DIRECTIONS,
    "05-shortest": SHORTEST,
    "05-risk": RISK,
}
