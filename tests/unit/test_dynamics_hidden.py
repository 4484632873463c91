"""Partially observed and nonlinear systems: by hand, by least squares, and their noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from icl_lib.tasks.dynamics import NonlinearDynamics, PartiallyObserved
from icl_lib.tasks.randomness import generators
from icl_lib.tasks.tokens import stacked_observations

F64 = torch.float64


def advance(matrices, states):
    """Return M h for matrices (B, n, n) and states (B, T, n)."""
    return torch.einsum("bij,btj->bti", matrices, states)


class TestPartiallyObserved:
    def test_one_matrix_c_a_sequence(self):
        """s = C h: least squares of the states on the hidden states finds C without a remainder."""
        s = PartiallyObserved(observation_noise_std=0.0).sample(40, 50, generators(0), F64)
        observe = torch.linalg.lstsq(s.hidden, s.states).solution.mT  # (B, n_s, n_h)
        assert observe.shape == (40, 5, 15) and s.states.shape == (40, 51, 5)
        assert torch.allclose(s.states, advance(observe, s.hidden), atol=1e-10)
        assert stats.kstest(observe.flatten().numpy() / 0.5, "norm").pvalue > 1e-3
        assert not torch.allclose(observe[0], observe[1])
        wide = PartiallyObserved(observation_std=1.0, observation_noise_std=0.0)
        again = wide.sample(40, 50, generators(0), F64)
        assert torch.allclose(again.states, 2 * s.states, atol=1e-12)

    def test_noise_leaves_the_observation_matrix_alone(self):
        quiet, loud = (
            PartiallyObserved(6, 2, noise, 0.0).sample(6, 9, generators(4), F64)
            for noise in (0.0, 0.5)
        )
        assert torch.equal(quiet.states[:, 0], loud.states[:, 0])

    def test_hidden_states_are_linear_dynamics(self):
        s = PartiallyObserved(noise_std=0.02).sample(100, 30, generators(0), F64)
        noise = s.hidden[:, 1:] - advance(s.w_star, s.hidden[:, :-1])
        assert stats.kstest(noise.flatten().numpy() / 0.02, "norm").pvalue > 1e-3

    def test_noise_of_the_observations(self):
        clean = PartiallyObserved(observation_noise_std=0.0).sample(100, 30, generators(0), F64)
        noisy = PartiallyObserved(observation_noise_std=0.3).sample(100, 30, generators(0), F64)
        noise = (noisy.states - clean.states).flatten().numpy()
        assert stats.kstest(noise / 0.3, "norm").pvalue > 1e-3

    @pytest.mark.parametrize(("k", "exists"), [(2, False), (3, True), (4, True)])
    def test_stacked_observations_have_linear_dynamics(self, k, exists):
        """z_{t+1} = Phi z_t for one Phi if and only if k n_s >= n_h = 15, without noise."""
        s = PartiallyObserved(noise_std=0.0, observation_noise_std=0.0)
        states = s.sample(4, 80, generators(0), F64).states
        z = stacked_observations(states, k)[:, k - 1 :].numpy()  # the first ones hold zeros
        for rows in z:
            assert np.linalg.matrix_rank(rows, tol=1e-8) == min(5 * k, 15)
            fit = np.linalg.lstsq(rows[:-1], rows[1:], rcond=1e-10)[0]
            remainder = np.abs(rows[1:] - rows[:-1] @ fit).max()
            assert (remainder < 1e-8) if exists else (remainder > 0.01)


class TestNonlinear:
    def test_by_hand(self):
        """f(h) = B GELU(A h) / |.| with the tanh form of GELU; s_{t+1} = W f(s_t)."""
        task = NonlinearDynamics(4, noise_std=0.0)
        s = task.sample(5, 8, generators(0), F64)
        a, b = (weight.numpy() for weight in task.weights)
        assert a.shape == (16, 4) and b.shape == (4, 16)
        for w, states in zip(s.w_star.numpy(), s.states.numpy(), strict=True):
            for now, later in zip(states, states[1:], strict=False):
                x = a @ now
                gelu = x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
                mixed = b @ gelu
                assert later == pytest.approx(w @ mixed / np.linalg.norm(mixed), abs=1e-12)

    def test_features_are_unit_vectors(self):
        task = NonlinearDynamics()
        s = task.sample(50, 20, generators(0), F64)
        assert torch.allclose(task.features(s.states).norm(dim=-1), torch.ones(50, 21, dtype=F64))
        assert float(s.targets.square().sum(-1).mean() / 2) == pytest.approx(0.5005, abs=0.002)

    def test_only_w_varies(self):
        task = NonlinearDynamics()
        first, second = (task.sample(3, 2, generators(seed)).w_star for seed in (0, 1))
        assert not torch.allclose(first, second) and not torch.allclose(first[0], first[1])
        for mine, same, other in zip(
            task.weights,
            NonlinearDynamics().weights,
            NonlinearDynamics(feature_seed=1).weights,
            strict=True,
        ):
            assert torch.equal(mine, same) and not torch.allclose(mine, other)
            assert stats.kstest(mine.flatten().numpy() / 1.1, "norm").pvalue > 1e-3

    def test_noise(self):
        task = NonlinearDynamics(4, noise_std=0.05)
        s = task.sample(200, 20, generators(0), F64)
        noise = s.targets - advance(s.w_star, task.features(s.inputs))
        assert stats.kstest(noise.flatten().numpy() / 0.05, "norm").pvalue > 1e-3
