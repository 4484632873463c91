"""Weights written by hand, against gradient descent and against the optima of two papers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from theory_oracles import EXAMPLE, EXAMPLE_GAMMA_INVERSE, EXAMPLE_N, random_covariance

from icl_lib.models.constructions import one_gd_step, preconditioned_step
from icl_lib.models.single_layer import predict
from icl_lib.tasks.randomness import generators
from icl_lib.tasks.regression import gaussian_task
from icl_lib.tasks.tokens import prompt_matrix
from icl_lib.theory import optimum, solvers

F64 = torch.float64


def prompts(covariance, length=7, noise_std=0.5):
    return gaussian_task(covariance, noise_std=noise_std).sample(20, length, generators(0), F64)


@pytest.mark.parametrize("d", [1, 3, 6])
@pytest.mark.parametrize("step_size", [0.1, 1.0, 2.5])
def test_one_gd_step_is_gradient_descent(d, step_size):
    p = prompts(np.eye(d))
    got = predict(p.xs, p.ys, p.x_query, *one_gd_step(d, step_size)).numpy()
    expected = solvers.gradient_descent(p.xs, p.ys, p.x_query, step_size)
    assert np.abs(got - expected).max() < 1e-12


def test_one_gd_step_is_minus_a_gradient():
    """The same step once more, from autograd on the mean squared error."""
    p = prompts(np.eye(3))
    w = torch.zeros(20, 3, dtype=F64, requires_grad=True)
    residual = torch.einsum("bnd,bd->bn", p.xs, w) - p.ys
    (residual.square().mean(1) / 2).sum().backward()
    expected = -0.3 * (w.grad * p.x_query).sum(-1)
    got = predict(p.xs, p.ys, p.x_query, *one_gd_step(3, 0.3))
    assert torch.allclose(got, expected, atol=1e-13)


def test_a_construction_is_one_matrix_and_one_number():
    w_pv, w_kq = one_gd_step(3, 0.5)
    assert w_pv.dtype == w_kq.dtype == F64
    assert w_pv[3, 3] == 1 and w_pv.count_nonzero() == 1
    assert torch.equal(w_kq[:3, :3], 0.5 * torch.eye(3, dtype=F64)) and w_kq.count_nonzero() == 3
    assert one_gd_step(2, 1.0, torch.float32)[0].dtype == torch.float32


def test_preconditioner_that_is_not_symmetric():
    """The prediction is (mean y x)^T A x_query, in this order."""
    p = prompts(np.eye(3))
    a = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    got = predict(p.xs, p.ys, p.x_query, *preconditioned_step(a)).numpy()
    moment = (p.xs * p.ys.unsqueeze(-1)).mean(1).numpy()
    expected = [b @ a.numpy() @ q for b, q in zip(moment, p.x_query.numpy(), strict=True)]
    assert got == pytest.approx(np.array(expected), abs=1e-12)


def test_zhangs_optimum_is_the_preconditioned_step_with_the_digests_numbers():
    p = prompts(EXAMPLE, EXAMPLE_N)
    weights = optimum.optimal_weights(EXAMPLE, EXAMPLE_N)
    zhang = predict(p.xs, p.ys, p.x_query, *(torch.tensor(w) for w in weights))
    step = predict(p.xs, p.ys, p.x_query, *preconditioned_step(torch.tensor(EXAMPLE_GAMMA_INVERSE)))
    assert torch.allclose(zhang, step, atol=1e-3)


def test_zhangs_optimum_equals_ahns_with_the_query_masked_out():
    """Ahn et al. 2023, Theorem 1: the query is no key, and A = U diag(1/(...)) U^T."""
    n, covariance = 9, random_covariance(np.random.default_rng(3), 4)
    values, basis = np.linalg.eigh(covariance)
    a = (basis / ((n + 1) / n * values + values.sum() / n)) @ basis.T
    p = prompts(covariance, n)
    tokens = prompt_matrix(p.xs, p.ys, p.x_query)  # (B, d+1, n+1)
    mask = torch.eye(n + 1, dtype=F64)
    mask[n, n] = 0.0
    w_p, w_q = torch.zeros(2, 5, 5, dtype=F64)
    w_p[-1, -1], w_q[:4, :4] = 1.0, torch.tensor(a)
    masked = w_p @ tokens @ mask @ (tokens.mT @ w_q @ tokens) / n
    weights = optimum.optimal_weights(covariance, n)
    zhang = predict(p.xs, p.ys, p.x_query, *(torch.tensor(w) for w in weights))
    assert torch.allclose(masked[:, -1, -1], zhang, atol=1e-12)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 2)])
def test_bad_preconditioners(shape):
    with pytest.raises(ValueError, match=r"preconditioner must have shape \(d, d\), got"):
        preconditioned_step(torch.zeros(shape))


@pytest.mark.parametrize(
    ("d", "step_size", "message"),
    [
        (0, 1.0, "d must be an integer"),
        (2.0, 1.0, "d must be"),
        (2, 0.0, "step_size must be above"),
        (2, float("inf"), "step_size must be a finite"),
    ],
)
def test_bad_steps(d, step_size, message):
    with pytest.raises(ValueError, match=message):
        one_gd_step(d, step_size)
