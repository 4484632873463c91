"""`icl_lib.theory.shifts`: known numbers, moments, simulation and limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from theory_oracles import (
    EXAMPLE,
    EXAMPLE_EIGENVALUES,
    EXAMPLE_N,
    exact_risk,
    fixed_task_risk,
    gamma_by_isserlis,
    random_covariance,
    random_rotation,
)

from icl_lib.theory import optimum, shifts

SEEDS = st.integers(0, 10_000)
DIMS = st.integers(1, 5)
LENGTHS = st.integers(1, 60)
NOISE = st.sampled_from([0.0, 0.4])
PROPERTY = settings(max_examples=25, deadline=None, derandomize=True)
HUGE = 10**10


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (np.eye(5), 1.21316),
        (4 * EXAMPLE, 2.02034),
        (np.diag(EXAMPLE_EIGENVALUES[::-1]), 1.45986),
    ],
)
def test_query_shift_of_the_example(query, expected):
    """Section 4.2, query shift: the three known values at N = 20, M = 40."""
    value = shifts.query_shift_risk(EXAMPLE, query, EXAMPLE_N, 40)
    assert_allclose(value, expected, atol=6e-6)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS, m=LENGTHS, noise_var=NOISE)
def test_query_shift_for_any_query_covariance(seed, d, n, m, noise_var):
    """Section 4.2, eq. (4.8): query law not commuting with Lambda, against moments."""
    rng = np.random.default_rng(seed)
    covariance, query = random_covariance(rng, d), random_covariance(rng, d)
    a = np.linalg.inv(gamma_by_isserlis(covariance, n))
    expected = exact_risk(a, covariance, m, noise_var=noise_var, query_covariance=query)
    value = shifts.query_shift_risk(covariance, query, n, m, noise_var=noise_var)
    assert_allclose(value, expected, rtol=1e-8)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS, m=LENGTHS, noise_var=NOISE)
def test_shift_formulas_without_a_shift_are_the_risk(seed, d, n, m, noise_var):
    """Query and covariate shift with the training covariance give back R(N, M, Lambda)."""
    c = random_covariance(np.random.default_rng(seed), d)
    expected = optimum.risk(c, n, m, noise_var=noise_var).total
    assert_allclose(shifts.query_shift_risk(c, c, n, m, noise_var=noise_var), expected, rtol=1e-9)
    value = shifts.covariate_shift_risk(c, c, n, m, noise_var=noise_var)
    assert_allclose(value, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("scale", "expected"), [(0.5, 0.6273), (1, 0.5051), (1.5, 9.324), (2, 95.58), (3, 1570.9)]
)
def test_covariate_shift_by_scaling(scale, expected):
    """Section 4.2, covariate shift by Lambda' = c^2 Lambda: the known values."""
    value = shifts.covariate_shift_risk(EXAMPLE, scale**2 * EXAMPLE, EXAMPLE_N, 40)
    assert_allclose(value, expected, rtol=1e-4)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS, m=LENGTHS, noise_var=NOISE)
def test_covariate_shift_for_any_test_covariance(seed, d, n, m, noise_var):
    """Section 4.2, covariate shift with a test covariance that does not commute, by moments."""
    rng = np.random.default_rng(seed)
    train, test = random_covariance(rng, d), random_covariance(rng, d)
    a = np.linalg.inv(gamma_by_isserlis(train, n))
    expected = exact_risk(a, test, m, noise_var=noise_var)
    value = shifts.covariate_shift_risk(train, test, n, m, noise_var=noise_var)
    assert_allclose(value, expected, rtol=1e-8)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS, m=LENGTHS, noise_var=NOISE)
def test_rotating_both_covariances_changes_nothing(seed, d, n, m, noise_var):
    """The Gaussian task w ~ N(0, I) has no preferred basis: the risk is rotation invariant."""
    rng = np.random.default_rng(seed)
    train, test, q = random_covariance(rng, d), random_covariance(rng, d), random_rotation(rng, d)
    turned = [(q @ c @ q.T + (q @ c @ q.T).T) / 2 for c in (train, test)]
    for function in (shifts.query_shift_risk, shifts.covariate_shift_risk):
        value = function(*turned, n, m, noise_var=noise_var)
        assert_allclose(value, function(train, test, n, m, noise_var=noise_var), rtol=1e-8)


