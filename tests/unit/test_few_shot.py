"""Few-shot regression: the law of the tasks, the prompts' layout, and what learners make of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from moments import assert_mean, outer
from scipy import stats
from sklearn.linear_model import Ridge
from theory_oracles import random_covariance

from icl_lib.tasks.few_shot import FewShot, FewShotRegression, few_shot_prompt, two_tasks
from icl_lib.tasks.randomness import generators
from icl_lib.theory.few_shot import pair_ridge, trajectory_floor, trajectory_limit

F64 = torch.float64
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4))


def draw(batch=400, pairs=20, n=4, noise_std=0.01, seed=0):
    return FewShotRegression(n, noise_std).sample(batch, pairs, generators(seed), F64)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class TestTask:
    def test_the_released_codes_sizes(self):
        assert FewShotRegression() == FewShotRegression(n=10, noise_std=0.01)
        few = FewShotRegression().sample(3, 7, torch.Generator().manual_seed(0))
        assert few.xs.shape == few.ys.shape == (3, 7, 10) and few.w_star.shape == (3, 10, 10)
        assert few.xs.dtype == few.ys.dtype == few.w_star.dtype == torch.float32

    def test_inputs_are_uniform(self):
        xs = draw().xs
        flat = xs.flatten().numpy()
        assert stats.kstest(flat, "uniform", args=(-1, 2)).pvalue > 1e-3
        one = xs[:, 0].numpy()  # independent of each other: covariance I / 3
        assert_mean(outer(one, one), np.eye(4) / 3)
        assert_mean(outer(one, xs[:, 1].numpy()), np.zeros((4, 4)))

    def test_one_orthogonal_matrix_a_sequence(self):
        """Haar: E tr W = 0 and E (tr W)^2 = 1, both signs of the determinant."""
        w = draw(batch=3000, pairs=1).w_star
        assert torch.allclose(w @ w.mT, torch.eye(4, dtype=F64).expand_as(w), atol=1e-12)
        trace = w.diagonal(dim1=1, dim2=2).sum(-1).numpy()
        assert_mean(np.stack([trace, trace**2, np.linalg.det(w.numpy())], axis=1), [0, 1, 0])

    @pytest.mark.parametrize("noise_std", [0.01, 0.7])
    def test_labels(self, noise_std):
        few = draw(noise_std=noise_std)
        noise = few.ys - torch.einsum("bij,bnj->bni", few.w_star, few.xs)
        assert stats.kstest(noise.flatten().numpy() / noise_std, "norm").pvalue > 1e-3

    def test_noise_leaves_tasks_and_inputs_alone(self):
        quiet, loud = draw(noise_std=0.0), draw(noise_std=0.5)
        assert torch.equal(quiet.xs, loud.xs) and torch.equal(quiet.w_star, loud.w_star)
        assert torch.equal(quiet.ys, quiet.xs @ quiet.w_star.mT)
        assert torch.equal(draw().ys, draw().ys) and not torch.equal(draw().ys, draw(seed=1).ys)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: FewShotRegression(0), "n must be an integer"),
            (lambda: FewShotRegression(2, -0.1), "noise_std must be at least 0"),
            (lambda: draw(batch=0), "batch must be an integer"),
            (lambda: draw(pairs=0), "pairs must be an integer"),
            (lambda: FewShotRegression(2).sample(1, 1, 7), "generator must be a torch.Generator"),
        ],
    )
    def test_bad_arguments(self, call, message):
        with pytest.raises(ValueError, match=message):
            call()


class TestPrompt:
    @settings(deadline=None, max_examples=50)
    @given(shape=SHAPES, separated=st.booleans(), prefix=st.one_of(st.none(), st.integers(0, 3)))
    def test_layout_by_loops(self, shape, separated, prefix):
        xs, ys = drawn(2, *shape)
        eos = drawn(shape[-1], seed=1) if separated else None
        front = None if prefix is None else drawn(prefix, shape[-1], seed=2)
        tokens, queries = few_shot_prompt(xs, ys, eos=eos, prefix=front)
        for b in range(shape[0]):
            expected = [] if front is None else list(front)
            positions = []
            for x, y in zip(xs[b], ys[b], strict=True):
                positions.append(len(expected))
                expected += [x, y] if eos is None else [x, y, eos]
            assert torch.equal(tokens[b], torch.stack(expected))
            assert queries.tolist() == positions

    def test_two_tasks_in_a_row(self):
        first, second = draw(3, 2), draw(3, 5, seed=1)
        xs, ys = two_tasks(first, second)
        assert xs.shape == ys.shape == (3, 7, 4)
        assert torch.equal(xs[:, :2], first.xs) and torch.equal(xs[:, 2:], second.xs)
        assert torch.equal(ys[:, :2], first.ys) and torch.equal(ys[:, 2:], second.ys)
        assert isinstance(first, FewShot)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"ys": torch.zeros(2, 5, 4)}, r"ys must have shape \(2, 3, 4\), got \(2, 5, 4\)"),
            ({"xs": torch.zeros(3, 4), "ys": torch.zeros(3, 4)}, r"xs must have shape \(B, N, n\)"),
            ({"eos": torch.zeros(3)}, r"eos must have shape \(4,\), got \(3,\)"),
            ({"eos": torch.zeros(1, 4)}, r"eos must have shape \(4,\), got \(1, 4\)"),
            ({"prefix": torch.zeros(4)}, r"prefix must have shape \(P, 4\), got \(4,\)"),
            ({"prefix": torch.zeros(2, 3)}, r"prefix must have shape \(P, 4\), got \(2, 3\)"),
        ],
    )
    def test_bad_shapes(self, change, message):
        arguments = {"xs": torch.zeros(2, 3, 4), "ys": torch.zeros(2, 3, 4)} | change
        with pytest.raises(ValueError, match=message):
            few_shot_prompt(arguments.pop("xs"), arguments.pop("ys"), **arguments)


def task(n=3, seed=5):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, n)), random_covariance(rng, n)


def trajectories(w_star, covariance, pairs, count, separated, seed=1):
    """Sequences x_1, y_1, (0,) x_2, y_2, ... (count, T, n) without noise."""
    rng, n = np.random.default_rng(seed), len(w_star)
    xs = rng.standard_normal((count, pairs, n)) @ np.linalg.cholesky(covariance).T
    parts = [xs, xs @ w_star.T] + [np.zeros_like(xs)] * separated
    return np.stack(parts, axis=2).reshape(count, -1, n), xs


class TestTrajectoryLearner:
    @pytest.mark.parametrize("separated", [False, True])
    def test_limit_is_what_least_squares_finds(self, separated):
        """z-test over 60 sequences of 3000 pairs; W and Sigma are general."""
        w_star, covariance = task()
        sequences, _ = trajectories(w_star, covariance, 3000, 60, separated)
        fitted = [np.linalg.lstsq(s[:-1], s[1:], rcond=None)[0].T for s in sequences]
        expected = trajectory_limit(w_star, covariance)
        assert_mean(fitted, expected)
        spread = np.std(fitted, axis=0, ddof=1) / 60**0.5
        assert spread.max() < 0.02 * np.abs(expected).max()

    def test_floor_is_its_loss(self):
        w_star, covariance = task(seed=6)
        _, xs = trajectories(w_star, covariance, 20_000, 1, False)
        wrong = xs[0] @ (w_star - trajectory_limit(w_star, covariance)).T
        assert_mean((wrong**2).sum(1) / 2, trajectory_floor(w_star, covariance))

    @pytest.mark.parametrize("n", [1, 4, 10])
    def test_orthogonal_tasks_are_learned_by_half(self, n):
        w_star = np.linalg.qr(np.random.default_rng(n).standard_normal((n, n)))[0]
        assert trajectory_limit(w_star, np.eye(n) / 3) == pytest.approx(w_star / 2, abs=1e-13)
        assert trajectory_floor(w_star, np.eye(n) / 3) == pytest.approx(n / 24, rel=1e-12)

    def test_the_limit_minimises_the_mean_loss_of_both_kinds_of_pairs(self):
        """A stationary point of E |W x - Phi x|^2 + E |x' - Phi W x|^2, by autograd."""
        w_star, covariance = (torch.tensor(part) for part in task(seed=7))
        phi = torch.tensor(trajectory_limit(w_star, covariance)).requires_grad_()
        wrong, back = w_star - phi, phi @ w_star
        loss = torch.trace(wrong @ covariance @ wrong.T) + torch.trace(back @ covariance @ back.T)
        (gradient,) = torch.autograd.grad(loss, phi)
        assert float(gradient.abs().max()) < 1e-12

    @pytest.mark.parametrize("function", [trajectory_limit, trajectory_floor])
    @pytest.mark.parametrize(
        ("w_star", "covariance", "message"),
        [
            (np.eye(3), np.eye(2), r"w_star must have shape \(2, 2\), got \(3, 3\)"),
            (np.ones(2), np.eye(2), "w_star must have 2 axes"),
            (np.full((2, 2), np.nan), np.eye(2), "w_star must be finite"),
            (np.eye(2), np.diag([1.0, 0.0]), "covariance must be positive definite"),
            (np.eye(2), np.array([[1.0, 0.5], [0.0, 1.0]]), "covariance must be symmetric"),
            (np.eye(2), np.ones((2, 3)), "covariance must be a square"),
        ],
    )
    def test_bad_arguments(self, function, w_star, covariance, message):
        with pytest.raises(ValueError, match=message):
            function(w_star, covariance)


