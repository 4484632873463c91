"""One-step-ahead predictors of a sequence s_1, ..., s_T that a causal layer is compared with.

``states`` has shape (..., T, n). Row t (0-based t - 1) of every result belongs to position t: it is
the prediction of s_{t+1} made from s_1, ..., s_t. The training pairs of position t are
(s_{t'-1}, s_{t'}) for t' <= t with s_0 := 0, so the newest pair (s_{t-1}, s_t) is among them unless
a function says otherwise. NumPy in, NumPy float64 out; wrong shapes and entries that are not finite
raise ``ValueError``.
"""

from __future__ import annotations

import numpy as np

from icl_lib import _checks


def gram_matrices(states) -> np.ndarray:
    """Return sum_{t' <= t-1} s_{t'} s_{t'}^T for every t: (..., T, n) -> (..., T, n, n).

    This is S_{t-1} S_{t-1}^T, the Hessian of the in-context loss; it is 0 at t = 1.
    Source: von Oswald et al. 2023, Proposition 2.
    Convention: a sum over pairs, not a mean.

    Raises ``ValueError`` if ``states`` is not a finite array of shape (..., T, n) with T, n >= 1.

    >>> gram_matrices([[1.0], [2.0], [3.0]])[:, 0, 0].tolist()
    [0.0, 1.0, 5.0]
    """
    previous = _shift(_sequence("states", states), 1)
    return _running_outer(previous, previous)


def cross_matrices(states, features=None) -> np.ndarray:
    """Return sum_{t' <= t} s_{t'} s_{t'-1}^T for every t: (..., T, n) -> (..., T, n, n).

    With ``features`` z (..., T, p) the sum is over s_{t'} z_{t'-1}^T, shape (..., T, n, p).
    Source: von Oswald et al. 2023, Proposition 2.
    Convention: a sum over pairs; the newest pair (s_{t-1}, s_t) is included.

    Raises ``ValueError`` if ``states`` is not (..., T, n) or ``features`` not (..., T, p).

    >>> cross_matrices([[1.0], [2.0], [3.0]])[:, 0, 0].tolist()
    [0.0, 2.0, 8.0]
    """
    states, inputs = _pair(states, features)
    return _running_outer(states, _shift(inputs, 1))


def gradient_step(states, step_size, phi_0=None) -> np.ndarray:
    """Predict after one gradient step from Phi_0, all t at once: (..., T, n) -> (..., T, n).

    Row t is [Phi_0 - eta grad L_t(Phi_0)] s_t. ``step_size`` eta is a number or one number a
    position, shape (T,); ``phi_0`` (n, n) is 0 by default.
    Source: von Oswald et al. 2023, Proposition 1.
    Convention: L_t(Phi) = sum_{t' <= t} ||s_{t'} - Phi s_{t'-1}||^2 / 2, so the gradient is a sum
    over pairs (not a mean); the newest pair is included.

    Raises ``ValueError`` if ``states`` is not (..., T, n), ``step_size`` not () or (T,), or
    ``phi_0`` not (n, n).

    >>> gradient_step([[1.0], [2.0], [3.0]], 0.1).round(6).tolist()
    [[0.0], [0.4], [2.4]]
    """
    states = _sequence("states", states)
    length, n = states.shape[-2:]
    eta = _checks.finite_array("step_size", step_size)
    if eta.shape not in ((), (length,)):
        raise ValueError(f"step_size must be a number or have shape ({length},), got {eta.shape}")
    phi_0 = _checks.finite_array("phi_0", np.zeros((n, n)) if phi_0 is None else phi_0)
    if phi_0.shape != (n, n):
        raise ValueError(f"phi_0 must have shape {(n, n)}, got shape {phi_0.shape}")
    previous = _shift(states, 1)
    descent = _causal_read_out(states - previous @ phi_0.T, previous, states)
    return states @ phi_0.T + eta[..., None] * descent


def ridge_all_pairs(states, ridge, features=None) -> np.ndarray:
    """Predict with ridge regression on all pairs t' <= t: (..., T, n) -> (..., T, n).

    Row t is Phi_t z_t, where Phi_t minimises
    sum_{t' <= t} ||s_{t'} - Phi z_{t'-1}||^2 / 2 + ridge ||Phi||_F^2 / 2. The inputs z are
    ``features`` (..., T, p), the states themselves by default.
    Source: von Oswald et al. 2023, Proposition 2.
    Convention: ``ridge`` is what is added to the diagonal of the summed Gram matrix, 1/lambda in
    the paper; the newest pair is included.

    Raises ``ValueError`` if ``states`` is not (..., T, n), ``features`` not (..., T, p), or ridge
    <= 0.

    >>> ridge_all_pairs([[1.0], [2.0], [3.0]], 1.0).round(6).tolist()
    [[0.0], [2.0], [4.0]]
    """
    return _ridge(states, ridge, features, lag=0)


