"""Exercises of Part 3: Chapters 9 to 16."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises.checker import Exercises, Property
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
    key_query, value = rng.standard_normal((2, heads, 4 * n, 4 * n))
    return key_query, value


def _rls_data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return queries (9, 3), keys (9, 3) and values (9, 2)."""
    rng = np.random.default_rng(5)
    return rng.standard_normal((9, 3)), rng.standard_normal((9, 3)), rng.standard_normal((9, 2))


def _rls(lam: float, gamma: float) -> np.ndarray:
    queries, keys, values = _rls_data()
    return linear_systems.recursive_least_squares(keys, values, queries, 1 / lam, gamma)


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


def _richardson(steps: int) -> np.ndarray:
    system = sequences.gram_matrices(_states()) + 0.1 * np.eye(3)
    return linear_systems.richardson(system, _states(), steps, 0.05)


def _stacked(order: int) -> np.ndarray:
    """Return ridge predictions of the sequence from its last ``order`` states."""
    states = _states(14, 2, seed=1)
    padded = np.vstack([np.zeros((order - 1, 2)), states])
    features = np.hstack([padded[order - 1 - j :][:14] for j in range(order)])
    return sequences.ridge_all_pairs(states, 0.1, features)


def _few_shot() -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and labels (4, 3) of a prompt."""
    xs, ys = np.random.default_rng(7).standard_normal((2, 4, 3))
    return xs, ys


def _prompt() -> np.ndarray:
    """Return the prompt x_1, y_1, x_2, ... (8, 3)."""
    xs, ys = _few_shot()
    prompt = np.empty((8, 3))
    prompt[0::2], prompt[1::2] = xs, ys
    return prompt


def _codes(position: int, width: int = 8) -> np.ndarray:
    """Return the sinusoidal code of one position by its definition: sines, then cosines."""
    angles = position * 10_000.0 ** (-np.arange(width // 2) / (width // 2))
    return np.concatenate([np.sin(angles), np.cos(angles)])


TABLE = np.arange(16.0).reshape(4, 4) - 5.0

PROPERTIES: dict[str, list[Property]] = {
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
            lambda f: _same(f(*_heads(heads=1), 3), _coefficients(*_heads(heads=1), 3)),
            "mean of the diagonal of each n x n block; rows of the value product are what is "
            "written, rows of the key-query product are keys.",
        ),
        Property(
            "two heads are multiplied first and summed afterwards",
            lambda f: _same(f(*_heads(), 3), _coefficients(*_heads(), 3)),
            "sum over heads of b times a, not the product of two sums.",
        ),
    ],
    "11-rls": [
        Property(
            "it returns one output for every position, as long as a value",
            lambda f: np.shape(f(*_rls_data(), 0.5, 1.0)) == (9, 2),
            "append Phi_t q_t at every position.",
        ),
        Property(
            "without forgetting the first position has the closed form",
            lambda f: _same(f(*_rls_data(), 0.5, 1.0)[0], _rls(0.5, 1.0)[0]),
            "R_0 is the identity times lam, and the current pair counts.",
        ),
        Property(
            "without forgetting it is ridge regression on every prefix",
            lambda f: _same(f(*_rls_data(), 0.5, 1.0), _rls(0.5, 1.0)),
            "use the new R_t, not R_{t-1}, in the update of Phi.",
        ),
        Property(
            "with gamma = 0.8 older pairs and the regulariser count less",
            lambda f: _same(f(*_rls_data(), 0.5, 0.8), _rls(0.5, 0.8)),
            "gamma stands in the denominator and divides the whole R_t.",
        ),
    ],
    "12-table": [
        Property(
            "it returns a 4 x 4 table",
            lambda f: np.shape(f(_heads()[0][0])) == (4, 4),
            "one number for each of the 16 blocks.",
        ),
        Property(
            "a block that is a multiple of the identity gives that multiple",
            lambda f: _same(f(np.kron(TABLE, np.eye(3))), TABLE),
            "divide the sum of a block's diagonal by n; rows of the table are rows of blocks.",
        ),
        Property(
            "entries beside the diagonals of the blocks do not count",
            lambda f: _same(
                f(np.kron(TABLE, np.eye(3)) + np.kron(np.ones((4, 4)), np.eye(3, k=1))), TABLE
            ),
            "take the mean of each block's diagonal, not of the whole block.",
        ),
    ],
    "13-richardson": [
        Property(
            "it returns one vector for every state",
            lambda f: np.shape(f(_states(), 0.1, 0.05, 3)) == (12, 3),
            "the result has the shape of states.",
        ),
        Property(
            "one step from zero is the step size times the state",
            lambda f: _same(f(_states(), 0.1, 0.05, 1), 0.05 * _states()),
            "x <- x + step_size (s_t - H x), starting at zero.",
        ),
        Property(
            "at the first position no state has been seen before",
            lambda f: _same(f(_states(), 0.1, 0.05, 3)[0], _richardson(3)[0]),
            "the Gram matrix of position t contains the states before t, not s_t itself.",
        ),
        Property(
            "all positions agree with the iteration",
            lambda f: _same(f(_states(), 0.1, 0.05, 7), _richardson(7)),
            "add ridge to the diagonal, and use the sum of outer products, not the mean.",
        ),
    ],
    "14-shift": [
        Property(
            "it returns a square matrix",
            lambda f: np.shape(f(8, 1)) == (8, 8),
            "the result has shape (width, width).",
        ),
        Property(
            "no step is the identity",
            lambda f: _same(f(8, 0), np.eye(8)),
            "cos 0 = 1 on the diagonal, sin 0 = 0 beside it.",
        ),
        Property(
            "one step takes the code of 5 to that of 4",
            lambda f: _same(np.asarray(f(8, 1)) @ _codes(5), _codes(4)),
            "sin(a - b) = sin a cos b - cos a sin b: which half holds the sines?",
        ),
        Property(
            "three steps take the code of 9 to that of 6",
            lambda f: _same(np.asarray(f(8, 3)) @ _codes(9), _codes(6)),
            "the angle is steps times the frequency.",
        ),
    ],
    "15-stacked": [
        Property(
            "it returns one prediction for every state",
            lambda f: np.shape(f(_states(14, 2, seed=1), 1, 0.1)) == (14, 2),
            "the result has the shape of states.",
        ),
        Property(
            "with order 1 it is ridge regression on states",
            lambda f: _same(f(_states(14, 2, seed=1), 1, 0.1), _stacked(1)),
            "the pairs are (s_{t'-1}, s_{t'}) up to the newest, and ridge goes on the diagonal.",
        ),
        Property(
            "with order 3 it regresses on the last three states",
            lambda f: _same(f(_states(14, 2, seed=1), 3, 0.1)[6:], _stacked(3)[6:]),
            "z_t = (s_t, s_{t-1}, s_{t-2}), six numbers; the pairs are (z_{t'-1}, s_{t'}).",
        ),
        Property(
            "before the start there are zeros",
            lambda f: _same(f(_states(14, 2, seed=1), 3, 0.1), _stacked(3)),
            "do not leave out the first positions: z_1 = (s_1, 0, 0).",
        ),
    ],
    "16-pairs": [
        Property(
            "it returns two arrays of 2 N - 1 rows",
            lambda f: [np.shape(part) for part in f(*_few_shot())] == [(7, 3), (7, 3)],
            "all neighbours in x_1, y_1, ..., x_N, y_N, first those that come before.",
        ),
        Property(
            "the first pair is (x_1, y_1)",
            lambda f: _same(
                [np.asarray(part)[0] for part in f(*_few_shot())], [part[0] for part in _few_shot()]
            ),
            "inputs and labels alternate, starting with x_1.",
        ),
        Property(
            "the second pair is (y_1, x_2)",
            lambda f: _same([np.asarray(part)[1] for part in f(*_few_shot())], _prompt()[1:3]),
            "labels are followed by the next input.",
        ),
        Property(
            "all pairs are there, in order",
            lambda f: _same(np.stack(f(*_few_shot())), np.stack([_prompt()[:-1], _prompt()[1:]])),
            "interleave x and y, then take everything but the last, and everything but the first.",
        ),
    ],
}

EXERCISES = Exercises(PROPERTIES)
check = EXERCISES.check
