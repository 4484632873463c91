"""For every exercise with a checker: the solution and plausible wrong answers.

A new exercise needs an entry in `TABLE`: name -> (solution, [at least three wrong answers, each of
which fails another property]).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from icl_lib.theory import optimum, shifts

# 01: ridge regression on one prompt


def ridge(xs, ys, x_query, penalty):
    return x_query @ np.linalg.solve(xs.T @ xs + penalty * np.eye(xs.shape[1]), xs.T @ ys)


def ridge_weights(xs, ys, x_query, penalty):
    return np.linalg.solve(xs.T @ xs + penalty * np.eye(xs.shape[1]), xs.T @ ys)


def averaging(xs, ys, x_query, penalty):
    return x_query @ xs.T @ ys / (len(xs) + penalty)


def ridge_on_the_mean(xs, ys, x_query, penalty):
    return ridge(xs, ys, x_query, penalty * len(xs))


def least_squares_for_short_prompts(xs, ys, x_query, penalty):
    if len(xs) < xs.shape[1]:
        return x_query @ np.linalg.pinv(xs) @ ys
    return ridge(xs, ys, x_query, penalty)


# 02: balanced weights for a given matrix


def balanced(a):
    d, scale = len(a), np.linalg.norm(a) ** 0.5
    w_pv, w_kq = np.zeros((2, d + 1, d + 1))
    w_pv[-1, -1], w_kq[:d, :d] = scale, a / scale
    return w_pv, w_kq


def weights_without_a_row_for_the_label(a):
    return np.eye(len(a)), a


def transposed(a):
    return balanced(a.T)


def unbalanced(a):
    w_pv, w_kq = balanced(a)
    return w_pv / w_pv[-1, -1], w_kq * w_pv[-1, -1]


def identity_as_projection(a):
    d = len(a)
    scale = (np.linalg.norm(a) / (d + 1) ** 0.5) ** 0.5
    w_kq = np.zeros((d + 1, d + 1))
    w_kq[:d, :d] = a / scale
    return scale * np.eye(d + 1), w_kq


# 03: the best preconditioner with label noise


def noisy_preconditioner(covariance, n, noise_var):
    shift = (np.trace(covariance) + noise_var) / n
    return np.linalg.inv((1 + 1 / n) * covariance + shift * np.eye(len(covariance)))


def noisy_diagonal(covariance, n, noise_var):
    return np.diag(noisy_preconditioner(covariance, n, noise_var))


def noisy_elementwise(covariance, n, noise_var):
    with np.errstate(divide="ignore"):
        return 1 / (optimum.gamma(covariance, n) + noise_var / n * np.eye(len(covariance)))


def noise_ignored(covariance, n, noise_var):
    return np.linalg.inv(optimum.gamma(covariance, n))


def noise_for_the_whole_prompt(covariance, n, noise_var):
    return np.linalg.inv(optimum.gamma(covariance, n) + noise_var * np.eye(len(covariance)))


# 04: the shifted loss


def shifted_loss(u11, u, covariance, n):
    quadratic = optimum.gamma(covariance, n) @ covariance @ u11 @ covariance @ u11.T
    return np.trace(u**2 / 2 * quadratic - u * covariance @ covariance @ u11.T)


def loss_without_trace(u11, u, covariance, n):
    quadratic = optimum.gamma(covariance, n) @ covariance @ u11 @ covariance @ u11.T
    return u**2 / 2 * quadratic - u * covariance @ covariance @ u11.T


def loss_that_is_not_shifted(u11, u, covariance, n):
    return shifted_loss(u11, u, covariance, n) + np.trace(covariance) / 2


def loss_without_the_half(u11, u, covariance, n):
    quadratic = optimum.gamma(covariance, n) @ covariance @ u11 @ covariance @ u11.T
    return np.trace(u**2 * quadratic - u * covariance @ covariance @ u11.T)


def loss_without_transpose(u11, u, covariance, n):
    quadratic = optimum.gamma(covariance, n) @ covariance @ u11 @ covariance @ u11
    return np.trace(u**2 / 2 * quadratic - u * covariance @ covariance @ u11)


# 05: the smallest risk at a test length


def best_risk(lam, n, noise_var):
    return np.sum(lam - lam**2 / ((1 + 1 / n) * lam + (lam.sum() + noise_var) / n))


def risk_of_each_axis(lam, n, noise_var):
    return lam - lam**2 / ((1 + 1 / n) * lam + (lam.sum() + noise_var) / n)


def half_the_risk(lam, n, noise_var):
    return best_risk(lam, n, noise_var) / 2


def risk_of_the_noiseless_matrix(lam, n, noise_var):
    noise = noise_var / n * np.sum(lam**2 / ((1 + 1 / n) * lam + lam.sum() / n) ** 2)
    return best_risk(lam, n, 0.0) + noise


def risk_with_noise_for_the_whole_prompt(lam, n, noise_var):
    return np.sum(lam - lam**2 / ((1 + 1 / n) * lam + lam.sum() / n + noise_var))


# 06: Theorem 4.2 from a sample


def estimated_risk(xs, ys, n, m, *, centre=True, best=None, length=None):
    covariance = xs.T @ xs / len(xs)
    products = xs * np.asarray(ys)[:, None]
    cross = products.mean(0)
    sigma = products.T @ products / len(xs) - centre * np.outer(cross, cross)
    gamma = optimum.gamma(covariance, n)
    inverse = np.linalg.inv(gamma @ gamma)
    shift = covariance + np.trace(covariance) * np.eye(len(covariance))
    a = np.linalg.solve(covariance, cross)
    bias = a @ inverse @ covariance @ shift @ shift @ a / (length or n) ** 2
    best = np.mean(ys**2) - cross @ a if best is None else best
    return best + np.trace(sigma @ inverse @ covariance) / m + bias


def risk_as_three_terms(xs, ys, n, m):
    return np.full(3, estimated_risk(xs, ys, n, m))


def risk_with_an_intercept(xs, ys, n, m):
    residual = ys - ys.mean()
    line = np.linalg.lstsq(xs, residual, rcond=None)[0]
    return estimated_risk(xs, ys, n, m, best=np.mean((residual - xs @ line) ** 2))


def risk_with_the_test_length_in_the_bias(xs, ys, n, m):
    return estimated_risk(xs, ys, n, m, length=m)


def risk_with_a_second_moment(xs, ys, n, m):
    return estimated_risk(xs, ys, n, m, centre=False)


# 07: the scale at which the layer is as bad as predicting zero


def critical_scale(covariance, n, m, zero=np.trace):
    """Root of risk = that of predicting zero, in c between 1 and 5."""

    def excess(c):
        shifted = c**2 * covariance
        return shifts.covariate_shift_risk(covariance, shifted, n, m) / zero(shifted) - 1

    return brentq(excess, 1.0, 5.0)


def scales_with_their_risks(covariance, n, m):
    return np.array([critical_scale(covariance, n, m), 1.0])


def squared_scale(covariance, n, m):
    return critical_scale(covariance, n, m) ** 2


def scale_relative_to_the_dimension(covariance, n, m):
    lam = np.trace(covariance)
    return critical_scale(covariance, n, m, zero=lambda shifted: np.trace(shifted) * 3 / lam)


def limit_for_long_prompts(covariance, n, m):
    return 2**0.5


# 08: the compromise for random covariances


def alpha(samples, n):
    gamma = (1 + 1 / n) * samples + samples.sum(1, keepdims=True) / n
    return np.mean(samples**2) / np.mean(gamma * samples**2)


def alpha_for_each_axis(samples, n):
    gamma = (1 + 1 / n) * samples + samples.sum(1, keepdims=True) / n
    return (samples**2).mean(0) / (gamma * samples**2).mean(0)


def alpha_without_lengths(samples, n):
    return np.mean(samples**2) / np.mean(samples**3)


def average_of_ratios(samples, n):
    """0.78 where the solution has 0.33: the property's bound of 0.5 is what refuses it."""
    gamma = (1 + 1 / n) * samples + samples.sum(1, keepdims=True) / n
    return np.mean((samples**2).sum(1) / (gamma * samples**2).sum(1))


