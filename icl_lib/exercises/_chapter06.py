"""Exercises of Chapter 6: labels of any kind, noise and priors."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises import _chapter06_short, _draws
from icl_lib.exercises._comparison import Case, Comparison, Mistake
from icl_lib.theory import optimum


def _sample_case(rng: np.random.Generator, number: int) -> Case:
    """Return a large sample of labels that are neither linear nor of mean zero."""
    d = _draws.dimension(rng, 2, 3)
    xs = rng.standard_normal((8_000, d)) @ np.linalg.cholesky(_draws.covariance(rng, d)).T
    w_star = rng.standard_normal(d)
    ys = 1.0 + xs @ w_star + 0.4 * (xs @ rng.standard_normal(d)) ** 2
    n_train, n_test = _draws.two_lengths(rng, 3, 12)
    return {"xs": xs, "ys": ys, "n_train": n_train, "n_test": n_test}


def _terms(xs, ys, n, m, *, cov=None, centre=1.0, best=None, length=None, power=2, line=None):
    """Return the three terms of Theorem 4.2, with one part of the estimate exchanged."""
    cov = xs.T @ xs / len(xs) if cov is None else cov(xs)
    cross, products = xs.T @ ys / len(xs), xs * ys[:, None]
    sigma = products.T @ products / len(xs) - centre * np.outer(cross, cross)
    gam_inv = np.linalg.inv(optimum.gamma(cov, n))
    shift = cov + np.trace(cov) * np.eye(len(cov))
    a = np.linalg.solve(cov, cross) if line is None else line(cov, cross)
    bias = a @ gam_inv @ gam_inv @ cov @ shift @ shift @ a / (length or n) ** power
    left = np.mean(ys**2) - cross @ a if best is None else best(xs, ys)
    return left, np.trace(sigma @ gam_inv @ gam_inv @ cov) / m, bias


def _total(xs, ys, n, m, **exchanged):
    return sum(_terms(xs, ys, n, m, **exchanged))


def _with_intercept(xs, ys):
    design = np.column_stack([xs, np.ones(len(xs))])
    return np.mean((ys - design @ np.linalg.lstsq(design, ys, rcond=None)[0]) ** 2)


def _only_sigma_once(xs, ys, n, m):
    cov, cross = xs.T @ xs / len(xs), xs.T @ ys / len(xs)
    products = xs * ys[:, None]
    sigma = products.T @ products / len(xs) - np.outer(cross, cross)
    left, _, bias = _terms(xs, ys, n, m)
    return left + np.trace(sigma @ np.linalg.inv(optimum.gamma(cov, n)) @ cov) / m + bias


ESTIMATED_RISK = Comparison(
    returns="one number, the sum of the three terms",
    solution=_total,
    draw=_sample_case,
    tolerance=2e-3,  # dividing by n - 1, or centring the inputs, is as good
    inputs=5,
    mistakes=(
        Mistake(
            lambda xs, ys, n, m: _total(xs, ys, m, n),
            "N and M are exchanged: Gamma and the bias have the training length.",
        ),
        Mistake(
            lambda xs, ys, n, m: _total(xs, ys, n, m, length=m),
            "the bias is divided by M^2; it comes from training and has N^2.",
        ),
        Mistake(
            lambda xs, ys, n, m: _total(xs, ys, n, m, power=1),
            "the bias is divided by N^2.",
        ),
        Mistake(
            lambda xs, ys, n, m: _total(xs, ys, n, m, centre=0.0),
            "your Sigma is the second moment of x y; a covariance subtracts the product of means.",
        ),
        Mistake(
            lambda xs, ys, n, m: _total(xs, ys, n, m, best=_with_intercept),
            "your best line has an intercept; the layer's goes through the origin.",
        ),
        Mistake(
            lambda xs, ys, n, m: _total(xs, ys - ys.mean(), n, m),
            "the mean of y is subtracted everywhere; the layer cannot do that.",
        ),
        Mistake(
            lambda xs, ys, n, m: _total(xs, ys, n, m, best=lambda xs, ys: np.var(ys)),
            "the first term is the variance of y; subtract what the best line explains, "
            "and do not subtract the mean.",
        ),
        Mistake(
            lambda xs, ys, n, m: _total(xs, ys, n, m, best=lambda xs, ys: np.mean(ys**2)),
            "the first term is the power of y; subtract what the best line explains.",
        ),
        Mistake(
            lambda xs, ys, n, m: _total(xs, ys, n, m, best=lambda xs, ys: 0.0),
            "the error of the best line is missing.",
        ),
        Mistake(
            lambda xs, ys, n, m: np.array(_terms(xs, ys, n, m)),
            "these are the three terms; add them.",
        ),
        Mistake(
            lambda xs, ys, n, m: sum(_terms(xs, ys, n, m)[:2]),
            "the bias is missing.",
        ),
        Mistake(
            lambda xs, ys, n, m: sum(_terms(xs, ys, n, m)[::2]),
            "the variance is missing.",
        ),
        Mistake(
            lambda xs, ys, n, m: _total(xs, ys, n, m, cov=lambda xs: np.diag((xs**2).mean(0))),
            "your covariance is diagonal; the inputs are correlated.",
        ),
        Mistake(
            lambda xs, ys, n, m: _total(xs, ys, n, 1),
            "the variance is not divided by the test length.",
        ),
        Mistake(
            lambda xs, ys, n, m: _total(xs, ys, n, m, line=lambda cov, cross: cross),
            "a is Lambda^-1 E[x y], and you take E[x y] itself.",
        ),
        Mistake(
            _only_sigma_once,
            "in the variance Gamma's inverse enters squared.",
        ),
    ),
    raises={ValueError: "products x y need the labels as a column: `ys[:, None]`."},
)


def _prior_case(rng: np.random.Generator, number: int) -> Case:
    d = _draws.dimension(rng, 2, 4)
    return {
        "A": rng.standard_normal((d, d)),
        "covariance": _draws.covariance(rng, d),
        "prior": _draws.covariance(rng, d),
        "noise_var": 0.0 if number == 1 else float(rng.uniform(0.3, 2.0)),
        "n_test": _draws.length(rng),
    }


def _prior_risk(A, cov, prior, s2, m, *, trace=None, extra=None, mixed=2.0, middle=None):
    """Return the risk of A for a prior and noise, with one part exchanged."""
    trace = np.trace(prior @ cov) if trace is None else trace
    extra = 1 / m if extra is None else extra
    moment = (1 + extra) * cov @ prior @ cov + (trace + s2) / m * cov
    middle = A @ cov @ A.T if middle is None else middle
    return np.trace(middle @ moment - mixed * A @ cov @ prior @ cov + prior @ cov)


def _noise_once(A, cov, prior, s2, m):
    return _prior_risk(A, cov, prior, m * s2, m)


PRIOR_RISK = Comparison(
    returns="one number, the risk",
    solution=lambda A, cov, prior, s2, m: optimum.preconditioner_risk(
        A, cov, m, prior=prior, noise_var=s2
    ),
    draw=_prior_case,
    mistakes=(
        Mistake(
            lambda A, cov, prior, s2, m: _prior_risk(A, cov, np.eye(len(cov)), s2, m),
            "the prior does not enter: E[w w'] is Psi and no longer I.",
        ),
        Mistake(
            lambda A, cov, prior, s2, m: _prior_risk(A, cov, prior, s2, m, trace=np.trace(cov)),
            "the trace in E[b b'] is that of Psi Lambda, the power of the labels.",
        ),
        Mistake(
            lambda A, cov, prior, s2, m: _prior_risk(A, cov, prior, 0.0, m),
            "your result ignores the label noise.",
        ),
        Mistake(
            _noise_once,
            "the noise is not divided by the number of examples.",
        ),
        Mistake(
            lambda A, cov, prior, s2, m: _prior_risk(A, cov, prior, 0.0, m) + s2,
            "the target is clean: the noise acts through b-hat, not on the query's label.",
        ),
        Mistake(
            lambda A, cov, prior, s2, m: _prior_risk(A, cov, prior, s2**2, m),
            "noise_var is a variance already; do not square it.",
        ),
        Mistake(
            lambda A, cov, prior, s2, m: _prior_risk(A, cov, prior, s2, m, extra=0.0),
            "the 1/M in front of Lambda Psi Lambda is lost.",
        ),
        Mistake(
            lambda A, cov, prior, s2, m: _prior_risk(A.T, cov, prior, s2, m),
            "A is transposed: the prediction is b-hat' A x_q.",
        ),
        Mistake(
            lambda A, cov, prior, s2, m: _prior_risk(A, cov, prior, s2, m, middle=A @ cov @ A),
            "the second A of the quadratic term is transposed.",
        ),
        Mistake(
            lambda A, cov, prior, s2, m: _prior_risk(A, cov, prior, s2, m, middle=A @ A.T),
            "the covariance of the query is missing between A and its transpose.",
        ),
        Mistake(
            lambda A, cov, prior, s2, m: _prior_risk(A, cov, prior, s2, m, mixed=1.0),
            "the mixed term counts twice, as in (p - q)^2 = p^2 - 2pq + q^2.",
        ),
        Mistake(
            lambda A, cov, prior, s2, m: _prior_risk(A, cov, prior, s2, m, mixed=-2.0),
            "the mixed term is subtracted.",
        ),
        Mistake(
            lambda A, cov, prior, s2, m: _prior_risk(A, cov, prior, s2, m) - np.trace(prior @ cov),
            "the constant is missing: predicting zero, A = 0, has the risk tr(Psi Lambda).",
        ),
        Mistake(
            lambda A, cov, prior, s2, m: _prior_risk(A, cov, prior, s2, m) / 2,
            "a risk has no factor 1/2.",
        ),
    ),
)

EXERCISES = {
    "06-estimated-risk": ESTIMATED_RISK,
    "06-prior-risk": PRIOR_RISK,
} | _chapter06_short.EXERCISES
