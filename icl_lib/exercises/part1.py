"""Exercises of Part 1: Chapters 1 and 2."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises.checker import Exercises, Property
from icl_lib.theory import solvers


def _prompt(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return one prompt xs (n, d), ys (n,), x_query (d,) with noiseless linear labels."""
    rng = np.random.default_rng(seed)
    xs, w_star = rng.standard_normal((n, d)), rng.standard_normal(d)
    return xs, xs @ w_star, rng.standard_normal(d)


def _is_number(value) -> bool:
    return value is not None and np.ndim(value) == 0 and bool(np.isfinite(value))


def _close(got, expected, tolerance=1e-8) -> bool:
    return got is not None and np.ndim(got) == 0 and bool(abs(got - expected) < tolerance)


ASYMMETRIC = np.array([[1.0, 0.5, 0.0], [-0.3, 2.0, 0.1], [0.0, 0.7, 0.5]])


def _b_hat() -> np.ndarray:
    xs, ys, _ = _prompt(8, 3)
    return ys @ xs / 8


def _layer(w_pv, w_kq) -> float:
    """Prediction of the linear layer with these weights on the prompt of _prompt(8, 3)."""
    xs, ys, x_query = _prompt(8, 3)
    tokens = np.vstack([np.column_stack([xs, ys]), np.append(x_query, 0.0)]).T  # E
    return (w_pv @ tokens @ tokens.T @ w_kq @ tokens / 8)[-1, -1]


PROPERTIES: dict[str, list[Property]] = {
    "01-ridge": [
        Property(
            "it returns one finite number",
            lambda f: _is_number(f(*_prompt(8, 3), 0.5)),
            "the last step is the inner product of the weights with x_query.",
        ),
        Property(
            "with a tiny penalty and enough examples it is least squares",
            lambda f: _close(
                f(*_prompt(8, 3), 1e-10), solvers.least_squares(*_prompt(8, 3)), tolerance=1e-6
            ),
            "the weights solve (X'X + penalty I) w = X'y.",
        ),
        Property(
            "a penalty of 0.5 is added to the sum of squares and not to the mean",
            lambda f: _close(f(*_prompt(8, 3), 0.5), solvers.ridge(*_prompt(8, 3), 0.5)),
            "do not divide X'X or X'y by the number of examples; square no penalty.",
        ),
        Property(
            "it works with two examples in five dimensions",
            lambda f: _close(f(*_prompt(2, 5), 0.5), solvers.ridge(*_prompt(2, 5), 0.5)),
            "the matrix to invert is (d, d), whatever the number of examples.",
        ),
    ],
    "02-balanced-step": [
        Property(
            "it returns two matrices with one row and column more than A",
            lambda f: [np.shape(w) for w in f(ASYMMETRIC) or ()] == [(4, 4), (4, 4)],
            "the tokens have d + 1 entries; return (w_pv, w_kq).",
        ),
        Property(
            "the layer predicts b-hat' A x_query",
            lambda f: _close(
                _layer(*f(ASYMMETRIC)), _b_hat() @ ASYMMETRIC @ _prompt(8, 3)[2], tolerance=1e-10
            ),
            "A belongs into the upper left block of w_kq and is not transposed; "
            "the last entry of w_pv reads the labels.",
        ),
        Property(
            "both matrices have the same Frobenius norm",
            lambda f: _close(np.linalg.norm(f(ASYMMETRIC)[0]), np.linalg.norm(f(ASYMMETRIC)[1])),
            "multiply one by c and divide the other by c; which c makes the norms equal?",
        ),
        Property(
            "all other weights are zero",
            lambda f: (
                np.count_nonzero(np.round(f(ASYMMETRIC)[0], 12)) == 1
                and not np.any(f(ASYMMETRIC)[1][-1])
                and not np.any(f(ASYMMETRIC)[1][:, -1])
            ),
            "weights that the prediction does not see should be zero too.",
        ),
    ],
}

EXERCISES = Exercises(PROPERTIES)
check = EXERCISES.check
