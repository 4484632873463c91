"""Right and wrong answers to the exercises of Chapter 7, written as students write them.

name -> (right answers, [(wrong answer, words that its hint must contain)]).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq, minimize_scalar


def gamma(cov, n):
    return (1 + 1 / n) * cov + np.trace(cov) / n * np.eye(len(cov))


def shifted_risk(train, test, n, m, *, query=None, A=None):
    """The risk of A = Gamma^-1 with examples of covariance ``test``, from the moments of b-hat."""
    query = test if query is None else query
    A = np.linalg.inv(gamma(train, n)) if A is None else A
    bb = (1 + 1 / m) * test @ test + np.trace(test) / m * test
    return np.trace(bb @ A @ query @ A.T) - 2 * np.trace(test @ A @ query) + np.trace(query)


def shifted_risk_by_terms(train, test, n, m, *, weights=(1, 1, 1), left=True, inverse=None):
    """eq-07-risk; ``weights`` of the bias, the trace term and the square term."""
    A = (np.linalg.inv if inverse is None else inverse)(gamma(train, n))
    gap = (A @ test if left else test @ A) - np.eye(len(A))
    middle = A @ test @ A
    bias = np.trace(gap.T @ test @ gap)
    terms = (np.trace(test) * np.trace(test @ middle), np.trace(test @ test @ middle))
    return weights[0] * bias + (weights[1] * terms[0] + weights[2] * terms[1]) / m


def only_diagonal(matrix):
    return matrix * np.eye(len(matrix))


SHIFTED_RISK = (
    [shifted_risk, shifted_risk_by_terms],
    [
        (lambda a, b, n, m: shifted_risk(a, b, n, m, query=a), "still has the covariance of"),
        (lambda a, b, n, m: shifted_risk(a, a, n, m, query=b), "only the query has moved"),
        (lambda a, b, n, m: shifted_risk(b, a, n, m), "two covariances are exchanged"),
        (lambda a, b, n, m: shifted_risk(b, b, n, m), "not trained again"),
        (lambda a, b, n, m: shifted_risk(a, b, m, n), "test length are exchanged"),
        (lambda a, b, n, m: shifted_risk(a, b, n, m, A=np.linalg.inv(a)), "not that of Lambda"),
        (
            lambda a, b, n, m: shifted_risk_by_terms(a, b, n, m, inverse=lambda g: 1 / g),
            "invert the entries",
        ),
        (lambda a, b, n, m: shifted_risk_by_terms(a, b, n, m, left=False), "wrong order"),
        (lambda a, b, n, m: shifted_risk_by_terms(a, b, n, m, weights=(1, 1, 0)), "square of"),
        (lambda a, b, n, m: shifted_risk_by_terms(a, b, n, m, weights=(1, 0, 1)), "is missing"),
        (
            lambda a, b, n, m: shifted_risk_by_terms(
                a, b, n, m, weights=(1, np.trace(a) / np.trace(b), 1)
            ),
            "power of the labels",
        ),
        (lambda a, b, n, m: shifted_risk_by_terms(a, b, n, m, weights=(1, 0, 0)), "is the bias"),
        (lambda a, b, n, m: shifted_risk(a, b, n, 1), "not divided by the test length"),
        (lambda a, b, n, m: shifted_risk(a, b, n, m) / np.trace(b), "relative error"),
        (
            lambda a, b, n, m: shifted_risk(only_diagonal(a), only_diagonal(b), n, m),
            "may be turned",
        ),
        (lambda a, b, n, m: 0.5 * shifted_risk(a, b, n, m), "factor 1/2"),
    ],
)


def critical(cov, n, m, *, level=1.0, zero=None, **exchanged):
    def excess(c):
        test = c**2 * cov
        return shifted_risk(cov, test, n, m, **exchanged) / (zero or np.trace(test)) - level

    return brentq(excess, 1.0, 20.0, xtol=1e-13)


def critical_by_bisection(cov, n, m):
    low, high = 1.0, 20.0
    while high - low > 1e-10:
        c = (low + high) / 2
        worse = shifted_risk(cov, c * c * cov, n, m) > c * c * np.trace(cov)
        low, high = (low, c) if worse else (c, high)
    return high


def critical_with_the_query_left_behind(cov, n, m):
    """Right too: a query of any scale multiplies error and target alike."""

    def excess(c):
        return shifted_risk(cov, c**2 * cov, n, m, query=cov) / np.trace(cov) - 1

    return brentq(excess, 1.0, 20.0, xtol=1e-13)


def least_relative_error(cov, n, m):
    return minimize_scalar(
        lambda c: shifted_risk(cov, c * c * cov, n, m) / (c * c * np.trace(cov)),
        bounds=(0.3, 3),
        method="bounded",
        options={"xatol": 1e-12},
    ).x


def doubled(cov, n, m):
    level = 2 * shifted_risk(cov, cov, n, m) / np.trace(cov)
    return critical(cov, n, m, level=level)


CRITICAL = (
    [critical, critical_by_bisection, critical_with_the_query_left_behind],
    [
        (lambda c, n, m: critical(c, n, m) ** 2, "c^2"),
        (lambda c, n, m: np.sqrt(2), "long prompts"),
        (lambda c, n, m: critical(c, m, m), "answer at N = M"),
        (lambda c, n, m: critical(c, n, m, zero=np.trace(c)), "unscaled prompts"),
        (lambda c, n, m: critical(only_diagonal(c), n, m), "beside the diagonal"),
        (lambda c, n, m: critical(c, m, n), "exchanged"),
        (lambda c, n, m: critical(c, n, 1e12), "lacks the variance"),
        (lambda c, n, m: critical(c, n, m, A=np.linalg.inv(c)), "not that of the covariance"),
        (least_relative_error, "relative error is smallest"),
        (doubled, "has doubled"),
        (lambda c, n, m: critical(np.eye(len(c)), n, m), "Lambda = I"),
    ],
)


def limit(train, test):
    return shifted_risk(train, test, 1e12, 1e12) / np.trace(test)


def limit_by_norm(train, test, *, query=None, zero=None, product=None):
    query = test if query is None else query
    product = np.linalg.solve(train, test) if product is None else product
    gap = np.linalg.cholesky(query).T @ (product - np.identity(len(train)))
    return np.sum(gap**2) / (np.trace(query) if zero is None else zero)


LIMIT = (
    [limit, limit_by_norm],
    [
        (lambda a, b: limit_by_norm(a, b, zero=1), "divide it by that of predicting zero"),
        (lambda a, b: limit_by_norm(a, b, zero=np.trace(a)), "scored on the shifted prompts"),
        (lambda a, b: limit_by_norm(a, b, query=a), "still has the covariance of training"),
        (lambda a, b: limit_by_norm(a, b, query=np.eye(len(a))), "your query has covariance I"),
        (lambda a, b: limit_by_norm(a, b, product=b @ np.linalg.inv(a)), "wrong order"),
        (lambda a, b: limit_by_norm(a, b, product=np.linalg.solve(b, a)), "wrong covariance"),
        (lambda a, b: limit_by_norm(a, b, product=b / a), "entry by entry"),
        (lambda a, b: (np.trace(b) / np.trace(a) - 1) ** 2, "two traces only"),
        (lambda a, b: (np.mean(np.diag(np.linalg.solve(a, b))) - 1) ** 2, "squares a mean"),
        (lambda a, b: limit_by_norm(only_diagonal(a), only_diagonal(b)), "may be turned"),
        (lambda a, b: np.sqrt(limit_by_norm(a, b)), "root of the relative"),
    ],
)


def orthogonal(xs, x_query):
    basis = np.linalg.qr(xs.T)[0]  # (d, n)
    return x_query - basis @ (basis.T @ x_query)


def orthogonal_by_inner_products(xs, x_query):
    return x_query - xs.T @ np.linalg.solve(xs @ xs.T, xs @ x_query)


def gram_schmidt_without_the_basis(xs, x_query):
    rest = x_query.copy()
    for x in xs:
        rest -= x * np.dot(x, rest) / np.dot(x, x)
    return rest


def as_if_orthogonal(xs, x_query):
    return x_query - sum(x * np.dot(x, x_query) / np.dot(x, x) for x in xs)


def one_example(xs, x_query, x):
    return x_query - x * np.dot(x, x_query) / np.dot(x, x)


def in_the_span(xs, x_query):
    return xs.T @ np.linalg.lstsq(xs.T, x_query, rcond=None)[0]


def with_normal_equations(xs, x_query):
    return x_query - np.linalg.inv(xs.T @ xs * 0) @ x_query


ORTHOGONAL = (
    [orthogonal, orthogonal_by_inner_products],
    [
        (in_the_span, "subtract it from the query"),
        (gram_schmidt_without_the_basis, "one after another"),
        (as_if_orthogonal, "orthogonal to each other"),
        (lambda xs, q: q - sum(x * (x @ q) for x in xs), "orthonormal"),
        (lambda xs, q: q - np.mean([x * (x @ q) for x in xs], axis=0), "empirical covariance"),
        (lambda xs, q: one_example(xs, q, xs[-1]), "last example only"),
        (lambda xs, q: one_example(xs, q, xs[0]), "first example only"),
        (lambda xs, q: one_example(xs, q, np.mean(xs, axis=0)), "mean of the examples"),
        (lambda xs, q: 0.0 * q, "keep the rest"),
        (lambda xs, q: orthogonal(xs, q) / np.linalg.norm(orthogonal(xs, q)), "change the length"),
        (with_normal_equations, "X'X is singular"),
    ],
)

TABLE = {
    "07-critical-scale": CRITICAL,
    "07-limit": LIMIT,
    "07-orthogonal": ORTHOGONAL,
    "07-shifted-risk": SHIFTED_RISK,
}
