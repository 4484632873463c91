"""`icl_lib.theory.sequences` against loops over prefixes, scipy, sklearn and known losses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.linalg import cho_factor, cho_solve
from scipy.special import softmax
from sklearn.linear_model import Ridge

from icl_lib.theory import linear_systems, sequences

PROPERTY = settings(max_examples=25, deadline=None, derandomize=True)
SEEDS = st.integers(0, 10_000)
LENGTHS = st.integers(1, 7)
DIMS = st.integers(1, 4)
RIDGES = st.floats(0.01, 10)


def _states(seed: int, length: int, n: int, batch: tuple[int, ...] = ()) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((*batch, length, n))


def _pairs(states, inputs, t, lag=0):
    """Inputs z_{t'-1} and targets s_{t'} for 2 <= t' <= t - lag, in the paper's 1-based t."""
    last = max(t - lag, 1)
    return inputs[: last - 1], states[1:last]


def _orthogonal(rng, count: int, n: int) -> np.ndarray:
    """Haar-distributed: QR of a Gaussian matrix with the signs of R taken out."""
    q, r = np.linalg.qr(rng.standard_normal((count, n, n)))
    return q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[:, None, :]


@pytest.fixture(scope="module")
def linear_dynamics() -> np.ndarray:
    """4000 sequences of the paper's linear task, (4000, 51, 10): h_1 ~ U(-1, 1), noise 0.01."""
    rng = np.random.default_rng(0)
    w_star = _orthogonal(rng, 4000, 10)
    states = [rng.uniform(-1, 1, (4000, 10))]
    for _ in range(50):
        noise = 0.01 * rng.standard_normal((4000, 10))
        states.append(np.einsum("bij,bj->bi", w_star, states[-1]) + noise)
    return np.stack(states, axis=1)


def _mean_and_se(predictions, states) -> tuple[float, float]:
    one = 0.5 * np.sum((predictions - states[:, 1:]) ** 2, axis=-1).mean(axis=-1)
    assert_allclose(sequences.sequence_loss(predictions, states[:, 1:]), one.mean(), rtol=1e-12)
    return one.mean(), one.std() / np.sqrt(len(one))


@PROPERTY
@given(seed=SEEDS, length=LENGTHS, n=DIMS, p=DIMS)
def test_gram_and_cross_by_a_loop(seed, length, n, p):
    """The sums of Proposition 2 over the pairs of each position, s_0 = 0."""
    states, features = _states(seed, length, n), _states(seed + 1, length, p)
    gram, cross = sequences.gram_matrices(states), sequences.cross_matrices(states)
    with_features = sequences.cross_matrices(states, features)
    assert gram.shape == cross.shape == (length, n, n)
    assert with_features.shape == (length, n, p)
    for t in range(1, length + 1):
        x, y = _pairs(states, states, t)
        assert_allclose(gram[t - 1], x.T @ x, rtol=1e-10, atol=1e-12)
        assert_allclose(cross[t - 1], y.T @ x, rtol=1e-10, atol=1e-12)
        z, y = _pairs(states, features, t)
        assert_allclose(with_features[t - 1], y.T @ z, rtol=1e-10, atol=1e-12)


@PROPERTY
@given(seed=SEEDS, length=LENGTHS, n=st.integers(1, 3), one_eta=st.booleans())
def test_gradient_step_by_finite_differences(seed, length, n, one_eta):
    """Proposition 1: one step on the sum of squared errors / 2, gradient by central differences."""
    states = _states(seed, length, n)
    rng = np.random.default_rng(seed + 1)
    phi_0 = rng.standard_normal((n, n))
    eta = 0.3 if one_eta else rng.uniform(0, 1, length)
    value = sequences.gradient_step(states, eta, phi_0)
    for t in range(1, length + 1):
        x, y = _pairs(states, states, t)

        def loss(phi, x=x, y=y):
            return 0.5 * np.sum((y - x @ phi.T) ** 2)

        gradient = np.zeros((n, n))
        for index in np.ndindex(n, n):
            e = np.zeros((n, n))
            e[index] = 1e-3
            gradient[index] = (loss(phi_0 + e) - loss(phi_0 - e)) / 2e-3
        stepped = phi_0 - np.broadcast_to(eta, length)[t - 1] * gradient
        assert_allclose(value[t - 1], stepped @ states[t - 1], rtol=1e-6, atol=1e-7)


def test_gradient_step_starts_at_zero():
    """phi_0 = 0 is the default; a step of size 0 leaves Phi_0 s_t."""
    states = _states(1, 6, 3, (2,))
    zero = sequences.gradient_step(states, 0.2, np.zeros((3, 3)))
    assert_allclose(sequences.gradient_step(states, 0.2), zero, rtol=1e-14)
    phi_0 = _states(2, 3, 3)
    assert_allclose(sequences.gradient_step(states, 0.0, phi_0), states @ phi_0.T, rtol=1e-12)


