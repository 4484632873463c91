"""Right and wrong answers to the exercises of Chapter 6, written as students write them.

name -> (right answers, [(wrong answer, words that its hint must contain)]).
"""

from __future__ import annotations

import numpy as np
from exercise_mistakes_05 import gamma, risk_of
from numpy.polynomial.hermite_e import hermegauss
from scipy.integrate import quad


def estimated(xs, ys, n, m, *, terms=sum, N=None, mean=1.0, cov=None, first=None, cross=None):
    """The three terms from a sample, with covariances by np.cov where it centres the same thing."""
    cov = xs.T @ xs / len(xs) if cov is None else cov
    b = np.mean(xs * ys[:, None], axis=0)
    sigma = np.cov((xs * ys[:, None]).T) + (1 - mean) * np.outer(b, b)
    w = np.linalg.inv(cov) @ b if cross is None else b
    middle = np.linalg.inv(gamma(cov, n)) @ cov @ np.linalg.inv(gamma(cov, n))
    gap = gamma(cov, n) @ w - cov @ w  # N times it is (Lambda + t I) a
    bias = gap @ middle @ gap * (n / (N or n)) ** 2
    first = np.mean(ys * (ys - xs @ w)) if first is None else first
    return terms((first, np.trace(sigma @ middle) / m, bias))


def estimated_by_simulation_formula(xs, ys, n, m):
    """Mean and covariance of v = Gamma^-1 b-hat, then the error of a random line."""
    cov = xs.T @ xs / len(xs)
    inverse = np.linalg.inv(gamma(cov, n))
    products = (xs * ys[:, None]) @ inverse
    v = products.mean(0)
    left = np.mean((ys - xs @ v) ** 2)
    return left + np.trace(np.cov(products.T, ddof=0) @ cov) / m


def error_with_intercept(xs, ys):
    design = np.c_[np.ones(len(xs)), xs]
    return np.linalg.lstsq(design, ys, rcond=None)[1][0] / len(xs)


ESTIMATED = (
    [estimated, estimated_by_simulation_formula],
    [
        (lambda x, y, n, m: estimated(x, y, m, n), "exchanged"),
        (lambda x, y, n, m: estimated(x, y, n, m, N=m), "divided by M^2"),
        (lambda x, y, n, m: estimated(x, y, n, m, N=n**0.5), "divided by N^2"),
        (lambda x, y, n, m: estimated(x, y, n, m, mean=0), "subtracts the product of means"),
        (
            lambda x, y, n, m: estimated(x, y, n, m, first=error_with_intercept(x, y)),
            "has an intercept",
        ),
        (lambda x, y, n, m: estimated(x, y - np.mean(y), n, m), "everywhere"),
        (lambda x, y, n, m: estimated(x, y, n, m, first=y.var()), "variance of y"),
        (lambda x, y, n, m: estimated(x, y, n, m, first=np.mean(y * y)), "power of y"),
        (lambda x, y, n, m: estimated(x, y, n, m, first=0.0), "error of the best line"),
        (lambda x, y, n, m: estimated(x, y, n, m, terms=np.array), "three terms; add"),
        (lambda x, y, n, m: estimated(x, y, n, m, terms=lambda t: t[0] + t[1]), "bias is missing"),
        (
            lambda x, y, n, m: estimated(x, y, n, m, terms=lambda t: t[0] + t[2]),
            "variance is missing",
        ),
        (
            lambda x, y, n, m: estimated(x, y, n, m, cov=np.diag(np.mean(x * x, axis=0))),
            "your covariance is diagonal",
        ),
        (lambda x, y, n, m: estimated(x, y, n, 1), "not divided by the test length"),
        (lambda x, y, n, m: np.mean(x * y), "as a column"),
    ],
)


def normal_mean(function):
    """E function(z) for a standard normal, by Gauss-Hermite quadrature."""
    z, weights = hermegauss(40)
    return weights @ function(z) / np.sqrt(2 * np.pi)


def power(k, n, m, *, slope=None, a=None, sigma=None, first=None, keep=(1, 1, 1)):
    a = n / (n + 2) if a is None else a
    slope = normal_mean(lambda z: z ** (k + 1)) if slope is None else slope
    sigma = normal_mean(lambda z: z ** (2 * k + 2)) - slope**2 if sigma is None else sigma
    first = normal_mean(lambda z: (z**k - slope * z) ** 2) if first is None else first
    return keep[0] * first + keep[1] * a**2 * sigma / m + keep[2] * ((a - 1) * slope) ** 2


def power_by_integration(k, n, m):
    """Error of v z for the mean of v, plus its variance."""

    def mean(function):
        density = lambda z: function(z) * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)  # noqa: E731
        return quad(density, -14, 14, epsabs=1e-12, epsrel=1e-12, limit=200)[0]

    a, slope = n / (n + 2), mean(lambda z: z ** (k + 1))
    spread = mean(lambda z: (z ** (k + 1) - slope) ** 2)
    return mean(lambda z: (z**k - a * slope * z) ** 2) + a**2 * spread / m


