"""Weights written by hand, against gradient descent and against the optima of two papers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from theory_oracles import EXAMPLE, EXAMPLE_GAMMA_INVERSE, EXAMPLE_N, random_covariance

from icl_lib.models.constructions import (
    LayerWeights,
    apply_layer,
    gradient_step_layer,
    one_gd_step,
    preconditioned_step,
    readout_layer,
    richardson_layer,
    richardson_tokens,
)
from icl_lib.models.single_layer import predict
from icl_lib.tasks.randomness import generators
from icl_lib.tasks.regression import gaussian_task
from icl_lib.tasks.tokens import prompt_matrix, proposition_tokens
from icl_lib.theory import linear_systems, optimum, sequences, solvers

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


def states(batch=(2,), length=9, n=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, length, n, generator=generator, dtype=F64)


def largest(got, expected) -> float:
    return np.abs(np.asarray(got) - np.asarray(expected)).max()


class TestProposition1:
    """von Oswald et al. 2023: one linear head is one full-batch gradient step at every position."""

    @pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
    @pytest.mark.parametrize("eta", [0.03, 0.7])
    @pytest.mark.parametrize("start", [False, True])
    def test_equals_the_gradient_step(self, batch, eta, start):
        s, phi_0 = states(batch), states((), 3, 3, seed=1) * float(start)
        tokens = proposition_tokens(s, phi_0)
        after = apply_layer(tokens, gradient_step_layer(3, eta, phi_0))
        expected = sequences.gradient_step(s.numpy(), eta, phi_0.numpy())
        assert largest(after[..., :3], expected) < 1e-12
        assert torch.equal(after[..., 3:], tokens[..., 3:])  # the other channels stay

    def test_phi_0_is_zero_by_default(self):
        zero = torch.zeros(3, 3, dtype=torch.float64)
        for mine, expected in zip(
            gradient_step_layer(3, 0.1), gradient_step_layer(3, 0.1, zero), strict=True
        ):
            assert torch.equal(mine, expected)

    def test_is_minus_a_gradient(self):
        """The same step from autograd on the sum over pairs, at the last position."""
        s, phi_0 = states(()), states((), 3, 3, seed=1).requires_grad_()
        loss = (s[1:] - s[:-1] @ phi_0.T).square().sum() / 2
        (slope,) = torch.autograd.grad(loss, phi_0)
        phi_0 = phi_0.detach()
        after = apply_layer(proposition_tokens(s, phi_0), gradient_step_layer(3, 0.2, phi_0))
        assert torch.allclose(after[-1, :3], (phi_0 - 0.2 * slope) @ s[-1], atol=1e-12)


class TestProposition2:
    """A stack of layers preconditions s_t, one more reads the prediction out."""

    def run(self, s, alphas, betas, ridge):
        tokens = richardson_tokens(s)
        for alpha, beta in zip(alphas, betas, strict=True):
            tokens = apply_layer(tokens, richardson_layer(3, float(alpha), ridge, float(beta)))
        return tokens

    def systems(self, s, ridge):
        return sequences.gram_matrices(s.numpy()) + ridge * np.eye(3)

    @pytest.mark.parametrize(
        ("alphas", "betas"),
        [([0.05] * 6, [0.0] * 6), ([0.1, 0.03, 0.07], [0.0, 0.4, 0.2]), ([0.05], [0.0])],
    )
    def test_layers_are_richardson_steps(self, alphas, betas):
        s = states()
        tokens = self.run(s, alphas, betas, 0.3)
        expected = linear_systems.richardson(
            self.systems(s, 0.3), s.numpy(), len(alphas), alphas, momentum=betas
        )
        assert largest(tokens[..., :3], expected) < 1e-12
        assert torch.equal(tokens[..., 6:], richardson_tokens(s)[..., 6:])
        before = linear_systems.richardson(
            self.systems(s, 0.3), s.numpy(), len(alphas) - 1, alphas[:-1], momentum=betas[:-1]
        )
        assert largest(tokens[..., 3:6], before) < 1e-12

    def test_chebyshevs_iteration(self):
        s = states()
        systems = self.systems(s, 1.0)
        low, high = 1.0, float(np.linalg.eigvalsh(systems).max())
        alphas, betas = linear_systems.chebyshev_coefficients(8, low, high)
        tokens = self.run(s, alphas, betas, 1.0)
        expected = linear_systems.chebyshev(systems, s.numpy(), 8, low, high)
        assert largest(tokens[..., :3], expected) < 1e-12
        exact = np.linalg.solve(systems, s.numpy()[..., None])[..., 0]
        plain = self.run(s, [1 / high] * 8, [0.0] * 8, 1.0)
        assert largest(tokens[..., :3], exact) < largest(plain[..., :3], exact) / 2

    def test_read_out_after_exact_preconditioning_is_ridge_regression(self):
        s, ridge = states(), 0.1
        tokens = richardson_tokens(s)
        exact = np.linalg.solve(self.systems(s, ridge), s.numpy()[..., None])[..., 0]
        tokens[..., :3] = torch.tensor(exact)
        after = apply_layer(tokens, readout_layer(3))
        assert largest(after[..., 3:6], sequences.ridge_all_pairs(s.numpy(), ridge)) < 1e-12
        kept = [0, 1, 2, *range(6, 12)]
        assert torch.equal(after[..., kept], tokens[..., kept])

    def test_many_layers_are_ridge_regression(self):
        s = states(length=6)
        high = float(np.linalg.eigvalsh(self.systems(s, 1.0)).max())
        alphas, betas = linear_systems.chebyshev_coefficients(80, 1.0, high)
        after = apply_layer(self.run(s, alphas, betas, 1.0), readout_layer(3))
        assert largest(after[..., 3:6], sequences.ridge_all_pairs(s.numpy(), 1.0)) < 1e-10

    def test_tokens_at_the_start(self):
        tokens = richardson_tokens(torch.tensor([[5.0], [6.0]]))
        assert tokens.tolist() == [[0, 0, 5, 0], [0, 0, 6, 5]]


def test_layer_by_loops():
    generator = torch.Generator().manual_seed(0)
    weights = LayerWeights(*torch.randn(3, 4, 4, generator=generator, dtype=F64))
    tokens = states((), 5, 4)
    expected = tokens @ weights.skip.T
    for t in range(5):
        for key in tokens[: t + 1]:
            expected[t] += weights.value @ key * (key @ weights.key_query @ tokens[t])
    assert torch.allclose(apply_layer(tokens, weights), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gradient_step_layer(0, 0.1), "n must be an integer"),
        (lambda: gradient_step_layer(2, 0.0), "step_size must be above 0"),
        (
            lambda: gradient_step_layer(2, 0.1, torch.eye(3).double()),
            r"phi_0 must have shape \(2, 2\), got",
        ),
        (lambda: richardson_layer(0, 0.1, 0.1), "n must be an integer"),
        (lambda: richardson_layer(2, -0.1, 0.1), "step_size must be above 0"),
        (lambda: richardson_layer(2, 0.1, -0.1), "ridge must be at least 0"),
        (lambda: richardson_layer(2, 0.1, 0.1, -0.1), "momentum must be at least 0"),
        (lambda: readout_layer(1.5), "n must be an integer"),
        (
            lambda: apply_layer(torch.zeros(5, 8).double(), readout_layer(3)),
            r"tokens must have shape \(..., T, 12\), got \(5, 8\)",
        ),
        (lambda: apply_layer(torch.zeros(12).double(), readout_layer(3)), "tokens must have shape"),
    ],
)
def test_bad_layers(call, message):
    with pytest.raises(ValueError, match=message):
        call()
