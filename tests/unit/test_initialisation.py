"""The start of training: Assumption 3.3 of Zhang et al. 2024."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from icl_lib.models.single_layer import QueryLSA, paper_initialisation, random_theta
from icl_lib.tasks.randomness import generators

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def prompt(batch=(), n=6, d=3, seed=0):
    everything = normal(*batch, n + 1, d + 1, seed=seed)
    return everything[..., :n, :d], everything[..., :n, d], everything[..., n, :d]


class TestInitialisation:
    def test_facts_of_assumption_3_3(self):
        d, sigma = 4, 0.3
        theta = random_theta(d, generators(0).data, F64)
        w_pv, w_kq = (w.numpy() for w in paper_initialisation(d, sigma, theta))
        assert w_pv[d, d] == pytest.approx(sigma) and np.count_nonzero(w_pv) == 1
        assert np.count_nonzero(w_kq[d]) == 0 and np.count_nonzero(w_kq[:, d]) == 0
        u11 = w_kq[:d, :d]
        assert u11 == pytest.approx(sigma * theta.numpy() @ theta.numpy().T, abs=1e-15)
        assert np.linalg.norm(u11) ** 2 == pytest.approx(w_pv[d, d] ** 2, rel=1e-12)  # balance
        assert np.abs(u11 - u11.T).max() < 1e-15 and np.linalg.eigvalsh(u11).min() > -1e-15

    def test_theta_is_normalised_in_the_frobenius_norm_of_its_gram(self):
        for seed in range(5):
            theta = random_theta(5, generators(seed).data, F64).numpy()
            assert np.linalg.norm(theta @ theta.T) == pytest.approx(1.0, rel=1e-13)
        a = random_theta(5, generators(1).data)
        assert a.dtype == torch.float32 and torch.equal(a, random_theta(5, generators(1).data))

    def test_dtype_follows_theta(self):
        for dtype in (torch.float32, F64):
            theta = random_theta(2, generators(0).data, dtype)
            assert {w.dtype for w in paper_initialisation(2, 0.1, theta)} == {dtype}

    def test_the_even_blocks_stay_zero_under_population_symmetry(self):
        """Averaged over w and -w, the loss has no gradient along u12 and u21 from this start."""
        xs, _, x_query = prompt((50,), 6, 3)
        w = normal(50, 3, seed=9)
        model = QueryLSA(*paper_initialisation(3, 0.3, random_theta(3, generators(0).data, F64)))
        loss = 0.0
        for sign in (1.0, -1.0):
            ys = sign * torch.einsum("bnd,bd->bn", xs, w)
            target = sign * (x_query * w).sum(-1)
            loss = loss + (model(xs, ys, x_query) - target).square().mean()
        loss.backward()
        assert model.u12.grad.abs().max() < 1e-13 and model.u21.grad.abs().max() < 1e-13
        assert model.u11.grad.abs().max() > 1e-3

    @pytest.mark.parametrize(
        ("d", "sigma", "theta", "message"),
        [
            (0, 0.1, torch.eye(1), "d must be an integer"),
            (2, 0.0, torch.eye(2) / 2**0.25, "sigma must be above 0"),
            (2, 0.1, torch.eye(3), r"theta must have shape \(2, 2\), got \(3, 3\)"),
            (2, 0.1, torch.eye(2), "theta theta.T must have Frobenius norm 1, got 1.41421"),
        ],
    )
    def test_bad_starts(self, d, sigma, theta, message):
        with pytest.raises(ValueError, match=message):
            paper_initialisation(d, sigma, theta)
