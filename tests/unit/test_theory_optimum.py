"""`icl_lib.theory.optimum` against moments, optimisers, finite differences and verified numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from theory_oracles import (
    EXAMPLE,
    EXAMPLE_GAMMA_INVERSE,
    EXAMPLE_N,
    exact_risk,
    fixed_task_risk,
    gamma_by_isserlis,
    random_covariance,
)

from icl_lib.theory import optimum

SEEDS = st.integers(0, 10_000)
DIMS = st.integers(1, 5)
LENGTHS = st.integers(1, 60)
PROPERTY = settings(max_examples=25, deadline=None, derandomize=True)
TASK = np.array([1.0, -1.0, 0.5, 2.0, 0.0])


def test_gamma_of_the_example():
    """Theorem 4.1: diag Gamma and diag Gamma^{-1} of the verified example (d = 5, N = 20)."""
    value = optimum.gamma(EXAMPLE, EXAMPLE_N)
    assert_allclose(value, np.diag([2.29375, 1.24375, 0.71875, 0.45625, 0.325]), atol=1e-12)
    assert_allclose(np.linalg.inv(value), EXAMPLE_GAMMA_INVERSE, atol=6e-6)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS)
def test_gamma_is_the_second_moment_of_the_sample_covariance(seed, d, n):
    """Section 5.2: Lambda Gamma = E[Lambda-hat^2] (Isserlis), and Gamma commutes with Lambda."""
    covariance = random_covariance(np.random.default_rng(seed), d)
    value = optimum.gamma(covariance, n)
    assert_allclose(value, gamma_by_isserlis(covariance, n), rtol=1e-9, atol=1e-12)
    assert_allclose(value @ covariance, covariance @ value, atol=1e-10)


def test_gamma_with_label_noise_adds_noise_to_the_trace():
    """Derived, section 4.1: training noise replaces tr(Lambda) by tr(Lambda) + s^2 in Gamma."""
    expected = optimum.gamma(EXAMPLE, 20) + 0.7 / 20 * np.eye(5)
    assert_allclose(optimum.gamma(EXAMPLE, 20, noise_var=0.7), expected, rtol=1e-13)


def test_optimal_preconditioner_of_the_example():
    """Theorem 4.1: the product u_{-1} U_11 is Gamma^{-1}."""
    value = optimum.optimal_preconditioner(EXAMPLE, EXAMPLE_N)
    assert_allclose(value, EXAMPLE_GAMMA_INVERSE, atol=6e-6)


@pytest.mark.parametrize(("d", "n", "noise_var"), [(3, 7, 0.0), (5, 20, 0.5), (4, 1, 2.0)])
def test_optimal_preconditioner_for_the_whitening_prior(d, n, noise_var):
    """Derived, section 4.1: with Psi = Lambda^{-1}, A = N / (N + d + 1 + s^2) Lambda^{-1}."""
    covariance = random_covariance(np.random.default_rng(d), d)
    prior = np.linalg.inv(covariance)
    prior = (prior + prior.T) / 2
    value = optimum.optimal_preconditioner(covariance, n, prior=prior, noise_var=noise_var)
    assert_allclose(value, n / (n + d + 1 + noise_var) * prior, rtol=1e-9, atol=1e-11)


def _minimiser_by_linear_system(covariance, n, prior, noise_var):
    """Minimise the exact risk over A; it is quadratic, so probing gives gradient and Hessian."""
    d = len(covariance)
    size = d * d

    def value(vector):
        return exact_risk(vector.reshape(d, d), covariance, n, prior=prior, noise_var=noise_var)

    basis = np.eye(size)
    zero = value(np.zeros(size))
    single = np.array([value(e) for e in basis])
    minus = np.array([value(-e) for e in basis])
    gradient = (single - minus) / 2
    hessian = np.array([[value(a + b) - value(a) - value(b) + zero for b in basis] for a in basis])
    return np.linalg.solve(hessian, -gradient).reshape(d, d)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=SEEDS, d=st.integers(1, 3), n=LENGTHS, noise_var=st.sampled_from([0.0, 0.3, 2.0]))
def test_optimal_preconditioner_minimises_the_risk_for_any_prior(seed, d, n, noise_var):
    """Derived: A = [(1+1/N) Psi Lambda + (tr(Psi Lambda)+s^2)/N I]^{-1} Psi, Psi free."""
    rng = np.random.default_rng(seed)
    covariance, prior = random_covariance(rng, d), random_covariance(rng, d)
    expected = _minimiser_by_linear_system(covariance, n, prior, noise_var)
    value = optimum.optimal_preconditioner(covariance, n, prior=prior, noise_var=noise_var)
    assert_allclose(value, expected, rtol=1e-6, atol=1e-7)


def test_optimal_preconditioner_is_what_least_squares_finds():
    """Claim row 5: regressing y_q on b-hat (x) x_q gives the optimum, here for a prior too."""
    rng = np.random.default_rng(3)
    d, n, count, noise_var = 2, 4, 400_000, 0.3
    covariance = np.array([[2.0, 0.6], [0.6, 0.4]])
    prior = np.array([[0.3, 0.4], [0.4, 1.5]])
    xs = rng.standard_normal((count, n, d)) @ np.linalg.cholesky(covariance).T
    x_query = rng.standard_normal((count, d)) @ np.linalg.cholesky(covariance).T
    w = rng.standard_normal((count, d)) @ np.linalg.cholesky(prior).T
    ys = np.einsum("nid,nd->ni", xs, w) + np.sqrt(noise_var) * rng.standard_normal((count, n))
    b_hat = np.einsum("ni,nid->nd", ys, xs) / n
    features = np.einsum("na,nb->nab", b_hat, x_query).reshape(count, -1)
    target = np.einsum("nd,nd->n", w, x_query)
    fit, residual, *_ = np.linalg.lstsq(features, target, rcond=None)
    inverse = np.linalg.inv(features.T @ features)
    scores = features * (target - features @ fit)[:, None]
    se = np.sqrt(np.diag(inverse @ (scores.T @ scores) @ inverse))
    value = optimum.optimal_preconditioner(covariance, n, prior=prior, noise_var=noise_var)
    assert np.abs((fit - value.ravel()) / se).max() < 4
    assert (se / np.abs(value).max()).max() < 0.015
    # Psi and Lambda in the other order give another matrix, and the data tell the two apart
    mean, shift = (1 + 1 / n), (np.trace(prior @ covariance) + noise_var) / n
    other = np.linalg.solve(mean * covariance @ prior + shift * np.eye(d), prior)
    assert np.abs((fit - other.ravel()) / se).max() > 6


def test_optimal_weights_of_the_example():
    """Theorem 4.1, eq. (4.1): the two limit matrices, known values."""
    weights = optimum.optimal_weights(EXAMPLE, EXAMPLE_N)
    assert weights.w_pv.shape == weights.w_kq.shape == (6, 6)
    assert_allclose(weights.w_pv[5, 5], 2.031844, atol=1e-6)
    expected = [0.214567, 0.395710, 0.684750, 1.078715, 1.514350, 0.0]
    assert_allclose(np.diag(weights.w_kq), expected, atol=1e-6)
    assert np.count_nonzero(weights.w_pv) == 1
    assert_allclose(weights.w_kq[5], 0)
    assert_allclose(weights.w_kq[:, 5], 0)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS)
def test_optimal_weights_are_balanced_factors_of_gamma_inverse(seed, d, n):
    """Theorem 4.1: u_{-1} U_11 = Gamma^{-1}; Lemma A.3: u_{-1}^2 = ||U_11||_F^2."""
    covariance = random_covariance(np.random.default_rng(seed), d)
    w_pv, w_kq = optimum.optimal_weights(covariance, n)
    u, u11 = w_pv[-1, -1], w_kq[:d, :d]
    assert u > 0
    assert_allclose(u * u11 @ gamma_by_isserlis(covariance, n), np.eye(d), atol=1e-9)
    assert_allclose(u**2, (u11**2).sum(), rtol=1e-10)


def test_loss_values_of_the_example():
    """Corollary A.2 with the constant: L_min = 0.397111, zero predictor 1.9375 (1/2 included)."""
    assert_allclose(optimum.minimum_loss(EXAMPLE, EXAMPLE_N), 0.397111, atol=5e-7)
    assert_allclose(optimum.zero_predictor_loss(EXAMPLE), 1.9375, rtol=1e-14)


@pytest.mark.parametrize(("d", "n"), [(1, 1), (3, 10), (5, 20), (20, 20)])
def test_minimum_loss_for_isotropic_inputs(d, n):
    """Derived, section 4.1: Lambda = I gives 2 L_min = d (d+1) / (N + d + 1)."""
    assert_allclose(2 * optimum.minimum_loss(np.eye(d), n), d * (d + 1) / (n + d + 1))


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS)
def test_minimum_loss_is_half_the_risk_at_equal_lengths(seed, d, n):
    """Derived: R(N, N, Lambda) = 2 L_min = tr(Gamma^{-1} Lambda (Lambda + t I)) / N."""
    covariance = random_covariance(np.random.default_rng(seed), d)
    inverse = np.linalg.inv(gamma_by_isserlis(covariance, n))
    shifted = covariance + np.trace(covariance) * np.eye(d)
    expected = np.trace(inverse @ covariance @ shifted) / (2 * n)
    assert_allclose(optimum.minimum_loss(covariance, n), expected, rtol=1e-9)
    assert_allclose(optimum.risk(covariance, n, n).total, 2 * expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("n_test", "noise_var", "w", "bias", "variance", "noise"),
    [
        (40, 0.0, None, 0.215949, 0.289136, 0.0),
        (20, 0.0, None, 0.215949, 0.578272, 0.0),
        (40, 0.25, None, 0.215949, 0.289136, 0.014618),
        (40, 0.0, TASK, 0.287142, 0.304384, 0.0),
    ],
)
def test_risk_terms_of_the_example(n_test, noise_var, w, bias, variance, noise):
    """Derived, section 4.1: the table of closed-form risks, term by term."""
    value = optimum.risk(EXAMPLE, EXAMPLE_N, n_test, w=w, noise_var=noise_var)
    assert_allclose([value.bias, value.variance, value.noise], [bias, variance, noise], atol=1e-6)
    assert_allclose(value.total, value.bias + value.variance + value.noise, rtol=1e-14)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS, m=LENGTHS, noise_var=st.sampled_from([0.0, 0.4, 3.0]))
def test_risk_equals_the_moment_formula(seed, d, n, m, noise_var):
    """Derived, section 4.1, exact test risk: random w, fixed w, rotated covariances, noise."""
    rng = np.random.default_rng(seed)
    covariance, w = random_covariance(rng, d), rng.standard_normal(d)
    a = np.linalg.inv(gamma_by_isserlis(covariance, n))
    value = optimum.risk(covariance, n, m, noise_var=noise_var).total
    assert_allclose(value, exact_risk(a, covariance, m, noise_var=noise_var), rtol=1e-9)
    fixed = optimum.risk(covariance, n, m, w=w, noise_var=noise_var).total
    assert_allclose(fixed, fixed_task_risk(a, covariance, w, m, noise_var), rtol=1e-8)


@pytest.mark.parametrize(
    ("d", "m", "lengths", "expected", "atol"),
    [
        (5, 10, [2, 5, 10, 20, 50, 100], [3.0, 2.107, 1.875, 2.041, 2.449, 2.686], 6e-4),
        (20, 20, [5, 10, 20, 40, 100], [0.691, 0.568, 0.512, 0.570, 0.747], 6e-4),
    ],
)
def test_risk_is_not_monotone_in_the_training_length(d, m, lengths, expected, atol):
    """Derived, section 4.1: longer training prompts can hurt at small M (isotropic numbers)."""
    scale = d if d == 20 else 1
    values = [optimum.risk(np.eye(d), n, m).total / scale for n in lengths]
    assert_allclose(values, expected, atol=atol)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=SEEDS, d=DIMS, m=st.integers(2, 40))
def test_best_training_length_is_the_test_length(seed, d, m):
    """Claim row 22: for fixed M the risk is smallest at N = M."""
    covariance = random_covariance(np.random.default_rng(seed), d)
    values = [optimum.risk(covariance, n, m).total for n in range(1, 3 * m)]
    assert 1 + int(np.argmin(values)) == m


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS, m=LENGTHS, scale=st.floats(0.2, 5))
def test_risk_scales_with_inputs_and_tasks(seed, d, n, m, scale):
    """Training and testing on c^2 Lambda multiplies the risk by c^2; so does w -> c w."""
    rng = np.random.default_rng(seed)
    covariance, w = random_covariance(rng, d), rng.standard_normal(d)
    base = optimum.risk(covariance, n, m).total
    assert_allclose(optimum.risk(scale**2 * covariance, n, m).total, scale**2 * base, rtol=1e-9)
    fixed = optimum.risk(covariance, n, m, w=w).total
    assert_allclose(optimum.risk(covariance, n, m, w=scale * w).total, scale**2 * fixed, rtol=1e-9)


def test_rates_in_the_two_lengths():
    """Claim row 13: slope -1 in M at huge N, -2 in N at huge M; remarks (ii), (iv)."""
    lengths = np.array([1000, 10000])
    in_n = [optimum.risk(np.eye(5), int(n), 10**12).total for n in lengths]
    in_m = [optimum.risk(np.eye(5), 10**9, int(m)).total for m in lengths]
    slopes = [np.diff(np.log(v))[0] / np.log(10) for v in (in_n, in_m)]
    assert_allclose(slopes, [-2.0, -1.0], atol=0.02)
    floors = [optimum.risk(np.eye(5), n, 10**12).total for n in (10, 100, 1000)]
    assert_allclose(floors, [0.7031, 1.602e-2, 1.779e-4], rtol=5e-4)
    values = [optimum.risk(np.eye(5), 10**6, m).total for m in (10, 100, 1000)]
    assert_allclose(values, [3.0, 0.3, 0.03], rtol=1e-4)
    assert math.isclose(in_n[1], 1.798e-6, rel_tol=5e-4)


@PROPERTY
@given(seed=SEEDS, d=DIMS, m=LENGTHS, noise_var=st.sampled_from([0.0, 0.5]))
def test_preconditioner_risk_equals_the_moment_formula(seed, d, m, noise_var):
    """Derived, section 4.1, arbitrary A, with prior, noise and a query law; nothing commutes."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((d, d))
    covariance, prior, query = (random_covariance(rng, d) for _ in range(3))
    options = {"prior": prior, "noise_var": noise_var, "query_covariance": query}
    value = optimum.preconditioner_risk(a, covariance, m, **options)
    assert_allclose(value, exact_risk(a, covariance, m, **options), rtol=1e-9)
    plain = optimum.preconditioner_risk(a, covariance, m)
    assert_allclose(plain, exact_risk(a, covariance, m), rtol=1e-9)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS, noise_var=st.sampled_from([0.0, 0.5]))