POWER = (
    [power, power_by_integration],
    [
        (
            lambda k, n, m: power(k, n, m, sigma=normal_mean(lambda z: z ** (2 * k + 2))),
            "minus the square of its mean",
        ),
        (lambda k, n, m: power(k, n, m, keep=(1, 1, 0)), "bias is missing"),
        (lambda k, n, m: power(k, n, m, keep=(1, 0, 1)), "variance is missing"),
        (lambda k, n, m: power(k, m, n), "exchanged"),
        (lambda k, n, m: power(k, n, m, a=1), "and not 1"),
        (lambda k, n, m: power(k, n, m, a=1 / (1 + 1 / n)), "factor is N/(N + 2)."),
        (
            lambda k, n, m: power(k, n, m) - (k % 2 == 0) * normal_mean(lambda z: z**k) ** 2,
            "for even k the mean of y",
        ),
        (
            lambda k, n, m: power(k, n, m, first=normal_mean(lambda z: z ** (2 * k))),
            "best line takes",
        ),
        (lambda k, n, m: power(k, n, m, keep=(1, 0, 0)), "what the layer adds is missing"),
        (lambda k, n, m: power(k, n, m, keep=(0, 1, 1)), "error of the best line is missing"),
        (lambda k, n, m: power(k, n, m) / 2, "factor 1/2"),
    ],
)


def line(xs, ys):
    return np.linalg.inv(xs.T @ xs) @ xs.T @ ys


def line_by_qr(xs, ys):
    q, r = np.linalg.qr(xs)
    return np.linalg.solve(r, q.T @ ys)


LINE = (
    [line, line_by_qr],
    [
        (lambda x, y: line(x - x.mean(0), y), "subtracted, which fits"),
        (lambda x, y: line(np.c_[x, np.ones(len(x))], y), "column of ones"),
        (lambda x, y: line(np.c_[np.ones(len(x)), x], y), "column of ones"),
        (lambda x, y: np.mean(x * y[:, None], axis=0), "inverse of the second moment"),
        (lambda x, y: np.array([c @ y / (c @ c) for c in x.T]), "fitted alone"),
        (lambda x, y: np.linalg.inv(np.cov(x.T)) @ (x.T @ y) / len(x), "np.cov"),
        (lambda x, y: line(x, y) / len(x), "one mean too many"),
        (lambda x, y: np.linalg.inv(x.T @ x / len(x)) @ x.T @ y, "E[x y] is not"),
        (lambda x, y: x.T @ x @ x.T @ y / len(x) ** 2, "multiply by its inverse"),
        (lambda x, y: x @ line(x, y), "predictions"),
        (lambda x, y: np.mean((y - x @ line(x, y)) ** 2), "return its weights"),
    ],
)


def prior_risk(A, cov, prior, s2, m):
    return risk_of(A, cov, m, s2, prior)


def prior_risk_by_error(A, cov, prior, s2, m, *, scatter=None, noise=None):
    """Mean of the error, (Lambda A - I) between Psi and Lambda, plus the scatter of b-hat."""
    gap = cov @ A - np.eye(len(cov))
    own = cov @ prior @ cov if scatter is None else scatter
    power = np.trace(prior @ cov) + (s2 if noise is None else noise)
    spread = (own + power * cov) / m
    return np.trace(prior @ gap @ cov @ gap.T) + np.trace(A @ cov @ A.T @ spread)


def prior_risk_with_a_twice(A, cov, prior, s2, m):
    bb = cov @ prior @ cov * (1 + 1 / m) + (np.trace(prior @ cov) + s2) / m * cov
    return np.trace(A @ cov @ A @ bb - 2 * A @ cov @ prior @ cov + prior @ cov)


def prior_risk_without_the_query(A, cov, prior, s2, m):
    bb = cov @ prior @ cov * (1 + 1 / m) + (np.trace(prior @ cov) + s2) / m * cov
    return np.trace(A @ A.T @ bb - 2 * A @ cov @ prior @ cov + prior @ cov)


def prior_risk_with_the_plain_trace(A, cov, prior, s2, m):
    return prior_risk(A, cov, prior, s2 + np.trace(cov) - np.trace(prior @ cov), m)


PRIOR_RISK = (
    [prior_risk, prior_risk_by_error],
    [
        (lambda A, c, p, s2, m: prior_risk(A, c, np.eye(len(c)), s2, m), "prior does not enter"),
        (prior_risk_with_the_plain_trace, "that of Psi Lambda"),
        (lambda A, c, p, s2, m: prior_risk(A, c, p, 0, m), "ignores the label noise"),
        (lambda A, c, p, s2, m: prior_risk_by_error(A, c, p, s2, m, noise=m * s2), "not divided"),
        (lambda A, c, p, s2, m: prior_risk(A, c, p, 0, m) + s2, "target is clean"),
        (lambda A, c, p, s2, m: prior_risk(A, c, p, s2**2, m), "do not square"),
        (lambda A, c, p, s2, m: prior_risk_by_error(A, c, p, s2, m, scatter=0 * c), "1/M in front"),
        (lambda A, c, p, s2, m: prior_risk(A.T, c, p, s2, m), "A is transposed"),
        (prior_risk_with_a_twice, "second A of the quadratic"),
        (prior_risk_without_the_query, "covariance of the query"),
        (
            lambda A, c, p, s2, m: prior_risk(A, c, p, s2, m) + np.trace(A @ c @ p @ c),
            "counts twice",
        ),
        (
            lambda A, c, p, s2, m: prior_risk(-A, c, p, s2, m),
            "mixed term is subtracted",
        ),
        (
            lambda A, c, p, s2, m: prior_risk(A, c, p, s2, m) - np.trace(p @ c),
            "constant is missing",
        ),
        (lambda A, c, p, s2, m: prior_risk(A, c, p, s2, m) / 2, "factor 1/2"),
    ],
)

TABLE = {
    "06-estimated-risk": ESTIMATED,
    "06-power": POWER,
    "06-best-line": LINE,
    "06-prior-risk": PRIOR_RISK,
}