@PROPERTY
@given(seed=SEEDS, length=LENGTHS, n=DIMS, p=DIMS, ridge=RIDGES, lag=st.sampled_from([0, 1]))
def test_ridge_by_cholesky_and_sklearn(seed, length, n, p, ridge, lag):
    """Each position = scipy's cho_solve and sklearn's Ridge on its pairs (the newest left out)."""
    states, features = _states(seed, length, n), _states(seed + 1, length, p)
    function = (sequences.ridge_all_pairs, sequences.ridge_lagged)[lag]
    for given_features, inputs in ((None, states), (features, features)):
        value = function(states, ridge, given_features)
        assert value.shape == states.shape
        for t in range(1, length + 1):
            x, y = _pairs(states, inputs, t, lag)
            factor = cho_factor(x.T @ x + ridge * np.eye(x.shape[1]))
            expected = cho_solve(factor, x.T @ y).T @ inputs[t - 1]
            assert_allclose(value[t - 1], expected, rtol=1e-7, atol=1e-9)
            if len(x):
                fit = Ridge(alpha=ridge, fit_intercept=False, solver="cholesky").fit(x, y)
                sklearns = fit.predict(inputs[t - 1][None]).reshape(n)
                assert_allclose(value[t - 1], sklearns, rtol=1e-7, atol=1e-9)


@PROPERTY
@given(seed=SEEDS, length=LENGTHS, n=DIMS, ridge=RIDGES)
def test_preconditioned_inputs_by_cholesky(seed, length, n, ridge):
    """H_t^* s_t, and Proposition 2: the cross matrix reads the ridge prediction out of it."""
    states = _states(seed, length, n)
    value = sequences.preconditioned_inputs(states, ridge)
    for t in range(1, length + 1):
        factor = cho_factor(states[: t - 1].T @ states[: t - 1] + ridge * np.eye(n))
        assert_allclose(value[t - 1], cho_solve(factor, states[t - 1]), rtol=1e-8, atol=1e-10)
    read_out = np.einsum("tij,tj->ti", sequences.cross_matrices(states), value)
    assert_allclose(read_out, sequences.ridge_all_pairs(states, ridge), rtol=1e-8, atol=1e-9)


def test_ridge_recovers_noiseless_dynamics():
    """With n independent states and no noise a tiny ridge predicts s_{t+1} = W s_t exactly."""
    rng = np.random.default_rng(5)
    w_star, states = _orthogonal(rng, 1, 3)[0], [rng.standard_normal(3)]
    for _ in range(8):
        states.append(w_star @ states[-1])
    states = np.array(states)
    for function, first in ((sequences.ridge_all_pairs, 3), (sequences.ridge_lagged, 4)):
        value = function(states[:-1], 1e-9)
        assert_allclose(value[first:], states[first + 1 :], atol=1e-5)
        assert np.abs(value[first - 2] - states[first - 1]).max() > 1e-3


def test_losses_by_hand():
    """Half the squared norm, summed over coordinates, averaged over sequences (and positions)."""
    predictions, targets = _states(1, 5, 3, (2, 4)), _states(2, 5, 3, (2, 4))
    value = sequences.position_loss(predictions, targets)
    assert value.shape == (5,)
    for t in range(5):
        gaps = [(predictions[i, j, t] - targets[i, j, t]) for i in range(2) for j in range(4)]
        assert_allclose(value[t], sum(gap @ gap for gap in gaps) / 8 / 2, rtol=1e-12)
    assert_allclose(sequences.sequence_loss(predictions, targets), value.sum() / 5, rtol=1e-12)


def test_gradient_descent_losses_of_the_paper(linear_dynamics):
    """von Oswald et al. 2023, Figure 4: one eta near 0.0325 with loss 0.892; oracle 0.738."""
    states, inputs = linear_dynamics, linear_dynamics[:, :-1]
    eta, each = sequences.best_step_size(states), sequences.best_step_sizes(states)
    assert eta == pytest.approx(0.0325, abs=0.0007)
    expected = [0.264, 0.168, 0.106, 0.056, 0.038, 0.022]
    assert_allclose(each[[1, 4, 9, 19, 29, 49]], expected, rtol=0.06)
    for step_size, published in ((eta, 0.892), (each, 0.738)):
        value, se = _mean_and_se(sequences.gradient_step(inputs, step_size), states)
        assert abs(value - published) < 4 * np.sqrt(2) * se
        assert se < 0.01


def test_ridge_losses_of_the_paper(linear_dynamics):
    """Ridge 1e-3: 0.184 on all pairs, 0.209 without the newest (two samples of 4000, 4 s.e.)."""
    states, inputs = linear_dynamics, linear_dynamics[:, :-1]
    for function, published in (
        (sequences.ridge_all_pairs, 0.184),
        (sequences.ridge_lagged, 0.209),
    ):
        value, se = _mean_and_se(function(inputs, 1e-3), states)
        assert abs(value - published) < 4 * np.sqrt(2) * se
        assert se < 0.002
    curve = sequences.position_loss(sequences.ridge_all_pairs(inputs, 1e-3), states[:, 1:])
    assert_allclose(curve[[1, 4, 9]], [1.506, 1.003, 0.165], rtol=0.05)
    assert 0.0005 < curve[-1] < 0.0008  # the noise floor is n sigma^2 / 2 = 0.0005


