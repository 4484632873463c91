"""`icl_lib.theory.solvers` against scikit-learn, NumPy and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.linalg import pascal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor

from icl_lib.theory import solvers

PROPERTY = settings(max_examples=25, deadline=None, derandomize=True)
SEEDS = st.integers(0, 10_000)
DIMS = st.integers(1, 5)
LENGTHS = st.integers(1, 12)


def _prompt(seed: int, n: int, d: int, batch: tuple[int, ...] = ()):
    rng = np.random.default_rng(seed)
    xs = rng.standard_normal((*batch, n, d))
    return xs, rng.standard_normal((*batch, n)), rng.standard_normal((*batch, d))


@PROPERTY
@given(seed=SEEDS, n=LENGTHS, d=DIMS)
def test_least_squares_is_linear_regression(seed, n, d):
    """Least squares = sklearn LinearRegression(fit_intercept=False); minimum norm when n < d."""
    xs, ys, x_query = _prompt(seed, n, d)
    fit = LinearRegression(fit_intercept=False).fit(xs, ys)
    expected = fit.predict(x_query[None])[0]
    value = solvers.least_squares(xs, ys, x_query)
    assert_allclose(value, expected, rtol=1e-6, atol=1e-8)


def test_least_squares_on_ill_conditioned_prompts():
    """Integers, exact by construction: no direction is dropped at a condition number of 1e5."""
    xs, w = pascal(6).astype(float), np.array([3.0, -1.0, 2.0, 5.0, -4.0, 1.0])
    assert 1e5 < np.linalg.cond(xs) < 2e5
    assert_allclose(solvers.least_squares(xs, xs @ w, np.eye(6)), w, rtol=1e-9)


def test_least_squares_shares_the_weight_of_equal_inputs():
    """Columns that differ in the last digit are equal: 1 for their sum, shared, the least norm."""
    xs = np.array([[1.0, 1.0 + 2.0**-52], [2.0, 2.0], [3.0, 3.0]])
    assert_allclose(solvers.least_squares(xs, [2.0, 4.0, 6.0], np.eye(2)), [1.0, 1.0], rtol=1e-12)


def test_least_squares_is_scale_invariant():
    """Claim row 19: scaling all inputs leaves least squares unchanged (M >= d)."""
    xs, ys, x_query = _prompt(3, 9, 4, (6,))
    base = solvers.least_squares(xs, ys, x_query)
    assert_allclose(solvers.least_squares(3 * xs, ys, 3 * x_query), base, atol=1e-10)


@PROPERTY
@given(seed=SEEDS, n=LENGTHS, d=DIMS, ridge=st.floats(0.01, 10))
def test_ridge_is_sklearns(seed, n, d, ridge):
    """Ridge = sklearn Ridge(alpha=ridge, fit_intercept=False): the number on the diagonal."""
    xs, ys, x_query = _prompt(seed, n, d)
    fit = Ridge(alpha=ridge, fit_intercept=False, solver="cholesky").fit(xs, ys)
    expected = fit.predict(x_query[None])[0]
    assert_allclose(solvers.ridge(xs, ys, x_query, ridge), expected, rtol=1e-7, atol=1e-10)


def test_tiny_ridge_is_least_squares():
    """Ridge tends to (minimum-norm) least squares, below and above n = d."""
    for n in (3, 8):
        xs, ys, x_query = _prompt(1, n, 5)
        expected = solvers.least_squares(xs, ys, x_query)
        assert_allclose(solvers.ridge(xs, ys, x_query, 1e-10), expected, rtol=1e-5)


@PROPERTY
@given(seed=SEEDS, n=LENGTHS, d=DIMS)
def test_averaging_by_a_loop(seed, n, d):
    """The averaging estimator x_q . mean(y x): eq. (4.2) with Gamma = I."""
    xs, ys, x_query = _prompt(seed, n, d)
    expected = sum(y * float(x @ x_query) for x, y in zip(xs, ys, strict=True)) / n
    assert_allclose(solvers.averaging(xs, ys, x_query), expected, rtol=1e-10, atol=1e-12)


@PROPERTY
@given(seed=SEEDS, n=LENGTHS, d=DIMS, steps=st.integers(1, 4), given_start=st.booleans())
def test_gradient_descent_by_finite_differences(seed, n, d, steps, given_start):
    """Gradient descent on the mean of (y - <w, x>)^2 / 2, gradient by central differences."""
    xs, ys, x_query = _prompt(seed, n, d)
    step_size = 0.2
    start = np.random.default_rng(seed + 1).standard_normal(d) if given_start else None
    w = np.zeros(d) if start is None else start.copy()
    for _ in range(steps):
        gradient = np.zeros(d)
        for i in range(d):
            e = 1e-4 * np.eye(d)[i]
            high, low = ys - xs @ (w + e), ys - xs @ (w - e)
            gradient[i] = ((high**2).mean() - (low**2).mean()) / 4e-4
        w = w - step_size * gradient
    value = solvers.gradient_descent(xs, ys, x_query, step_size, steps=steps, w0=start)
    assert_allclose(value, x_query @ w, rtol=1e-6, atol=1e-7)


def test_one_step_is_the_averaging_estimator():
    """von Oswald et al. / Theorem 4.1 at Lambda = I: one step from 0 = step size x averaging."""
    xs, ys, x_query = _prompt(2, 6, 3, (4,))
    value = solvers.gradient_descent(xs, ys, x_query, 0.7)
    assert_allclose(value, 0.7 * solvers.averaging(xs, ys, x_query), rtol=1e-12)


def test_many_steps_reach_least_squares():
    """Gradient descent from 0 converges to the minimum-norm solution, also for n < d."""
    for n in (2, 10):
        xs, ys, x_query = _prompt(4, n, 3)
        step = 1 / np.linalg.eigvalsh(xs.T @ xs / n)[-1]
        value = solvers.gradient_descent(xs, ys, x_query, step, steps=3000)
        assert_allclose(value, solvers.least_squares(xs, ys, x_query), rtol=1e-6)


@PROPERTY
@given(seed=SEEDS, n=LENGTHS, d=DIMS, noise_var=st.floats(0.05, 4))
def test_bayes_linear_is_ridge_for_the_standard_prior(seed, n, d, noise_var):
    """Posterior mean under w ~ N(0, I), noise s^2 = Ridge(alpha=s^2)."""
    xs, ys, x_query = _prompt(seed, n, d)
    fit = Ridge(alpha=noise_var, fit_intercept=False, solver="cholesky").fit(xs, ys)
    value = solvers.bayes_linear(xs, ys, x_query, noise_var=noise_var)
    assert_allclose(value, fit.predict(x_query[None])[0], rtol=1e-7, atol=1e-10)


@PROPERTY
@given(seed=SEEDS, n=LENGTHS, d=DIMS, noise_var=st.floats(0.05, 4))
def test_bayes_linear_is_a_gaussian_process(seed, n, d, noise_var):
    """Any prior: sklearn's Gaussian process with a dot-product kernel on x Psi^{1/2}."""
    xs, ys, x_query = _prompt(seed, n, d)
    root = np.tril(np.random.default_rng(seed + 7).standard_normal((d, d))) + 2 * np.eye(d)
    kernel = DotProduct(sigma_0=0.0, sigma_0_bounds="fixed")
    process = GaussianProcessRegressor(kernel, alpha=noise_var, optimizer=None)
    expected = process.fit(xs @ root, ys).predict((x_query @ root)[None])[0]
    value = solvers.bayes_linear(xs, ys, x_query, prior=root @ root.T, noise_var=noise_var)
    assert_allclose(value, expected, rtol=1e-6, atol=1e-8)