def test_preconditioner_risk_is_smallest_at_the_optimum(seed, d, n, noise_var):
    """Section 7.4 (parity argument): no A beats the optimal preconditioner, for any prior."""
    rng = np.random.default_rng(seed)
    covariance, prior = random_covariance(rng, d), random_covariance(rng, d)
    best = optimum.optimal_preconditioner(covariance, n, prior=prior, noise_var=noise_var)
    options = {"prior": prior, "noise_var": noise_var}
    lowest = optimum.preconditioner_risk(best, covariance, n, **options)
    step = 1e-4 * rng.standard_normal((d, d))
    up = optimum.preconditioner_risk(best + step, covariance, n, **options)
    down = optimum.preconditioner_risk(best - step, covariance, n, **options)
    assert min(up, down) > lowest
    assert abs(up - down) < 1e-3 * (up + down - 2 * lowest) + 1e-13  # zero slope


@PROPERTY
@given(seed=SEEDS, d=DIMS, m=LENGTHS)
def test_excess_risk_of_a_wrong_preconditioner(seed, d, m):
    """Derived: R(A) - R_min(M) = tr(Lambda Gamma_M D Lambda D^T), D = A - Gamma_M^{-1}."""
    rng = np.random.default_rng(seed)
    covariance, a = random_covariance(rng, d), rng.standard_normal((d, d))
    gamma_m = gamma_by_isserlis(covariance, m)
    off = a - np.linalg.inv(gamma_m)
    excess = np.trace(covariance @ gamma_m @ off @ covariance @ off.T)
    expected = 2 * optimum.minimum_loss(covariance, m) + excess
    assert_allclose(optimum.preconditioner_risk(a, covariance, m), expected, rtol=1e-9)