def alpha_with_the_mean_trace(samples, n):
    gamma = (1 + 1 / n) * samples + samples.sum(1).mean() / n
    return np.mean(samples**2) / np.mean(gamma * samples**2)


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
    "01-ridge": (
        ridge,
        [ridge_weights, averaging, ridge_on_the_mean, least_squares_for_short_prompts],
    ),
    "02-balanced-step": (
        balanced,
        [weights_without_a_row_for_the_label, transposed, unbalanced, identity_as_projection],
    ),
    "03-noisy-preconditioner": (
        noisy_preconditioner,
        [noisy_diagonal, noisy_elementwise, noise_ignored, noise_for_the_whole_prompt],
    ),
    "04-shifted-loss": (
        shifted_loss,
        [
            loss_without_trace,
            loss_that_is_not_shifted,
            loss_without_the_half,
            loss_without_transpose,
        ],
    ),
    "05-best-risk": (
        best_risk,
        [
            risk_of_each_axis,
            half_the_risk,
            risk_of_the_noiseless_matrix,
            risk_with_noise_for_the_whole_prompt,
        ],
    ),
    "06-estimated-risk": (
        estimated_risk,
        [
            risk_as_three_terms,
            risk_with_an_intercept,
            risk_with_the_test_length_in_the_bias,
            risk_with_a_second_moment,
        ],
    ),
    "07-critical-scale": (
        critical_scale,
        [
            scales_with_their_risks,
            squared_scale,
            scale_relative_to_the_dimension,
            limit_for_long_prompts,
        ],
    ),
    "08-alpha": (
        alpha,
        [
            alpha_for_each_axis,
            alpha_without_lengths,
            average_of_ratios,
            alpha_with_the_mean_trace,
        ],
    ),
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
