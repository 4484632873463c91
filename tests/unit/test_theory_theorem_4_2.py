"""Theorem 4.2 and Corollary 4.3 in `icl_lib.theory.optimum`: arbitrary labels, bounds, lengths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression
from theory_oracles import (
    EXAMPLE,
    EXAMPLE_EIGENVALUES,
    EXAMPLE_N,
    fixed_task_risk,
    gamma_by_isserlis,
    random_covariance,
    z_score,
)

from icl_lib.theory import optimum

SEEDS = st.integers(0, 10_000)
DIMS = st.integers(1, 5)
LENGTHS = st.integers(1, 60)
PROPERTY = settings(max_examples=25, deadline=None, derandomize=True)
TASK = np.array([1.0, -1.0, 0.5, 2.0, 0.0])


def _nonlinear_sigma() -> np.ndarray:
    """Sigma of y = <a, x> + (x_1^2 - lambda_1) / 2 + noise of variance 1/4, by hand."""
    lam = EXAMPLE_EIGENVALUES
    q = 2 * lam[0] ** 2 * EXAMPLE
    q[0, 0] = 10 * lam[0] ** 3
    noise = TASK @ EXAMPLE @ TASK + 0.25
    linear = EXAMPLE @ np.outer(TASK, TASK) @ EXAMPLE
    return noise * EXAMPLE + linear + 0.25 * q


def test_best_linear_predictor_is_least_squares_without_intercept():
    """Theorem 4.2: a = Lambda^{-1} E[xy], the population least-squares weights."""
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((500, 3)) @ rng.standard_normal((3, 3))
    ys = np.sin(xs[:, 0]) + xs[:, 1] ** 2
    fit = LinearRegression(fit_intercept=False).fit(xs, ys)
    value = optimum.best_linear_predictor(xs.T @ xs / 500, xs.T @ ys / 500)
    assert_allclose(value, fit.coef_, rtol=1e-9)


def test_arbitrary_label_risk_of_the_nonlinear_example():
    """Theorem 4.2, eq. (4.6): the verified nonlinear example, term by term."""
    value = optimum.arbitrary_label_risk(
        EXAMPLE, EXAMPLE_N, 40, EXAMPLE @ TASK, _nonlinear_sigma(), 2.25
    )
    assert_allclose(
        [value.best_linear, value.variance, value.bias], [2.25, 0.587997, 0.287142], atol=1e-6
    )
    assert_allclose(value.total, 3.125139, atol=1e-6)


def test_arbitrary_label_risk_against_simulation():
    """Theorem 4.2 is an equality for nonlinear noisy labels: Monte Carlo, |z| < 4."""
    rng = np.random.default_rng(5)
    n_train, m, count = 4, 3, 200_000
    covariance = np.array([[1.2, 0.5], [0.5, 0.7]])
    root = np.linalg.cholesky(covariance)

    def label(xs):
        return xs[..., 0] + 0.8 * xs[..., 0] ** 3 - xs[..., 1] * xs[..., 0] ** 2 + 0.3

    nodes, weights = np.polynomial.hermite_e.hermegauss(16)  # exact up to degree 31
    grid = np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2) @ root.T
    weights = np.outer(weights, weights).ravel() / weights.sum() ** 2
    labels = label(grid)
    cross = grid.T @ (weights * labels)
    products = grid * labels[:, None] - cross
    sigma = products.T @ (weights[:, None] * products)
    a = np.linalg.solve(covariance, cross)
    best = float(weights @ (labels - grid @ a) ** 2) + 0.5  # label noise of variance 0.5
    value = optimum.arbitrary_label_risk(
        covariance, n_train, m, cross, sigma + 0.5 * covariance, best
    )
    xs = rng.standard_normal((count, m, 2)) @ root.T
    x_query = rng.standard_normal((count, 2)) @ root.T
    ys = label(xs) + np.sqrt(0.5) * rng.standard_normal((count, m))
    y_query = label(x_query) + np.sqrt(0.5) * rng.standard_normal(count)
    b_hat = np.einsum("ni,nid->nd", ys, xs) / m
    inverse = np.linalg.inv(gamma_by_isserlis(covariance, n_train))
    errors = (np.einsum("nd,de,ne->n", b_hat, inverse, x_query) - y_query) ** 2
    z, mean, se = z_score(errors, value.total)
    assert abs(z) < 4, (z, mean, se, value.total)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS, m=LENGTHS, noise_var=st.sampled_from([0.0, 0.4]))
def test_theorem_on_linear_labels_is_the_risk(seed, d, n, m, noise_var):
    """Theorem 4.2 with y = <w, x> + noise equals risk(w) plus the query's own noise s^2."""
    rng = np.random.default_rng(seed)
    covariance, w = random_covariance(rng, d), rng.standard_normal(d)
    sigma = optimum.linear_label_sigma(covariance, w, noise_var)
    general = optimum.arbitrary_label_risk(covariance, n, m, covariance @ w, sigma, noise_var)
    special = optimum.risk(covariance, n, m, w=w, noise_var=noise_var)
    assert_allclose(general.total, special.total + noise_var, rtol=1e-9)
    assert_allclose(general.bias, special.bias, rtol=1e-8, atol=1e-14)
    a = np.linalg.inv(gamma_by_isserlis(covariance, n))
    expected = fixed_task_risk(a, covariance, w, m, noise_var) + noise_var
    assert_allclose(general.total, expected, rtol=1e-8)