class TestPairRidge:
    @settings(deadline=None, max_examples=25)
    @given(
        batch=st.lists(st.integers(1, 2), max_size=2),
        pairs=st.integers(1, 7),
        n=st.integers(1, 4),
        ridge=st.floats(1e-3, 10.0),
        seed=st.integers(0, 99),
    )
    def test_equals_sklearn_on_every_prefix(self, batch, pairs, n, ridge, seed):
        xs, ys = np.random.default_rng(seed).standard_normal((2, *batch, pairs, n))
        got = pair_ridge(xs, ys, ridge)
        assert got.shape == xs.shape and not got[..., 0, :].any()
        for index in np.ndindex(*batch):
            x, y = xs[index], ys[index]
            for i in range(1, pairs):
                model = Ridge(alpha=ridge, fit_intercept=False, solver="svd").fit(x[:i], y[:i])
                expected = model.predict(x[i : i + 1]).reshape(n)
                assert got[(*index, i)] == pytest.approx(expected, abs=1e-8)

    def test_finds_an_orthogonal_task_where_the_trajectory_learner_cannot(self):
        few = draw(batch=50, pairs=8, noise_std=0.0)
        errors = pair_ridge(few.xs, few.ys, 1e-9) - few.ys.numpy()
        loss = (errors**2).sum(-1).mean(0) / 2
        assert (loss[5:] < 1e-10).all()
        assert trajectory_floor(few.w_star[0], np.eye(4) / 3) == pytest.approx(4 / 24)

    @pytest.mark.parametrize(
        ("xs", "ys", "ridge", "message"),
        [
            (np.ones((3, 2)), np.ones((4, 2)), 1.0, r"ys must have the shape .*got \(4, 2\)"),
            (np.ones(2), np.ones(2), 1.0, "ys must have the shape"),
            (np.full((3, 2), np.inf), np.ones((3, 2)), 1.0, "xs must be finite"),
            (np.ones((3, 2)), np.full((3, 2), np.nan), 1.0, "ys must be finite"),
            (np.ones((3, 2)), np.ones((3, 2)), 0.0, "ridge must be above 0"),
        ],
    )
    def test_bad_arguments(self, xs, ys, ridge, message):
        with pytest.raises(ValueError, match=message):
            pair_ridge(xs, ys, ridge)
