"""Exercises of Part 2: Chapters 3 to 8."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises.checker import Exercises, Property
from icl_lib.theory import gradient_flow, optimum, random_covariance, shifts

LAM = np.diag([2.0, 1.0, 0.5])
EIGENVALUES = np.diag(LAM)
OPTIMAL = np.linalg.inv(optimum.gamma(LAM, 20))
# A covariance that is not diagonal: a formula that only works elementwise fails on it.
MIXED = np.array([[2.0, 0.6, 0.1], [0.6, 1.0, 0.3], [0.1, 0.3, 0.5]])


def _close(got, expected, tolerance=1e-8) -> bool:
    return got is not None and np.allclose(np.asarray(got, dtype=float), expected, atol=tolerance)


def _is_number(value) -> bool:
    return value is not None and np.ndim(value) == 0 and bool(np.isfinite(value))


def _sample(labels) -> tuple[np.ndarray, np.ndarray]:
    """Return a large sample xs (n, 3), ys (n,) with covariance LAM, the same every time."""
    xs = np.random.default_rng(0).standard_normal((200_000, 3)) @ np.sqrt(LAM)
    return xs, labels(xs)


def _diagonals() -> np.ndarray:
    """Return samples (S, 4) of diagonals with Exp(1) entries, the same every time."""
    return np.random.default_rng(0).exponential(size=(400_000, 4))


PROPERTIES: dict[str, list[Property]] = {
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
    "04-shifted-loss": [
        Property(
            "it returns one number",
            lambda f: _is_number(f(np.eye(3), 1.0, LAM, 20)),
            "take the trace of a (d, d) matrix.",
        ),
        Property(
            "it is zero when u is zero",
            lambda f: _close(f(MIXED, 0.0, LAM, 20), 0.0),
            "both terms carry a factor u; the constant tr(Lambda)/2 is left out.",
        ),
        Property(
            "it is smallest where u times U11 is the inverse of Gamma",
            lambda f: (
                f(OPTIMAL, 1.0, LAM, 20) < min(f(c * OPTIMAL, 1.0, LAM, 20) for c in (0.9, 1.1))
            ),
            "look at the factor 1/2 in front of the quadratic term, and only there.",
        ),
        Property(
            "it agrees with (5.5) for matrices that do not commute",
            lambda f: _close(
                f(np.arange(9.0).reshape(3, 3), 0.7, MIXED, 20),
                gradient_flow.shifted_loss(np.arange(9.0).reshape(3, 3), 0.7, MIXED, 20),
            ),
            "mind the order of the factors and the transpose of U11.",
        ),
    ],
    "05-best-risk": [
        Property(
            "it returns one number",
            lambda f: _is_number(f(EIGENVALUES, 20, 0.0)),
            "sum over the eigenvalues.",
        ),
        Property(
            "without noise it is the exact risk at N = M",
            lambda f: _close(f(EIGENVALUES, 20, 0.0), optimum.risk(LAM, 20, 20).total),
            "a risk has no factor 1/2, and the matrix to use is the one trained at N = M.",
        ),
        Property(
            "it is never above the risk of predicting zero",
            lambda f: f(EIGENVALUES, 1, 100.0) <= EIGENVALUES.sum(),
            "a matrix of zeros is allowed; does yours shrink enough when the noise is large?",
        ),
        Property(
            "with noise it is the minimum over all matrices",
            lambda f: _close(
                f(EIGENVALUES, 20, 0.5),
                optimum.preconditioner_risk(
                    optimum.optimal_preconditioner(LAM, 20, noise_var=0.5),
                    LAM,
                    20,
                    noise_var=0.5,
                ),
            ),
            "a layer trained on noisy prompts shrinks more: the noise belongs into Gamma.",
        ),
    ],
    "06-estimated-risk": [
        Property(
            "it returns one number",
            lambda f: _is_number(f(*_sample(lambda x: x[:, 0]), 20, 40)),
            "add the three terms of Theorem 4.2.",
        ),
        Property(
            "labels that no line predicts cost their full power when M is large",
            lambda f: _close(
                f(*_sample(lambda x: np.ones(len(x))), 20, 10**9), 1.0, tolerance=2e-3
            ),
            "the best line goes through the origin: do not subtract the mean of y.",
        ),
        Property(
            "noiseless linear labels with long prompts leave only the bias",
            lambda f: _close(
                f(*_sample(lambda x: x @ np.ones(3)), 20, 10**9),
                optimum.risk(LAM, 20, 10**9, w=np.ones(3)).total,
                tolerance=5e-3,
            ),
            "the bias is a' Gamma^-2 Lambda (Lambda + tr(Lambda) I)^2 a / N^2 with the training N.",
        ),
        Property(
            "short prompts show the right variance",
            lambda f: _close(
                f(*_sample(lambda x: x @ np.ones(3)), 20, 2),
                optimum.risk(LAM, 20, 2, w=np.ones(3)).total,
                tolerance=3e-2,
            ),
            "Sigma is the covariance of x y, so the product of the means is subtracted; "
            "and it is divided by the test length.",
        ),
    ],
    "08-alpha": [
        Property(
            "it returns one number",
            lambda f: _is_number(f(_diagonals(), 20)),
            "average over the samples and the coordinates at the end.",
        ),
        Property(
            "for a constant covariance it is the entry of Gamma's inverse",
            lambda f: _close(
                f(np.full((10, 4), 2.0), 20), 1 / optimum.gamma(2 * np.eye(4), 20)[0, 0]
            ),
            "with all lambda equal the ratio must reduce to 1 / Gamma_ii.",
        ),
        Property(
            "it is a ratio of averages and not an average of ratios",
            lambda f: f(_diagonals(), 10**6) < 0.5,
            "the loss averages over covariances before it is minimised.",
        ),
        Property(
            "for Exp(1) entries it is 1 / (3 + (d + 5) / N)",
            lambda f: _close(
                f(_diagonals(), 20), random_covariance.exponential_alpha(4, 20), tolerance=3e-3
            ),
            "does Gamma_ii contain the trace of the same sample, divided by N?",
        ),
    ],
    "07-critical-scale": [
        Property(
            "it returns one number above 1",
            lambda f: _is_number(f(LAM, 20, 40)) and f(LAM, 20, 40) > 1,
            "at c = 1 the layer beats predicting zero; search above it.",
        ),
        Property(
            "for very long prompts it is the square root of 2",
            lambda f: _close(f(np.eye(3), 10**6, 10**6), 2**0.5, tolerance=1e-3),
            "(c^2 - 1)^2 = 1; did you return c or c^2?",
        ),
        Property(
            "scaling the covariance in training and test alike changes nothing",
            lambda f: _close(f(3.0 * LAM, 20, 40), f(LAM, 20, 40), tolerance=1e-6),
            "compare with predicting zero on the same, scaled prompts.",
        ),
        Property(
            "at this scale the exact relative risk is 1",
            lambda f: _close(
                shifts.covariate_shift_risk(MIXED, f(MIXED, 20, 40) ** 2 * MIXED, 20, 40)
                / np.trace(f(MIXED, 20, 40) ** 2 * MIXED),
                1.0,
                tolerance=1e-6,
            ),
            "use the exact risk at these N and M: the limit is only its value for long prompts.",
        ),
    ],
}

EXERCISES = Exercises(PROPERTIES)
check = EXERCISES.check
