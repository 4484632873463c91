"""The dynamical systems: laws of W, recursions against loops, noise, first states, bad input."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from icl_lib.tasks.dynamics import (
    ContractingDynamics,
    FixedTeacher,
    LinearDynamics,
    NonlinearDynamics,
    PartiallyObserved,
    haar_orthogonal,
    linear_rollout,
)
from icl_lib.tasks.randomness import generators

F64 = torch.float64
TASKS = [
    LinearDynamics(4),
    FixedTeacher(4),
    ContractingDynamics(4),
    PartiallyObserved(6, 2),
    NonlinearDynamics(4),
]
each_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)


def advance(matrices, states):
    """Return M h for matrices (B, n, n) and states (B, T, n)."""
    return torch.einsum("bij,btj->bti", matrices, states)


@pytest.fixture(name="sample", scope="module")
def many_orthogonal_matrices():
    return haar_orthogonal(6000, 4, torch.Generator().manual_seed(0), F64)


class TestHaar:
    N, COUNT = 4, 6000

    def test_orthogonal(self, sample):
        gap = sample @ sample.mT - torch.eye(self.N, dtype=F64)
        assert float(gap.abs().max()) < 1e-12

    def test_both_signs_of_the_determinant(self, sample):
        """LAPACK's Q alone has always the same one."""
        positive = float((torch.linalg.det(sample) > 0).double().mean())
        assert abs(positive - 0.5) < 4 * 0.5 / math.sqrt(self.COUNT)

    def test_moments(self, sample):
        """E q_ij = 0, E q_ij^2 = 1/n, E q_ij^4 = 3/(n(n+2)); E tr = 0, E tr^2 = 1, E tr^4 = 3."""
        n = self.N
        trace = torch.diagonal(sample, dim1=1, dim2=2).sum(1)
        for values, moments in [
            (sample.reshape(self.COUNT, -1), (0, 1 / n, 3 / (n * (n + 2)))),
            (trace.unsqueeze(1), (0, 1, 3)),
        ]:
            for power, expected in zip((1, 2, 4), moments, strict=True):
                draws = values**power
                z = (draws.mean(0) - expected) / (draws.std(0) / math.sqrt(self.COUNT))
                assert float(z.abs().max()) < 4.5

    def test_same_law_as_scipy(self, sample):
        peers = stats.ortho_group.rvs(self.N, size=self.COUNT, random_state=1)
        ours = sample.numpy()
        for statistic in (
            lambda q: q[:, 0, 0],
            lambda q: q[:, 3, 1],
            lambda q: np.trace(q, axis1=1, axis2=2),
            lambda q: q[:, 0, 0] * q[:, 1, 1],
            lambda q: q[:, 3, 3] - q[:, 0, 2],
        ):
            assert stats.ks_2samp(statistic(ours), statistic(peers)).pvalue > 1e-3

    def test_invariance(self, sample):
        """A Q and Q A have the law of Q: the trace of both is compared."""
        peers = haar_orthogonal(self.COUNT, self.N, torch.Generator().manual_seed(7), F64)
        turn = haar_orthogonal(1, self.N, torch.Generator().manual_seed(2), F64)[0]
        trace = lambda q: torch.diagonal(q, dim1=1, dim2=2).sum(1).numpy()  # noqa: E731
        for moved in (turn @ sample, sample @ turn):
            assert stats.ks_2samp(trace(moved), trace(peers)).pvalue > 1e-3


