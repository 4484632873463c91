"""Both forms of the mesa-layer against fla-core, statsmodels, scipy and the theory in NumPy."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from mesa_oracles import (
    by_autograd,
    by_cho_solve,
    example,
    fla_reference,
    gradients,
    relative_error,
)
from statsmodels.regression.recursive_ls import RecursiveLS

from icl_lib.layers.mesa import mesa_attention, recursive_mesa
from icl_lib.theory.linear_systems import recursive_least_squares

F64 = torch.float64
FORMS = [recursive_mesa, mesa_attention, partial(mesa_attention, chunk=5)]
forms = pytest.mark.parametrize("form", FORMS, ids=["recursive", "one chunk", "chunks of 5"])


class TestFla:
    """fla adds Lambda = 1/lambda a channel and does not forget it; it works in float32 inside."""

    SHAPE = ((2, 3), 32, 8, 8)  # batch and heads, T, d, d_v

    @staticmethod
    def theirs(function, q, k, v, lam, gamma, *, forget_prior=False, **options):
        """Call fla in our layout: its own is (B, L, H, d), with log gamma and beta (B, L, H)."""
        batch, heads, _, d = k.shape
        side = [x.transpose(1, 2).float() for x in (q, k, v, gamma.log())]
        ridge = (1 / lam.float())[:, None].expand(heads, d)
        if forget_prior:  # as a state that is there at the start, it decays like the data
            options["h_kk_init"] = torch.diag_embed(ridge).expand(batch, -1, -1, -1)
            ridge = torch.zeros_like(ridge)
        beta = torch.ones_like(side[3])
        return function(*side, ridge, beta, **options)[0].transpose(1, 2)

    @forms
    @pytest.mark.parametrize("forget", [False, True])
    def test_exact(self, form, forget):
        """Outputs and gradients; with forgetting, the regulariser is handed over as a state."""
        q, k, v, gamma = example(*self.SHAPE)
        gamma = 0.9 + gamma / 10 if forget else torch.ones_like(gamma)
        lam = torch.tensor([0.5, 1.0, 2.0], dtype=F64)
        exact = partial(
            self.theirs, fla_reference().naive_mesa_net_exact, forget_prior=forget, gamma=gamma
        )
        expected, their_grads = gradients(exact, q, k, v, lam)
        got, grads = gradients(lambda *x: form(*x, gamma if forget else None), q, k, v, lam)
        assert relative_error(got, expected) < 2e-6
        for ours, peers in zip(grads, their_grads, strict=True):
            assert relative_error(ours, peers) < 1e-5

    @forms
    def test_gradient_of_forgetting(self, form):
        q, k, v, gamma = example(*self.SHAPE)
        gamma, lam = 0.9 + gamma / 10, torch.ones(3, dtype=F64)
        exact = fla_reference().naive_mesa_net_exact
        theirs = lambda g: self.theirs(exact, q, k, v, lam, g, forget_prior=True)  # noqa: E731
        _, (expected,) = gradients(theirs, gamma)
        _, (got,) = gradients(lambda g: form(q, k, v, lam, g), gamma)
        assert relative_error(got, expected) < 1e-5

    @forms
    def test_conjugate_gradients(self, form):
        """Their solver has guards of 1e-5 in its denominators: 2e-3 (digest, row 25)."""
        q, k, v, gamma = example(*self.SHAPE)
        lam = torch.tensor([0.5, 1.0, 2.0], dtype=F64)
        cg = fla_reference().naive_mesa_net_CG
        expected = self.theirs(cg, q, k, v, lam, torch.ones_like(gamma), chunk_size=8)
        assert 1e-7 < relative_error(form(q, k, v, lam), expected) < 2e-3

    def test_their_regulariser_is_not_forgotten(self):
        """So forgetting factors must not be compared without the state at the start."""
        q, k, v, gamma = example(*self.SHAPE)
        lam = torch.ones(3, dtype=F64)
        expected = self.theirs(fla_reference().naive_mesa_net_exact, q, k, v, lam, gamma)
        assert relative_error(recursive_mesa(q, k, v, lam, gamma), expected) > 0.1


@forms
@pytest.mark.parametrize("how", ["prior", "pseudo-observations"])
def test_statsmodels(form, how):
    """RecursiveLS gives every prefix's coefficients; ridge is a prior N(0, lambda I), or d rows."""
    (q, k, v, _), lam, d = example(length=15), 0.7, 3
    queries, keys, values = (x.numpy() for x in (q, k, v))
    columns = []
    for column in values.T:
        if how == "prior":
            model = RecursiveLS(column, keys)
            model.ssm.initialize_known(np.zeros(d), lam * np.eye(d))
            coefficients = model.smooth([]).recursive_coefficients.filtered
        else:
            rows = np.vstack([np.eye(d) / lam**0.5, keys])
            fit = RecursiveLS(np.concatenate([np.zeros(d), column]), rows).fit()
            coefficients = fit.recursive_coefficients.filtered[:, d:]
        columns.append((coefficients.T * queries).sum(-1))
    got = form(q, k, v, lam).numpy()
    assert np.abs(got - np.stack(columns, axis=-1)).max() < 1e-10


@forms
@pytest.mark.parametrize("forget", [False, True])
@pytest.mark.parametrize("lam", [0.01, 1.0, 30.0])
def test_scipy(form, lam, forget):
    """cho_solve on every prefix (digest, row 24), and the theory's delta rule."""
    q, k, v, gamma = example(length=12)
    gamma = gamma if forget else None
    got = form(q, k, v, lam, gamma).numpy()
    expected = by_cho_solve(q, k, v, lam, gamma)
    assert np.abs(got - expected).max() < 1e-12 * max(1, np.abs(expected).max())
    theory = recursive_least_squares(k, v, q, 1 / lam, None if gamma is None else gamma.numpy())
    assert np.abs(got - theory).max() < 1e-11


@forms
@pytest.mark.parametrize("forget", [False, True])
def test_gradients_against_cholesky_of_every_prefix(form, forget):
    q, k, v, gamma = example((2,), 24, 4, 3)
    gamma, lam = 0.9 + gamma / 10, torch.tensor([0.3, 3.0], dtype=F64)
    inputs = (q, k, v, lam, gamma) if forget else (q, k, v, lam)
    expected, their_grads = gradients(by_autograd, *inputs)
    got, grads = gradients(form, *inputs)
    assert torch.allclose(got, expected, rtol=0, atol=1e-10)
    for ours, peers in zip(grads, their_grads, strict=True):
        assert relative_error(ours, peers) < 1e-10


def test_the_oracles_agree():
    q, k, v, gamma = example(length=6)
    ours = by_autograd(q, k, v, 0.5, gamma).numpy()
    assert ours == pytest.approx(by_cho_solve(q, k, v, 0.5, gamma), abs=1e-13)