def test_bayes_linear_beats_the_others_on_its_own_prior():
    """The Bayes predictor has the smallest mean squared error on tasks from its prior."""
    rng = np.random.default_rng(9)
    prior, noise_var, count = np.diag([3.0, 1.0, 0.1]), 0.5, 20_000
    w = rng.standard_normal((count, 3)) * np.sqrt(np.diag(prior))
    xs, x_query = rng.standard_normal((count, 5, 3)), rng.standard_normal((count, 3))
    ys = np.einsum("nid,nd->ni", xs, w) + np.sqrt(noise_var) * rng.standard_normal((count, 5))
    truth = np.einsum("nd,nd->n", x_query, w)
    best = (solvers.bayes_linear(xs, ys, x_query, prior=prior, noise_var=noise_var) - truth) ** 2
    for other in (solvers.ridge(xs, ys, x_query, noise_var), solvers.averaging(xs, ys, x_query)):
        gap = (other - truth) ** 2 - best
        assert gap.mean() > 4 * gap.std() / np.sqrt(count)


@PROPERTY
@given(seed=SEEDS, n=LENGTHS, d=DIMS, k=st.integers(1, 4))
def test_nearest_neighbours_is_sklearns(seed, n, d, k):
    """k nearest neighbours = sklearn KNeighborsRegressor, with all pairs when n < k."""
    xs, ys, x_query = _prompt(seed, n, d)
    fit = KNeighborsRegressor(n_neighbors=min(k, n)).fit(xs, ys)
    value = solvers.nearest_neighbours(xs, ys, x_query, k=k)
    assert_allclose(value, fit.predict(x_query[None])[0], rtol=1e-10)


