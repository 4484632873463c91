"""Exercises of Chapter 7: what happens when the inputs change between training and test."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises import _chapter07_short, _draws
from icl_lib.exercises._comparison import Case, Comparison, Mistake
from icl_lib.theory import optimum, shifts


def _lengths_case(rng: np.random.Generator, number: int) -> Case:
    n_train, n_test = _draws.two_lengths(rng, 4, 60)
    covariance = _draws.covariance(rng, _draws.dimension(rng))
    return {"covariance": covariance, "n_train": n_train, "n_test": n_test}


def _parabola(cov, n, m, A=None):
    """Return P and Q of the relative error P q^2 - 2 Q q + 1 at inputs scaled by c, q = c^2."""
    A = np.linalg.inv(optimum.gamma(cov, n)) if A is None else A
    middle, t = A @ cov @ A.T, np.trace(cov)
    second = np.trace(cov @ cov @ middle)
    return (second + (t * np.trace(cov @ middle) + second) / m) / t, np.trace(cov @ A @ cov) / t


def _critical(cov, n, m, A=None):
    P, Q = _parabola(cov, n, m, A)
    return (2 * Q / P) ** 0.5


def _root(function, low, high):
    """Return the root of an increasing function by bisection."""
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return low


def _unscaled_zero(cov, n, m):
    """Return the scale at which the risk is that of predicting zero on the unscaled prompts."""
    P, Q = _parabola(cov, n, m)
    return _root(lambda c: c**2 * (P * c**4 - 2 * Q * c**2 + 1) - 1, 1.0, 9.0)


def _doubled(cov, n, m):
    P, Q = _parabola(cov, n, m)
    level = 2 * (P - 2 * Q + 1)
    return ((Q + (Q**2 + P * (level - 1)) ** 0.5) / P) ** 0.5


CRITICAL_SCALE = Comparison(
    returns="one number above 1, the scale c",
    solution=_critical,
    draw=_lengths_case,
    tolerance=1e-5,
    mistakes=(
        Mistake(
            lambda cov, n, m: _critical(cov, n, m) ** 2,
            "this is c^2, the scale of the covariance; the inputs are scaled by its root.",
        ),
        Mistake(
            lambda cov, n, m: 2**0.5,
            "this is the limit for long prompts, and the answer at N = M; "
            "use the exact risk with the Gamma of training and the length of the test prompt.",
        ),
        Mistake(
            _unscaled_zero,
            "you compare with predicting zero on the unscaled prompts; "
            "its risk is the trace of the covariance of the scaled ones.",
        ),
        Mistake(
            lambda cov, n, m: _critical(_draws.diagonal(cov), n, m),
            "the entries beside the diagonal of the covariance are lost.",
        ),
        Mistake(
            lambda cov, n, m: _critical(cov, m, n),
            "training and test length are exchanged: the layer keeps Gamma of its training.",
        ),
        Mistake(
            lambda cov, n, m: _critical(cov, n, 1e12),
            "your risk lacks the variance: the test prompt is finite.",
        ),
        Mistake(
            lambda cov, n, m: _critical(cov, n, m, np.linalg.inv(cov)),
            "the layer has stored Gamma's inverse, and not that of the covariance.",
        ),
        Mistake(
            lambda cov, n, m: _critical(cov, n, m) / 2**0.5,
            "this is the scale at which the relative error is smallest; "
            "look for the one at which it is 1.",
        ),
        Mistake(
            _doubled,
            "this is where the relative error has doubled; look for the scale at which it is 1.",
        ),
        Mistake(
            lambda cov, n, m: _critical(np.eye(len(cov)), n, m),
            "this is the answer for Lambda = I; the covariance does not enter.",
        ),
    ),
    raises={
        ValueError: "does the root search start where the layer is better than zero, c = 1, and "
        "end where it is worse?"
    },
)


def _shift_case(rng: np.random.Generator, number: int) -> Case:
    n_train, n_test = _draws.two_lengths(rng)
    return {**_draws.two_covariances(rng, number), "n_train": n_train, "n_test": n_test}


def _shifted(cov, new, n, m, *, A=None, query=None, square=1.0, trace=1.0, gap=None, spread=None):
    """Return the risk (eq-07-risk), with one part exchanged."""
    A = np.linalg.inv(optimum.gamma(cov, n)) if A is None else A
    query = new if query is None else query
    middle = A @ query @ A if spread is None else spread
    variance = trace * np.trace(new) * np.trace(new @ middle)
    variance += square * np.trace(new @ new @ middle)
    gap = (A @ new if gap is None else gap) - np.eye(len(cov))
    return variance / m + np.trace(gap.T @ query @ gap)


def _with_gap(cov, new, n, m, order):
    A = np.linalg.inv(optimum.gamma(cov, n))
    return _shifted(cov, new, n, m, gap=order(A, new))


SHIFTED_RISK = Comparison(
    returns="one number, the risk",
    solution=shifts.covariate_shift_risk,
    draw=_shift_case,
    mistakes=(
        Mistake(
            lambda cov, new, n, m: _shifted(cov, new, n, m, query=cov),
            "the query still has the covariance of training; in a covariate shift it moves too.",
        ),
        Mistake(
            lambda cov, new, n, m: _shifted(cov, cov, n, m, query=new),
            "only the query has moved: this is a query shift; the examples move too.",
        ),
        Mistake(
            lambda cov, new, n, m: shifts.covariate_shift_risk(new, cov, n, m),
            "the two covariances are exchanged: Gamma is made of the one in training.",
        ),
        Mistake(
            lambda cov, new, n, m: _shifted(new, new, n, m),
            "Gamma is made of the new covariance; the layer was not trained again.",
        ),
        Mistake(
            lambda cov, new, n, m: shifts.covariate_shift_risk(cov, new, m, n),
            "training and test length are exchanged: Gamma has N, the variance M.",
        ),
        Mistake(
            lambda cov, new, n, m: _shifted(cov, new, n, m, A=np.linalg.inv(cov)),
            "the layer has stored Gamma's inverse, and not that of Lambda.",
        ),
        Mistake(
            lambda cov, new, n, m: _shifted(cov, new, n, m, A=1 / optimum.gamma(cov, n)),
            "you invert the entries of Gamma; invert the matrix.",
        ),
        Mistake(
            lambda cov, new, n, m: _with_gap(cov, new, n, m, lambda A, c: c @ A),
            "Gamma^-1 and Lambda' are in the wrong order in the bias; they do not commute.",
        ),
        Mistake(
            lambda cov, new, n, m: _shifted(cov, new, n, m, square=0.0),
            "the variance has a second term, with the square of Lambda'.",
        ),
        Mistake(
            lambda cov, new, n, m: _shifted(cov, new, n, m, trace=0.0),
            "the variance term with the trace of Lambda' is missing.",
        ),
        Mistake(
            lambda cov, new, n, m: _shifted(cov, new, n, m, trace=np.trace(cov) / np.trace(new)),
            "the trace in front of the variance is that of the new covariance: it is the power of "
            "the labels.",
        ),
        Mistake(
            lambda cov, new, n, m: _shifted(cov, new, n, np.inf),
            "this is the bias; the variance of the finite test prompt is missing.",
        ),
        Mistake(
            lambda cov, new, n, m: _shifted(cov, new, n, 1),
            "the variance is not divided by the test length.",
        ),
        Mistake(
            lambda cov, new, n, m: _shifted(cov, new, n, m) / np.trace(new),
            "this is the relative error; return the risk itself.",
        ),
        Mistake(
            lambda cov, new, n, m: _shifted(_draws.diagonal(cov), _draws.diagonal(new), n, m),
            "the entries beside the diagonals are lost; the axes may be turned.",
        ),
        Mistake(
            lambda cov, new, n, m: _shifted(cov, new, n, m) / 2,
            "a risk has no factor 1/2.",
        ),
    ),
)

EXERCISES = {
    "07-critical-scale": CRITICAL_SCALE,
    "07-shifted-risk": SHIFTED_RISK,
} | _chapter07_short.EXERCISES