def ridge_lagged(states, ridge, features=None) -> np.ndarray:
    """Predict with ridge regression on the pairs t' <= t - 1: (..., T, n) -> (..., T, n).

    As ``ridge_all_pairs``, but the newest pair (z_{t-1}, s_t), which a causal layer has at
    position t, is left out.
    Source: von Oswald et al. 2023, the least-squares control of the released code.
    Convention: ``ridge`` is added to the diagonal (1/lambda); the newest pair is NOT included.

    Raises ``ValueError`` if ``states`` is not (..., T, n), ``features`` not (..., T, p), or ridge
    <= 0.

    >>> ridge_lagged([[1.0], [2.0], [3.0]], 1.0).round(6).tolist()
    [[0.0], [0.0], [3.0]]
    """
    return _ridge(states, ridge, features, lag=1)


def kernel_regression(states, sharpness) -> np.ndarray:
    """Predict sum_{t' < t} softmax(beta s_{t'} . s_t) s_{t'+1}: (..., T, n) -> (..., T, n).

    ``sharpness`` is beta >= 0. At t = 1 there is no pair and the prediction is 0. This is what one
    softmax attention layer without weights computes from pairs (s_{t'}, s_{t'+1}).
    Source: von Oswald et al. 2023, Figure 5B, softmax kernel regression.
    Convention: the newest pair (s_{t-1}, s_t) is included.

    Raises ``ValueError`` if ``states`` is not (..., T, n) or ``sharpness`` is negative.

    >>> kernel_regression([[1.0], [2.0], [4.0]], 0.0)[:, 0].tolist()
    [0.0, 2.0, 3.0]
    """
    states = _sequence("states", states)
    beta = _checks.nonnegative("sharpness", sharpness)
    keys = _shift(states, 1)  # row t' is s_{t'-1}, the key of the value s_{t'}
    scores = beta * (states @ np.swapaxes(keys, -1, -2))
    pairs = np.tril(np.ones(scores.shape[-2:], dtype=bool))
    pairs[:, 0] = False  # s_0 is no state
    scores = np.where(pairs, scores, -np.inf)
    top = np.max(scores, axis=-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isfinite(top), top, 0.0))
    total = weights.sum(-1, keepdims=True)
    return weights @ states / np.where(total > 0, total, 1.0)


def preconditioned_inputs(states, ridge) -> np.ndarray:
    """Return H_t^* s_t with H_t^* = (S_{t-1} S_{t-1}^T + ridge I)^{-1}: (..., T, n) -> same.

    One gradient step of size 1 from Phi_0 = 0 with its query s_t replaced by H_t^* s_t is ridge
    regression on all pairs.
    Source: von Oswald et al. 2023, Proposition 2.
    Convention: ``ridge`` is added to the diagonal (1/lambda).

    Raises ``ValueError`` if ``states`` is not (..., T, n) or ridge <= 0.

    >>> preconditioned_inputs([[1.0], [2.0], [3.0]], 1.0).round(6).tolist()
    [[1.0], [1.0], [0.5]]
    """
    states = _sequence("states", states)
    return _precondition(_shift(states, 1), states, _checks.positive("ridge", ridge))


def best_step_size(states) -> float:
    """Return the one step size with the least mean loss of ``gradient_step``: (..., T+1, n) -> ().

    ``states`` holds the last target too. The prediction from Phi_0 = 0 is linear in eta, so the
    best eta is a one-parameter least-squares fit over all sequences and positions; it is 0 where
    every step is 0.
    Source: von Oswald et al. 2023, the GD baseline of Figure 4 (there by line search).

    Raises ``ValueError`` if ``states`` is not a finite array of shape (..., T+1, n) with T >= 1.

    >>> round(best_step_size([[1.0], [2.0], [4.0]]), 6)
    1.0
    """
    return float(_fit_scale(*_unit_step(states), axis=None))


def best_step_sizes(states) -> np.ndarray:
    """Return the best step size of every position on its own: (..., T+1, n) -> (T,).

    As ``best_step_size``, fitted over the sequences only. Position 1 has no pair to learn from: 0.
    Source: derived here; linear attention with one eta cannot reach it.

    Raises ``ValueError`` if ``states`` is not a finite array of shape (..., T+1, n) with T >= 1.

    >>> best_step_sizes([[1.0], [2.0], [4.0], [8.0]]).round(6).tolist()
    [0.0, 1.0, 0.2]
    """
    descent, targets = _unit_step(states)
    leading = tuple(range(descent.ndim - 2))
    return _fit_scale(descent, targets, axis=(*leading, descent.ndim - 1))