class TestLinear:
    @settings(deadline=None, max_examples=40)
    @given(
        length=st.integers(1, 70),
        n=st.integers(1, 5),
        batch=st.integers(1, 3),
        scale=st.floats(0.2, 1.02),
    )
    def test_rollout_equals_a_loop(self, length, n, batch, scale):
        generator = torch.Generator().manual_seed(length)
        w = scale * haar_orthogonal(batch, n, generator, F64)
        w = w + 0.05 * torch.randn(batch, n, n, generator=generator, dtype=F64)
        drive = torch.randn(batch, length, n, generator=generator, dtype=F64)
        expected = np.zeros((batch, length, n))
        for b in range(batch):
            h = np.zeros(n)
            for t in range(length):
                h = w[b].numpy() @ h + drive[b, t].numpy()
                expected[b, t] = h
        got = linear_rollout(w, drive).numpy()
        assert np.abs(got - expected).max() < 1e-12 * max(1, np.abs(expected).max())

    def test_noise(self):
        """Residuals have mean 0 and standard deviation ``noise_std``, at every position."""
        sigma = 0.03
        s = LinearDynamics(4, sigma).sample(300, 40, generators(1), F64)
        noise = s.targets - advance(s.w_star, s.inputs)
        count = noise.numel()
        z_mean = float(noise.mean()) / (sigma / math.sqrt(count))
        z_variance = (float(noise.square().mean()) / sigma**2 - 1) * math.sqrt(count / 2)
        assert abs(z_mean) < 4 and abs(z_variance) < 4
        each = (noise.square().mean((0, 2)) / sigma**2 - 1) * math.sqrt(count / 40 / 2)
        assert float(each.abs().max()) < 4.5
        assert stats.kstest(noise.flatten().numpy() / sigma, "norm").pvalue > 1e-3

    @pytest.mark.parametrize(
        ("task", "law"),
        [
            (LinearDynamics(5), stats.uniform(-1, 2)),
            (LinearDynamics(5, initial="normal"), stats.norm()),
            (ContractingDynamics(5), stats.uniform(-1, 2)),
            (FixedTeacher(5), stats.uniform(-1, 2)),
            (PartiallyObserved(5, 2), stats.uniform(-1, 2)),
            (NonlinearDynamics(5), stats.uniform(-0.25, 0.5)),
            (NonlinearDynamics(5, initial="normal"), stats.norm(0, 0.25)),
        ],
    )
    def test_first_state(self, task, law):
        first = task.sample(800, 1, generators(2), F64).hidden[:, 0]
        assert stats.kstest(first.flatten().numpy(), law.cdf).pvalue > 1e-3

    def test_loss_of_predicting_zero(self):
        """n (1/3 + t sigma^2)/2: 1.667 at t = 1 and 1.692 at t = 50 (digest, section 0)."""
        s = LinearDynamics().sample(4000, 50, generators(3))
        losses = s.targets.double().square().sum(-1) / 2
        mean, se = losses.mean(0).numpy(), (losses.std(0) / math.sqrt(4000)).numpy()
        expected = 10 * (1 / 3 + 1e-4 * np.arange(1, 51)) / 2
        assert expected[[0, 49]] == pytest.approx([1.67, 1.69], abs=0.005)
        assert (se < 0.01).all() and (np.abs(mean - expected) < 4 * se).all()

    def test_a_new_matrix_for_every_sequence(self):
        w = LinearDynamics(3).sample(50, 2, generators(0)).w_star
        assert len({tuple(one.flatten().tolist()) for one in w}) == 50

    def test_states_and_hidden_states_are_the_same(self):
        s = LinearDynamics(3).sample(5, 4, generators(0))
        assert torch.equal(s.states, s.hidden)
        assert torch.equal(s.inputs, s.states[:, :4]) and torch.equal(s.targets, s.states[:, 1:])


class TestContracting:
    def test_eigenvalues(self):
        w = ContractingDynamics(5).sample(200, 1, generators(0), F64).w_star
        values = torch.linalg.eigvals(w)
        assert float(values.imag.abs().max()) < 1e-6
        rates = values.real.sort(dim=1).values
        assert float(rates.min()) > 0.3 - 1e-6
        assert torch.allclose(rates[:, -1], torch.tensor(0.9, dtype=F64), atol=1e-6)
        rest = rates[:, :-1].flatten().numpy()
        assert stats.kstest(rest, stats.uniform(0.3, 0.6).cdf).pvalue > 1e-3

    def test_not_normal(self):
        """Orthogonal eigenvectors would leave no transients."""
        w = ContractingDynamics(5).sample(50, 1, generators(0), F64).w_star
        assert float(torch.linalg.matrix_norm(w, 2).median()) > 1.0

    def test_clipping(self):
        s = ContractingDynamics(noise_std=0.0).sample(500, 50, generators(0), F64)
        free = advance(s.w_star, s.inputs)
        assert torch.allclose(s.targets, free.clamp(-2, 2), atol=1e-12)
        assert float(s.states.abs().max()) == 2.0 and float(free.abs().max()) > 2.0
        narrow = ContractingDynamics(noise_std=0.0, clip=0.5).sample(5, 5, generators(0), F64)
        assert float(narrow.states.abs().max()) == 0.5

    def test_noise(self):
        s = ContractingDynamics(4, 0.03, clip=100.0).sample(300, 10, generators(1), F64)
        noise = (s.targets - advance(s.w_star, s.inputs)).flatten().numpy()
        assert stats.kstest(noise / 0.03, "norm").pvalue > 1e-3


def test_fixed_teacher():
    """One W for all sequences and all seeds of the data; the states differ."""
    task = FixedTeacher(4)
    samples = [task.sample(6, 5, generators(seed)) for seed in (0, 1)]
    for s in samples:
        assert all(torch.equal(w, samples[0].w_star[0]) for w in s.w_star)
    assert not torch.equal(samples[0].states, samples[1].states)
    assert torch.equal(task.teacher, FixedTeacher(4).teacher)
    assert not torch.allclose(task.teacher, FixedTeacher(4, teacher_seed=1).teacher)
    assert torch.allclose(task.teacher @ task.teacher.T, torch.eye(4, dtype=F64), atol=1e-12)
    quiet = FixedTeacher(4, noise_std=0.0).sample(6, 5, generators(0), F64)
    assert torch.allclose(quiet.targets, quiet.inputs @ task.teacher.T, atol=1e-12)


