"""`icl_lib.theory.gradient_flow`: the ODE of Lemma 5.2, its invariants, bounds and closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.linalg import sqrtm
from scipy.optimize import approx_fprime, brentq
from theory_oracles import (
    EXAMPLE,
    EXAMPLE_EIGENVALUES,
    EXAMPLE_GAMMA_INVERSE,
    EXAMPLE_N,
    exact_risk,
    gamma_by_isserlis,
    random_covariance,
)

from icl_lib.theory import gradient_flow as gf
from icl_lib.theory import random_covariance as rc

PROPERTY = settings(max_examples=25, deadline=None, derandomize=True)
SEEDS = st.integers(0, 10_000)
DIMS = st.integers(1, 4)
LENGTHS = st.integers(1, 40)


@pytest.fixture(scope="module")
def theta():
    """A random Theta with ||Theta Theta^T||_F = 1 (Assumption 3.3)."""
    return gf.normalise_theta(np.random.default_rng(1).standard_normal((5, 5)))


@pytest.fixture(scope="module")
def flow(theta):
    """The example's flow from sigma = 0.5 (section 5.3)."""
    return gf.simulate(EXAMPLE, EXAMPLE_N, theta, 0.5, 400.0, n_times=401)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS)
def test_shifted_loss_is_the_population_loss_less_a_constant(seed, d, n):
    """Eq. (5.5): shifted loss = L - tr(Lambda) / 2, with 2 L the exact risk of A = u U_11."""
    rng = np.random.default_rng(seed)
    c, u11, u = random_covariance(rng, d), rng.standard_normal((d, d)), rng.standard_normal()
    expected = 0.5 * exact_risk(u * u11, c, n) - 0.5 * np.trace(c)
    assert_allclose(gf.shifted_loss(u11, u, c, n), expected, rtol=1e-9, atol=1e-10)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS)
def test_completed_square(seed, d, n):
    """Lemma 5.3: excess = |Gamma^{1/2} (u Lambda^{1/2} U Lambda^{1/2} - Lambda / Gamma)|^2 / 2."""
    rng = np.random.default_rng(seed)
    c, u11, u = random_covariance(rng, d), rng.standard_normal((d, d)), rng.standard_normal()
    gamma, root = gamma_by_isserlis(c, n), sqrtm(c).real
    inner = u * root @ u11 @ root - c @ np.linalg.inv(gamma)
    expected = 0.5 * np.linalg.norm(sqrtm(gamma).real @ inner) ** 2
    excess = gf.shifted_loss(u11, u, c, n) - gf.minimum_shifted_loss(c, n)
    assert_allclose(excess, expected, rtol=1e-7, atol=1e-9)


def test_minimum_of_the_example():
    """Corollary A.2: min shifted loss = -tr(Lambda^2 Gamma^{-1}) / 2 = -1.540389."""
    assert_allclose(gf.minimum_shifted_loss(EXAMPLE, EXAMPLE_N), -1.540389, atol=5e-7)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS)
def test_gradient_by_finite_differences(seed, d, n):
    """Lemma 5.2, eq. (5.4): minus the right-hand side is the gradient of (5.5), any U_11."""
    rng = np.random.default_rng(seed)
    c, u11, u = random_covariance(rng, d), rng.standard_normal((d, d)), rng.standard_normal()

    def loss(vector):
        return gf.shifted_loss(vector[:-1].reshape(d, d), vector[-1], c, n)

    point = np.append(u11.ravel(), u)
    forward = approx_fprime(point, loss, 1e-6)
    backward = approx_fprime(point, loss, -1e-6)
    g11, g = gf.gradient(u11, u, c, n)
    scale = 1 + np.abs(forward).max()
    assert np.abs((forward + backward) / 2 - np.append(g11.ravel(), g)).max() < 1e-6 * scale


def test_normalise_theta():
    """Assumption 3.3: ||Theta Theta^T||_F = 1, the direction kept."""
    matrix = np.random.default_rng(0).standard_normal((4, 4))
    value = gf.normalise_theta(matrix)
    assert_allclose(np.linalg.norm(value @ value.T), 1, rtol=1e-13)
    assert_allclose(value / value[0, 0], matrix / matrix[0, 0], rtol=1e-12)
    assert value[0, 0] * matrix[0, 0] > 0


