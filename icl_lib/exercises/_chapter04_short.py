"""Short exercises in the text of Chapter 4."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises import _draws
from icl_lib.exercises._comparison import Case, Comparison, Mistake


def _endpoint_case(rng: np.random.Generator, number: int) -> Case:
    a, u = rng.uniform(-1.5, 1.5, 2)
    if number == 1:
        u = a  # balanced
    elif number == 2:
        a, u = -abs(a), abs(a) / 2  # u + a < 0, with opposite signs
    return {"a": float(a), "u": float(u), "n_train": _draws.length(rng)}


def _endpoint(a, u, n, *, product=None, both=True):
    """Return where the hyperbola of the start meets the minima, on the start's side."""
    product = n / (n + 2) if product is None else product
    c = u**2 - a**2
    end = np.sqrt((c + np.sqrt(c**2 + 4 * product**2)) / 2)
    sign = np.sign(a + u) if both else 1.0
    return sign * product / end, sign * end


def _same_ratio(a, u, n):
    scale = np.sqrt(n / (n + 2) / abs(a * u))
    return scale * a, scale * u


ENDPOINT = Comparison(
    returns="the two numbers (a, u) where the path ends",
    solution=_endpoint,
    draw=_endpoint_case,
    mistakes=(
        Mistake(
            lambda a, u, n: _endpoint(a, u, n)[::-1],
            "a and u are exchanged: which of a^2 and u^2 is larger at the start stays larger, "
            "and a is returned first.",
        ),
        Mistake(
            lambda a, u, n: (np.sqrt(n / (n + 2)),) * 2,
            "this is the end of a balanced start; u^2 - a^2 keeps the value it has at the start.",
        ),
        Mistake(
            lambda a, u, n: (np.sign(a + u) * np.sqrt(n / (n + 2)),) * 2,
            "this is the end of a balanced start; u^2 - a^2 keeps the value it has at the start.",
        ),
        Mistake(
            lambda a, u, n: _endpoint(a, u, n, product=1 + 2 / n),
            "the minima are at ua = 1/gamma, and you take gamma.",
        ),
        Mistake(
            lambda a, u, n: _endpoint(a, u, n, product=1.0),
            "the minima are at ua = 1/gamma; the layer shrinks, so the product is below 1.",
        ),
        Mistake(
            lambda a, u, n: _endpoint(a, u, n, product=n / (n + 1)),
            "gamma is 1 + 2/N in one dimension.",
        ),
        Mistake(
            lambda a, u, n: _endpoint(a, u, n, both=False),
            "two curves of minima: a start with a + u < 0 ends on the one where both are negative.",
        ),
        Mistake(
            lambda a, u, n: (n / (n + 2) / u, u),
            "you hold u fixed; both move, and u^2 - a^2 is what stays.",
        ),
        Mistake(
            lambda a, u, n: (a, n / (n + 2) / a),
            "you hold a fixed; both move, and u^2 - a^2 is what stays.",
        ),
        Mistake(
            _same_ratio,
            "you keep the ratio of a and u; it is the difference of their squares that stays.",
        ),
    ),
)


def _time_case(rng: np.random.Generator, number: int) -> Case:
    return {
        "share": float(rng.uniform(0.1, 0.95)),
        "d": _draws.dimension(rng, 2, 9),
        "n_train": _draws.length(rng),
        "sigma": float(rng.choice([0.02, 0.05, 0.1])),
    }


def _time(
    q, d, n, sigma, *, rate=None, s0=None, limit=None, log=np.log, odds=lambda q: q / (1 - q)
):
    """Return the time of the share q, with one part exchanged."""
    gamma = 1 + (d + 1) / n
    limit = 1 / (d**0.5 * gamma) if limit is None else limit
    s0 = sigma**2 / d if s0 is None else s0
    return log((limit / s0 - 1) * odds(q)) / (2 * d**0.5 if rate is None else rate)


LOGISTIC_TIME = Comparison(
    returns="one number, a time",
    solution=_time,
    draw=_time_case,
    mistakes=(
        Mistake(
            lambda q, d, n, sigma: _time(0.5, d, n, sigma),
            "this is the time of one half; your result does not depend on the share.",
        ),
        Mistake(
            lambda q, d, n, sigma: _time(1 - q, d, n, sigma),
            "share and one minus share are exchanged: a larger share takes longer.",
        ),
        Mistake(
            lambda q, d, n, sigma: _time(q**2, d, n, sigma),
            "this is the time at which the weight a reaches the share; s is its square.",
        ),
        Mistake(
            lambda q, d, n, sigma: _time(q, d, n, sigma, rate=d**0.5),
            "the rate is 2 root d: s is a square and grows twice as fast as the weight.",
        ),
        Mistake(
            lambda q, d, n, sigma: _time(q, d, n, sigma, rate=2 * d),
            "the rate is 2 root d, and you divide by 2 d.",
        ),
        Mistake(
            lambda q, d, n, sigma: _time(q, d, n, sigma, rate=2.0),
            "the rate is 2 root d; your result lacks the root of d.",
        ),
        Mistake(
            lambda q, d, n, sigma: _time(q, d, n, sigma, s0=sigma**2),
            "s starts at sigma^2/d.",
        ),
        Mistake(
            lambda q, d, n, sigma: _time(q, d, n, sigma, s0=sigma / d),
            "s starts at sigma^2/d: it is a squared weight.",
        ),
        Mistake(
            lambda q, d, n, sigma: _time(q, d, n, sigma, limit=1 / (1 + (d + 1) / n)),
            "the limit of s is 1/(root d gamma); yours lacks the root of d.",
        ),
        Mistake(
            lambda q, d, n, sigma: _time(q, d, n, sigma, log=np.log10),
            "the logarithm is the natural one.",
        ),
        Mistake(
            lambda q, d, n, sigma: (
                np.log(q / (d**0.5 * (1 + (d + 1) / n)) / (sigma**2 / d)) / (2 * d**0.5)
            ),
            "this is pure exponential growth; the curve bends before it reaches its limit.",
        ),
        Mistake(
            lambda q, d, n, sigma: _time(q, d, n, sigma, odds=lambda q: q),
            "the share enters as q/(1 - q): solve the logistic curve for t.",
        ),
    ),
)

EXERCISES = {
    "04-endpoint": ENDPOINT,
    "04-logistic-time": LOGISTIC_TIME,
}
