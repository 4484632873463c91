"""Exercises of Part 3: Chapters 9 to 13."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises.checker import Property
from icl_lib.theory import linear_systems, sequences


def _states(length: int = 12, n: int = 3, seed: int = 0) -> np.ndarray:
    """Return one noiseless orthogonal sequence (length, n)."""
    rng = np.random.default_rng(seed)
    w_star = np.linalg.qr(rng.standard_normal((n, n)))[0]
    states = [rng.uniform(-1, 1, n)]
    while len(states) < length:
        states.append(w_star @ states[-1])
    return np.array(states)


def _same(got, expected, tolerance=1e-8) -> bool:
    got = np.asarray(got if got is not None else np.nan, dtype=float)
    return got.shape == np.shape(expected) and bool(np.abs(got - expected).max() < tolerance)


def _heads(n: int = 3, heads: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return key-query and value products (heads, 4n, 4n) with messy blocks."""
    rng = np.random.default_rng(3)
    return rng.standard_normal((2, heads, 4 * n, 4 * n))


def _coefficients(key_query, value, n) -> np.ndarray:
    """Return C (2, 2, 2) by the definition, with sums over the blocks' diagonals."""
    diagonal = np.arange(n)

    def mean(matrix, row, column):
        return matrix[row * n + diagonal, column * n + diagonal].mean()

    total = np.zeros((2, 2, 2))
    for v, k, q in np.ndindex(2, 2, 2):
        for a, b in zip(key_query, value, strict=True):
            total[v, k, q] += mean(b, 0, 2 + v) * mean(a, 2 + k, 2 + q)
    return total


EXERCISES: dict[str, list[Property]] = {
    "09-prefix-ridge": [
        Property(
            "it returns one prediction for every state",
            lambda f: np.shape(f(_states(), 0.1)) == (12, 3),
            "the result has the shape of states.",
        ),
        Property(
            "with no pair it predicts zero",
            lambda f: _same(f(_states(), 0.1)[0], np.zeros(3)),
            "the first position has no pair (s_{t-1}, s_t) yet.",
        ),
        Property(
            "at the second position it uses the pair (s_1, s_2)",
            lambda f: _same(f(_states(), 0.1)[1], sequences.ridge_all_pairs(_states(), 0.1)[1]),
            "the newest pair (s_{t-1}, s_t) counts too.",
        ),
        Property(
            "all positions agree with ridge regression on all pairs",
            lambda f: _same(f(_states(), 0.1), sequences.ridge_all_pairs(_states(), 0.1)),
            "add the penalty to the sum of s s', and do not let later states in.",
        ),
    ],
    "10-coefficients": [
        Property(
            "it returns a 2 x 2 x 2 array",
            lambda f: np.shape(f(*_heads(), 3)) == (2, 2, 2),
            "axes: value, key, query, each either s_t or s_{t-1}.",
        ),
        Property(
            "with one head it is the outer product of b and a",
            lambda f: _same(
                f(*(x[:1] for x in _heads()), 3), _coefficients(*(x[:1] for x in _heads()), 3)
            ),
            "mean of the diagonal of each n x n block; rows of the value product are what is "
            "written, rows of the key-query product are keys.",
        ),
        Property(
            "two heads are multiplied first and summed afterwards",
            lambda f: _same(f(*_heads(), 3), _coefficients(*_heads(), 3)),
            "sum over heads of b times a, not the product of two sums.",
        ),
    ],
}