def test_flow_starts_at_the_papers_initialisation(flow, theta):
    """Assumption 3.3, eq. (3.10): U_11(0) = sigma Theta Theta^T, u_{-1}(0) = sigma."""
    assert flow.t[0] == 0
    assert_allclose(flow.t[-1], 400.0)
    assert flow.u11.shape == (401, 5, 5)
    assert_allclose(flow.u11[0], 0.5 * theta @ theta.T, rtol=1e-12)
    assert_allclose(flow.u[0], 0.5)


def test_flow_reports_its_loss_and_gradient(flow):
    """Eq. (5.5) and (5.4): recorded loss and squared gradient norm; dl/dt = -|gradient|^2."""
    for i in (0, 7, 150, 400):
        assert_allclose(flow.loss[i], gf.shifted_loss(flow.u11[i], flow.u[i], EXAMPLE, EXAMPLE_N))
        g11, g = gf.gradient(flow.u11[i], flow.u[i], EXAMPLE, EXAMPLE_N)
        assert_allclose(flow.grad_norm2[i], (g11**2).sum() + g**2, rtol=1e-9)
    steps = np.diff(flow.t)
    middle = (flow.grad_norm2[1:] + flow.grad_norm2[:-1]) / 2
    assert_allclose(-np.diff(flow.loss)[100:], (middle * steps)[100:], rtol=0.01, atol=1e-9)


def test_flow_reaches_the_limit(flow):
    """Theorem 4.1, eq. (5.9): u -> 2.031844, U_11 -> its known diagonal, product Gamma^{-1}."""
    assert_allclose(flow.u[-1], 2.031844, rtol=1e-4)
    expected = np.diag([0.214567, 0.395710, 0.684750, 1.078715, 1.514350])
    assert_allclose(flow.u11[-1], expected, atol=1e-4)
    assert_allclose(flow.u[-1] * flow.u11[-1], EXAMPLE_GAMMA_INVERSE, atol=2e-4)
    assert_allclose(flow.loss[-1], gf.minimum_shifted_loss(EXAMPLE, EXAMPLE_N), atol=1e-8)


def test_flow_invariants(flow, theta):
    """Lemmas A.3, A.4, A.5: balance, decreasing loss, u above its lower bound."""
    assert_allclose(flow.u**2, (flow.u11**2).sum((1, 2)), atol=1e-7)
    assert (np.diff(flow.loss) < 1e-12).all()
    bound = gf.u_lower_bound(EXAMPLE, EXAMPLE_N, theta, 0.5)
    assert 0 < bound < flow.u.min()


def test_flow_obeys_the_pl_inequality(flow, theta):
    """Lemma 5.4: |gradient|^2 >= mu (loss - min), and the envelope e^{-mu t}."""
    excess = flow.loss - gf.minimum_shifted_loss(EXAMPLE, EXAMPLE_N)
    mu = gf.pl_constant(EXAMPLE, EXAMPLE_N, theta, 0.5)
    large = excess > 1e-9
    assert (flow.grad_norm2[large] >= mu * excess[large]).all()
    assert (excess <= np.exp(-mu * flow.t) * excess[0] + 1e-12).all()
    assert mu < 1e-2 * (flow.grad_norm2[large] / excess[large]).min()  # three orders pessimistic


def _smallest_rate(covariance, n) -> float:
    """Twice the smallest nonzero Hessian eigenvalue at the balanced minimum, by differences."""
    d = len(covariance)
    product = np.linalg.inv(gamma_by_isserlis(covariance, n))
    u = np.linalg.norm(product) ** 0.5
    point = np.append(product / u, u)

    def slope(vector):
        g11, g = gf.gradient(vector[:-1].reshape(d, d), vector[-1], covariance, n)
        return np.append(g11, g)

    steps = 1e-5 * np.eye(d * d + 1)
    hessian = np.array([(slope(point + e) - slope(point - e)) / 2e-5 for e in steps])
    eigenvalues = np.linalg.eigvalsh((hessian + hessian.T) / 2)
    assert abs(eigenvalues[0]) < 1e-6 * eigenvalues[-1]  # the scaling symmetry
    return 2 * eigenvalues[1]