@PROPERTY
@given(seed=SEEDS, d=DIMS, noise_var=st.sampled_from([0.0, 0.4]))
def test_sigma_of_linear_labels(seed, d, noise_var):
    """Theorem 4.2, below (4.6): Sigma = (|w|_Lambda^2 + s^2) Lambda + Lambda w w^T Lambda.

    Checked through the Gaussian fourth moment E[x_a x_b x_c x_d] contracted with w twice.
    """
    rng = np.random.default_rng(seed)
    c, w = random_covariance(rng, d), rng.standard_normal(d)
    fourth = (
        np.einsum("ab,cd->abcd", c, c)
        + np.einsum("ac,bd->abcd", c, c)
        + np.einsum("ad,bc->abcd", c, c)
    )
    expected = np.einsum("abcd,c,d->ab", fourth, w, w) - np.outer(c @ w, c @ w) + noise_var * c
    value = optimum.linear_label_sigma(c, w, noise_var)
    assert_allclose(value, expected, rtol=1e-10, atol=1e-12)


def test_bounds_of_the_example():
    """Corollary 4.3, remark (i): totals 1.26967 and 4.563, both above R = 0.5051.

    (d+1) tr / M = 0.58125; ((1+2d) tr + tr(Lambda^-1) tr^2) / N^2 = (42.625 + 232.742) / 400.
    """
    tight = optimum.risk_bound(EXAMPLE, EXAMPLE_N, 40, form="spectrum")
    loose = optimum.risk_bound(EXAMPLE, EXAMPLE_N, 40, form="condition")
    assert_allclose(tight, 0.58125 + (11 * 3.875 + 15.5 * 3.875**2) / 400, rtol=1e-12)
    assert_allclose(tight, 1.26967, atol=5e-6)
    assert_allclose(loose, 0.58125 + (11 + 25 * 16) * 3.875 / 400, rtol=1e-12)
    assert_allclose(loose, 4.563, atol=5e-4)
    assert optimum.risk_bound(EXAMPLE, EXAMPLE_N, 40) == tight


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS, m=LENGTHS, spread=st.floats(0.0, 2.5))
def test_bounds_hold(seed, d, n, m, spread):
    """Claim row 16: exact risk <= bound in the spectrum <= bound in the condition number."""
    covariance = random_covariance(np.random.default_rng(seed), d, spread)
    exact = optimum.risk(covariance, n, m).total
    tight = optimum.risk_bound(covariance, n, m, form="spectrum")
    loose = optimum.risk_bound(covariance, n, m, form="condition")
    assert exact < tight
    assert tight <= loose * (1 + 1e-10)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS, epsilon=st.floats(0.01, 0.9))
def test_sufficient_length_reaches_the_error(seed, d, n, epsilon):
    """Corollary 4.3: at M >= (d+1) tr(Lambda) / epsilon the risk is at most eta + epsilon."""
    covariance = random_covariance(np.random.default_rng(seed), d)
    m = optimum.sufficient_length(covariance, epsilon)
    needed = (d + 1) * np.trace(covariance) / epsilon
    assert isinstance(m, int)
    assert m - 1 < needed * (1 + 1e-9)
    assert m >= needed * (1 - 1e-9)
    eta = optimum.irreducible_error(covariance, n)
    assert optimum.risk(covariance, n, m).total <= eta + epsilon


def test_sufficient_length_is_not_one_too_long():
    """Corollary 4.3: where (d+1) tr(Lambda) / epsilon is an integer, that integer suffices."""
    assert optimum.sufficient_length(np.eye(5), 0.5) == 60
    assert optimum.sufficient_length(np.eye(5), 0.7) == 43


@pytest.mark.parametrize(("d", "n", "scale"), [(1, 1, 1.0), (3, 10, 2.0), (5, 40, 0.5)])
def test_irreducible_error_for_isotropic_inputs(d, n, scale):
    """Corollary 4.3: eta = (1 + 2d + d^2 kappa) tr(Lambda) / N^2; kappa = 1 gives (d+1)^2."""
    value = optimum.irreducible_error(scale * np.eye(d), n)
    assert_allclose(value, (d + 1) ** 2 * scale * d / n**2, rtol=1e-12)
    # the part of the condition-number bound that stays as M grows
    stretched = np.diag(np.linspace(1, 3, d))
    limit = optimum.risk_bound(stretched, n, 10**12, form="condition")
    assert math.isclose(optimum.irreducible_error(stretched, n), limit, rel_tol=1e-6)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS)
def test_endless_prompts(seed, d, n):
    """Lengths may be infinite: the M -> inf floor, Gamma -> Lambda, and no error when both are."""
    covariance = random_covariance(np.random.default_rng(seed), d)
    floor = optimum.risk(covariance, n, math.inf)
    assert floor.variance == 0
    assert_allclose(floor.total, optimum.risk(covariance, n, 10**13).total, rtol=1e-6)
    assert_allclose(optimum.gamma(covariance, math.inf), covariance)
    inverse = optimum.optimal_preconditioner(covariance, math.inf)
    assert_allclose(inverse @ covariance, np.eye(d), atol=1e-10)
    assert optimum.risk(covariance, math.inf, math.inf).total == 0
