"""Short exercises in the text of Chapter 8."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises import _draws
from icl_lib.exercises._comparison import Case, Comparison, Mistake


def _two_kinds_case(rng: np.random.Generator, number: int) -> Case:
    kinds = _draws.dimension(rng, 2, 4)
    return {
        "variances": np.exp(rng.uniform(-1.5, 1.5, kinds)),
        "probabilities": rng.dirichlet(np.ones(kinds)),
    }


TWO_KINDS = Comparison(
    returns="one number, the best a",
    solution=lambda lam, p: (p @ lam**2) / (p @ lam**3),
    draw=_two_kinds_case,
    mistakes=(
        Mistake(
            lambda lam, p: p @ (1 / lam),
            "this averages the best factors 1/lambda; the loss is averaged before it is minimised.",
        ),
        Mistake(
            lambda lam, p: 1 / (p @ lam),
            "this is right for one prompt of average variance; large variances weigh more.",
        ),
        Mistake(
            lambda lam, p: (p @ lam) / (p @ lam**2),
            "the query has the variance lambda too: one more power, above and below.",
        ),
        Mistake(
            lambda lam, p: (p @ lam**3) / (p @ lam**2),
            "the ratio is upside down.",
        ),
        Mistake(
            lambda lam, p: np.sum(lam**2) / np.sum(lam**3),
            "the probabilities do not enter.",
        ),
        Mistake(
            lambda lam, p: (p @ lam**2) / (p @ lam) ** 3,
            "the denominator is a power of the mean; average the third power.",
        ),
        Mistake(
            lambda lam, p: (p @ lam) ** 2 / (p @ lam**3),
            "the numerator is a power of the mean; average the square.",
        ),
        Mistake(
            lambda lam, p: p @ lam - (p @ lam**2) ** 2 / (p @ lam**3),
            "this is the error that is left; return the a that attains it.",
        ),
        Mistake(
            lambda lam, p: (p**2 @ lam**2) / (p**3 @ lam**3),
            "the probabilities are raised to powers too; they are weights.",
        ),
        Mistake(
            lambda lam, p: 1 / lam[np.argmax(p)],
            "this serves the most frequent kind only.",
        ),
    ),
)


def _scale_case(rng: np.random.Generator, number: int) -> Case:
    lam = rng.exponential(size=_draws.length(rng, 20, 60)) ** float(rng.uniform(0.5, 1.5))
    return {"c": float(rng.uniform(0.3, 4.0)), "samples": lam}


def _relative(c, lam, *, a=None, first=None, top=2, low=1):
    """Return the relative error at scale c, with one part exchanged."""
    m1, m2, m3 = (np.mean(lam**k) for k in (1, 2, 3))
    a = m2 / m3 if a is None else a
    return (a**2 * c**top * m3 - 2 * a * c**low * m2 + m1) / (m1 if first is None else first)


def _refit(c, lam):
    return _relative(c, lam, a=np.mean(lam**2) / (c * np.mean(lam**3)))


SCALE = Comparison(
    returns="one number, the relative error",
    solution=lambda c, lam: (
        np.mean(c * lam * (np.mean(lam**2) / np.mean(lam**3) * c * lam - 1) ** 2) / np.mean(c * lam)
    ),
    draw=_scale_case,
    mistakes=(
        Mistake(
            lambda c, lam: c * _relative(c, lam) * np.mean(lam),
            "this is the error; divide it by that of predicting zero at this scale.",
        ),
        Mistake(
            lambda c, lam: c * _relative(c, lam),
            "you divide by the error of predicting zero at scale 1; take that at scale c.",
        ),
        Mistake(
            _refit,
            "this does not change with c: it is the error at scale 1, or that of an a fitted at "
            "scale c; the layer keeps the a of scale 1 when the prompts change.",
        ),
        Mistake(
            lambda c, lam: _relative(c, lam, a=1 / np.mean(lam)),
            "a is one over the mean; the best a is a ratio of higher moments.",
        ),
        Mistake(
            lambda c, lam: _relative(c, lam, a=1.0),
            "this is a = 1, the layer trained on Lambda = I.",
        ),
        Mistake(
            lambda c, lam: _relative(c, lam, top=4, low=2),
            "c multiplies the variance here, not the inputs.",
        ),
        Mistake(
            lambda c, lam: _relative(c, lam, top=2, low=2),
            "the mixed term has one c less than the quadratic one.",
        ),
        Mistake(
            lambda c, lam: _relative(c, lam, top=1, low=1),
            "the quadratic term has one c more than the mixed one.",
        ),
        Mistake(
            lambda c, lam: np.mean((np.mean(lam**2) / np.mean(lam**3) * c * lam - 1) ** 2),
            "the squared factor is weighted with the query's variance.",
        ),
        Mistake(
            lambda c, lam: (np.mean(lam**2) / np.mean(lam**3) * c * np.mean(lam) - 1) ** 2,
            "you insert the mean variance; average the error over the variances.",
        ),
    ),
)

EXERCISES = {
    "08-two-kinds": TWO_KINDS,
    "08-scale": SCALE,
}
