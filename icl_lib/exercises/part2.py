"""Exercises of Part 2: Chapters 3 to 8."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises.checker import Property
from icl_lib.theory import optimum

LAM = np.diag([2.0, 1.0, 0.5])
# A covariance that is not diagonal: a formula that only works elementwise fails on it.
MIXED = np.array([[2.0, 0.6, 0.1], [0.6, 1.0, 0.3], [0.1, 0.3, 0.5]])


def _close(got, expected, tolerance=1e-8) -> bool:
    return got is not None and np.allclose(np.asarray(got, dtype=float), expected, atol=tolerance)


def _is_number(value) -> bool:
    return value is not None and np.ndim(value) == 0 and bool(np.isfinite(value))


EXERCISES: dict[str, list[Property]] = {
    "03-noisy-preconditioner": [
        Property(
            "it returns a matrix of the covariance's shape",
            lambda f: np.shape(f(LAM, 20, 0.5)) == (3, 3),
            "return one (d, d) NumPy array.",
        ),
        Property(
            "without noise it is the inverse of Gamma, also for a covariance that is not diagonal",
            lambda f: _close(f(MIXED, 20, 0.0), np.linalg.inv(optimum.gamma(MIXED, 20))),
            "start from the chapter's gamma and invert the matrix, not its entries.",
        ),
        Property(
            "more noise means a smaller matrix",
            lambda f: np.trace(f(LAM, 20, 2.0)) < np.trace(f(LAM, 20, 0.5)),
            "noise makes b-hat less reliable; should the layer trust it more or less?",
        ),
        Property(
            "the noise counts once for each example and not for the whole prompt",
            lambda f: _close(
                f(LAM, 20, 0.5), optimum.optimal_preconditioner(LAM, 20, noise_var=0.5)
            ),
            "b-hat is a mean over N examples: what is the second moment of the mean of "
            "N terms eps_i x_i? Mind that noise_var is a variance.",
        ),
    ],
}