def test_task_shift_of_the_example():
    """Section 4.2, task shift: fixed w = (1, -1, .5, 2, 0), M = 40 gives 0.591526."""
    w = np.array([1.0, -1.0, 0.5, 2.0, 0.0])
    value = shifts.task_shift_risk(EXAMPLE, w, EXAMPLE_N, 40)
    assert_allclose(value, 0.591526, atol=1e-6)
    noisy = shifts.task_shift_risk(EXAMPLE, w, EXAMPLE_N, 40, noise_var=0.25)
    assert_allclose(noisy, 0.591526 + 0.014618, atol=2e-6)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS, m=LENGTHS, noise_var=NOISE)
def test_task_shift_for_any_task(seed, d, n, m, noise_var):
    """Section 4.2, task shift: R(w) plus the noise term, against moments with prior w w^T."""
    rng = np.random.default_rng(seed)
    c, w = random_covariance(rng, d), 3 * rng.standard_normal(d)
    a = np.linalg.inv(gamma_by_isserlis(c, n))
    value = shifts.task_shift_risk(c, w, n, m, noise_var=noise_var)
    assert_allclose(value, fixed_task_risk(a, c, w, m, noise_var), rtol=1e-8)


@PROPERTY
@given(seed=SEEDS, d=DIMS, n=LENGTHS, m=LENGTHS)
def test_task_risks_average_to_the_gaussian_risk(seed, d, n, m):
    """Averaging R(w) over an orthonormal basis times sqrt(d) is averaging over w ~ N(0, I)."""
    rng = np.random.default_rng(seed)
    c, q = random_covariance(rng, d), random_rotation(rng, d)
    values = [shifts.task_shift_risk(c, np.sqrt(d) * column, n, m) for column in q.T]
    assert_allclose(np.mean(values), optimum.risk(c, n, m).total, rtol=1e-9)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_scaling_limit_is_the_long_prompt_error(scale):
    """Section 4.2: normalised error (c^2 - 1)^2 as N, M grow: .5625, 0, 1.5625, 9, 64."""
    expected = {0.5: 0.5625, 1.0: 0.0, 1.5: 1.5625, 2.0: 9.0, 3.0: 64.0}[scale]
    assert_allclose(shifts.scaling_limit(scale), expected, atol=1e-14)
    test = scale**2 * EXAMPLE
    error = shifts.covariate_shift_risk(EXAMPLE, test, HUGE, HUGE) / np.trace(test)
    assert_allclose(error, expected, atol=1e-7)


@pytest.mark.parametrize("d", [1, 2, 5, 20])
def test_orthant_limit_from_absolute_gaussians(d):
    """Section 4.2, derived: prompt inputs |x| in one orthant, query N(0, I): (2/pi)^2 (d - 1).

    The second moment of |x| has ones on the diagonal and 2/pi elsewhere.
    """
    moment = np.full((d, d), 2 / np.pi)
    np.fill_diagonal(moment, 1.0)
    expected = np.trace((moment - np.eye(d)) @ (moment - np.eye(d))) / d
    assert_allclose(shifts.orthant_limit(d), expected, rtol=1e-12, atol=1e-15)


def test_orthant_limit_known_values():
    """Section 4.2, derived: d = 20 gives 7.70."""
    assert_allclose(shifts.orthant_limit(20), 7.70, atol=0.005)


def test_skewed_limit_known_values():
    """Section 4.2, derived: eigenvalues proportional to 1/i^2 with trace 20 give 84.1."""
    eigenvalues = 1 / np.arange(1, 21) ** 2
    eigenvalues *= 20 / eigenvalues.sum()
    assert_allclose(shifts.skewed_limit(eigenvalues), 84.1, atol=0.05)


@PROPERTY
@given(seed=SEEDS, d=DIMS)
def test_skewed_limit_is_the_long_prompt_error(seed, d):
    """Covariate shift from I to diag(eigenvalues) as N, M grow, divided by the trace."""
    eigenvalues = np.exp(np.random.default_rng(seed).uniform(-1, 1, d))
    error = shifts.covariate_shift_risk(np.eye(d), np.diag(eigenvalues), HUGE, HUGE)
    assert_allclose(shifts.skewed_limit(eigenvalues), error / eigenvalues.sum(), atol=1e-6)


@pytest.mark.parametrize(("d", "k"), [(20, 10), (8, 2), (5, 5)])
def test_subspace_limit(d, k):
    """Derived: inputs on a k-dim subspace, E|x|^2 kept at d: (d/k - 1)^2; 1 at (20, 10)."""
    projector = np.diag([1.0] * k + [0.0] * (d - k))
    moment = d / k * projector
    expected = np.trace((moment - np.eye(d)) @ moment @ (moment - np.eye(d))) / d
    assert_allclose(shifts.subspace_limit(d, k), expected, rtol=1e-12, atol=1e-15)
