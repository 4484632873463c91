"""Iterations that solve A x = b or invert A, the algorithms a stack of layers may run.

A is (..., n, n), symmetric positive definite, and b is (..., n); leading axes broadcast. NumPy in,
NumPy float64 out; wrong shapes and entries that are not finite raise ``ValueError``.
"""

from __future__ import annotations

import numpy as np

from icl_lib import _checks
from icl_lib.published import published
from icl_lib.theory import _inputs

# Trained (alphas, betas) of `learned_inverse`, from the code released with von Oswald et al. 2023
AUTHORS_COEFFICIENTS = {
    name: (tuple(alphas), tuple(betas))
    for name, (alphas, betas) in published("iteration coefficients").items()
}


def richardson(A, b, steps, step_size, *, momentum=0.0, x0=None) -> np.ndarray:
    """Iterate x_{k+1} = x_k + alpha_k (b - A x_k) + beta_k (x_k - x_{k-1}): (..., n) -> (..., n).

    ``step_size`` (alpha) and ``momentum`` (beta) are numbers or sequences of length ``steps``;
    x_{-1} = x_0 = ``x0``, 0 by default.
    Source: von Oswald et al. 2023, eq. (9) (second-order Richardson iteration).
    Raises ``ValueError`` if A, b, x0 do not fit, steps < 0, or a schedule is of another length.

    >>> richardson([[2.0]], [4.0], 2, 0.25).tolist()
    [1.5]
    """
    x = _richardson(A, b, steps, step_size, momentum, x0)
    return _checks.finite_result(x, "A", "step_size", "momentum", "steps")


def _richardson(A, b, steps, step_size, momentum, x0) -> np.ndarray:
    A, b = _system(A, b)
    steps = _checks.positive_int("steps", steps, minimum=0)
    alphas = _inputs.shaped("step_size", step_size, (), (steps,))
    betas = _inputs.shaped("momentum", momentum, (), (steps,))
    x = previous = (
        np.zeros_like(b) if x0 is None else _inputs.shaped("x0", x0, b.shape[-1:], b.shape)
    )
    for alpha, beta in zip(alphas, betas, strict=True):
        x, previous = x + alpha * (b - _apply(A, x)) + beta * (x - previous), x
    return x


def neumann(A, b, terms, scale) -> np.ndarray:
    """Return scale sum_{k=0}^{terms} (I - scale A)^k b: (..., n, n), (..., n) -> (..., n).

    The truncated series of A^{-1} b; it converges for 0 < scale < 2 / (largest eigenvalue of A).
    Source: von Oswald et al. 2023, Appendix C.3.
    Convention: terms + 1 summands, the same as terms + 1 steps of ``richardson`` from 0.
    Raises ``ValueError`` if A and b do not fit, terms < 0, or scale <= 0.

    >>> neumann([[2.0]], [4.0], 1, 0.25).tolist()
    [1.5]
    """
    A, b = _system(A, b)
    scale = _checks.positive("scale", scale)
    total = term = b
    for _ in range(_checks.positive_int("terms", terms, minimum=0)):
        term = term - scale * _apply(A, term)
        total = total + term
    return _checks.finite_result(scale * total, "A", "terms", "scale")


def chebyshev_coefficients(steps, low, high) -> tuple[np.ndarray, np.ndarray]:
    """Return the Chebyshev step sizes and momenta for a spectrum in [low, high]: (steps,) twice.

    Source: Golub and Varga 1961; von Oswald et al. 2023, Section 3.
    Raises ``ValueError`` if steps < 0 or not 0 < low <= high.

    >>> alphas, betas = chebyshev_coefficients(2, 1.0, 3.0)
    >>> alphas.round(6).tolist(), betas.round(6).tolist()
    ([0.5, 0.571429], [0.0, 0.142857])
    """
    low, high = _checks.positive("low", low), _checks.positive("high", high)
    if low > high:
        raise ValueError(f"low must be at most high, got low {low} and high {high}")
    centre, radius = (high + low) / 2, (high - low) / 2
    alphas = np.full(_checks.positive_int("steps", steps, minimum=0), 1 / centre)
    betas = np.zeros_like(alphas)
    ratio = 1 / centre  # T_k(c/r) / (r T_{k+1}(c/r)), finite also for radius 0
    for k in range(1, len(alphas)):
        last, ratio = ratio, 1 / (2 * centre - radius**2 * ratio)
        alphas[k], betas[k] = 2 * ratio, radius**2 * ratio * last
    return alphas, betas


