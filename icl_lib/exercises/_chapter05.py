"""Exercises of Chapter 5: the risk as a function of training and test length."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises import _chapter05_short, _draws
from icl_lib.exercises._comparison import Case, Comparison, Mistake
from icl_lib.theory import optimum


def _eigenvalues_case(rng: np.random.Generator, number: int) -> Case:
    noise_var = 0.0 if number == 1 else float(rng.uniform(0.3, 4.0))
    lam = np.exp(rng.uniform(-1.5, 1.1, _draws.dimension(rng)))
    return {"lam": lam, "n_test": _draws.length(rng), "noise_var": noise_var}


def _kept(lam, m, s2, *, own=None):
    """Return what the best matrix gains on each axis, lambda_i^2 / gamma_i."""
    return lam**2 / ((1 + 1 / m if own is None else own) * lam + (lam.sum() + s2) / m)


def _noiseless_matrix(lam, m, s2):
    return optimum.risk(np.diag(lam), m, m, noise_var=s2).total


BEST_RISK = Comparison(
    returns="one number, the risk summed over the axes",
    solution=lambda lam, m, s2: optimum.preconditioner_risk(
        optimum.optimal_preconditioner(np.diag(lam), m, noise_var=s2),
        np.diag(lam),
        m,
        noise_var=s2,
    ),
    draw=_eigenvalues_case,
    mistakes=(
        Mistake(
            lambda lam, m, s2: lam - _kept(lam, m, s2),
            "these are the risks of the axes; add them up.",
        ),
        Mistake(
            lambda lam, m, s2: np.mean(lam - _kept(lam, m, s2)),
            "this is the mean over the axes; the risk is their sum.",
        ),
        Mistake(
            lambda lam, m, s2: np.sum(lam - _kept(lam, m, s2)) / 2,
            "this is the loss: a risk has no factor 1/2.",
        ),
        Mistake(
            lambda lam, m, s2: np.sum(lam - _kept(lam, m, 0.0)),
            "your result ignores the noise.",
        ),
        Mistake(
            _noiseless_matrix,
            "this is the risk of the matrix that was trained without noise; "
            "one trained on noisy prompts shrinks more, so the noise belongs into Gamma.",
        ),
        Mistake(
            lambda lam, m, s2: np.sum(lam - _kept(lam, m, m * s2)),
            "the noise is divided by the number of examples, as the trace is.",
        ),
        Mistake(
            lambda lam, m, s2: np.sum(lam - _kept(lam, m, s2**2)),
            "noise_var is a variance already; do not square it.",
        ),
        Mistake(
            lambda lam, m, s2: np.sum(lam - _kept(lam, m, 0.0)) + s2,
            "the risk is measured against the clean target; the noise acts through the prompt.",
        ),
        Mistake(
            lambda lam, m, s2: np.sum(lam - _kept(lam, m, s2)) + s2,
            "the noise of the query's label is added; the target is clean.",
        ),
        Mistake(
            lambda lam, m, s2: np.sum(_kept(lam, m, s2)),
            "this is what the layer gains over predicting zero; the risk is what remains.",
        ),
        Mistake(
            lambda lam, m, s2: np.sum(lam - _kept(lam, m, s2, own=1.0)),
            "the 1/M in front of Lambda is lost.",
        ),
    ),
)


def _risk_case(rng: np.random.Generator, number: int) -> Case:
    n_train, n_test = _draws.two_lengths(rng)
    noise_var = 0.0 if number == 1 else float(rng.uniform(0.3, 3.0))
    return {
        "covariance": _draws.covariance(rng, _draws.dimension(rng)),
        "n_train": n_train,
        "n_test": n_test,
        "noise_var": noise_var,
    }


def _risk(
    cov, n, m, s2, *, length=None, floor=None, inverse=None, shift=None, third=1.0, trace=1.0
):
    """Return the risk of the trained layer, with one part of (eq-05-risk) exchanged."""
    eye, t = np.eye(len(cov)), np.trace(cov)
    inverse = np.linalg.inv if inverse is None else inverse
    gam_inv = inverse(optimum.gamma(cov, length or n))
    square = (cov + t * eye) @ (cov + t * eye) if shift is None else shift(cov, t, eye)
    spread = gam_inv @ gam_inv @ cov
    bias = np.trace(spread @ square) / (floor or n**2)
    variance = trace * t * np.trace(spread @ cov) + third * np.trace(spread @ cov @ cov)
    return bias + (variance + s2 * np.trace(spread @ cov)) / m


def _risk_with_one_inverse(cov, n, m, s2):
    eye, t, gam_inv = np.eye(len(cov)), np.trace(cov), np.linalg.inv(optimum.gamma(cov, n))
    bias = np.trace(gam_inv @ cov @ (cov + t * eye) @ (cov + t * eye)) / n**2
    variance = (t + s2) * np.trace(gam_inv @ cov @ cov) + np.trace(gam_inv @ cov @ cov @ cov)
    return bias + variance / m


RISK = Comparison(
    returns="one number, the risk",
    solution=lambda cov, n, m, s2: optimum.risk(cov, n, m, noise_var=s2).total,
    draw=_risk_case,
    mistakes=(
        Mistake(
            lambda cov, n, m, s2: _risk(cov, m, n, s2),
            "training and test length are exchanged: Gamma and the bias have N, the variance M.",
        ),
        Mistake(
            lambda cov, n, m, s2: _risk(cov, n, m, s2, length=m),
            "Gamma keeps the training length, whatever the test prompt is.",
        ),
        Mistake(
            lambda cov, n, m, s2: _risk(cov, n, m, s2, floor=m**2),
            "the bias comes from training: it is divided by N^2.",
        ),
        Mistake(
            lambda cov, n, m, s2: _risk(cov, n, m, s2, floor=n),
            "the bias is divided by the square of N: it is a squared deviation.",
        ),
        Mistake(
            lambda cov, n, m, s2: _risk(cov, n, m, s2) / 2,
            "a risk has no factor 1/2.",
        ),
        Mistake(
            lambda cov, n, m, s2: _risk(cov, n, m, 0.0),
            "your result ignores the label noise.",
        ),
        Mistake(
            lambda cov, n, m, s2: _risk(cov, n, m, 0.0) + s2,
            "the noise acts through the prompt, so it is averaged over M examples and shrunk.",
        ),
        Mistake(
            lambda cov, n, m, s2: _risk(cov, n, m, m * s2),
            "the noise term is not divided by the test length.",
        ),
        Mistake(
            lambda cov, n, m, s2: _risk(cov, n, m, s2, third=0.0),
            "the variance has a second term, with Lambda cubed: Sigma contains Lambda w w' Lambda.",
        ),
        Mistake(
            lambda cov, n, m, s2: _risk(cov, n, m, s2, trace=0.0),
            "the variance term with the trace of Lambda is missing.",
        ),
        Mistake(
            _risk_with_one_inverse,
            "Gamma's inverse enters squared: the error is quadratic in A.",
        ),
        Mistake(
            lambda cov, n, m, s2: _risk(np.diag(np.diag(cov)), n, m, s2),
            "the entries beside the diagonal of Lambda are lost.",
        ),
        Mistake(
            lambda cov, n, m, s2: _risk(cov, n, m, s2, inverse=lambda g: 1 / g),
            "you invert the entries of Gamma; invert the matrix.",
        ),
        Mistake(
            lambda cov, n, m, s2: _risk(cov, n, m, s2, shift=lambda c, t, eye: c @ c + t**2 * eye),
            "(Lambda + t I)^2 has a mixed term.",
        ),
        Mistake(
            lambda cov, n, m, s2: _risk(cov, n, m, s2, shift=lambda c, t, eye: (c + t) @ (c + t)),
            "a number plus a matrix adds it to every entry; multiply t by the identity.",
        ),
        Mistake(
            lambda cov, n, m, s2: _risk(cov, n, m, s2) - _risk(cov, n, np.inf, s2),
            "the bias is missing.",
        ),
        Mistake(
            lambda cov, n, m, s2: _risk(cov, n, np.inf, s2),
            "this is the bias; the variance and the noise are missing.",
        ),
    ),
)

EXERCISES = {
    "05-best-risk": BEST_RISK,
    "05-risk": RISK,
} | _chapter05_short.EXERCISES
