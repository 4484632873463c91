"""Exercises of Chapter 8: one matrix for covariances that change from prompt to prompt."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises import _chapter08_short, _draws
from icl_lib.exercises._comparison import Case, Comparison, Mistake
from icl_lib.theory import optimum


def _samples_case(rng: np.random.Generator, number: int) -> Case:
    samples = rng.exponential(size=(60, _draws.dimension(rng))) ** float(rng.uniform(0.5, 1.5))
    if number == 1:
        samples = np.full((10, 4), 2.0)  # a constant covariance: the answer is 1 / Gamma_ii
    return {"samples": samples, "n_train": _draws.length(rng)}


def _gammas(samples, n, *, own=None, trace=None):
    """Return Gamma_ii of every sample (S, d), with one term exchanged."""
    trace = samples.sum(1, keepdims=True) if trace is None else trace
    return (1 + 1 / n if own is None else own) * samples + trace / n


def _alpha(samples, n, **exchanged):
    return np.mean(samples**2) / np.mean(_gammas(samples, n, **exchanged) * samples**2)


def _average_of_inverses(samples, n):
    return np.mean(1 / _gammas(samples, n))


ALPHA = Comparison(
    returns="one number, alpha",
    solution=_alpha,
    draw=_samples_case,
    mistakes=(
        Mistake(
            lambda lam, n: (lam**2).mean(0) / (_gammas(lam, n) * lam**2).mean(0),
            "this is one number for each axis; the axes are alike, so average over them too, "
            "above and below the fraction bar.",
        ),
        Mistake(
            lambda lam, n: np.mean((lam**2).mean(0) / (_gammas(lam, n) * lam**2).mean(0)),
            "you average the ratios of the axes; average numerator and denominator.",
        ),
        Mistake(
            lambda lam, n: np.mean((lam**2).sum(1) / (_gammas(lam, n) * lam**2).sum(1)),
            "this is an average of ratios; the loss averages over covariances before it is "
            "minimised, so take a ratio of averages.",
        ),
        Mistake(
            _average_of_inverses,
            "this averages the best matrices of the prompts; one matrix has to serve them all.",
        ),
        Mistake(
            lambda lam, n: 1 / np.mean(_gammas(lam, n)),
            "this inverts the average Gamma; prompts with large variances weigh more in the loss.",
        ),
        Mistake(
            lambda lam, n: np.mean(lam**2) / np.mean(lam**3),
            "this is the limit of long prompts; Gamma has the training length.",
        ),
        Mistake(
            lambda lam, n: _alpha(lam, n, trace=lam.sum(1).mean()),
            "the trace is averaged first; it belongs to the same sample as the entry.",
        ),
        Mistake(
            lambda lam, n: _alpha(lam, n, trace=lam.mean(1, keepdims=True)),
            "Gamma contains the trace, the sum of the entries, and not their mean.",
        ),
        Mistake(
            lambda lam, n: _alpha(lam, n, trace=lam.sum(0)),
            "the trace adds up the entries of one sample; you add up the samples.",
        ),
        Mistake(
            lambda lam, n: _alpha(lam, n, own=1.0),
            "the 1/N in front of Lambda is lost.",
        ),
        Mistake(
            lambda lam, n: _alpha(lam, n, trace=0.0),
            "the trace is missing in Gamma.",
        ),
        Mistake(
            lambda lam, n: _alpha(lam, n, trace=n * lam.sum(1, keepdims=True)),
            "the trace is divided by N in Gamma.",
        ),
        Mistake(
            lambda lam, n: np.mean(lam) / np.mean(_gammas(lam, n) * lam),
            "one power of Lambda is missing: the query's variance weighs the error too.",
        ),
        Mistake(
            lambda lam, n: np.mean(_gammas(lam, n) * lam**2) / np.mean(lam**2),
            "the ratio is upside down.",
        ),
    ),
)


def _covariances_case(rng: np.random.Generator, number: int) -> Case:
    d = _draws.dimension(rng, 2, 4)
    return {
        "covariances": np.stack([_draws.covariance(rng, d) for _ in range(5)]),
        "n_train": _draws.length(rng),
    }


def _matrices(covs, n):
    """Return Lambda Gamma of every sample (S, d, d)."""
    return np.stack([cov @ optimum.gamma(cov, n) for cov in covs])


def _solved(covs, n, *, moments=None, right=None):
    """Return the A with mean(Lambda Gamma A Lambda) = mean(Lambda^2), one part exchanged."""
    moments = _matrices(covs, n) if moments is None else moments
    d = covs.shape[1]
    right = np.mean([cov @ cov for cov in covs], 0) if right is None else right
    # row by row, vec(P A Q) is (P kron Q') vec(A)
    system = np.mean([np.kron(p, q.T) for p, q in zip(moments, covs, strict=True)], 0)
    return np.linalg.solve(system, right.ravel()).reshape(d, d)


def _diagonal_formula(covs, n):
    gammas = np.stack([optimum.gamma(cov, n) for cov in covs])
    return np.linalg.solve(np.mean(gammas @ covs @ covs, 0), np.mean(covs @ covs, 0))


def _scalar(covs, n):
    moments = _matrices(covs, n)
    return np.mean(np.trace(covs @ covs, axis1=1, axis2=2)) / np.mean(
        np.trace(moments @ covs, axis1=1, axis2=2)
    )


def _inverse_of_mean(covs, n):
    return np.linalg.inv(np.mean([optimum.gamma(cov, n) for cov in covs], 0))


BEST_MATRIX = Comparison(
    returns="one (d, d) matrix",
    solution=_solved,
    draw=_covariances_case,
    mistakes=(
        Mistake(
            lambda covs, n: np.mean([np.linalg.inv(optimum.gamma(c, n)) for c in covs], 0),
            "this averages the best matrices of the prompts; average the loss first.",
        ),
        Mistake(
            _inverse_of_mean,
            "this inverts the average Gamma, as if every prompt had the average covariance; "
            "prompts with large covariances weigh more in the loss.",
        ),
        Mistake(
            _diagonal_formula,
            "this is the formula for diagonal covariances; in general A stands between Lambda "
            "Gamma and Lambda, and cannot be taken out of the mean.",
        ),
        Mistake(
            lambda covs, n: np.diag(np.diag(_diagonal_formula(covs, n))),
            "your matrix is diagonal; these covariances have turned axes.",
        ),
        Mistake(
            lambda covs, n: _solved(covs, n).T,
            "this is A transposed: with `.ravel()`, row by row, vec(PAQ) is (P kron Q') vec(A).",
        ),
        Mistake(
            lambda covs, n: _scalar(covs, n) * np.eye(covs.shape[1]),
            "this is the best multiple of the identity; A may be any matrix.",
        ),
        Mistake(
            _scalar,
            "this is the best multiple of the identity; return the best (d, d) matrix.",
        ),
        Mistake(
            lambda covs, n: _solved(covs, n, moments=covs @ covs),
            "Gamma is replaced by Lambda, as for infinitely long prompts.",
        ),
        Mistake(
            lambda covs, n: _solved(covs, n, right=covs.mean(0)),
            "the right-hand side is the mean of Lambda squared.",
        ),
        Mistake(
            lambda covs, n: _solved(covs, n, right=covs.mean(0) @ covs.mean(0)),
            "you square the mean of Lambda; average the squares.",
        ),
        Mistake(
            lambda covs, n: _solved(covs, n) * len(covs),
            "one side is averaged over the prompts and the other added up.",
        ),
    ),
)

EXERCISES = {
    "08-alpha": ALPHA,
    "08-best-matrix": BEST_MATRIX,
} | _chapter08_short.EXERCISES