def chebyshev(A, b, steps, low, high) -> np.ndarray:
    """Run the Chebyshev semi-iteration from 0: (..., n, n), (..., n) -> (..., n).

    For a spectrum in [low, high], kappa = high / low, the error in the 2-norm shrinks at least by
    2 ((sqrt(kappa) - 1) / (sqrt(kappa) + 1))^steps. An eigenvalue outside may diverge.
    Source: Golub and Varga 1961; von Oswald et al. 2023, Section 3.
    Raises ``ValueError`` if A and b do not fit, steps < 0 or not 0 < low <= high.

    >>> chebyshev([[2.0]], [4.0], 3, 2.0, 2.0).tolist()
    [2.0]
    """
    alphas, betas = chebyshev_coefficients(steps, low, high)
    x = _richardson(A, b, steps, alphas, betas, None)
    return _checks.finite_result(x, "A", "steps", "low", "high")


def conjugate_gradient(A, b, steps) -> np.ndarray:
    """Run conjugate gradients from 0, every system on its own: (..., n, n), (..., n) -> (..., n).

    A system whose residual is 0 stays where it is. Equals the iterates of scipy's ``cg``.
    Source: Hestenes and Stiefel 1952.
    Raises ``ValueError`` if A and b do not fit, A is not symmetric positive definite, or steps < 0.

    >>> conjugate_gradient([[2.0, 0.0], [0.0, 1.0]], [4.0, 3.0], 2).round(6).tolist()
    [2.0, 3.0]
    """
    A, b = _system(A, b)
    symmetric = np.allclose(A, np.swapaxes(A, -1, -2), rtol=1e-10, atol=1e-12)
    if not symmetric or (np.linalg.eigvalsh(A) <= 0).any():
        raise ValueError("A must be symmetric positive definite, got a matrix that is not")
    x, residual, direction = np.zeros_like(b), b, b
    square = np.sum(residual**2, axis=-1, keepdims=True)
    for _ in range(_checks.positive_int("steps", steps, minimum=0)):
        image = _apply(A, direction)
        length = _ratio(square, np.sum(direction * image, axis=-1, keepdims=True))
        x, residual = x + length * direction, residual - length * image
        last, square = square, np.sum(residual**2, axis=-1, keepdims=True)
        direction = residual + _ratio(square, last) * direction
    return _checks.finite_result(x, "A", "b", "steps")


def newton_schulz(A, steps) -> np.ndarray:
    """Return the approximate inverse after X <- X (2I - A X): (..., n, n) -> (..., n, n).

    A step squares I - A X, so from X_0 = A^T / (||A||_1 ||A||_inf) every invertible A converges.
    Source: Schulz 1933; this start keeps the spectrum of A X_0 in (0, 1].
    Raises ``ValueError`` if A is not (..., n, n), is a zero matrix, or steps < 0.

    >>> newton_schulz([[2.0, 1.0], [1.0, 2.0]], 9).round(6).tolist()
    [[0.666667, -0.333333], [-0.333333, 0.666667]]
    """
    A = _square(A, zero=False)
    sizes = np.abs(A).sum(axis=-2).max(axis=-1) * np.abs(A).sum(axis=-1).max(axis=-1)
    X = np.swapaxes(A, -1, -2) / sizes[..., None, None]
    for _ in range(_checks.positive_int("steps", steps, minimum=0)):
        X = 2 * X - X @ A @ X
    return _checks.finite_result(X, "A", "steps")


