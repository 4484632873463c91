"""The linear self-attention layer against index loops in NumPy and against its own other forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_lib.models.single_layer import (
    FactoredLSA,
    MergedLSA,
    QueryLSA,
    lsa,
    predict,
    predict_query,
)
from icl_lib.tasks.tokens import prompt_matrix

F64 = torch.float64
SIZES = {
    "n": st.integers(1, 7),
    "d": st.integers(1, 5),
    "batch": st.lists(st.integers(1, 3), max_size=2),
    "seed": st.integers(0, 999),
}


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def prompt(batch=(), n=6, d=3, seed=0):
    everything = normal(*batch, n + 1, d + 1, seed=seed)
    return everything[..., :n, :d], everything[..., :n, d], everything[..., n, :d]


def matrices(d, seed=1):
    return normal(d + 1, d + 1, seed=seed), normal(d + 1, d + 1, seed=seed + 5000)


def blocks(w_pv, w_kq):
    """Return u11, u12, u21, u of Lemma 5.1, cut by index from the merged matrices."""
    d = w_pv.shape[0] - 1
    return w_kq[:d, :d], w_pv[d, :d], w_kq[d, :d], w_pv[d, d]


def lsa_by_loops(tokens, w_pv, w_kq, rho):
    """Eq. (3.3), one entry at a time, in plain Python numbers."""
    rows, columns = tokens.shape
    out = tokens.copy()
    for i in range(rows):
        for j in range(columns):
            for t in range(columns):
                value = sum(w_pv[i, a] * tokens[a, t] for a in range(rows))
                score = sum(
                    tokens[a, t] * w_kq[a, b] * tokens[b, j]
                    for a in range(rows)
                    for b in range(rows)
                )
                out[i, j] += value * score / rho
    return out


@pytest.mark.parametrize(("n", "d"), [(1, 1), (4, 1), (2, 3), (5, 2)])
def test_lsa_by_loops(n, d):
    tokens, (w_pv, w_kq) = prompt_matrix(*prompt(n=n, d=d)), matrices(d)
    expected = lsa_by_loops(tokens.numpy(), w_pv.numpy(), w_kq.numpy(), 2.5)
    assert lsa(tokens, w_pv, w_kq, 2.5).numpy() == pytest.approx(expected, abs=1e-11)
    expected = lsa_by_loops(tokens.numpy(), w_pv.numpy(), w_kq.numpy(), n)[-1, -1]
    assert float(predict(*prompt(n=n, d=d), w_pv, w_kq)) == pytest.approx(expected, abs=1e-11)


@settings(deadline=None, max_examples=40)
@given(**SIZES)
def test_all_forms_agree(n, d, batch, seed):
    data = prompt(batch, n, d, seed)
    w_p, w_v = matrices(d, seed + 1)
    w_k, w_q = matrices(d, seed + 2)
    w_pv, w_kq = w_p @ w_v, w_k.T @ w_q
    expected = predict(*data, w_pv, w_kq)
    assert expected.shape == tuple(batch)
    query_form = QueryLSA(w_pv, w_kq)
    for got in (
        predict_query(*data, *blocks(w_pv, w_kq)),
        query_form(*data),
        MergedLSA(w_pv, w_kq)(*data),
        MergedLSA(*query_form.full_matrices())(*data),
        FactoredLSA(w_p, w_v, w_k, w_q)(*data),
    ):
        scale = 1.0 + float(expected.abs().max())
        assert got.shape == tuple(batch)
        assert float((got - expected).detach().abs().max()) < 1e-12 * scale


def test_factored_merges_to_the_named_products():
    w_p, w_v = matrices(3, 1)
    w_k, w_q = matrices(3, 2)
    w_pv, w_kq = FactoredLSA(w_p, w_v, w_k, w_q).merged()
    assert w_pv.detach().numpy() == pytest.approx(w_p.numpy() @ w_v.numpy(), abs=1e-13)
    assert w_kq.detach().numpy() == pytest.approx(w_k.numpy().T @ w_q.numpy(), abs=1e-13)


def test_batches_are_independent():
    xs, ys, x_query = prompt((3,), 4, 2)
    weights = matrices(2)
    together = predict(xs, ys, x_query, *weights)
    for i in range(3):
        assert torch.allclose(together[i], predict(xs[i], ys[i], x_query[i], *weights), atol=1e-13)


def test_the_order_of_the_examples_does_not_matter():
    xs, ys, x_query = prompt((2,), 6, 3)
    order = torch.tensor([5, 2, 0, 1, 4, 3])
    parts = blocks(*matrices(3))
    shuffled = predict_query(xs[:, order], ys[:, order], x_query, *parts)
    assert torch.allclose(shuffled, predict_query(xs, ys, x_query, *parts), atol=1e-12)


def test_which_weights_matter():
    """Only the last row of W_PV and the first d columns of W_KQ reach the prediction."""
    d, data = 3, prompt((4,))
    w_pv, w_kq = matrices(d)
    before = predict(*data, w_pv, w_kq)
    for i in range(d + 1):
        for j in range(d + 1):
            changed_pv, changed_kq = w_pv.clone(), w_kq.clone()
            changed_pv[i, j] += 1.0
            changed_kq[i, j] += 1.0
            same_pv = torch.allclose(predict(*data, changed_pv, w_kq), before, atol=1e-12)
            same_kq = torch.allclose(predict(*data, w_pv, changed_kq), before, atol=1e-12)
            assert same_pv == (i < d)
            assert same_kq == (j == d)


@pytest.mark.parametrize("c", [0.25, -3.0, 1e3])
def test_scaling_symmetry(c):
    data, (w_pv, w_kq) = prompt((4,)), matrices(3)
    expected = predict(*data, w_pv, w_kq)
    assert torch.allclose(predict(*data, c * w_pv, w_kq / c), expected, rtol=1e-11)


def test_labels_scale_the_linear_part():
    """With u12 = u21 = 0 the prediction is linear in the labels (task scaling is exact)."""
    xs, ys, x_query = prompt((4,))
    u11 = normal(3, 3)
    zero, u = torch.zeros(3, dtype=F64), torch.tensor(0.7, dtype=F64)
    once = predict_query(xs, ys, x_query, u11, zero, zero, u)
    assert torch.allclose(predict_query(xs, 5 * ys, x_query, u11, zero, zero, u), 5 * once)
    by_hand = torch.einsum("bn,bnd,de,be->b", ys, xs, 0.7 * u11, x_query) / xs.shape[1]
    assert torch.allclose(once, by_hand, atol=1e-13)


@settings(deadline=None, max_examples=20)
@given(n=st.integers(1, 6), d=st.integers(1, 4), seed=st.integers(0, 999))
def test_quadratic_form(n, d, seed):
    """Lemma 5.1: y-hat = vec(U)^T H vec(U), H = X kron E E^T / (2 n); its negative eigenvalues."""
    xs, ys, x_query = prompt((), n, d, seed)
    u_matrix = normal(d + 1, d + 1, seed=seed + 1).numpy()
    x_matrix = np.zeros((d + 1, d + 1))
    x_matrix[:d, d] = x_matrix[d, :d] = x_query.numpy()
    tokens = prompt_matrix(xs, ys, x_query).numpy()
    h = np.kron(x_matrix, tokens @ tokens.T) / (2 * n)
    vec = u_matrix.T.ravel()  # columns stacked
    u_torch = torch.tensor(u_matrix)
    parts = u_torch[:d, :d], u_torch[:d, d], u_torch[d, :d], u_torch[d, d]
    got = float(predict_query(xs, ys, x_query, *parts))
    assert got == pytest.approx(vec @ h @ vec, abs=1e-11 * (1 + np.abs(h).max()))
    values = np.linalg.eigvalsh(h)
    negative = (values < -1e-11 * np.abs(values).max()).sum()
    assert negative == np.linalg.matrix_rank(tokens)


class TestModules:
    def test_parameters_are_copies_with_fixed_names(self):
        w_pv, w_kq = matrices(3)
        query, merged = QueryLSA(w_pv, w_kq), MergedLSA(w_pv, w_kq)
        assert {k: tuple(v.shape) for k, v in query.state_dict().items()} == {
            "u11": (3, 3),
            "u12": (3,),
            "u21": (3,),
            "u": (),
        }
        assert set(merged.state_dict()) == {"w_pv", "w_kq"}
        assert sum(p.numel() for p in query.parameters()) == 16  # (d+1)^2
        with torch.no_grad():
            query.u11.zero_()
            merged.w_kq.zero_()
        assert w_kq.abs().min() > 0

    def test_full_matrices_are_zero_where_nobody_looks(self):
        w_pv, w_kq = matrices(3)
        full_pv, full_kq = QueryLSA(w_pv, w_kq).full_matrices()
        assert torch.equal(full_pv[-1], w_pv[-1]) and full_pv[:-1].abs().max() == 0
        assert torch.equal(full_kq[:, :-1], w_kq[:, :-1]) and full_kq[:, -1].abs().max() == 0
        assert not full_pv.requires_grad and full_pv.dtype == F64

    def test_preconditioner_is_the_part_linear_in_w(self):
        """Half the difference between w and -w is (mean y x)^T A x_query."""
        xs, _, x_query = prompt((5,))
        w = normal(5, 3, seed=3)
        ys = torch.einsum("bnd,bd->bn", xs, w)
        model = QueryLSA(*matrices(3))
        odd = (model(xs, ys, x_query) - model(xs, -ys, x_query)) / 2
        moment = torch.einsum("bn,bnd->bd", ys, xs) / xs.shape[1]
        a = model.preconditioner()
        assert not a.requires_grad
        expected = torch.einsum("bd,de,be->b", moment, a, x_query)
        assert torch.allclose(odd, expected, atol=1e-12)

    def test_gradients_agree_between_forms(self):
        data, (w_pv, w_kq) = prompt((3,)), matrices(3)
        merged, query = MergedLSA(w_pv, w_kq), QueryLSA(w_pv, w_kq)
        for model in (merged, query):
            model(*data).square().sum().backward()
        for full, block in zip(
            blocks(merged.w_pv.grad, merged.w_kq.grad),
            (query.u11.grad, query.u12.grad, query.u21.grad, query.u.grad),
            strict=True,
        ):
            assert torch.allclose(full, block, rtol=1e-10)
        assert merged.w_pv.grad[:-1].abs().max() == 0
        assert merged.w_kq.grad[:, -1].abs().max() == 0

    def test_gradcheck(self):
        xs, ys, x_query = (t.detach().requires_grad_() for t in prompt((2,), 3, 2))
        weights = [w.requires_grad_() for w in matrices(2)]
        assert torch.autograd.gradcheck(predict, (xs, ys, x_query, *weights))
        parts = [p.detach().clone().requires_grad_() for p in blocks(*matrices(2))]
        assert torch.autograd.gradcheck(predict_query, (xs, ys, x_query, *parts))
        assert torch.autograd.gradgradcheck(predict_query, (xs, ys, x_query, *parts))


@pytest.mark.parametrize("rho", [0.0, -2.0, float("nan")])
def test_bad_normaliser(rho):
    with pytest.raises(ValueError, match="rho must be"):
        lsa(prompt_matrix(*prompt()), *matrices(3), rho)


def test_matrices_that_do_not_fit():
    tokens = prompt_matrix(*prompt())
    right, wrong = normal(4, 4), normal(3, 3)
    with pytest.raises(ValueError, match=r"w_pv must have shape \(4, 4\), got \(3, 3\)"):
        lsa(tokens, wrong, right, 1.0)
    with pytest.raises(ValueError, match=r"w_kq must have shape \(4, 4\), got \(3, 3\)"):
        lsa(tokens, right, wrong, 1.0)


def test_prompts_that_do_not_fit():
    xs, ys, x_query = prompt((2,))
    for model in (QueryLSA(*matrices(3)), MergedLSA(*matrices(3))):
        with pytest.raises(ValueError, match="ys must have shape"):
            model(xs, ys[:, :-1], x_query)
        with pytest.raises(ValueError, match="x_query must have shape"):
            model(xs, ys, x_query[0])
        with pytest.raises(ValueError, match="xs must have shape .* no axis empty"):
            model(xs[:, :0], ys[:, :0], x_query)
