"""Exercises of Chapter 3: Gamma and the best matrix, in one and in many dimensions."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises import _chapter03_short, _draws
from icl_lib.exercises._comparison import Case, Comparison, Mistake
from icl_lib.theory import optimum


def _covariance_case(rng: np.random.Generator, number: int) -> Case:
    covariance = _draws.covariance(rng, _draws.dimension(rng))
    return {"covariance": covariance, "n_train": _draws.length(rng)}


def _noisy_case(rng: np.random.Generator, number: int) -> Case:
    noise_var = 0.0 if number == 1 else float(rng.uniform(0.2, 4.0))
    return {**_covariance_case(rng, number), "noise_var": noise_var}


def _gamma(cov, n, *, own=None, trace=None, noise_var=0.0):
    """Return Gamma, with the factor of Lambda or the trace term exchanged."""
    own = 1 + 1 / n if own is None else own
    trace = np.trace(cov) / n if trace is None else trace
    return own * cov + (trace + noise_var / n) * np.eye(len(cov))


def _inverse_diagonal(matrix):
    return np.diag(1 / np.diag(matrix))


NOISY_PRECONDITIONER = Comparison(
    returns="one (d, d) matrix",
    solution=lambda cov, n, s2: optimum.optimal_preconditioner(cov, n, noise_var=s2),
    draw=_noisy_case,
    mistakes=(
        Mistake(
            lambda cov, n, s2: np.linalg.inv(_gamma(cov, n)),
            "your matrix ignores the noise; it adds to the second moment of b-hat.",
        ),
        Mistake(
            lambda cov, n, s2: np.linalg.inv(_gamma(cov, n, noise_var=n * s2)),
            "the noise counts once for the whole prompt; b-hat is a mean over N examples, "
            "and the variance of a mean has a 1/N.",
        ),
        Mistake(
            lambda cov, n, s2: np.linalg.inv(_gamma(cov, n, noise_var=s2**2)),
            "the noise is squared, but noise_var is a variance already.",
        ),
        Mistake(
            lambda cov, n, s2: np.linalg.inv(_gamma(cov, n, noise_var=s2**0.5)),
            "you take the root of the noise variance; second moments add up variances.",
        ),
        Mistake(
            lambda cov, n, s2: np.linalg.inv(_gamma(cov, n, noise_var=s2 / n)),
            "the noise is divided by N twice: the mean of N terms has the variance of one over N.",
        ),
        Mistake(
            lambda cov, n, s2: np.linalg.inv(_gamma(cov, n, own=1 + 1 / n + s2 / n)),
            "s^2/N stands in front of Lambda; it is the second moment Lambda Gamma that grows by "
            "(s^2/N) Lambda. What does Gamma grow by?",
        ),
        Mistake(
            lambda cov, n, s2: np.linalg.inv(_gamma(cov, n, noise_var=-s2)),
            "noise has the wrong sign: it makes b-hat less reliable, so the layer shrinks more.",
        ),
        Mistake(
            lambda cov, n, s2: _gamma(cov, n, noise_var=s2),
            "this is the matrix to invert; the best A is its inverse.",
        ),
        Mistake(
            lambda cov, n, s2: 1 / _gamma(cov, n, noise_var=s2),
            "you invert the entries; invert the matrix.",
        ),
        Mistake(
            lambda cov, n, s2: _inverse_diagonal(_gamma(cov, n, noise_var=s2)),
            "your matrix is diagonal; Lambda need not be, and then its inverse is not.",
        ),
        Mistake(
            lambda cov, n, s2: np.diag(np.linalg.inv(_gamma(cov, n, noise_var=s2))),
            "this is the diagonal only; return the whole (d, d) matrix.",
        ),
        Mistake(
            lambda cov, n, s2: np.linalg.inv((1 + 1 / n) * cov + (np.trace(cov) + s2) / n),
            "a number plus a matrix adds it to every entry; multiply it by the identity.",
        ),
        Mistake(
            lambda cov, n, s2: np.linalg.inv(_gamma(cov, n, trace=0.0, own=1.0, noise_var=s2)),
            "only the noise is left of what a finite prompt adds; start from the chapter's Gamma.",
        ),
        Mistake(
            lambda cov, n, s2: np.linalg.inv(_gamma(cov, n, own=1.0, noise_var=s2)),
            "the 1/N in front of Lambda is lost: start from the chapter's Gamma.",
        ),
        Mistake(
            lambda cov, n, s2: np.linalg.inv(_gamma(cov, n)) / (1 + s2 / n),
            "noise is no common factor: it shrinks directions of small variance more.",
        ),
    ),
    raises={np.linalg.LinAlgError: "the matrix to invert is singular; is the identity there?"},
)


GAMMA = Comparison(
    returns="one (d, d) matrix",
    solution=optimum.gamma,
    draw=_covariance_case,
    mistakes=(
        Mistake(
            lambda cov, n: _gamma(cov, n, own=1.0),
            "the 1/N in front of Lambda is lost: two of Isserlis' pairings give Lambda^2, and "
            "only one of them is used up by the N(N-1) other terms.",
        ),
        Mistake(
            lambda cov, n: _gamma(cov, n, own=1 + 2 / n),
            "there are N(N-1) terms with i different from j, not N^2: 1 - 1/N + 2/N.",
        ),
        Mistake(
            lambda cov, n: _gamma(cov, n, own=1 - 1 / n),
            "the N terms with i = j give 2 Lambda^2 each; yours give none.",
        ),
        Mistake(
            lambda cov, n: _gamma(cov, n, trace=0.0),
            "the trace is missing: it comes from the third of Isserlis' pairings.",
        ),
        Mistake(
            lambda cov, n: _gamma(cov, n, trace=np.trace(cov)),
            "the trace is not divided by N; without N terms of this kind it would not vanish "
            "for long prompts.",
        ),
        Mistake(
            lambda cov, n: _gamma(cov, n, trace=np.trace(cov) / len(cov) / n),
            "this is the mean eigenvalue; Isserlis gives their sum, the trace.",
        ),
        Mistake(
            lambda cov, n: _gamma(cov, n, trace=len(cov) / n),
            "the trace of Lambda is d only for Lambda = I.",
        ),
        Mistake(
            lambda cov, n: (1 + 1 / n) * cov + np.trace(cov) / n,
            "a number plus a matrix adds it to every entry; multiply it by the identity.",
        ),
        Mistake(
            lambda cov, n: _gamma(np.diag(np.diag(cov)), n),
            "the entries beside the diagonal of Lambda are lost.",
        ),
        Mistake(
            lambda cov, n: cov @ _gamma(cov, n),
            "this is E[Lambda-hat^2] = Lambda Gamma; take Lambda out.",
        ),
        Mistake(
            lambda cov, n: np.linalg.inv(_gamma(cov, n)),
            "this is the best A; Gamma is its inverse.",
        ),
        Mistake(
            lambda cov, n: (1 + 1 / n) * cov @ cov + np.trace(cov) / n * np.eye(len(cov)),
            "one Lambda is taken out of the second term and not of the first.",
        ),
        Mistake(
            lambda cov, n: np.diag(_gamma(cov, n)),
            "this is the diagonal only; return the whole (d, d) matrix.",
        ),
    ),
)

EXERCISES = {
    "03-noisy-preconditioner": NOISY_PRECONDITIONER,
    "03-gamma": GAMMA,
} | _chapter03_short.EXERCISES