def test_asymptotic_rate(flow):
    """The excess decays at twice the smallest nonzero Hessian eigenvalue: 0.0571 in the example.

    The simpler formula 2 u^2 gamma_min lambda_min^2 = 0.0419, holds u fixed: a lower bound.
    """
    rate = gf.asymptotic_rate(EXAMPLE, EXAMPLE_N)
    assert_allclose(rate, _smallest_rate(EXAMPLE, EXAMPLE_N), rtol=1e-5)
    assert_allclose(rate, 0.0571, atol=5e-5)
    assert rate > 2 * 2.031844**2 * 0.325 * 0.125**2
    excess = flow.loss - gf.minimum_shifted_loss(EXAMPLE, EXAMPLE_N)
    i, j = 230, 280
    observed = -(np.log(excess[j]) - np.log(excess[i])) / (flow.t[j] - flow.t[i])
    assert_allclose(observed, rate, rtol=0.01)


@PROPERTY
@given(seed=SEEDS, d=st.integers(1, 3), n=LENGTHS)
def test_asymptotic_rate_for_any_covariance(seed, d, n):
    """The rate from the Hessian, also where an off-diagonal entry is the slowest."""
    covariance = random_covariance(np.random.default_rng(seed), d)
    expected = _smallest_rate(covariance, n)
    assert_allclose(gf.asymptotic_rate(covariance, n), expected, rtol=1e-4)


def test_max_scale_of_the_example():
    """Theorem 4.1: sigma^2 ||Gamma||_op sqrt(d) < 2 gives sigma < 0.624453."""
    assert_allclose(gf.max_scale(EXAMPLE, EXAMPLE_N), 0.624453, atol=5e-7)


def _theta_with_norm(target: float) -> np.ndarray:
    """Return a diagonal Theta of Assumption 3.3 with ||Lambda Theta||_F^2 = target."""

    def diagonal(s):
        v = np.exp(-s * np.arange(5))
        return v / np.linalg.norm(v)

    s = brentq(lambda s: (EXAMPLE_EIGENVALUES**2 * diagonal(s)).sum() - target, -3, 3)
    return np.diag(np.sqrt(diagonal(s)))


@pytest.mark.parametrize(
    ("sigma", "mu", "bound"),
    [(0.1, 4.7e-6, 0.037), (0.5, 4.4e-5, 0.112), (0.99 * 0.624453, 3.7e-6, 0.033)],
)
def test_constants_known_values(sigma, mu, bound):
    """Section 5.3: mu of (5.7) and the bound of Lemma A.5 for ||Lambda Theta||_F^2 = 1.252."""
    theta = _theta_with_norm(1.252)
    assert_allclose(gf.pl_constant(EXAMPLE, EXAMPLE_N, theta, sigma), mu, rtol=0.02)
    assert_allclose(gf.u_lower_bound(EXAMPLE, EXAMPLE_N, theta, sigma), bound, atol=6e-4)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS, fraction=st.floats(0.05, 0.95))
def test_bounds_by_their_formulas(seed, d, n, fraction):
    """Lemmas A.4, A.5, 5.4: scale, initial loss, lower bound and PL constant, from eigenvalues."""
    rng = np.random.default_rng(seed)
    c = random_covariance(rng, d)
    theta = gf.normalise_theta(rng.standard_normal((d, d)))
    lam, vectors = np.linalg.eigh(c)
    gamma = (1 + 1 / n) * lam + lam.sum() / n
    sigma = fraction * gf.max_scale(c, n)
    assert_allclose(sigma**2 * gamma.max() * math.sqrt(d), 2 * fraction**2, rtol=1e-10)
    weight = (lam[:, None] ** 2 * (vectors.T @ theta) ** 2).sum()
    slack = 2 - math.sqrt(d) * sigma**2 * gamma.max()
    initial = gf.initial_loss_bound(c, n, theta, sigma)
    assert_allclose(initial, -0.5 * sigma**2 * weight * slack, rtol=1e-9)
    assert gf.shifted_loss(sigma * theta @ theta.T, sigma, c, n) <= initial * (1 - 1e-9)
    lower = math.sqrt(sigma**2 * weight * slack / (2 * math.sqrt(d) * lam.max() ** 2))
    assert_allclose(gf.u_lower_bound(c, n, theta, sigma), lower, rtol=1e-9)
    bottom = math.sqrt(d) * lam.max() ** 2 * (1 / (gamma * lam)).sum() * (1 / lam).sum()
    mu = gf.pl_constant(c, n, theta, sigma)
    assert_allclose(mu, sigma**2 * weight * slack / bottom, rtol=1e-9)
    assert mu < gf.asymptotic_rate(c, n)


