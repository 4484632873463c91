"""For every exercise of Part 3 with a checker: the solution and plausible wrong answers.

A new exercise needs an entry in `TABLE`: name -> (solution, [at least three wrong answers, each of
which fails another property]).
"""

from __future__ import annotations

import numpy as np

# 09: ridge regression at every position of a sequence


def prefix_ridge(states, penalty):
    predictions = np.zeros_like(states)
    for t in range(1, len(states)):
        x, y = states[:t], states[1 : t + 1]
        gram = x.T @ x + penalty * np.eye(states.shape[1])
        predictions[t] = y.T @ x @ np.linalg.solve(gram, states[t])
    return predictions


def last_prediction_only(states, penalty):
    return prefix_ridge(states, penalty)[-1]


def repeat_the_first_state(states, penalty):
    predictions = prefix_ridge(states, penalty)
    predictions[0] = states[0]
    return predictions


def lagged_ridge(states, penalty):
    predictions = np.zeros_like(states)
    for t in range(2, len(states)):
        x, y = states[: t - 1], states[1:t]
        gram = x.T @ x + penalty * np.eye(states.shape[1])
        predictions[t] = y.T @ x @ np.linalg.solve(gram, states[t])
    return predictions


def penalty_on_the_mean(states, penalty):
    predictions = np.zeros_like(states)
    for t in range(1, len(states)):
        x, y = states[:t], states[1 : t + 1]
        gram = x.T @ x + t * penalty * np.eye(states.shape[1])
        predictions[t] = y.T @ x @ np.linalg.solve(gram, states[t])
    return predictions


# 10: effective coefficients of a linear layer


def coefficients(key_query, value, n):
    def mean_diagonal(matrix, row, column):
        return np.mean(np.diag(matrix[row * n : (row + 1) * n, column * n : (column + 1) * n]))

    total = np.zeros((2, 2, 2))
    for a, b in zip(key_query, value, strict=True):
        b_h = [mean_diagonal(b, 0, v) for v in (2, 3)]
        a_h = [[mean_diagonal(a, k, q) for q in (2, 3)] for k in (2, 3)]
        total += np.einsum("v,kq->vkq", b_h, a_h)
    return total


def coefficients_of_each_head(key_query, value, n):
    return np.stack(
        [coefficients(a[None], b[None], n) for a, b in zip(key_query, value, strict=True)]
    )


def coefficients_with_keys_and_queries_swapped(key_query, value, n):
    return coefficients(key_query, value, n).swapaxes(1, 2)


def coefficients_of_summed_heads(key_query, value, n):
    return coefficients(key_query.sum(0)[None], value.sum(0)[None], n)


# 11: recursive least squares with forgetting


def rls(queries, keys, values, lam, gamma):
    inverse, phi = lam * np.eye(keys.shape[1]), np.zeros((values.shape[1], keys.shape[1]))
    outputs = []
    for q, k, v in zip(queries, keys, values, strict=True):
        hit = inverse @ k
        inverse = (inverse - np.outer(hit, hit) / (gamma + k @ hit)) / gamma
        phi = phi + np.outer(v - phi @ k, inverse @ k)
        outputs.append(phi @ q)
    return np.array(outputs)


def rls_last_output(queries, keys, values, lam, gamma):
    return rls(queries, keys, values, lam, gamma)[-1]


def rls_with_one_over_lambda(queries, keys, values, lam, gamma):
    return rls(queries, keys, values, 1 / lam, gamma)


def rls_without_forgetting(queries, keys, values, lam, gamma):
    return rls(queries, keys, values, lam, 1.0)


def rls_with_the_old_inverse(queries, keys, values, lam, gamma):
    inverse, phi = lam * np.eye(keys.shape[1]), np.zeros((values.shape[1], keys.shape[1]))
    outputs = []
    for t, (q, k, v) in enumerate(zip(queries, keys, values, strict=True)):
        hit = inverse @ k
        new = (inverse - np.outer(hit, hit) / (gamma + k @ hit)) / gamma
        phi = phi + np.outer(v - phi @ k, (inverse if t else new) @ k)
        inverse = new
        outputs.append(phi @ q)
    return np.array(outputs)


# 12: the table of mean block diagonals


def table(matrix):
    n = len(matrix) // 4
    return np.einsum("aibi->ab", np.reshape(matrix, (4, n, 4, n))) / n


def table_of_blocks(matrix):
    n = len(matrix) // 4
    return np.reshape(matrix, (4, n, 4, n))


