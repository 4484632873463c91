"""Short exercises in the text of Chapter 6."""

from __future__ import annotations

import numpy as np
from scipy.special import factorial2

from icl_lib.exercises import _draws
from icl_lib.exercises._comparison import Case, Comparison, Mistake
from icl_lib.theory import optimum


def _power_case(rng: np.random.Generator, number: int) -> Case:
    n_train, n_test = _draws.two_lengths(rng)
    return {"k": (number - 1) % 5 + 1, "n_train": n_train, "n_test": n_test}


def _moment(j: int) -> float:
    """Return E[z^j] of a standard normal: 0 for odd j, (j - 1)!! for even j."""
    return 0.0 if j % 2 else float(factorial2(j - 1)) if j else 1.0


def _power(k, n, m, *, a=None, shrink=None, centre=1.0, bias=1.0, best=None, second=None):
    """Return the error on y = x^k, with one part exchanged."""
    a = _moment(k + 1) if a is None else a
    shrink = n / (n + 2) if shrink is None else shrink
    best = _moment(2 * k) - a**2 if best is None else best
    sigma = (_moment(2 * k + 2) if second is None else second) - centre * a**2
    return best + shrink**2 * sigma / m + bias * (1 - shrink) ** 2 * a**2


POWER = Comparison(
    returns="one number, the error",
    solution=lambda k, n, m: (
        optimum.arbitrary_label_risk(
            [[1.0]],
            n,
            m,
            [_moment(k + 1)],
            [[_moment(2 * k + 2) - _moment(k + 1) ** 2]],
            max(_moment(2 * k) - _moment(k + 1) ** 2, 0.0),
        ).total
    ),
    draw=_power_case,
    mistakes=(
        Mistake(
            lambda k, n, m: _power(k, n, m, centre=0.0),
            "the variance of x y is its second moment minus the square of its mean.",
        ),
        Mistake(
            lambda k, n, m: _power(k, n, m, bias=0.0),
            "the bias is missing; for odd k there is a line, and the layer shrinks it.",
        ),
        Mistake(
            lambda k, n, m: _power(k, n, np.inf),
            "the variance is missing: b-hat scatters around its mean in every finite prompt.",
        ),
        Mistake(
            lambda k, n, m: _power(k, m, n),
            "N and M are exchanged: the factor a was fixed in training.",
        ),
        Mistake(
            lambda k, n, m: _power(k, n, m, shrink=1.0),
            "the layer trained with N examples shrinks: its factor is N/(N + 2) and not 1.",
        ),
        Mistake(
            lambda k, n, m: _power(k, n, m, shrink=n / (n + 1)),
            "the layer's factor is N/(N + 2).",
        ),
        Mistake(
            lambda k, n, m: (
                _power(k, n, m, best=_moment(2 * k) - _moment(k) ** 2) - _moment(k + 1) ** 2
            ),
            "for even k the mean of y is subtracted; a line through the origin cannot do that.",
        ),
        Mistake(
            lambda k, n, m: _power(k, n, m, best=_moment(2 * k)),
            "the first term is the power of y; the best line takes (E x y)^2 of it.",
        ),
        Mistake(
            lambda k, n, m: _power(k, n, m, second=_moment(2 * k)),
            "x y is the power k + 1; its second moment is that of order 2k + 2.",
        ),
        Mistake(
            lambda k, n, m: _power(k, n, m, a=_moment(k)),
            "E[x y] is the moment of order k + 1.",
        ),
        Mistake(
            lambda k, n, m: _power(k, n, m, a=float(factorial2(k))),
            "for even k the product x y is odd, so its mean is 0.",
        ),
        Mistake(
            lambda k, n, m: _power(k, n, m) - _power(k, n, m, best=0.0),
            "this is the error of the best line; what the layer adds is missing.",
        ),
        Mistake(
            lambda k, n, m: _power(k, n, m, best=0.0),
            "this is what the layer adds; the error of the best line is missing.",
        ),
        Mistake(
            lambda k, n, m: _power(k, n, m) / 2,
            "a risk has no factor 1/2.",
        ),
    ),
    inputs=15,
)


def _line_case(rng: np.random.Generator, number: int) -> Case:
    d = _draws.dimension(rng, 2, 4)
    xs = rng.standard_normal((40, d)) @ np.linalg.cholesky(_draws.covariance(rng, d)).T + 0.5
    return {"xs": xs, "ys": 1.0 + xs @ rng.standard_normal(d) + rng.standard_normal(40)}


def _centred(xs, ys):
    return np.linalg.lstsq(xs - xs.mean(0), ys - ys.mean(), rcond=None)[0]


BEST_LINE = Comparison(
    returns="the weights, an array of shape (d,)",
    solution=lambda xs, ys: np.linalg.lstsq(xs, ys, rcond=None)[0],
    draw=_line_case,
    mistakes=(
        Mistake(
            _centred,
            "means are subtracted, which fits an intercept; the line goes through the origin.",
        ),
        Mistake(
            lambda xs, ys: np.linalg.lstsq(np.column_stack([xs, np.ones(len(xs))]), ys)[0],
            "a column of ones fits an intercept; the line goes through the origin.",
        ),
        Mistake(
            lambda xs, ys: np.linalg.lstsq(np.column_stack([np.ones(len(xs)), xs]), ys)[0],
            "a column of ones fits an intercept; the line goes through the origin.",
        ),
        Mistake(
            lambda xs, ys: xs.T @ ys / len(xs),
            "this is E[x y], or b-hat; the weights need the inverse of the second moment.",
        ),
        Mistake(
            lambda xs, ys: xs.T @ ys / (xs**2).sum(0),
            "each weight is fitted alone; correlated inputs need the inverse of a matrix.",
        ),
        Mistake(
            lambda xs, ys: np.linalg.solve(np.cov(xs.T), xs.T @ ys / len(xs)),
            "np.cov subtracts the means; here Lambda stands for the plain second moment.",
        ),
        Mistake(
            lambda xs, ys: np.linalg.solve(np.cov(xs.T, ddof=0), xs.T @ ys / len(xs)),
            "the means are subtracted in Lambda and not in E[x y].",
        ),
        Mistake(
            lambda xs, ys: np.linalg.solve(xs.T @ xs, xs.T @ ys) / len(xs),
            "one mean too many: E[x y] is divided by the number of examples, Lambda is not.",
        ),
        Mistake(
            lambda xs, ys: np.linalg.solve(xs.T @ xs, xs.T @ ys) * len(xs),
            "Lambda is divided by the number of examples, E[x y] is not.",
        ),
        Mistake(
            lambda xs, ys: (xs.T @ xs / len(xs)) @ (xs.T @ ys / len(xs)),
            "you multiply by Lambda; multiply by its inverse.",
        ),
        Mistake(
            lambda xs, ys: xs @ np.linalg.lstsq(xs, ys)[0],
            "these are the predictions; return the weights.",
        ),
        Mistake(
            lambda xs, ys: np.mean((ys - xs @ np.linalg.lstsq(xs, ys)[0]) ** 2),
            "this is the error that the best line leaves; return its weights.",
        ),
    ),
)

EXERCISES = {
    "06-power": POWER,
    "06-best-line": BEST_LINE,
}
