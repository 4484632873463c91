"""`icl_lib.theory.random_covariance`: Theorem 4.5, Appendix C and the exponential case."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from theory_oracles import gamma_by_isserlis, sample_covariance_moments, z_score

from icl_lib.theory import optimum
from icl_lib.theory import random_covariance as rc

PROPERTY = settings(max_examples=25, deadline=None, derandomize=True)
EXPONENTIAL = (np.ones(5), 2 * np.ones(5), 6 * np.ones(5))


def _two_point(rng: np.random.Generator, d: int):
    """Return independent two-point laws: values (2, d), probabilities (2, d), three moments."""
    values = rng.uniform(0.2, 3.0, (2, d))
    probabilities = rng.uniform(0.1, 0.9, d)
    weights = np.stack([probabilities, 1 - probabilities])
    return values, weights, [(weights * values**k).sum(0) for k in (1, 2, 3)]


def _outcomes(values: np.ndarray, weights: np.ndarray):
    """Yield (probability, diagonal of Lambda) for all 2^d outcomes."""
    d = values.shape[1]
    for bits in np.ndindex(*(2,) * d):
        picked = np.array(bits), np.arange(d)
        yield weights[picked].prod(), values[picked]


@PROPERTY
@given(seed=st.integers(0, 10_000), d=st.integers(1, 4), n=st.integers(1, 50))
def test_moments_by_enumeration(seed, d, n):
    """Appendix C: gamma_i, xi_i, zeta_ij as expectations over all outcomes of Lambda."""
    values, weights, raw = _two_point(np.random.default_rng(seed), d)
    gamma, xi, zeta = np.zeros(d), np.zeros(d), np.zeros((d, d))
    for probability, lam in _outcomes(values, weights):
        t = lam.sum()
        gamma += probability * ((n + 1) / n * lam**3 + lam**2 * t / n)
        xi += probability * lam**2
        inner = (n + 1) / n * np.outer(lam**2, lam) + np.outer(lam, lam) * t / n
        zeta += probability * inner
    result = rc.moments(*raw, n)
    assert_allclose(result.gamma, gamma, rtol=1e-10)
    assert_allclose(result.xi, xi, rtol=1e-10)
    off = ~np.eye(d, dtype=bool)
    assert_allclose(result.zeta[off], zeta[off], rtol=1e-10)


@PROPERTY
@given(seed=st.integers(0, 10_000), d=st.integers(1, 3), n=st.integers(1, 50))
def test_optimal_preconditioner_minimises_the_mean_risk(seed, d, n):
    """Theorem 4.5: B = E[Gamma Lambda^2]^{-1} E[Lambda^2] solves the normal equations.

    They come from the moment tensor of every outcome, without assuming that B is diagonal.
    """
    values, weights, raw = _two_point(np.random.default_rng(seed), d)
    hessian, slope = np.zeros((d * d, d * d)), np.zeros((d, d))
    for probability, lam in _outcomes(values, weights):
        c = np.diag(lam)
        second = np.einsum("abbc->ac", sample_covariance_moments(c, n))
        hessian += probability * np.kron(second, c)
        slope += probability * c @ c
    expected = np.linalg.solve(hessian, slope.ravel()).reshape(d, d)
    assert_allclose(rc.optimal_preconditioner(*raw, n), expected, rtol=1e-8, atol=1e-10)


@PROPERTY
@given(seed=st.integers(0, 10_000), d=st.integers(1, 5), n=st.integers(1, 50))
def test_degenerate_law_gives_theorem_4_1(seed, d, n):
    """A covariance that never varies: B = Gamma^{-1} and the weights of eq. (4.1)."""
    lam = np.random.default_rng(seed).uniform(0.2, 3.0, d)
    raw = (lam, lam**2, lam**3)
    value = rc.optimal_preconditioner(*raw, n)
    assert_allclose(value @ gamma_by_isserlis(np.diag(lam), n), np.eye(d), atol=1e-10)
    for ours, theirs in zip(
        rc.optimal_weights(*raw, n), optimum.optimal_weights(np.diag(lam), n), strict=True
    ):
        assert_allclose(ours, theirs, rtol=1e-10, atol=1e-13)


def test_optimal_weights_are_balanced():
    """Theorem 4.5, eq. (4.12): product B, u_{-1}^2 = ||B||_F (v3's (C.15) drops the squares)."""
    raw = (np.array([1.0, 0.5]), np.array([2.0, 0.4]), np.array([6.0, 0.5]))
    b = rc.optimal_preconditioner(*raw, 7)
    w_pv, w_kq = rc.optimal_weights(*raw, 7)
    assert_allclose(w_pv[-1, -1] * w_kq[:2, :2], b, rtol=1e-12)
    assert_allclose(w_pv[-1, -1] ** 2, np.sqrt((b**2).sum()), rtol=1e-12)
    assert np.count_nonzero(w_pv) == 1
    assert np.count_nonzero(w_kq[-1]) == np.count_nonzero(w_kq[:, -1]) == 0


@pytest.mark.parametrize(
    ("d", "n", "expected"),
    [(5, 20, 0.285714), (20, 40, 0.2759), (20, 70, 0.2979), (20, 100, 0.3077)],
)
def test_exponential_alpha(d, n, expected):
    """Derived, section 4.3: alpha = 1 / (3 + (d + 5) / N), and it is Theorem 4.5's B for Exp(1)."""
    assert_allclose(rc.exponential_alpha(d, n), expected, atol=5e-5)
    raw = (np.ones(d), 2 * np.ones(d), 6 * np.ones(d))
    b = rc.optimal_preconditioner(*raw, n)
    assert_allclose(b, rc.exponential_alpha(d, n) * np.eye(d), rtol=1e-12)


def test_exponential_alpha_limit_is_one_third():
    """Section 4.3: for Exp(1) eigenvalues the prediction tends to a third of the truth."""
    assert_allclose(rc.exponential_alpha(5, math.inf), 1 / 3, rtol=1e-14)
    assert_allclose(rc.exponential_alpha(5, 10**9), 1 / 3, rtol=1e-8)


def test_exponential_minimum_loss():
    """Derived: 2 L_min = d (1 - 2 alpha), 2.1429 for d = 5, N = 20; equals -xi^2/gamma."""
    assert_allclose(2 * rc.exponential_minimum_loss(5, 20), 2.142857, atol=1e-6)
    gamma, xi, _ = rc.moments(*EXPONENTIAL, 20)
    shifted = -0.5 * (xi**2 / gamma).sum()
    assert_allclose(rc.exponential_minimum_loss(5, 20), 2.5 + shifted, rtol=1e-12)


@pytest.mark.parametrize(("d", "n"), [(1, 3), (5, 20), (20, 100)])
def test_exponential_risk_at_equal_lengths_is_the_loss(d, n):
    """At M = N and c = 1 the test risk of the trained model is twice its training loss."""
    value = d * rc.exponential_risk(rc.exponential_alpha(d, n), d, n)
    assert_allclose(value, 2 * rc.exponential_minimum_loss(d, n), rtol=1e-12)


@pytest.mark.parametrize(("scale", "expected"), [(1, 1.9388), (4, 98.37), (9, 1516)])
def test_exponential_risk_known_values(scale, expected):
    """Derived, section 4.3: the verified risks at d = 5, N = 20, M = 40."""
    alpha = rc.exponential_alpha(5, 20)
    assert_allclose(5 * rc.exponential_risk(alpha, 5, 40, scale=scale), expected, rtol=4e-4)


@pytest.mark.parametrize(("n", "expected"), [(40, 0.448), (70, 0.404), (100, 0.385)])
def test_exponential_risk_at_the_papers_size(n, expected):
    """Derived, section 4.3: d = 20, N = M = 40, 70, 100 at c = 1."""
    assert_allclose(rc.exponential_risk(rc.exponential_alpha(20, n), 20, n), expected, atol=6e-4)


def test_exponential_risk_against_simulation():
    """Derived, section 4.3: R/d for the model alpha I on c diag(Exp(1)), |z| < 4.

    Averaged over Lambda and the prompt inputs; w and the query by hand.
    """
    rng = np.random.default_rng(11)
    d, m, scale, alpha, count = 3, 4, 1.5, 0.27, 300_000
    lam = scale * rng.exponential(size=(count, d))
    xs = rng.standard_normal((count, m, d)) * np.sqrt(lam)[:, None]
    h = np.einsum("nia,nib->nab", xs, xs) / m
    off = alpha * h - np.eye(d)
    samples = np.einsum("nab,nb,nab->n", off, lam, off) / d
    z, mean, se = z_score(samples, rc.exponential_risk(alpha, d, m, scale=scale))
    assert abs(z) < 4, (z, mean, se)
    assert se / mean < 0.01


@PROPERTY
@given(scale=st.floats(0.1, 10), d=st.integers(1, 20))
def test_limits_are_the_risk_of_endless_prompts(scale, d):
    """Derived, section 4.3: 2/3 c^3 - 4/3 c^2 + c (alpha = 1/3); 6c^3 - 4c^2 + c (alpha = 1)."""
    third = rc.exponential_risk(1 / 3, d, math.inf, scale=scale)
    one = rc.exponential_risk(1.0, d, math.inf, scale=scale)
    assert_allclose(rc.limit_error(scale), third, rtol=1e-10)
    assert_allclose(rc.fixed_model_limit_error(scale), one, rtol=1e-10)


def test_limit_numbers():
    """Section 4.3: 1/3, 25.33, 387; and 3, 324, 4059."""
    assert_allclose([rc.limit_error(c) for c in (1, 4, 9)], [1 / 3, 25 + 1 / 3, 387], rtol=1e-12)
    fixed = [rc.fixed_model_limit_error(c) for c in (1, 4, 9)]
    assert_allclose(fixed, [3, 324, 4059], rtol=1e-12)


def test_init_scale_bound():
    """Theorem 4.5, eq. (4.11), averaged by a plain loop over the given diagonals."""
    rng = np.random.default_rng(2)
    d, n = 3, 8
    samples = rng.exponential(size=(50, d))
    theta = rng.standard_normal((d, d))
    theta /= np.sqrt(np.linalg.norm(theta @ theta.T))
    top = np.linalg.norm(np.diag(samples.mean(0)) @ theta) ** 2
    products = []
    for lam in samples:
        gamma = gamma_by_isserlis(np.diag(lam), n)
        products.append(np.linalg.norm(gamma, 2) * np.linalg.norm(lam) ** 2)
    expected = math.sqrt(2 * top / (math.sqrt(d) * np.mean(products)))
    assert_allclose(rc.init_scale_bound(samples, theta, n), expected, rtol=1e-9)