def table_of_sums(matrix):
    return table(matrix) * (len(matrix) // 4)


def table_of_block_sums(matrix):
    n = len(matrix) // 4
    return np.reshape(matrix, (4, n, 4, n)).sum((1, 3)) / n


# 13: Richardson's iteration for the preconditioned input


def preconditioned(states, penalty, step_size, steps, first=0):
    solved = np.zeros_like(states)
    for t, s_t in enumerate(states):
        seen = states[: t + first]
        system = seen.T @ seen + penalty * np.eye(len(s_t))
        for _ in range(steps):
            solved[t] += step_size * (s_t - system @ solved[t])
    return solved


def preconditioned_last_state(states, penalty, step_size, steps):
    return preconditioned(states, penalty, step_size, steps)[-1]


def preconditioned_from_the_state(states, penalty, step_size, steps):
    solved = states.copy()
    for t, s_t in enumerate(states):
        system = states[:t].T @ states[:t] + penalty * np.eye(len(s_t))
        for _ in range(steps):
            solved[t] += step_size * (s_t - system @ solved[t])
    return solved


def preconditioned_with_the_current_state(states, penalty, step_size, steps):
    return preconditioned(states, penalty, step_size, steps, first=1)


def preconditioned_by_the_mean(states, penalty, step_size, steps):
    solved = np.zeros_like(states)
    for t, s_t in enumerate(states):
        system = states[:t].T @ states[:t] / max(t, 1) + penalty * np.eye(len(s_t))
        for _ in range(steps):
            solved[t] += step_size * (s_t - system @ solved[t])
    return solved


# 14: the rotation between sinusoidal codes


def shift(width, steps, sign=1.0):
    angles = steps * 10_000.0 ** (-np.arange(width // 2) / (width // 2))
    sine, cosine = np.diag(sign * np.sin(angles)), np.diag(np.cos(angles))
    return np.block([[cosine, -sine], [sine, cosine]])


def shift_half(width, steps):
    return shift(width, steps)[: width // 2]


def shift_by_zeros(width, steps):
    return np.zeros((width, width))


def shift_forward(width, steps):
    return shift(width, steps, sign=-1.0)


def shift_once(width, steps):
    return shift(width, min(steps, 1))


# 15: ridge regression on stacked observations


def stacked_ridge(states, order, penalty):
    length, n = states.shape
    z = np.zeros((length, order * n))
    for t in range(length):
        for j in range(min(order, t + 1)):
            z[t, j * n : (j + 1) * n] = states[t - j]
    predictions = np.zeros_like(states)
    for t in range(length):
        past, after = z[:t], states[1 : t + 1]
        gram = past.T @ past + penalty * np.eye(order * n)
        predictions[t] = np.linalg.solve(gram, past.T @ after).T @ z[t]
    return predictions


def stacked_last(states, order, penalty):
    return stacked_ridge(states, order, penalty)[-1]


def stacked_lagged(states, order, penalty):
    predictions = stacked_ridge(states, order, penalty)
    lagged = np.zeros_like(predictions)
    for t in range(1, len(states)):
        lagged[t] = stacked_ridge(states[:t], order, penalty)[-1]
    return lagged


def stacked_never(states, order, penalty):
    return stacked_ridge(states, 1, penalty)


def stacked_without_start(states, order, penalty):
    full = stacked_ridge(states, order, penalty)
    full[: order - 1] = 0.0
    return full


# 16: a few-shot prompt read as a trajectory


def neighbours(xs, ys):
    prompt = np.stack([xs, ys], axis=1).reshape(-1, xs.shape[1])
    return prompt[:-1], prompt[1:]


def neighbours_meant(xs, ys):
    return xs, ys


def neighbours_reversed(xs, ys):
    before, after = neighbours(xs, ys)
    return after, before


def neighbours_sorted(xs, ys):
    return np.vstack([xs, ys[:-1]]), np.vstack([ys, xs[1:]])


def neighbours_shuffled(xs, ys):
    before, after = neighbours(xs, ys)
    order = [0, 1, 3, 2, 4, 5, 6]
    return before[order], after[order]


TABLE = {
    "09-prefix-ridge": (
        prefix_ridge,
        [last_prediction_only, repeat_the_first_state, lagged_ridge, penalty_on_the_mean],
    ),
    "10-coefficients": (
        coefficients,
        [
            coefficients_of_each_head,
            coefficients_with_keys_and_queries_swapped,
            coefficients_of_summed_heads,
        ],
    ),
    "11-rls": (
        rls,
        [
            rls_last_output,
            rls_with_one_over_lambda,
            rls_with_the_old_inverse,
            rls_without_forgetting,
        ],
    ),
    "12-table": (table, [table_of_blocks, table_of_sums, table_of_block_sums]),
    "13-richardson": (
        preconditioned,
        [
            preconditioned_last_state,
            preconditioned_from_the_state,
            preconditioned_with_the_current_state,
            preconditioned_by_the_mean,
        ],
    ),
    "14-shift": (shift, [shift_half, shift_by_zeros, shift_forward, shift_once]),
    "15-stacked": (
        stacked_ridge,
        [stacked_last, stacked_lagged, stacked_never, stacked_without_start],
    ),
    "16-pairs": (
        neighbours,
        [neighbours_meant, neighbours_reversed, neighbours_sorted, neighbours_shuffled],
    ),
}
