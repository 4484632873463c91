"""`icl_lib.theory.linear_systems` against scipy, statsmodels, direct inverses and error bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse.linalg import cg
from sklearn.linear_model import Ridge

from icl_lib.theory import linear_systems

PROPERTY = settings(max_examples=25, deadline=None, derandomize=True)
SEEDS = st.integers(0, 10_000)
DIMS = st.integers(1, 5)
STEPS = st.integers(0, 6)
LENGTHS = st.integers(1, 9)


def _system(seed: int, n: int, batch: tuple[int, ...] = (), low=0.5, high=4.0):
    """Random A with spectrum in [low, high] (both ends taken for n > 1) and b."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((*batch, n, n)))[0]
    spectrum = rng.uniform(low, high, (*batch, n))
    spectrum[..., 0] = low
    spectrum[..., -1] = high
    A = (basis * spectrum[..., None, :]) @ np.swapaxes(basis, -1, -2)
    return (A + np.swapaxes(A, -1, -2)) / 2, rng.standard_normal((*batch, n))


def _stream(seed: int, length: int, d: int, m: int, batch: tuple[int, ...] = ()):
    rng = np.random.default_rng(seed)
    sizes = (d, m, d)
    keys, values, queries = (rng.standard_normal((*batch, length, size)) for size in sizes)
    return keys, values, queries, rng.uniform(0.5, 1, (*batch, length))


@PROPERTY
@given(seed=SEEDS, n=DIMS, steps=STEPS, start=st.booleans())
def test_richardson_by_a_loop(seed, n, steps, start):
    """von Oswald et al. 2023, eq. (9), written with a list of all iterates and their residuals."""
    A, b = _system(seed, n)
    rng = np.random.default_rng(seed)
    alphas, betas = rng.uniform(0, 0.5, steps), rng.uniform(0, 0.5, steps)
    iterates = [rng.standard_normal(n) if start else np.zeros(n)] * 2
    for alpha, beta in zip(alphas, betas, strict=True):
        new = iterates[-1] * (1 + beta) - beta * iterates[-2]
        iterates.append(new - alpha * (A @ iterates[-1]) + alpha * b)
    x0 = iterates[0] if start else None
    value = linear_systems.richardson(A, b, steps, alphas, momentum=betas, x0=x0)
    assert_allclose(value, iterates[-1], rtol=1e-9, atol=1e-12)


def test_richardson_numbers_are_constant_schedules():
    """A number for step size or momentum is the same number at every step; it converges."""
    A, b = _system(1, 4)
    value = linear_systems.richardson(A, b, 300, 0.3, momentum=0.2)
    schedule = linear_systems.richardson(A, b, 300, [0.3] * 300, momentum=[0.2] * 300)
    assert_allclose(value, schedule, rtol=1e-14)
    assert_allclose(value, np.linalg.solve(A, b), rtol=1e-10)