def test_truncated_inverse_losses_of_the_paper(linear_dynamics):
    """Released six-step coefficients: 0.207 (0.230 lagged); plain Neumann with scale 1/70: 0.497.

    The Neumann series diverges where an eigenvalue exceeds 2 * 70, which the few sequences do that
    would dominate the mean; they are left out of that last number.
    """
    states, inputs = linear_dynamics, linear_dynamics[:, :-1]
    gram = sequences.gram_matrices(inputs) + 1e-3 * np.eye(10)
    cross = sequences.cross_matrices(inputs)
    alphas, betas = linear_systems.AUTHORS_COEFFICIENTS["linear-6"]
    inverse = linear_systems.learned_inverse(gram, alphas, betas)
    learned = (cross @ (inverse @ inputs[..., None]))[..., 0]
    value, se = _mean_and_se(learned, states)
    assert abs(value - 0.207) < 0.004
    assert se < 0.002
    lagged = (cross[:, :-1] @ (inverse[:, :-1] @ inputs[:, 1:, :, None]))[..., 0]
    lagged = np.concatenate([np.zeros_like(inputs[:, :1]), lagged], axis=1)
    assert abs(_mean_and_se(lagged, states)[0] - 0.230) < 0.004
    convergent = np.linalg.eigvalsh(gram[:, -1])[:, -1] < 140
    assert convergent.mean() > 0.99
    plain = linear_systems.neumann(gram, inputs, 6, 1 / 70)
    plain = (cross @ plain[..., None])[convergent, :, :, 0]
    value, se = _mean_and_se(plain, states[convergent])
    assert abs(value - 0.497) < 4 * np.sqrt(2) * se
    assert se < 0.002


class TestKernelRegression:
    @PROPERTY
    @given(SEEDS, LENGTHS, DIMS, st.floats(0, 5))
    def test_against_a_loop_with_scipy(self, seed, length, n, beta):
        states = _states(seed, length, n)
        expected = np.zeros_like(states)
        for t in range(1, length):
            weights = softmax(beta * states[:t] @ states[t])  # inputs s_1..s_{t-1} of position t
            expected[t] = weights @ states[1 : t + 1]
        assert_allclose(sequences.kernel_regression(states, beta), expected, atol=1e-12)

    def test_sharp_kernels_copy_what_followed_the_best_match(self):
        states = _states(3, 8, 4)
        best = int(np.argmax(states[:7] @ states[7]))
        assert_allclose(sequences.kernel_regression(states, 1e4)[7], states[best + 1], atol=1e-9)

    def test_negative_sharpness(self):
        with pytest.raises(ValueError, match="sharpness must be at least 0"):
            sequences.kernel_regression(np.ones((3, 2)), -1.0)


FUNCTIONS = {
    "kernel_regression": lambda s: sequences.kernel_regression(s, 0.7),
    "gram_matrices": sequences.gram_matrices,
    "cross_matrices": sequences.cross_matrices,
    "gradient_step": lambda s: sequences.gradient_step(s, 0.3),
    "ridge_all_pairs": lambda s: sequences.ridge_all_pairs(s, 0.2),
    "ridge_lagged": lambda s: sequences.ridge_lagged(s, 0.2),
    "preconditioned_inputs": lambda s: sequences.preconditioned_inputs(s, 0.2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_leading_axes_and_causality(name):
    """A batch is one sequence at a time, and position t reads nothing after s_t."""
    states = _states(6, 5, 3, (2, 4))
    value = FUNCTIONS[name](states)
    for index in np.ndindex(2, 4):
        assert_allclose(value[index], FUNCTIONS[name](states[index]), rtol=1e-9, atol=1e-11)
    for t in range(1, 5):
        prefix = FUNCTIONS[name](states[:, :, :t])
        assert_allclose(value[:, :, :t], prefix, rtol=1e-9, atol=1e-11)


GOOD = np.ones((4, 2))
BAD_CALLS = {
    "states must have shape": lambda: sequences.gram_matrices(np.ones(3)),
    "states must be finite": lambda: sequences.cross_matrices([[np.nan]]),
    "features must have shape": lambda: sequences.ridge_lagged(GOOD, 1.0, np.ones((3, 2))),
    "step_size must be": lambda: sequences.gradient_step(GOOD, np.ones(3)),
    "phi_0 must have": lambda: sequences.gradient_step(GOOD, 0.1, np.eye(3)),
    "ridge must be above 0": lambda: sequences.ridge_all_pairs(GOOD, 0.0),
    "ridge must be a finite": lambda: sequences.preconditioned_inputs(GOOD, None),
    "with T >= 1": lambda: sequences.best_step_sizes(np.ones((1, 2))),
    "the same shape": lambda: sequences.sequence_loss(GOOD, np.ones((4, 3))),
}


@pytest.mark.parametrize("message", BAD_CALLS)
def test_bad_arguments(message):
    """ValueError names the argument, what came and what was expected."""
    with pytest.raises(ValueError, match=message):
        BAD_CALLS[message]()