def learned_inverse(A, alphas, betas) -> np.ndarray:
    """Return the k-step inverse with free coefficients: (..., n, n), (k,), (k,) -> (..., n, n).

    With Abar = A / ||A||_F, X = X^- = Y = I, every step sets Y <- Y (I - alpha_j Abar) and
    X <- X + Y + beta_j (X - X^-) with the old X kept as X^-; the result is X / ||A||_F. With
    alpha = 1, beta = 0 this is the Neumann series; ``AUTHORS_COEFFICIENTS`` has trained values.
    Source: von Oswald et al. 2023, the "Proposition 2" control of the released code.
    Raises ``ValueError`` if A is not (..., n, n) or is 0, or alphas and betas differ in length.

    >>> learned_inverse([[4.0]], [1.0], [0.0]).tolist()
    [[0.25]]
    """
    A = _square(A, zero=False)
    alphas = _checks.finite_array("alphas", alphas, ndim=1)
    betas = _inputs.shaped("betas", betas, alphas.shape)
    norm = np.sqrt(np.sum(A**2, axis=(-2, -1), keepdims=True))
    unit = np.eye(A.shape[-1])
    X = previous = Y = np.broadcast_to(unit, A.shape)
    for alpha, beta in zip(alphas, betas, strict=True):
        Y = Y @ (unit - alpha * A / norm)
        X, previous = X + Y + beta * (X - previous), X
    return _checks.finite_result(X / norm, "A", "alphas", "betas")


def recursive_least_squares(keys, values, queries, ridge, forgetting=None) -> np.ndarray:
    """Predict Phi_t q_t at every t: (..., T, d), (..., T, m), (..., T, d) -> (..., T, m).

    Phi_t is the ridge regression of v_{t'} on k_{t'}, t' <= t, by the delta rule
    Phi_t = Phi_{t-1} + (v_t - Phi_{t-1} k_t) (R_t k_t)^T with R_t of ``inverse_gram_scan``.
    Source: von Oswald et al. 2023, the mesa-layer and Supplement B.
    Convention: ``ridge`` is added to the diagonal (1/lambda) and forgotten like the data; the pair
    (k_t, v_t) is included. ``forgetting`` gamma (..., T) weights what came before step t.
    Raises ``ValueError`` if shapes do not fit, ridge <= 0, or forgetting is not in (0, 1].

    >>> recursive_least_squares([[1.0]], [[2.0]], [[3.0]], 1.0).tolist()
    [[3.0]]
    """
    keys, _ = _keys_and_gammas(keys, forgetting)
    queries = _inputs.shaped("queries", queries, keys.shape)
    values = _checks.finite_array("values", values)
    values = _inputs.shaped("values", values, keys.shape[:-1] + values.shape[-1:])
    inverses = inverse_gram_scan(keys, ridge, forgetting)
    outputs = np.empty_like(values)
    phi = np.zeros((*values.shape[:-2], values.shape[-1], keys.shape[-1]))
    for t in range(keys.shape[-2]):
        k = keys[..., t, :]
        surprise = values[..., t, :] - _apply(phi, k)
        phi = phi + surprise[..., :, None] * _apply(inverses[..., t, :, :], k)[..., None, :]
        outputs[..., t, :] = _apply(phi, queries[..., t, :])
    return _checks.finite_result(outputs, "keys", "values", "queries", "ridge", "forgetting")


def inverse_gram_scan(keys, ridge, forgetting=None) -> np.ndarray:
    """Return (gamma_t R_{t-1}^{-1} + k_t k_t^T)^{-1} = R_t, all t: (..., T, d) -> (..., T, d, d).

    R_t = (R - R k k^T R / (gamma_t + k^T R k)) / gamma_t with R = R_{t-1}, from R_0 = I / ridge.
    Source: von Oswald et al. 2023, Supplement B, eq. (14) with its gamma index put right.
    Convention: the regulariser is forgotten too; gamma_t = 1 by default.
    Raises ``ValueError`` if keys is not (..., T, d), ridge <= 0, or forgetting is not in (0, 1].

    >>> inverse_gram_scan([[1.0], [2.0]], 1.0)[:, 0, 0].round(6).tolist()
    [0.5, 0.166667]
    """
    keys, gammas = _keys_and_gammas(keys, forgetting)
    last = np.eye(keys.shape[-1]) / _checks.positive("ridge", ridge)
    result = np.empty((*keys.shape, keys.shape[-1]))
    for t in range(keys.shape[-2]):
        gamma = gammas[..., t, None, None]
        result[..., t, :, :] = last = _rank_one(last, keys[..., t, :], gamma) / gamma
    return _checks.finite_result(result, "keys", "ridge", "forgetting")