@pytest.mark.parametrize(("d", "n", "sigma"), [(2, 5, 0.05), (5, 20, 0.01)])
def test_logistic_case(d, n, sigma):
    """Section 5.3: Lambda = I, Theta Theta^T = I / sqrt(d) gives s = U_ii^2 logistic, to 1e-8."""
    half = gf.logistic_half_time(d, n, sigma)
    theta = np.eye(d) / d**0.25
    flow = gf.simulate(np.eye(d), n, theta, sigma, 3 * half, n_times=61, rtol=1e-12, atol=1e-14)
    s = gf.logistic_s(flow.t, d, n, sigma)
    assert_allclose(flow.u11[:, 0, 0] ** 2, s, rtol=1e-8)
    assert_allclose(flow.u**2, d * s, rtol=1e-8)
    limit = 1 / (math.sqrt(d) * (1 + (d + 1) / n))
    assert_allclose(gf.logistic_s(half, d, n, sigma), limit / 2, rtol=1e-12)
    assert_allclose(gf.logistic_s(0.0, d, n, sigma), sigma**2 / d, rtol=1e-12)
    # its own differential equation: s' = 2 sqrt(d) s (1 - s / s_limit)
    before, after = gf.logistic_s(np.array([half - 1e-5, half + 1e-5]), d, n, sigma)
    slope = (after - before) / 2e-5
    assert_allclose(slope, math.sqrt(d) * limit / 2, rtol=1e-6)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS)
def test_random_shifted_loss_by_averaging(seed, d, n):
    """Appendix C: the random-covariance loss is the mean of (5.5) over the law of Lambda."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.2, 2.0, (2, d))
    u11, u = rng.standard_normal((d, d)), rng.standard_normal()
    total = 0.0
    for bits in np.ndindex(*(2,) * d):
        lam = values[np.array(bits), np.arange(d)]
        total += gf.shifted_loss(u11, u, np.diag(lam), n) / 2**d
    moments = rc.moments(*((values**k).mean(0) for k in (1, 2, 3)), n)
    assert_allclose(gf.random_shifted_loss(u11, u, moments), total, rtol=1e-9, atol=1e-10)


def test_random_flow_reaches_theorem_4_5():
    """Theorem 4.5, eq. (4.12) and App. C: balance, decreasing loss, limit B, minimum loss."""
    raw = (np.array([1.0, 0.6, 1.5]), np.array([2.0, 0.5, 2.5]), np.array([6.0, 0.5, 4.5]))
    n = 10
    theta = gf.normalise_theta(np.random.default_rng(4).standard_normal((3, 3)))
    flow = gf.simulate_random(*raw, n, theta, 0.1, 300.0)
    b = rc.optimal_preconditioner(*raw, n)
    assert_allclose(flow.u11[0], 0.1 * theta @ theta.T, rtol=1e-10)
    assert_allclose(flow.u[-1] * flow.u11[-1], b, atol=1e-4)
    assert_allclose(flow.u[-1], np.linalg.norm(b) ** 0.5, rtol=1e-4)
    assert_allclose(flow.u**2, (flow.u11**2).sum((1, 2)), atol=1e-7)
    assert (np.diff(flow.loss) < 1e-11).all()
    gamma, xi, _ = rc.moments(*raw, n)
    assert_allclose(flow.loss[-1], -0.5 * (xi**2 / gamma).sum(), atol=1e-7)
    early = gf.simulate_random(*raw, n, theta, 0.1, 8.0, n_times=801)
    speed = np.gradient(early.loss, early.t)  # along a gradient flow, minus |gradient|^2
    assert_allclose(-speed[1:-1], early.grad_norm2[1:-1], rtol=1e-3, atol=1e-6)


def test_random_flow_without_randomness_is_the_flow():
    """A law that never varies gives back the flow of Lemma 5.2."""
    lam = np.array([1.5, 0.5])
    theta = gf.normalise_theta(np.array([[1.0, 0.3], [-0.2, 0.8]]))
    plain = gf.simulate(np.diag(lam), 6, theta, 0.2, 20.0)
    moving = gf.simulate_random(lam, lam**2, lam**3, 6, theta, 0.2, 20.0)
    assert_allclose(moving.t, plain.t)
    for name in ("u11", "u", "loss", "grad_norm2"):
        assert_allclose(getattr(moving, name), getattr(plain, name), rtol=1e-6, atol=1e-8)
