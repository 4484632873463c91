"""The learned inverse against the theory, a position at a time, and the digest's losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from icl_lib.models.learned_inverse import LearnedInverse, prefix_sums
from icl_lib.tasks.dynamics import LinearDynamics
from icl_lib.tasks.randomness import generators
from icl_lib.theory.linear_systems import AUTHORS_COEFFICIENTS, learned_inverse
from icl_lib.theory.sequences import cross_matrices, gram_matrices

F64 = torch.float64


def build(alphas, betas, ridge=1e-3):
    model = LearnedInverse(len(alphas), ridge).double()
    with torch.no_grad():
        model.alpha.copy_(torch.tensor(alphas, dtype=F64))
        model.beta.copy_(torch.tensor(betas, dtype=F64))
    return model


def states(batch=3, length=7, n=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, length, n, generator=generator, dtype=F64)


@pytest.mark.parametrize("key", list(AUTHORS_COEFFICIENTS))
def test_inverse_equals_the_theory(key):
    model = build(*AUTHORS_COEFFICIENTS[key])
    s, gram = states(), torch.tensor(gram_matrices(states().numpy()))
    got = model.apply_inverse(gram, s).detach().numpy()
    inverses = learned_inverse(gram.numpy() + 1e-3 * np.eye(4), *AUTHORS_COEFFICIENTS[key])
    expected = (inverses @ s.numpy()[..., None])[..., 0]
    assert got == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("lagged", [True, False])
@pytest.mark.parametrize("ridge", [1e-3, 1.0])
def test_predictions_a_position_at_a_time(lagged, ridge):
    """Pairs (s_{t'-1}, s_t') up to t' = t, or up to t - 1 if lagged."""
    alphas, betas = AUTHORS_COEFFICIENTS["linear-6"]
    s = states()
    got = build(alphas, betas, ridge)(s, lagged=lagged).detach().numpy()
    for sequence, row in zip(s.numpy(), got, strict=True):
        for t in range(7):  # 0-based: s[t] is the newest state
            last = t - 1 if lagged else t
            gram, cross = ridge * np.eye(4), np.zeros((4, 4))
            for later in range(1, last + 1):
                gram = gram + np.outer(sequence[later - 1], sequence[later - 1])
                cross = cross + np.outer(sequence[later], sequence[later - 1])
            expected = cross @ learned_inverse(gram, alphas, betas) @ sequence[t]
            assert row[t] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_lagged_is_the_default_and_leaves_the_newest_pair_out():
    model = build(*AUTHORS_COEFFICIENTS["linear-2"])
    s = states()
    assert torch.equal(model(s), model(s, lagged=True))
    assert (model(s)[:, :2] == 0).all() and (model(s, lagged=False)[:, 1] != 0).all()


def test_many_plain_steps_solve_the_system():
    """alpha = 1, beta = 0 is Neumann's series, which converges for a positive definite matrix."""
    s = states(1, 7)
    model = build([1.0] * 2000, [0.0] * 2000, ridge=1.0)
    gram, cross = prefix_sums(s)
    exact = torch.linalg.solve(gram + torch.eye(4, dtype=F64), s.unsqueeze(-1))
    expected = (cross @ exact)[..., 0]
    assert torch.allclose(model(s, lagged=False), expected, atol=1e-6)


def test_prefix_sums_equal_the_theory():
    gram, cross = prefix_sums(states())
    assert gram.numpy() == pytest.approx(gram_matrices(states().numpy()), abs=1e-12)
    assert cross.numpy() == pytest.approx(cross_matrices(states().numpy()), abs=1e-12)


@pytest.mark.parametrize(("lagged", "expected"), [(False, 0.207), (True, 0.230)])
def test_losses_with_the_authors_coefficients(lagged, expected):
    """The digest's table on 4000 sequences; here 1500, so within four standard errors."""
    s = LinearDynamics().sample(1500, 50, generators(17), F64)
    with torch.no_grad():
        predictions = build(*AUTHORS_COEFFICIENTS["linear-6"])(s.inputs, lagged=lagged)
    each = (predictions - s.targets).square().sum(-1).mean(-1) / 2
    se = float(each.std()) * (1 / 1500 + 1 / 4000) ** 0.5
    print(f"lagged {lagged}: {float(each.mean()):.4f}, standard error {se:.4f}")
    assert se < 0.005 and abs(float(each.mean()) - expected) < 4 * se + 5e-4


def test_starts_as_neumanns_series_and_learns():
    model = LearnedInverse(3)
    assert model.alpha.tolist() == [1.0] * 3 and model.beta.tolist() == [0.0] * 3
    assert set(model.state_dict()) == {"alpha", "beta"}
    model(states().float()).square().sum().backward()
    assert model.alpha.grad.isfinite().all() and (model.alpha.grad != 0).all()
    assert (model.beta.grad[1:] != 0).all()


def test_gradcheck():
    model = build([1.1, 0.9], [0.0, 0.3], ridge=0.5)
    assert torch.autograd.gradcheck(model, (states(1, 4, 2).requires_grad_(),))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "steps must be an integer of at least 1, got 0"),
        ((2.0,), "steps must be an integer"),
        ((2, 0.0), "ridge must be above 0"),
        ((2, float("nan")), "ridge must be a finite number"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        LearnedInverse(*arguments)