def test_nearest_neighbours_defaults_to_three():
    """Garg et al.'s baseline is 3-nearest-neighbours."""
    xs, ys, x_query = _prompt(0, 9, 2)
    fit = KNeighborsRegressor(n_neighbors=3).fit(xs, ys)
    value = solvers.nearest_neighbours(xs, ys, x_query)
    assert_allclose(value, fit.predict(x_query[None])[0], rtol=1e-12)


SOLVERS = {
    "least_squares": solvers.least_squares,
    "ridge": lambda xs, ys, q: solvers.ridge(xs, ys, q, 0.3),
    "averaging": solvers.averaging,
    "gradient_descent": lambda xs, ys, q: solvers.gradient_descent(xs, ys, q, 0.1, steps=3),
    "bayes_linear": lambda xs, ys, q: solvers.bayes_linear(xs, ys, q, noise_var=0.5),
    "nearest_neighbours": solvers.nearest_neighbours,
}


@pytest.mark.parametrize("name", SOLVERS)
def test_leading_axes_broadcast(name):
    """Design conventions: (..., n, d) in, (...) out, the same as one prompt at a time."""
    xs, ys, x_query = _prompt(6, 7, 3, (2, 4))
    value = SOLVERS[name](xs, ys, x_query)
    assert value.shape == (2, 4)
    for index in np.ndindex(2, 4):
        one = SOLVERS[name](xs[index], ys[index], x_query[index])
        assert_allclose(value[index], one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SOLVERS)
def test_prefix_predictions_by_a_loop(name):
    """Entry i predicts y_i from the first i pairs; entry 0 is 0 (Garg et al.'s curves)."""
    xs, ys, _ = _prompt(7, 6, 3, (3,))
    value = solvers.prefix_predictions(SOLVERS[name], xs, ys)
    assert value.shape == ys.shape
    assert_allclose(value[:, 0], 0)
    for i in range(1, 6):
        expected = SOLVERS[name](xs[:, :i], ys[:, :i], xs[:, i])
        assert_allclose(value[:, i], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SOLVERS)
def test_tensors_are_accepted(name):
    """CPU torch tensors go in through np.asarray."""
    torch = pytest.importorskip("torch")
    arrays = _prompt(8, 5, 3)
    value = SOLVERS[name](*(torch.tensor(a) for a in arrays))
    assert_allclose(value, SOLVERS[name](*arrays), rtol=1e-12)