@PROPERTY
@given(seed=SEEDS, n=DIMS, terms=STEPS, scale=st.floats(0.05, 0.4))
def test_neumann_is_the_series_and_richardson(seed, n, terms, scale):
    """Sum of matrix powers = terms + 1 Richardson steps from 0."""
    A, b = _system(seed, n)
    bracket = np.eye(n) - scale * A
    series = sum(np.linalg.matrix_power(bracket, k) for k in range(terms + 1))
    value = linear_systems.neumann(A, b, terms, scale)
    assert_allclose(value, scale * series @ b, rtol=1e-9, atol=1e-12)
    steps = linear_systems.richardson(A, b, terms + 1, scale)
    assert_allclose(value, steps, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("condition", [1.0, 2.0, 30.0, 1000.0])
def test_chebyshev_error_is_the_minmax_polynomial(condition):
    """Error = T_k((c - lam) / r) / T_k(c / r) by eigenvalue; the textbook bound holds."""
    low, high, n = 0.7, 0.7 * condition, 30
    spectrum = np.linspace(low, high, n)
    centre, radius = (low + high) / 2, (high - low) / 2
    factor = (np.sqrt(condition) - 1) / (np.sqrt(condition) + 1)
    for steps in (0, 1, 2, 5, 11):
        x = linear_systems.chebyshev(np.diag(spectrum), np.ones(n), steps, low, high)
        error = 1 - x * spectrum  # the polynomial p_k with p_k(0) = 1
        assert np.abs(error).max() <= 2 * factor**steps + 1e-12
        if radius > 0:
            polynomial = np.polynomial.chebyshev.Chebyshev.basis(steps)
            expected = polynomial((centre - spectrum) / radius) / polynomial(centre / radius)
            assert_allclose(error, expected, atol=1e-10)


def test_chebyshev_beats_plain_richardson():
    """At condition number 100 twenty Chebyshev steps go far below twenty of the best plain ones."""
    A, b = _system(3, 12, low=0.1, high=10.0)
    solution = np.linalg.solve(A, b)
    plain = linear_systems.richardson(A, b, 20, 2 / 10.1) - solution
    fast = linear_systems.chebyshev(A, b, 20, 0.1, 10.0) - solution
    assert np.linalg.norm(fast) < 0.2 * np.linalg.norm(plain)


@PROPERTY
@given(seed=SEEDS, n=DIMS, steps=st.integers(1, 4))
def test_conjugate_gradient_is_scipys(seed, n, steps):
    """The iterate after k steps equals scipy.sparse.linalg.cg(maxiter=k), and is exact at k = n."""
    A, b = _system(seed, n)
    expected, _ = cg(A, b, rtol=0, atol=1e-13, maxiter=steps)
    value = linear_systems.conjugate_gradient(A, b, steps)
    assert_allclose(value, expected, rtol=1e-7, atol=1e-10)
    exact = linear_systems.conjugate_gradient(A, b, n)
    assert_allclose(exact, np.linalg.solve(A, b), rtol=1e-7, atol=1e-9)


def test_conjugate_gradient_stays_at_the_solution():
    """A zero residual (from the start, or after one step) gives no NaN, others go on."""
    A = np.stack([np.eye(3), np.diag([1.0, 2.0, 3.0]), np.eye(3)])
    b = np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    with np.errstate(all="raise", under="ignore"):
        value = linear_systems.conjugate_gradient(A, b, 60)
    assert_allclose(value, [[1, 2, 3], [1, 1 / 2, 1 / 3], [0, 0, 0]], atol=1e-12)
    assert_allclose(linear_systems.conjugate_gradient(A, b, 0), 0)


@PROPERTY
@given(seed=SEEDS, n=DIMS, steps=STEPS)
def test_newton_schulz_squares_the_error(seed, n, steps):
    """I - A X_{k+1} = (I - A X_k)^2, for any invertible A; the start is a contraction."""
    A = np.random.default_rng(seed).standard_normal((n, n)) + 3 * np.eye(n)
    now = np.eye(n) - A @ linear_systems.newton_schulz(A, steps)
    after = np.eye(n) - A @ linear_systems.newton_schulz(A, steps + 1)
    assert_allclose(after, now @ now, atol=1e-9)
    assert np.linalg.norm(now, 2) <= 1 + 1e-9
    start = A.T / (np.linalg.norm(A, 1) * np.linalg.norm(A, np.inf))
    assert_allclose(linear_systems.newton_schulz(A, 0), start, rtol=1e-12)


def test_newton_schulz_inverts():
    """It reaches numpy.linalg.inv in a few steps."""
    A, _ = _system(2, 5, (3,))
    assert_allclose(linear_systems.newton_schulz(A, 14), np.linalg.inv(A), rtol=1e-9, atol=1e-11)


@PROPERTY
@given(seed=SEEDS, n=DIMS, name=st.sampled_from(sorted(linear_systems.AUTHORS_COEFFICIENTS)))
def test_learned_inverse_in_the_eigenbasis(seed, n, name):
    """The recursion is a polynomial of A: run it on each eigenvalue as a scalar."""
    A, _ = _system(seed, n)
    alphas, betas = linear_systems.AUTHORS_COEFFICIENTS[name]
    eigenvalues, basis = np.linalg.eigh(A)
    size = np.sqrt(np.sum(eigenvalues**2))
    inverted = []
    for eigenvalue in eigenvalues / size:
        xs, product = [1.0, 1.0], 1.0
        for j in range(len(alphas)):
            product *= 1 - alphas[j] * eigenvalue
            xs.append(xs[-1] + product + betas[j] * (xs[-1] - xs[-2]))
        inverted.append(xs[-1] / size)
    expected = basis @ np.diag(inverted) @ basis.T
    assert_allclose(linear_systems.learned_inverse(A, alphas, betas), expected, atol=1e-9)


def test_learned_inverse_with_plain_coefficients_is_neumann():
    """alpha = 1, beta = 0 for k steps is the Neumann series up to power k, scale 1 / ||A||_F."""
    A, b = _system(4, 4)
    value = linear_systems.learned_inverse(A, np.ones(5), np.zeros(5)) @ b
    series = linear_systems.neumann(A, b, 5, 1 / np.linalg.norm(A))
    assert_allclose(value, series, rtol=1e-12)


def test_released_coefficients():
    """Seven settings; k step sizes and k momenta, the first momentum (of no use) is 0."""
    table = linear_systems.AUTHORS_COEFFICIENTS
    names = "linear-6 linear-constructed-6 linear-2 partial-6 nonlinear-6 contracting-6 fixed-6"
    assert list(table) == names.split()
    for name, (alphas, betas) in table.items():
        assert len(alphas) == len(betas) == int(name[-1])
        assert betas[0] == 0
    assert sum(sum(a) + sum(b) for a, b in table.values()) == pytest.approx(141.9547, abs=1e-9)


@PROPERTY
@given(seed=SEEDS, length=LENGTHS, d=DIMS, m=DIMS, ridge=st.floats(0.01, 5), forget=st.booleans())
def test_recursions_by_cholesky(seed, length, d, m, ridge, forget):
    """R_t and Phi_t q_t = the weighted ridge fit of each prefix; the ridge is forgotten too."""
    keys, values, queries, gammas = _stream(seed, length, d, m)
    forgetting = gammas if forget else None
    gammas = gammas if forget else np.ones(length)
    inverses = linear_systems.inverse_gram_scan(keys, ridge, forgetting)
    outputs = linear_systems.recursive_least_squares(keys, values, queries, ridge, forgetting)
    back = linear_systems.reverse_inverse_gram_scan(inverses[-1], keys, forgetting)
    assert_allclose(back[0], np.eye(d) / ridge, rtol=1e-5, atol=1e-6 / ridge)
    assert_allclose(back[1:], inverses, rtol=1e-5, atol=1e-6)
    for t in range(1, length + 1):
        weights = np.array([np.prod(gammas[s + 1 : t]) for s in range(t)])
        k, v = keys[:t], values[:t]
        system = (k.T * weights) @ k + ridge * np.prod(gammas[:t]) * np.eye(d)
        factor = cho_factor(system)
        assert_allclose(inverses[t - 1], cho_solve(factor, np.eye(d)), rtol=1e-6, atol=1e-8)
        phi = cho_solve(factor, (k.T * weights) @ v).T
        assert_allclose(outputs[t - 1], phi @ queries[t - 1], rtol=1e-6, atol=1e-8)
        fit = Ridge(ridge * np.prod(gammas[:t]), fit_intercept=False, solver="cholesky")
        prediction = fit.fit(k, v, sample_weight=weights).predict(queries[t - 1][None])
        assert_allclose(outputs[t - 1], prediction.reshape(m), rtol=1e-6, atol=1e-8)


def test_recursive_least_squares_is_statsmodels():
    """With a ridge of nearly 0 the outputs are statsmodels' RecursiveLS from the d-th pair on."""
    api = pytest.importorskip("statsmodels.api")
    keys, values, queries, _ = _stream(3, 20, 3, 1)
    fit = api.RecursiveLS(values[:, 0], keys).fit()
    coefficients = fit.recursive_coefficients.filtered.T  # (T, d)
    value = linear_systems.recursive_least_squares(keys, values, queries, 1e-9)
    expected = np.sum(coefficients * queries, axis=-1)
    assert_allclose(value[4:, 0], expected[4:], rtol=1e-4, atol=1e-5)


def test_reverse_scan_at_the_papers_size():
    """T = 50, d = 8: running back from R_T finds I / ridge to near machine precision."""
    keys, _, _, gammas = _stream(5, 50, 8, 1, (4,))
    for forgetting, tolerance in ((None, 1e-11), (np.sqrt(np.sqrt(gammas)), 1e-8)):
        inverses = linear_systems.inverse_gram_scan(keys, 1.0, forgetting)
        back = linear_systems.reverse_inverse_gram_scan(inverses[:, -1], keys, forgetting)
        assert back.shape == (4, 51, 8, 8)
        assert_allclose(back[:, 0], np.broadcast_to(np.eye(8), (4, 8, 8)), atol=tolerance)


BATCHED = {
    "richardson": lambda A, b: linear_systems.richardson(A, b, 3, 0.2, momentum=0.1),
    "neumann": lambda A, b: linear_systems.neumann(A, b, 3, 0.2),
    "chebyshev": lambda A, b: linear_systems.chebyshev(A, b, 3, 0.5, 4.0),
    "conjugate_gradient": lambda A, b: linear_systems.conjugate_gradient(A, b, 2),
}


@pytest.mark.parametrize("name", BATCHED)
def test_leading_axes_broadcast(name):
    """Systems (4, n, n) and right-hand sides (2, 1, n) give (2, 4, n), one system at a time."""
    A, b = _system(6, 3, (4,))[0], _system(7, 3, (2, 1))[1]
    value = BATCHED[name](A, b)
    assert value.shape == (2, 4, 3)
    for i, j in np.ndindex(2, 4):
        assert_allclose(value[i, j], BATCHED[name](A[j], b[i, 0]), rtol=1e-10, atol=1e-13)


def test_batches_of_matrices_and_streams():
    """The inverses and the recursions treat each entry of the leading axes on its own."""
    A, _ = _system(8, 3, (2, 2))
    keys, values, queries, gammas = _stream(9, 5, 3, 2, (2, 2))
    inverse, schulz = linear_systems.learned_inverse, linear_systems.newton_schulz
    scan, rls = linear_systems.inverse_gram_scan, linear_systems.recursive_least_squares
    for i in np.ndindex(2, 2):
        assert_allclose(inverse(A, [1.0], [0.3])[i], inverse(A[i], [1.0], [0.3]), rtol=1e-10)
        assert_allclose(schulz(A, 4)[i], schulz(A[i], 4), rtol=1e-10, atol=1e-13)
        assert_allclose(scan(keys, 1.0, gammas)[i], scan(keys[i], 1.0, gammas[i]), atol=1e-10)
        one = rls(keys[i], values[i], queries[i], 1.0, gammas[i])
        assert_allclose(rls(keys, values, queries, 1.0, gammas)[i], one, atol=1e-10)


I2, K, V = np.eye(2), np.ones((3, 2)), np.ones((3, 1))
BAD_CALLS = {
    "A must have shape": lambda: linear_systems.richardson(np.ones((2, 3)), [1.0, 1.0], 1, 0.1),
    "b must be": lambda: linear_systems.neumann(I2, np.ones(3), 1, 0.1),
    "A must be symmetric pos": lambda: linear_systems.conjugate_gradient(-I2, [1.0, 1.0], 1),
    "A must not be 0": lambda: linear_systems.newton_schulz(np.zeros((2, 2)), 1),
    "step_size must": lambda: linear_systems.richardson(I2, [1.0, 1.0], 2, [0.1] * 3),
    "x0 must": lambda: linear_systems.richardson(I2, [1.0, 1.0], 2, 0.1, x0=np.ones(3)),
    "low must be at most": lambda: linear_systems.chebyshev_coefficients(2, 2.0, 1.0),
    "betas must": lambda: linear_systems.learned_inverse(I2, [1.0, 1.0], [0.0]),
    "keys must": lambda: linear_systems.inverse_gram_scan(np.ones(3), 1.0),
    "ridge must be above": lambda: linear_systems.inverse_gram_scan(K, 0.0),
    "forgetting must lie": lambda: linear_systems.inverse_gram_scan(K, 1.0, np.zeros(3)),
    "queries must": lambda: linear_systems.recursive_least_squares(K, V, V, 1.0),
    "values must": lambda: linear_systems.recursive_least_squares(K, V[:2], K, 1.0),
    "last must have": lambda: linear_systems.reverse_inverse_gram_scan(np.eye(3), K),
    "last must satisfy": lambda: linear_systems.reverse_inverse_gram_scan(I2, K),
}


@pytest.mark.parametrize("message", BAD_CALLS)
def test_bad_arguments(message):
    """ValueError names the argument, what came and what was expected."""
    with pytest.raises(ValueError, match=message):
        BAD_CALLS[message]()
