"""Right and wrong answers to the exercises of Chapter 1, written as students write them.

name -> (right answers, [(wrong answer, words that its hint must contain)]).
"""

from __future__ import annotations

import numpy as np


def ridge(xs, ys, x_query, penalty, *, share=1.0, moment=1.0, power=1):
    gram = share * xs.T @ xs + penalty**power * np.eye(xs.shape[1])
    return x_query @ np.linalg.inv(gram) @ (moment * xs.T @ ys)


def ridge_dual(xs, ys, x_query, penalty):
    """The same by an (n, n) matrix."""
    return x_query @ xs.T @ np.linalg.solve(xs @ xs.T + penalty * np.eye(len(xs)), ys)


def ridge_of_the_mean(xs, ys, x_query, penalty):
    n = len(xs)
    return ridge(xs, ys, x_query, penalty, share=1 / n, moment=1 / n)


def ridge_half_averaged(xs, ys, x_query, penalty):
    return ridge(xs, ys, x_query, penalty, share=1 / len(xs))


def ridge_weights(xs, ys, x_query, penalty):
    return ridge(xs, ys, np.eye(xs.shape[1]), penalty)


def ridge_without_penalty(xs, ys, x_query, penalty):
    return np.linalg.lstsq(xs, ys, rcond=None)[0] @ x_query


def pinv_for_short_prompts(xs, ys, x_query, penalty):
    if len(xs) < xs.shape[1]:
        return x_query @ np.linalg.pinv(xs) @ ys
    return ridge(xs, ys, x_query, penalty)


def ridge_with_intercept(xs, ys, x_query, penalty):
    x_mean, y_mean = xs.mean(axis=0), ys.mean()
    return y_mean + ridge(xs - x_mean, ys - y_mean, x_query - x_mean, penalty)


def ridge_coordinate_by_coordinate(xs, ys, x_query, penalty):
    weights = [(x @ ys) / (x @ x + penalty) for x in xs.T]
    return float(np.dot(weights, x_query))


def ridge_number_added(xs, ys, x_query, penalty):
    return x_query @ np.linalg.inv(xs.T @ xs + penalty) @ xs.T @ ys


RIDGE = (
    [ridge, ridge_dual],
    [
        (ridge_without_penalty, "ignores the penalty"),
        (pinv_for_short_prompts, "fewer examples than dimensions your result ignores"),
        (ridge_of_the_mean, "mean of the squares"),
        (lambda xs, ys, q, p: ridge(xs, ys, q, p / len(xs)), "penalty is divided by"),
        (ridge_half_averaged, "X'X is divided by the number of examples and X'y is not"),
        (lambda xs, ys, q, p: ridge(xs, ys, q, p, power=2), "penalty is squared"),
        (lambda xs, ys, q, p: ridge(xs, ys, q, p + p), "counts twice"),
        (lambda xs, ys, q, p: ridge(xs, ys, q, p, share=2, moment=2), "half of the penalty"),
        (ridge_weights, "weights w"),
        (ridge_coordinate_by_coordinate, "entry by entry"),
        (ridge_with_intercept, "intercept"),
        (lambda xs, ys, q, p: np.mean(ys * (xs @ q)), "averaging, which never inverts"),
        (lambda xs, ys, q, p: np.sum(ys * (xs @ q)), "inverse of X'X + penalty I is missing"),
        (lambda xs, ys, q, p: np.sum(ys * (xs @ q)) / (len(xs) + p), "X'X is a matrix"),
        (lambda xs, ys, q, p: ridge(xs, ys, q, p, share=-1, moment=-1), "wrong sign"),
        (ridge_number_added, "identity is needed"),
    ],
)


def nearest(xs, ys, x_query):
    best = min(range(len(xs)), key=lambda i: np.sum((xs[i] - x_query) ** 2))
    return ys[best]


def nearest_by_formula(xs, ys, x_query):
    return ys[np.argmax(xs @ x_query - (xs**2).sum(1) / 2)]


def three_nearest(xs, ys, x_query):
    return ys[np.argsort(np.linalg.norm(xs - x_query, axis=1))[:3]].mean()


NEAREST = (
    [nearest, nearest_by_formula],
    [
        (lambda xs, ys, q: ys[np.argmax(np.sum(xs * q, axis=1))], "inner product"),
        (
            lambda xs, ys, q: ys[np.argmax((xs @ q) / np.sqrt((xs**2).sum(1) * (q @ q)))],
            "similar direction",
        ),
        (lambda xs, ys, q: ys[np.argmin(np.square(xs @ q))], "orthogonal"),
        (lambda xs, ys, q: ys[np.argsort(np.linalg.norm(xs - q, axis=1))[-1]], "farthest"),
        (lambda xs, ys, q: int(np.argmin([np.sum((x - q) ** 2) for x in xs])), "return its label"),
        (lambda xs, ys, q: min(xs, key=lambda x: np.linalg.norm(x - q)), "closest input itself"),
        (lambda xs, ys, q: min(np.linalg.norm(x - q) for x in xs), "this is the distance"),
        (lambda xs, ys, q: ys[np.argmin(np.linalg.norm(xs - q, 1, axis=1))], "absolute"),
        (lambda xs, ys, q: ys[np.argmin(np.sum(xs - q, axis=1))], "with their signs"),
        (lambda xs, ys, q: ys[np.argmin(np.linalg.norm(xs - q, axis=0))], "over the examples"),
        (three_nearest, "three closest"),
    ],
)


