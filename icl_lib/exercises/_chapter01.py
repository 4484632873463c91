"""Exercises of Chapter 1: prompts as data sets, and the two definitions."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises import _chapter01_short, _draws
from icl_lib.exercises._comparison import Case, Comparison, Mistake
from icl_lib.theory import solvers


def _ridge_case(rng: np.random.Generator, number: int) -> Case:
    d = _draws.dimension(rng)
    n = _draws.length(rng, 1, 2 * d)  # about half of the prompts are shorter than d
    xs, ys, x_query = _draws.prompt(rng, n, d)
    return {"xs": xs, "ys": ys, "x_query": x_query, "penalty": float(rng.uniform(0.1, 3.0))}


def _solve(gram, moment, x_query):
    return x_query @ np.linalg.solve(gram, moment)


def _centred_ridge(xs, ys, q, p):
    return solvers.ridge(xs - xs.mean(0), ys - ys.mean(), q - xs.mean(0), p) + ys.mean()


def _ridge_only_for_long_prompts(xs, ys, q, p):
    long = len(xs) >= xs.shape[1]
    return solvers.ridge(xs, ys, q, p) if long else solvers.least_squares(xs, ys, q)


RIDGE = Comparison(
    returns="one number, the prediction for x_query",
    solution=solvers.ridge,
    draw=_ridge_case,
    mistakes=(
        Mistake(
            lambda xs, ys, q, p: solvers.least_squares(xs, ys, q),
            "your result ignores the penalty; it belongs on the diagonal of X'X.",
        ),
        Mistake(
            _ridge_only_for_long_prompts,
            "for fewer examples than dimensions your result ignores the penalty; "
            "with it X'X + penalty I can always be inverted, so no case is special.",
        ),
        Mistake(
            lambda xs, ys, q, p: solvers.ridge(xs, ys, q, p * len(xs)),
            "your penalty is added to the mean of the squares and not to their sum; "
            "do not divide X'X and X'y by the number of examples.",
        ),
        Mistake(
            lambda xs, ys, q, p: solvers.ridge(xs, ys, q, p / len(xs)),
            "your penalty is divided by the number of examples; it is added to the sum as it is.",
        ),
        Mistake(
            lambda xs, ys, q, p: solvers.ridge(xs, ys, q, p * len(xs)) * len(xs),
            "X'X is divided by the number of examples and X'y is not; divide neither.",
        ),
        Mistake(
            lambda xs, ys, q, p: solvers.ridge(xs, ys, q, p**2),
            "the penalty is squared; it is already the factor in front of |w|^2.",
        ),
        Mistake(
            lambda xs, ys, q, p: solvers.ridge(xs, ys, q, 2 * p),
            "the penalty counts twice; without a factor 1/2 anywhere the derivative of both "
            "terms has the same 2.",
        ),
        Mistake(
            lambda xs, ys, q, p: solvers.ridge(xs, ys, q, p / 2),
            "only half of the penalty arrives; neither term of the objective has a factor 1/2.",
        ),
        Mistake(
            lambda xs, ys, q, p: np.linalg.solve(xs.T @ xs + p * np.eye(xs.shape[1]), xs.T @ ys),
            "these are the weights w; the prediction is their inner product with x_query.",
        ),
        Mistake(
            lambda xs, ys, q, p: q @ (xs.T @ ys / ((xs**2).sum(0) + p)),
            "you divide entry by entry; the columns of X are correlated, so a matrix is inverted.",
        ),
        Mistake(
            lambda xs, ys, q, p: solvers.averaging(xs, ys, q),
            "this is averaging, which never inverts X'X.",
        ),
        Mistake(
            lambda xs, ys, q, p: q @ xs.T @ ys / (len(xs) + p),
            "this is averaging with a smaller factor; X'X is a matrix and not n I.",
        ),
        Mistake(
            lambda xs, ys, q, p: q @ xs.T @ ys,
            "this is X'y times the query; the inverse of X'X + penalty I is missing.",
        ),
        Mistake(
            _centred_ridge,
            "means are subtracted, which fits an intercept; the line goes through the origin.",
        ),
        Mistake(
            lambda xs, ys, q, p: _solve(xs.T @ xs - p * np.eye(len(q)), xs.T @ ys, q),
            "the penalty has the wrong sign: it must make X'X larger.",
        ),
    ),
    raises={
        np.linalg.LinAlgError: "for short prompts X'X has no inverse, and X'X + penalty I has one; "
        "a matrix plus a number adds it to every entry, so the identity is needed."
    },
)


def _curve_case(rng: np.random.Generator, number: int) -> Case:
    d = _draws.dimension(rng, 2, 4)
    xs, w_star = rng.standard_normal((5, d + 3, d)), rng.standard_normal((5, d))
    return {"xs": xs, "ys": np.einsum("bnd,bd->bn", xs, w_star)}


def _curve(xs, ys, *, size=np.square, examples=lambda m: slice(0, m), lag=0):
    """Return the error (n,), with one step of the right solution exchanged."""
    guesses = np.zeros_like(ys)
    for m in range(xs.shape[1]):
        for b in range(len(xs)):
            seen = examples(max(m - lag, 0))
            guesses[b, m] = np.linalg.pinv(xs[b, seen]) @ ys[b, seen] @ xs[b, m]
    return size(guesses - ys).mean(0) / xs.shape[2]


CURVE = Comparison(
    returns="an array of shape (n,), the error after 0 to n - 1 examples",
    solution=lambda xs, ys: (
        np.mean((solvers.prefix_predictions(solvers.least_squares, xs, ys) - ys) ** 2, axis=0)
        / xs.shape[2]
    ),
    draw=_curve_case,
    mistakes=(
        Mistake(
            lambda xs, ys: _curve(xs, ys, examples=lambda m: slice(0, m + 1)),
            "the error is 0 everywhere: the pair that you predict is among the examples.",
        ),
        Mistake(
            lambda xs, ys: _curve(xs, ys)[1:],
            "the curve starts with the error after no example, where the prediction is 0.",
        ),
        Mistake(
            lambda xs, ys: _curve(xs, ys) * xs.shape[2],
            "divide by d, so that predicting zero scores about 1.",
        ),
        Mistake(
            lambda xs, ys: np.sqrt(_curve(xs, ys) * xs.shape[2]),
            "this is a root mean square; the error is the mean square, divided by d.",
        ),
        Mistake(
            lambda xs, ys: np.sqrt(_curve(xs, ys)),
            "this is the root of the error; the curve shows the mean square, divided by d.",
        ),
        Mistake(
            lambda xs, ys: _curve(xs, ys, size=np.abs),
            "square the errors; you average their absolute values.",
        ),
        Mistake(
            lambda xs, ys: _curve(xs, ys) * len(xs),
            "you add up the prompts; average over them.",
        ),
        Mistake(
            lambda xs, ys: _curve(xs, ys, lag=1),
            "the newest example is missing: entry m may use m examples, and yours uses m - 1.",
        ),
        Mistake(
            lambda xs, ys: _curve(xs, ys, examples=lambda m: slice(m + 1, None)),
            "you predict from the examples that come later; a prompt is read from the left.",
        ),
        Mistake(
            lambda xs, ys: _curve(xs, ys).mean(),
            "you average over the lengths too; keep one error for each number of examples.",
        ),
        Mistake(
            lambda xs, ys: _curve(xs, ys) * xs.shape[2] / np.mean(ys**2),
            "you divide by the power of these labels; divide by d, its expectation.",
        ),
    ),
    raises={
        np.linalg.LinAlgError: "with fewer examples than dimensions X'X is singular; "
        "`np.linalg.lstsq` and `np.linalg.pinv` return the shortest w that fits."
    },
    inputs=6,
)

EXERCISES = {
    "01-ridge": RIDGE,
    "01-curve": CURVE,
} | _chapter01_short.EXERCISES