def position_loss(predictions, targets) -> np.ndarray:
    """Return ||prediction - target||^2 / 2 averaged over sequences: (..., T, n) twice -> (T,).

    Source: von Oswald et al. 2023, the base objective and the per-position curves of Figure 4.
    Convention: with the 1/2, a sum over the n coordinates, a mean over the leading axes.

    Raises ``ValueError`` if the two arrays are not (..., T, n) of the same shape.

    >>> position_loss([[1.0, 1.0], [0.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]).tolist()
    [1.0, 2.0]
    """
    predictions = _sequence("predictions", predictions)
    targets = _sequence("targets", targets)
    if predictions.shape != targets.shape or predictions.size == 0:
        raise ValueError(
            "predictions and targets must have the same shape (..., T, n) and hold a sequence, "
            f"got {predictions.shape} and {targets.shape}"
        )
    halves = np.sum((predictions - targets) ** 2, axis=-1) / 2
    return halves.reshape(-1, halves.shape[-1]).mean(axis=0)


def sequence_loss(predictions, targets) -> float:
    """Return the mean of ``position_loss`` over the T positions: (..., T, n) twice -> ().

    Source: von Oswald et al. 2023, the test loss of Figure 4.
    Convention: with the 1/2, a mean over sequences and positions.

    Raises ``ValueError`` if the two arrays are not (..., T, n) of the same shape.

    >>> sequence_loss([[1.0, 1.0], [0.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]])
    1.5
    """
    return float(position_loss(predictions, targets).mean())


def _ridge(states, ridge, features, lag) -> np.ndarray:
    """Ridge regression as causal linear attention with preconditioned queries (Proposition 2)."""
    states, inputs = _pair(states, features)
    keys = _shift(inputs, 1 + lag)
    queries = _precondition(keys, inputs, _checks.positive("ridge", ridge))
    return _causal_read_out(_shift(states, lag), keys, queries)


def _precondition(keys, queries, ridge) -> np.ndarray:
    """(sum_{t' <= t} k_{t'} k_{t'}^T + ridge I)^{-1} q_t, a position at a time to save memory."""
    p = keys.shape[-1]
    system = np.broadcast_to(ridge * np.eye(p), (*keys.shape[:-2], p, p)).copy()
    result = np.empty_like(queries)
    for t in range(keys.shape[-2]):
        k = keys[..., t, :]
        system += k[..., :, None] * k[..., None, :]
        result[..., t, :] = _checks.solve("ridge", system, queries[..., t, :, None])[..., 0]
    return result


def _causal_read_out(values, keys, queries) -> np.ndarray:
    """sum_{t' <= t} v_{t'} (k_{t'} . q_t) for every t: linear attention."""
    result, past = np.empty(values.shape), np.tri(keys.shape[-2])
    flat = [part.reshape(-1, *part.shape[-2:]) for part in (result, values, keys, queries)]
    for first in range(0, len(flat[0]), 32):  # (T, T) for few sequences stays in the cache
        out, v, k, q = (part[first : first + 32] for part in flat)
        scores = q @ np.swapaxes(k, -1, -2)
        scores *= past
        np.matmul(scores, v, out=out)
    return result


def _running_outer(left, right) -> np.ndarray:
    return np.cumsum(left[..., :, None] * right[..., None, :], axis=-3)


def _shift(states, by: int) -> np.ndarray:
    """Move every row ``by`` positions later; zeros come in (s_0 = 0)."""
    shifted = np.zeros_like(states)
    shifted[..., by:, :] = states[..., : max(states.shape[-2] - by, 0), :]
    return shifted


def _unit_step(states) -> tuple[np.ndarray, np.ndarray]:
    """The step of size 1 from Phi_0 = 0 and the targets, both (..., T, n)."""
    states = _sequence("states", states)
    if states.shape[-2] < 2:
        raise ValueError(f"states must have shape (..., T+1, n) with T >= 1, got {states.shape}")
    return gradient_step(states[..., :-1, :], 1.0), states[..., 1:, :]


def _fit_scale(direction, targets, axis) -> np.ndarray:
    """The numbers c that minimise ||targets - c direction||^2 summed over ``axis``."""
    size = np.sum(direction**2, axis=axis)
    return np.sum(direction * targets, axis=axis) / np.where(size > 0, size, 1.0)


def _pair(states, features) -> tuple[np.ndarray, np.ndarray]:
    states = _sequence("states", states)
    inputs = states if features is None else _sequence("features", features)
    if inputs.shape[:-1] != states.shape[:-1]:
        raise ValueError(f"features must have shape {states.shape[:-1]} + (p,), got {inputs.shape}")
    return states, inputs


def _sequence(name: str, value) -> np.ndarray:
    array = _checks.finite_array(name, value)
    if array.ndim < 2 or 0 in array.shape[-2:]:
        raise ValueError(f"{name} must have shape (..., T, n) with T, n >= 1, got {array.shape}")
    return array