def enough(curve, eta, epsilon):
    good = curve <= eta + epsilon
    return min(m for m in range(len(curve)) if all(good[m:]))


def enough_backwards(curve, eta, epsilon):
    m = len(curve)
    while m > 0 and curve[m - 1] <= eta + epsilon:
        m -= 1
    return m


def first_crossing(curve, eta, epsilon):
    return next(m for m, error in enumerate(curve) if error <= eta + epsilon)


def strictly_below(curve, eta, epsilon):
    good = curve < eta + epsilon
    return min((m for m in range(len(curve)) if all(good[m:])), default=len(curve))


def last_bad(curve, eta, epsilon):
    return max(m for m, error in enumerate(curve) if error > eta + epsilon)


def two_sided(curve, eta, epsilon):
    good = np.abs(curve - eta) <= epsilon
    return min((m for m in range(len(curve)) if all(good[m:])), default=len(curve))


ENOUGH = (
    [enough, enough_backwards],
    [
        (first_crossing, "a curve may rise again"),
        (last_bad, "one too early"),
        (lambda c, eta, eps: enough(c, eta, eps) + 1, "one too late"),
        (strictly_below, "may be equal"),
        (lambda c, eta, eps: enough_backwards(c, 0, eps), "epsilon alone"),
        (lambda c, eta, eps: enough_backwards(c, eta, 0), "eta alone"),
        (two_sided, "no absolute value"),
        (lambda c, eta, eps: sum(error <= eta + eps for error in c), "good enough"),
        (lambda c, eta, eps: sum(error > eta + eps for error in c), "count the bad"),
        (lambda c, eta, eps: c[enough(c, eta, eps)], "number of examples"),
    ],
)


def curve(xs, ys, *, upto=0, start=0):
    """The error curve; ``upto`` shifts the last example that is used."""
    prompts, n, d = xs.shape
    squares = np.zeros((prompts, n))
    for p in range(prompts):
        for m in range(n):
            used = max(m + upto, 0)
            w = np.linalg.lstsq(xs[p, :used], ys[p, :used], rcond=None)[0]
            squares[p, m] = (ys[p, m] - xs[p, m] @ w) ** 2
    return squares.mean(axis=0)[start:] / d


def curve_by_tiny_ridge(xs, ys):
    prompts, n, d = xs.shape
    total = np.zeros(n)
    for x, y in zip(xs, ys, strict=True):
        for m in range(n):
            gram = x[:m].T @ x[:m] + 1e-9 * np.eye(d)
            total[m] += (x[m] @ np.linalg.solve(gram, x[:m].T @ y[:m]) - y[m]) ** 2
    return total / prompts / d


def curve_of_absolute_errors(xs, ys):
    prompts, n, d = xs.shape
    errors = np.zeros(n)
    for x, y in zip(xs, ys, strict=True):
        for m in range(n):
            errors[m] += abs(x[m] @ np.linalg.pinv(x[:m]) @ y[:m] - y[m]) / prompts
    return errors / d


def curve_with_solve(xs, ys):
    x, y = xs[0], ys[0]
    return [x[m] @ np.linalg.solve(x[:m].T @ x[:m], x[:m].T @ y[:m]) for m in range(len(y))]


CURVE = (
    [curve, curve_by_tiny_ridge],
    [
        (lambda xs, ys: curve(xs, ys, upto=1), "the pair that you predict"),
        (lambda xs, ys: curve(xs, ys, upto=-1), "newest example is missing"),
        (lambda xs, ys: curve(xs, ys, start=1), "after no example"),
        (lambda xs, ys: curve(xs, ys) * xs.shape[-1], "divide by d"),
        (lambda xs, ys: np.sqrt(curve(xs, ys)), "root of the error"),
        (lambda xs, ys: np.sqrt(xs.shape[-1] * curve(xs, ys)), "root mean square"),
        (curve_of_absolute_errors, "absolute values"),
        (lambda xs, ys: len(xs) * curve(xs, ys), "average over them"),
        (lambda xs, ys: np.mean(curve(xs, ys)), "one error for each number"),
        (curve_with_solve, "lstsq"),
    ],
)

TABLE = {
    "01-ridge": RIDGE,
    "01-nearest": NEAREST,
    "01-enough": ENOUGH,
    "01-curve": CURVE,
}
