"""Regression prompts: separate random streams, labels, noise, priors and the shift suite."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from moments import assert_mean, outer
from theory_oracles import random_covariance

from icl_lib.tasks import inputs as laws
from icl_lib.tasks.randomness import Generators, as_generators, generators
from icl_lib.tasks.regression import NonlinearRegression, gaussian_task
from icl_lib.tasks.shifts import garg_suite

F64 = torch.float64
BATCH = 40_000
LAM = random_covariance(np.random.default_rng(0), 3)
LAM_Q = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 0.3]])


class TestStreams:
    def test_pure_function_of_seed_and_step(self):
        def word(seed, step, stream):
            return torch.randn(3, generator=generators(seed, step)[stream]).tolist()

        seen = {tuple(word(a, b, c)) for a in range(3) for b in range(3) for c in range(3)}
        assert len(seen) == 27
        assert word(2, 1, 0) == word(2, 1, 0)

    def test_streams_are_uncorrelated(self):
        streams = generators(5)
        data, task, noise = (torch.randn(BATCH, generator=g, dtype=F64).numpy() for g in streams)
        shifted = torch.randn(BATCH, generator=generators(5, 1).data, dtype=F64).numpy()
        for a, b in [(data, task), (data, noise), (task, noise), (data, shifted)]:
            assert_mean(a * b, 0.0)

    def test_noise_leaves_inputs_and_tasks_alone(self):
        clean = gaussian_task(LAM).sample(4, 5, generators(0), F64)
        noisy = gaussian_task(LAM, noise_std=2.0).sample(4, 5, generators(0), F64)
        assert torch.equal(clean.xs, noisy.xs) and torch.equal(clean.w_star, noisy.w_star)
        assert torch.equal(clean.y_query, noisy.y_query)
        assert not torch.equal(clean.ys, noisy.ys)

    def test_another_task_leaves_inputs_and_noise_alone(self):
        a = gaussian_task(LAM, noise_std=1.0).sample(4, 5, generators(0), F64)
        b = gaussian_task(LAM, noise_std=1.0, prior=LAM_Q).sample(4, 5, generators(0), F64)
        assert torch.equal(a.xs, b.xs) and not torch.equal(a.w_star, b.w_star)
        residuals = [p.ys - (p.xs @ p.w_star.unsqueeze(-1)).squeeze(-1) for p in (a, b)]
        assert torch.allclose(*residuals, atol=1e-12)

    def test_single_generator_serves_all_three(self):
        single = torch.Generator().manual_seed(0)
        assert as_generators(single) == Generators(single, single, single)
        streams = generators(0)
        assert as_generators(streams) is streams
        with pytest.raises(ValueError, match="generator must be a torch.Generator.*got 3"):
            as_generators(3)

    @pytest.mark.parametrize("bad", [-1, 1.5, True, None])
    def test_bad_seeds_and_steps(self, bad):
        with pytest.raises(ValueError, match="seed must be an integer"):
            generators(bad)
        with pytest.raises(ValueError, match="step must be an integer"):
            generators(0, bad)


class TestLinearRegression:
    def test_labels_are_linear(self):
        p = gaussian_task(LAM).sample(6, 4, generators(0), F64)
        for b in range(6):
            w = p.w_star[b].numpy()
            assert p.ys[b].numpy() == pytest.approx([x @ w for x in p.xs[b].numpy()], abs=1e-13)
            assert float(p.y_query[b]) == pytest.approx(p.x_query[b].numpy() @ w, abs=1e-13)

    def test_weights_have_the_prior(self):
        prior = np.array([[2.0, 0.6, 0.0], [0.6, 0.5, 0.0], [0.0, 0.0, 0.0]])
        for expected, options in [
            (np.eye(3), {}),
            (9 * np.eye(3), {"weight_scale": 3.0}),
            (prior, {"prior": prior}),
            (0.25 * prior, {"prior": prior, "weight_scale": 0.5}),
        ]:
            w = gaussian_task(np.eye(3), **options).sample(BATCH, 1, generators(0), F64).w_star
            assert_mean(outer(w.numpy(), w.numpy()), expected)
            assert_mean(w.numpy(), 0.0)

    def test_fixed_weights(self):
        task = gaussian_task(np.eye(2), w_star=[1.0, -2.0], weight_scale=2.0)
        w = task.sample(3, 1, generators(0), F64).w_star
        assert w.tolist() == [[2.0, -4.0]] * 3

    @pytest.mark.parametrize("noisy_query", [False, True])
    def test_noise(self, noisy_query):
        task = gaussian_task(LAM, noise_std=0.5, noisy_query=noisy_query)
        p = task.sample(BATCH, 2, generators(0), F64)
        clean = torch.einsum("bnd,bd->bn", p.xs, p.w_star)
        noise = (p.ys - clean).numpy()
        assert_mean(noise, 0.0)
        assert_mean(noise**2, 0.25)
        assert_mean(noise[:, 0] * noise[:, 1], 0.0)
        at_query = (p.y_query - (p.x_query * p.w_star).sum(-1)).numpy()
        if noisy_query:
            assert_mean(at_query**2, 0.25)
            assert_mean(at_query * noise[:, 0], 0.0)
        else:
            assert np.abs(at_query).max() < 1e-13

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"noise_std": -1.0}, "noise_std must be at least 0, got -1.0"),
            ({"noise_std": math.nan}, "noise_std must be a finite number"),
            ({"weight_scale": 0.0}, "weight_scale must be above 0"),
            ({"prior": np.eye(2)}, r"prior must have shape \(3, 3\), got \(2, 2\)"),
            ({"prior": -np.eye(3)}, "prior must be positive semidefinite"),
            ({"prior": np.ones(3)}, "prior must have 2 axes"),
            ({"w_star": np.ones(2)}, r"w_star must have shape \(3,\), got \(2,\)"),
            ({"w_star": [1.0, math.inf, 0.0]}, "w_star must be finite"),
            ({"w_star": np.ones(3), "prior": np.eye(3)}, "prior and w_star exclude each other"),
        ],
    )
    def test_bad_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            gaussian_task(np.eye(3), **options)


class TestNonlinearRegression:
    def test_labels_and_noise(self):
        task = NonlinearRegression(laws.GaussianInputs(LAM), lambda x: x[..., 0] ** 2, 0.5)
        p = task.sample(BATCH, 1, generators(0), F64)
        assert p.w_star is None
        for x, y in [(p.xs[:, 0], p.ys[:, 0]), (p.x_query, p.y_query)]:
            noise = (y - x[:, 0] ** 2).numpy()
            assert_mean(noise, 0.0)
            assert_mean(noise**2, 0.25)

    def test_clean_query(self):
        law = laws.GaussianInputs(LAM)
        task = NonlinearRegression(law, lambda x: x.sum(-1).sin(), 0.5, noisy_query=False)
        p = task.sample(3, 2, generators(0), F64)
        assert torch.equal(p.y_query, p.x_query.sum(-1).sin())

    def test_bad_functions(self):
        law = laws.GaussianInputs(LAM)
        with pytest.raises(ValueError, match="function must be callable, got 3"):
            NonlinearRegression(law, 3)
        with pytest.raises(ValueError, match="noise_std must be at least 0"):
            NonlinearRegression(law, torch.sum, -1.0)
        with pytest.raises(ValueError, match=r"function must map shape \(\.\.\., d\) to"):
            NonlinearRegression(law, torch.sin).sample(2, 2, generators(0))


class TestGargSuite:
    D = 6

    @pytest.mark.parametrize("name", garg_suite(6))
    def test_inputs_keep_their_size(self, name):
        task = garg_suite(self.D)[name]
        p = task.sample(8000, 3, generators(0), F64)
        factor = {"1/3": 1 / 3, "1/2": 1 / 2, "2": 2.0, "3": 3.0}
        scale = factor[name.split(" x ")[1]] if name.startswith("inputs") else 1.0
        assert_mean(p.xs.numpy() ** 2, scale**2)
        assert_mean((p.x_query.numpy() ** 2).sum(1), scale**2 * self.D)
        weight = factor[name.split(" x ")[1]] if name.startswith("weights") else 1.0
        assert_mean(p.w_star.numpy() ** 2, weight**2)
        noise = p.ys - torch.einsum("bnd,bd->bn", p.xs, p.w_star)
        assert_mean(noise.numpy() ** 2, 1.0 if name == "label noise" else 0.0)
        assert torch.allclose(p.y_query, (p.x_query * p.w_star).sum(-1))

    def test_names_and_laws(self):
        suite = garg_suite(self.D)
        assert list(suite)[0] == "standard" and len(suite) == 15
        assert suite["half subspace"].inputs == laws.SubspaceInputs(6, 3)
        kinds = {name: type(task.inputs).__name__ for name, task in suite.items()}
        assert kinds["random orthant"] == "OrthantInputs"
        assert kinds["orthogonal query"] == "OrthogonalQuery"
        assert kinds["query = example"] == "RepeatedQuery"
        assert kinds["skewed covariance"] == "SkewedInputs"

    def test_dimension_one_has_no_half(self):
        with pytest.raises(ValueError, match="d must be an integer of at least 2, got 1"):
            garg_suite(1)
