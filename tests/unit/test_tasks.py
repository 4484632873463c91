"""Laws of the inputs against closed-form moments, and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from moments import assert_mean, outer
from theory_oracles import random_covariance

from icl_lib.tasks import inputs as laws
from icl_lib.tasks._matrices import symmetric_root
from icl_lib.tasks.randomness import generators
from icl_lib.tasks.regression import LinearRegression, gaussian_task

F64 = torch.float64
BATCH = 40_000
LAM = random_covariance(np.random.default_rng(0), 3)
LAM_Q = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 0.3]])


def draw(law, batch=BATCH, length=2, seed=0):
    """Return xs (B, n, d) and x_query (B, d) as NumPy float64."""
    sample = law.sample(batch, length, generators(seed).data, F64)
    return sample.xs.numpy(), sample.x_query.numpy()


class TestGaussian:
    LAW = laws.GaussianInputs(LAM, LAM_Q)

    def test_second_moments(self):
        xs, query = draw(self.LAW)
        assert_mean(outer(xs[:, 0], xs[:, 0]), LAM)
        assert_mean(outer(xs[:, 1], xs[:, 1]), LAM)
        assert_mean(outer(query, query), LAM_Q)
        assert_mean(xs, 0.0)
        assert_mean(query, 0.0)

    def test_tokens_are_independent(self):
        xs, query = draw(self.LAW)
        assert_mean(outer(xs[:, 0], xs[:, 1]), 0.0)
        assert_mean(outer(xs[:, 0], query), 0.0)
        squares = [np.einsum("bi,bi->b", v, v) for v in (xs[:, 0], xs[:, 1], query)]
        assert_mean(squares[0] * squares[1], np.trace(LAM) ** 2)
        assert_mean(squares[0] * squares[2], np.trace(LAM) * np.trace(LAM_Q))

    def test_fourth_moment_is_that_of_a_gaussian(self):
        xs, _ = draw(self.LAW)
        square = (xs[:, 0] ** 2).sum(1)
        assert_mean(square**2, np.trace(LAM) ** 2 + 2 * np.trace(LAM @ LAM))

    def test_query_has_the_same_law_by_default(self):
        law = laws.GaussianInputs(LAM)
        assert law.d == 3
        _, query = draw(law)
        assert_mean(outer(query, query), LAM)

    @pytest.mark.parametrize("dtype", [torch.float32, F64])
    @pytest.mark.parametrize("diagonal", [[1.0] * 5, [2.0, 1.0, 0.5, 0.25, 0.1], [3.0]])
    def test_a_diagonal_covariance_scales_bit_for_bit(self, diagonal, dtype):
        """The shortcut gives the numbers of the matrix product, in the same memory layout."""
        law = laws.GaussianInputs(np.diag(diagonal))
        got = law.sample(50, 7, generators(3).data, dtype)
        z = torch.randn(50, 8, len(diagonal), generator=generators(3).data, dtype=dtype)
        root = torch.as_tensor(symmetric_root(np.diag(diagonal)), dtype=dtype)
        for value, product in zip(got, (z[:, :7] @ root, z[:, 7] @ root), strict=True):
            assert torch.equal(value, product) and value.stride() == product.stride()

    def test_singular_query_covariance(self):
        direction = np.array([1.0, 2.0, -1.0])
        _, query = draw(laws.GaussianInputs(LAM, np.outer(direction, direction)), batch=50)
        assert np.abs(np.cross(query, direction)).max() < 1e-6  # root of rounding


class TestRandomDiagonal:
    def test_moments(self):
        """Exp(1) has the raw moments 1, 2, 6; a normal has E z^4 = 3."""
        scale = 4.0
        xs, query = draw(laws.RandomDiagonalInputs(3, scale))
        first, second = xs[:, 0] ** 2, xs[:, 1] ** 2
        assert_mean(first, scale)
        assert_mean(query**2, scale)
        assert_mean(first**2, 3 * 2 * scale**2)
        assert_mean(first * second, 2 * scale**2)  # one covariance a prompt
        assert_mean(first * query**2, 2 * scale**2)  # the query shares it
        assert_mean(first[:, 0] * first[:, 1], scale**2)  # coordinates are independent
        assert_mean(first * np.roll(first, 1, axis=0), scale**2)  # and so are prompts
        assert_mean(outer(xs[:, 0], xs[:, 1]), 0.0)


class TestSkewed:
    def test_eigenvalues(self):
        values = laws.SkewedInputs(4).eigenvalues()
        assert values.sum() == pytest.approx(4.0, rel=1e-14)
        assert values[0] / values == pytest.approx([1, 4, 9, 16], rel=1e-14)

    def test_moments(self):
        d = 4
        xs, query = draw(laws.SkewedInputs(d))
        assert_mean(outer(xs[:, 0], xs[:, 0]), np.eye(d))  # the rotation averages the skew away
        square_sum = (laws.SkewedInputs(d).eigenvalues() ** 2).sum()
        assert_mean((xs[:, 0] * xs[:, 1]).sum(1) ** 2, square_sum)  # tr Sigma^2
        assert_mean((xs[:, 0] * query).sum(1) ** 2, square_sum)

    def test_spectrum_within_one_prompt(self):
        xs, _ = draw(laws.SkewedInputs(3), batch=3, length=40_000)
        for prompt in xs:
            spectrum = np.linalg.eigvalsh(prompt.T @ prompt / len(prompt))[::-1]
            assert spectrum == pytest.approx(laws.SkewedInputs(3).eigenvalues(), rel=0.04)


class TestSubspace:
    def test_every_input_lies_in_one_subspace(self):
        xs, query = draw(laws.SubspaceInputs(5, 2), batch=20, length=8)
        everything = np.concatenate([xs, query[:, None]], axis=1)
        singular = np.linalg.svd(everything, compute_uv=False)
        assert (singular[:, 1] > 0.1).all()
        assert singular[:, 2:].max() < 1e-12

    def test_moments(self):
        d, k = 5, 2
        xs, query = draw(laws.SubspaceInputs(d, k))
        assert_mean(outer(query, query), np.eye(d))
        assert_mean((xs[:, 0] ** 2).sum(1), d)
        assert_mean((xs[:, 0] * xs[:, 1]).sum(1) ** 2, d**2 / k)  # k eigenvalues d/k

    def test_full_dimension_is_the_standard_law(self):
        xs, _ = draw(laws.SubspaceInputs(3, 3))
        assert_mean((xs[:, 0] * xs[:, 1]).sum(1) ** 2, 3.0)


def test_rotations_are_uniform():
    """Haar moments: E q = 0, E q^2 = 1/d, E q^4 = 3/(d(d+2)), also for the first column."""
    d = 3
    q = laws.haar_orthogonal(BATCH, d, generators(1).data, F64).numpy()
    assert np.abs(q @ q.transpose(0, 2, 1) - np.eye(d)).max() < 1e-13
    assert_mean(q, 0.0)
    assert_mean(q**2, 1 / d)
    assert_mean(q**4, 3 / (d * (d + 2)))
    assert_mean(np.linalg.det(q), 0.0)


class TestOrthant:
    def test_one_orthant_a_prompt(self):
        xs, query = draw(laws.OrthantInputs(3), batch=200, length=5)
        assert (np.sign(xs) == np.sign(xs[:, :1])).all()
        patterns, counts = np.unique(np.sign(xs[:, 0]), axis=0, return_counts=True)
        assert len(patterns) == 8 and counts.min() > 5
        assert (np.sign(query) != np.sign(xs[:, 0])).any(axis=1).mean() > 0.7  # 7/8

    def test_moments(self):
        d = 3
        xs, query = draw(laws.OrthantInputs(d))
        assert_mean(np.abs(xs), math.sqrt(2 / math.pi))
        assert_mean((xs[:, 0] ** 2).sum(1), d)
        assert_mean((xs[:, 0] * xs[:, 1]).sum(1), d * 2 / math.pi)
        assert_mean(xs[:, 0], 0.0)
        assert_mean(outer(query, query), np.eye(d))
        assert_mean(outer(query, xs[:, 0]), 0.0)


class TestOrthogonalQuery:
    @pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (F64, 1e-12)])
    @pytest.mark.parametrize(("d", "length"), [(2, 1), (8, 7), (20, 19), (20, 5)])
    def test_orthogonal_and_of_norm_root_d(self, d, length, dtype, limit):
        xs, query = laws.OrthogonalQuery(d).sample(100, length, generators(2).data, dtype)
        assert xs.dtype == query.dtype == dtype
        cosine = torch.einsum("bnd,bd->bn", xs, query) / xs.norm(dim=-1) / d**0.5
        assert cosine.abs().max() < limit
        assert query.norm(dim=-1).numpy() == pytest.approx(d**0.5, rel=1e-5)

    def test_moments(self):
        xs, query = draw(laws.OrthogonalQuery(3))
        assert_mean(outer(xs[:, 0], xs[:, 0]), np.eye(3))
        assert_mean(outer(query, query), np.eye(3))

    @pytest.mark.parametrize("length", [3, 4])
    def test_there_must_be_room(self, length):
        with pytest.raises(ValueError, match=f"length must be below d = 3.*got {length}"):
            draw(laws.OrthogonalQuery(3), length=length)


class TestRepeatedQuery:
    def test_query_is_a_uniformly_chosen_row(self):
        batch, length = 8000, 4
        xs, query = draw(laws.RepeatedQuery(3), batch=batch, length=length)
        same = (xs == query[:, None]).all(-1)
        assert (same.sum(1) == 1).all()
        assert_mean(same, 1 / length)
        assert_mean(outer(query, query), np.eye(3))


def test_scaled_inputs_are_the_same_draws_times_the_scale():
    inner = laws.GaussianInputs(LAM, LAM_Q)
    law = laws.ScaledInputs(inner, 3.0)
    assert law.d == 3
    for got, base in zip(draw(law, 5), draw(inner, 5), strict=True):
        assert got == pytest.approx(3.0 * base, rel=1e-15)


ALL_LAWS = [
    laws.GaussianInputs(LAM),
    laws.RandomDiagonalInputs(3),
    laws.SkewedInputs(3),
    laws.SubspaceInputs(3, 2),
    laws.OrthantInputs(3),
    laws.OrthogonalQuery(3),
    laws.RepeatedQuery(3),
    laws.ScaledInputs(laws.SkewedInputs(3), 2.0),
]


@pytest.mark.parametrize("law", ALL_LAWS, ids=lambda law: type(law).__name__)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_shapes_dtypes_and_reproducibility(law, dtype):
    first = law.sample(4, 2, generators(3).data, dtype)
    again = law.sample(4, 2, generators(3).data, dtype)
    other = law.sample(4, 2, generators(4).data, dtype)
    assert first.xs.shape == (4, 2, 3) and first.x_query.shape == (4, 3)
    assert first.xs.dtype == first.x_query.dtype == dtype
    assert torch.equal(first.xs, again.xs) and torch.equal(first.x_query, again.x_query)
    assert not torch.equal(first.xs, other.xs)


def test_sampling_leaves_the_global_generators_alone():
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    expected = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    for law in ALL_LAWS:
        LinearRegression(law, noise_std=1.0).sample(2, 2, generators(0))
    assert (torch.rand(1), np.random.rand()) == expected  # noqa: NPY002


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: laws.GaussianInputs(np.ones((2, 3))), "covariance must be a square"),
        (lambda: laws.GaussianInputs(np.diag([1.0, 0.0])), "covariance must be positive definite"),
        (lambda: laws.GaussianInputs([[1.0, 2.0], [0.0, 1.0]]), "covariance must be symmetric"),
        (lambda: laws.GaussianInputs("a"), "covariance must be an array"),
        (lambda: laws.GaussianInputs(np.eye(2), np.eye(3)), "query_covariance must have shape"),
        (lambda: laws.GaussianInputs(np.eye(2), -np.eye(2)), "query_covariance must be positive s"),
        (lambda: laws.RandomDiagonalInputs(0), "d must be an integer of at least 1, got 0"),
        (lambda: laws.RandomDiagonalInputs(2, 0.0), "scale must be above 0"),
        (lambda: laws.SkewedInputs(2.5), "d must be an integer"),
        (lambda: laws.SubspaceInputs(0, 1), "d must be an integer"),
        (lambda: laws.SubspaceInputs(3, 0), "k must be an integer"),
        (lambda: laws.SubspaceInputs(3, 4), "k must be at most d = 3, got 4"),
        (lambda: laws.OrthantInputs(-1), "d must be an integer"),
        (lambda: laws.OrthogonalQuery(None), "d must be an integer"),
        (lambda: laws.RepeatedQuery(True), "d must be an integer"),
        (lambda: laws.ScaledInputs(laws.OrthantInputs(2), -1.0), "scale must be above 0"),
        (lambda: gaussian_task(np.eye(2)).sample(0, 3, generators(0)), "batch must be an integer"),
        (lambda: gaussian_task(np.eye(2)).sample(3, 0, generators(0)), "length must be an integer"),
        (lambda: gaussian_task(np.eye(2)).sample(3, 2, None), "generator must be a torch.Gen"),
        (lambda: gaussian_task(np.eye(2)).sample(3, 2.0, generators(0)), "length must be an int"),
    ],
)
def test_bad_laws(make, message):
    with pytest.raises(ValueError, match=message):
        make()