def reverse_inverse_gram_scan(last, keys, forgetting=None) -> np.ndarray:
    """Return R_0, ..., R_T from R_T alone: (..., d, d), (..., T, d) -> (..., T+1, d, d).

    R_{t-1} = gamma_t (R_t + R_t k k^T R_t / (1 - k^T R_t k)), the inverse of a step of
    ``inverse_gram_scan``; a backward pass needs to store R_T only.
    Source: von Oswald et al. 2023, Supplement C.1.
    Raises ``ValueError`` if shapes do not fit, or ``last`` is no inverse Gram matrix of these keys.

    >>> reverse_inverse_gram_scan([[1 / 6]], [[1.0], [2.0]])[:, 0, 0].round(6).tolist()
    [1.0, 0.5, 0.166667]
    """
    keys, gammas = _keys_and_gammas(keys, forgetting)
    length, d = keys.shape[-2:]
    last = _inputs.shaped("last", last, (*keys.shape[:-2], d, d))
    result = np.empty((*keys.shape[:-2], length + 1, d, d))
    result[..., length, :, :] = last
    for t in range(length - 1, -1, -1):
        last = gammas[..., t, None, None] * _rank_one(last, keys[..., t, :], -1.0)
        result[..., t, :, :] = last
    return _checks.finite_result(result, "last", "keys", "forgetting")


def _rank_one(R, k, offset) -> np.ndarray:
    """R - R k k^T R / (offset + k^T R k), the Sherman-Morrison update; offset -1 takes k out."""
    image = R @ k[..., None]
    bottom = offset + k[..., None, :] @ image
    if np.any(offset < 0) and (bottom >= 0).any():
        raise ValueError("last must satisfy k^T R_t k < 1 for every key, got 1 or more")
    return R - image * image[..., None, :, 0] / bottom


def _apply(A, x) -> np.ndarray:
    return (A @ x[..., None])[..., 0]


def _ratio(top, bottom) -> np.ndarray:
    """top / bottom, and 0 where the bottom is 0 (a system that is solved already)."""
    return np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), 0.0)


def _square(A, zero=True) -> np.ndarray:
    A = _checks.finite_array("A", A)
    if A.ndim < 2 or A.shape[-1] != A.shape[-2] or A.shape[-1] == 0:
        raise ValueError(f"A must have shape (..., n, n) with n >= 1, got shape {A.shape}")
    if not zero and (np.abs(A).max(axis=(-2, -1)) < _checks.SMALLEST).any():
        raise ValueError(f"A must not be 0 (or below {_checks.SMALLEST:g}), got such a matrix")
    return A


def _system(A, b) -> tuple[np.ndarray, np.ndarray]:
    A, b = _square(A), _checks.finite_array("b", b)
    try:
        if b.shape[-1:] != A.shape[-1:]:
            raise ValueError
        return A, np.broadcast_to(b, np.broadcast_shapes(A.shape[:-1], b.shape))
    except ValueError:
        raise ValueError(f"b must be (..., n) and fit A {A.shape}, got shape {b.shape}") from None


def _keys_and_gammas(keys, forgetting) -> tuple[np.ndarray, np.ndarray]:
    """The keys (..., T, d) and the forgetting factors (..., T), 1 by default."""
    keys = _checks.finite_array("keys", keys)
    if keys.ndim < 2 or 0 in keys.shape[-2:]:
        raise ValueError(f"keys must have shape (..., T, d) with T, d >= 1, got {keys.shape}")
    shapes = (), keys.shape[-2:-1], keys.shape[:-1]
    gammas = _inputs.shaped("forgetting", 1.0 if forgetting is None else forgetting, *shapes)
    if (gammas <= 0).any() or (gammas > 1).any():
        raise ValueError("forgetting must lie in (0, 1], got an entry outside")
    return keys, gammas