@each_task
class TestStreams:
    def test_noise_leaves_systems_and_first_states_alone(self, task):
        quiet, loud = (
            replace(task, noise_std=noise_std).sample(6, 9, generators(4), F64)
            for noise_std in (0.0, 0.5)
        )
        assert torch.equal(quiet.w_star, loud.w_star)
        assert torch.equal(quiet.hidden[:, 0], loud.hidden[:, 0])
        assert not torch.allclose(quiet.hidden[:, 1:], loud.hidden[:, 1:])
        normal = replace(task, initial="normal").sample(6, 9, generators(4), F64)
        assert torch.equal(quiet.w_star, normal.w_star)

    def test_each_source_has_its_own_stream(self, task):
        """Another noise generator changes neither W nor the start."""
        other = generators(5)
        draw = lambda **streams: task.sample(6, 9, generators(4)._replace(**streams), F64)  # noqa: E731
        first, quiet = draw(), draw(noise=other.noise)
        start, system = draw(data=other.data), draw(task=other.task)
        for same in (quiet, start):
            assert torch.equal(same.w_star, first.w_star)
        for same in (quiet, system):
            assert torch.equal(same.hidden[:, 0], first.hidden[:, 0])
        assert not torch.allclose(quiet.hidden[:, 1], first.hidden[:, 1], atol=1e-4)
        assert not torch.allclose(start.hidden[:, 0], first.hidden[:, 0])
        if not isinstance(task, FixedTeacher):
            assert not torch.allclose(system.w_star, first.w_star)

    def test_a_function_of_the_generators(self, task):
        first, again, other = (task.sample(3, 4, generators(s)) for s in (0, 0, 1))
        assert torch.equal(first.states, again.states)
        assert not torch.equal(first.states, other.states)
        one = task.sample(3, 4, torch.Generator().manual_seed(0))
        assert one.states.shape == first.states.shape

    @pytest.mark.parametrize("dtype", [torch.float32, F64])
    def test_dtype_and_shapes(self, task, dtype):
        s = task.sample(3, 4, generators(0), dtype)
        assert {part.dtype for part in s} == {dtype}
        assert s.states.shape == (3, 5, task.n_observed) and s.inputs.shape[1] == 4
        assert s.w_star.shape == (3, s.hidden.shape[-1], s.hidden.shape[-1])
        assert s.states.isfinite().all()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((0, 4, generators(0)), "batch must be an integer of at least 1, got 0"),
            ((2.0, 4, generators(0)), "batch must be"),
            ((2, 0, generators(0)), "length must be an integer of at least 1, got 0"),
            ((2, 4, 7), "generator must be"),
        ],
    )
    def test_bad_samples(self, task, arguments, message):
        with pytest.raises(ValueError, match=message):
            task.sample(*arguments)


BAD = [
    (LinearDynamics, {"n": 0}, "n must be an integer of at least 1, got 0"),
    (LinearDynamics, {"noise_std": -0.1}, "noise_std must be at least 0"),
    (LinearDynamics, {"noise_std": math.nan}, "noise_std must be a finite number"),
    (LinearDynamics, {"initial": "zero"}, r"initial must be one of .*, got 'zero'"),
    (FixedTeacher, {"n": -1}, "n must be"),
    (FixedTeacher, {"teacher_seed": -1}, "teacher_seed must be an integer of at least 0"),
    (ContractingDynamics, {"clip": 0.0}, "clip must be above 0"),
    (ContractingDynamics, {"initial": 3}, "initial must be one of"),
    (PartiallyObserved, {"n_hidden": 0}, "n_hidden must be"),
    (PartiallyObserved, {"n_observed": 1.5}, "n_observed must be"),
    (PartiallyObserved, {"noise_std": -1}, "noise_std must be"),
    (PartiallyObserved, {"observation_noise_std": -1}, "observation_noise_std must be"),
    (PartiallyObserved, {"observation_std": 0.0}, "observation_std must be above 0"),
    (PartiallyObserved, {"initial": ""}, "initial must be"),
    (NonlinearDynamics, {"n": 0}, "n must be"),
    (NonlinearDynamics, {"noise_std": -1}, "noise_std must be"),
    (NonlinearDynamics, {"initial": "zero"}, "initial must be"),
    (NonlinearDynamics, {"feature_seed": -1}, "feature_seed must be"),
]


@pytest.mark.parametrize(("task", "options", "message"), BAD)
def test_bad_tasks(task, options, message):
    with pytest.raises(ValueError, match=message):
        task(**options)
