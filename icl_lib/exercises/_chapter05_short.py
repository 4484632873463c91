"""Short exercises in the text of Chapter 5."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises import _draws
from icl_lib.exercises._comparison import Case, Comparison, Mistake
from icl_lib.theory import optimum


def _directions_case(rng: np.random.Generator, number: int) -> Case:
    """Return a wide spectrum with one eigenvalue just below the border."""
    n = _draws.length(rng, 4, 20)
    lam = np.exp(rng.uniform(-5, 1.5, _draws.dimension(rng, 4, 9)))
    ratio = (1 / n + 1 / (n - 1)) / 2  # between t/N and t/(N - 1), where t includes it
    lam = np.append(lam, ratio * lam.sum() / (1 - ratio))
    return {"lam": rng.permutation(lam), "n_train": n}


def _share(lam, n, *, own=None, trace=None):
    trace = lam.sum() if trace is None else trace
    return lam / ((1 + 1 / n if own is None else own) * lam + trace / n)


DIRECTIONS = Comparison(
    returns="one whole number, how many directions",
    solution=lambda lam, n: np.sum(lam / np.diag(optimum.gamma(np.diag(lam), n)) > 0.5),
    draw=_directions_case,
    mistakes=(
        Mistake(
            lambda lam, n: _share(lam, n),
            "these are the shares that are kept; count those above one half.",
        ),
        Mistake(
            lambda lam, n: np.sum(_share(lam, n)),
            "you add up the shares; count those above one half.",
        ),
        Mistake(
            lambda lam, n: np.sum(_share(lam, n, own=1.0) > 0.5),
            "you compare with tr(Lambda)/N, which is the border up to the 1/N in front of Lambda.",
        ),
        Mistake(
            lambda lam, n: np.sum(_share(lam, n) <= 0.5),
            "you count the directions that are given up.",
        ),
        Mistake(
            lambda lam, n: np.sum(_share(lam, n, trace=lam.mean()) > 0.5),
            "Gamma contains the trace, the sum of the eigenvalues, and not their mean.",
        ),
        Mistake(
            lambda lam, n: np.sum(_share(lam, n, trace=len(lam)) > 0.5),
            "the trace of Lambda is d only for Lambda = I.",
        ),
        Mistake(
            lambda lam, n: np.sum(_share(lam, n, trace=n * lam.sum()) > 0.5),
            "the trace is divided by N in Gamma.",
        ),
        Mistake(
            lambda lam, n: np.sum(_share(lam, n, trace=0.0) > 0.5),
            "without the trace every direction is kept; it comes from the finite prompt.",
        ),
        Mistake(
            lambda lam, n: np.sum(_share(lam, n) ** 2 > 0.5),
            "you compare the squared share, which is that of the variance.",
        ),
        Mistake(
            lambda lam, n: np.sum(1 / _share(lam, n) / lam > 0.5),
            "the share is lambda/gamma; you take the inverse of A.",
        ),
        Mistake(
            lambda lam, n: np.sum(_share(lam, n) * lam / lam.max() > 0.5),
            "each share is of its own axis; do not weight them with the eigenvalue.",
        ),
    ),
    inputs=20,
)


TIES = ((5, 12), (2, 3), (2, 12), (3, 8), (3, 24))  # here the border is a whole number


def _shortest_case(rng: np.random.Generator, number: int) -> Case:
    d, n = TIES[number - 1] if number <= len(TIES) else (0, 0)
    return {"d": d or _draws.dimension(rng, 2, 20), "n_train": n or _draws.length(rng, 2, 200)}


def _border(d, n):
    """Return the length at which the layer is as good as predicting zero, for Lambda = I."""
    return n * (d + 1) / (n + 2 * d + 2)


def _first(d, n, useful):
    """Return the first length from 1 on that ``useful(a, m)`` accepts."""
    a = n / (n + d + 1)
    return next((m for m in range(1, 10_000) if useful(a, m)), 0)


SHORTEST = Comparison(
    returns="one whole number, a number of examples",
    solution=lambda d, n: n * (d + 1) // (n + 2 * d + 2) + 1,
    draw=_shortest_case,
    mistakes=(
        Mistake(
            lambda d, n: np.ceil(_border(d, n)),
            "where both are equally good the layer is not yet better: strictly below.",
        ),
        Mistake(
            lambda d, n: np.floor(_border(d, n)),
            "this is the last length at which the layer is no better; one too early.",
        ),
        Mistake(
            _border,
            "this is the border, not a number of examples: which whole number comes next?",
        ),
        Mistake(
            lambda d, n: d + 2,
            "this is the answer for infinitely long training prompts.",
        ),
        Mistake(
            lambda d, n: d + 1,
            "this is the border for infinitely long training prompts.",
        ),
        Mistake(
            lambda d, n: _first(d, n, lambda a, m: d * (1 - a) ** 2 + a**2 * d * (d + 1) / m < 1),
            "predicting zero has the risk d, not 1.",
        ),
        Mistake(
            lambda d, n: _first(d, n, lambda a, m: a**2 * (d + 1) / m < 1),
            "the bias is missing in the risk.",
        ),
        Mistake(
            lambda d, n: _first(d, n, lambda a, m: (1 - a) ** 2 + a**2 * 2 / m < 1),
            "this is the variance of one dimension; with d of them it is (d + 1)/M.",
        ),
        Mistake(
            lambda d, n: _first(d, n, lambda a, m: (1 - a) ** 2 + a**2 * d / m < 1),
            "the variance is a^2 (d + 1)/M for each direction, not a^2 d/M.",
        ),
        Mistake(
            lambda d, n: _first(d, n, lambda a, m: (m / (m + d + 1) - 1) ** 2 < 1),
            "the training length does not enter; a keeps the value that training gave it.",
        ),
        Mistake(
            lambda d, n: _first(d, n, lambda a, m: 2 * (1 - a) ** 2 + 2 * a**2 * (d + 1) / m < 1),
            "a risk has no factor 1/2, and predicting zero has the risk d.",
        ),
    ),
    inputs=40,
)

EXERCISES = {
    "05-directions": DIRECTIONS,
    "05-shortest": SHORTEST,
}
