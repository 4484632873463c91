"""Both forms of the mesa-layer: gradients, limits, chunks, float32 accuracy, memory, bad input."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mesa_oracles import by_autograd, example, gradients, relative_error

from icl_lib.layers import recursive_mesa as recursion
from icl_lib.layers.linear import linear_attention
from icl_lib.layers.mesa import mesa_attention, recursive_mesa

F64 = torch.float64
CHUNKED = partial(mesa_attention, chunk=3)
FORMS = [recursive_mesa, mesa_attention, CHUNKED]
IDS = ["recursive", "one chunk", "chunks of 3"]
forms = pytest.mark.parametrize("form", FORMS, ids=IDS)


class TestGradients:
    @forms
    def test_gradcheck(self, form):
        q, k, v, gamma = (x.requires_grad_() for x in example((2,), 5))
        lam = torch.tensor([0.5, 2.0], dtype=F64, requires_grad=True)
        assert torch.autograd.gradcheck(form, (q, k, v, lam, gamma))
        assert torch.autograd.gradcheck(form, (q, k, v, lam))

    @forms
    def test_no_gradient_where_none_is_wanted(self, form):
        q, k, v, gamma = example()
        k.requires_grad_()
        form(q, k, v, 1.0, gamma).sum().backward()
        assert k.grad.isfinite().all() and gamma.grad is None

    @forms
    def test_lambda_shared_by_all_collects_their_gradients(self, form):
        q, k, v, _ = example((2, 3), 5)
        lam = torch.tensor(0.7, dtype=F64)
        _, one = gradients(lambda a: form(q, k, v, a), lam)
        _, each = gradients(lambda a: form(q, k, v, a), lam.expand(2, 3))
        assert one[0].shape == () and float(one[0]) == pytest.approx(float(each[0].sum()))


SHAPES = {
    "batch": st.lists(st.integers(1, 3), max_size=2),
    "length": st.integers(1, 12),
    "d": st.integers(1, 5),
    "d_v": st.integers(1, 5),
    "chunk": st.integers(1, 15),
    "forget": st.booleans(),
}


class TestForm:
    @settings(deadline=None, max_examples=30)
    @given(**SHAPES)
    def test_the_chunk_size_does_not_matter(self, batch, length, d, d_v, chunk, forget):
        q, k, v, gamma = example(batch, length, d, d_v, seed=length)
        arguments = (q, k, v, 1.5, gamma if forget else None)
        got = mesa_attention(*arguments, chunk=chunk)
        assert got.shape == v.shape and got.dtype == F64
        assert torch.allclose(got, by_autograd(*arguments), rtol=1e-9, atol=1e-11)
        assert torch.allclose(got, recursive_mesa(*arguments), rtol=1e-9, atol=1e-11)

    @pytest.mark.parametrize("forget", [False, True])
    def test_gradients_do_not_depend_on_the_chunk_size(self, forget):
        q, k, v, gamma = example((2,), 11, 4, 3)
        lam = torch.tensor([0.3, 4.0], dtype=F64)
        inputs = (q, k, v, lam, gamma) if forget else (q, k, v, lam)
        _, expected = gradients(by_autograd, *inputs)
        for chunk in (1, 2, 4, 11, 20):
            _, got = gradients(partial(mesa_attention, chunk=chunk), *inputs)
            for a, b in zip(got, expected, strict=True):
                assert torch.allclose(a, b, rtol=1e-9, atol=1e-10)

    @forms
    @pytest.mark.parametrize("shape", [(), (3,), (2, 1), (2, 3), (1, 1)])
    def test_lambda_broadcasts_with_the_leading_axes(self, form, shape):
        q, k, v, gamma = example((2, 3))
        lam = 0.5 + torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=F64)
        got, full = form(q, k, v, lam, gamma), lam.expand(2, 3)
        for i in range(2):
            for j in range(3):
                one = by_autograd(*(x[i, j] for x in (q, k, v)), full[i, j], gamma[i, j])
                assert torch.allclose(got[i, j], one, atol=1e-12)

    @pytest.mark.parametrize("block", [1, 20, 50, 200])
    @pytest.mark.parametrize("forget", [False, True])
    def test_work_in_blocks_of_rows_and_of_chunks(self, monkeypatch, block, forget):
        """A chunk of 3 has 9 numbers: blocks of one chunk, of rows, and of several chunks."""
        monkeypatch.setattr("icl_lib.layers.mesa.BLOCK", block)
        q, k, v, gamma = example((5,), 14)
        lam = torch.linspace(0.5, 2.0, 5, dtype=F64)
        inputs = (q, k, v, lam, gamma) if forget else (q, k, v, lam)
        expected, expected_grads = gradients(by_autograd, *inputs)
        for form in (mesa_attention, CHUNKED):
            got, grads = gradients(form, *inputs)
            assert torch.allclose(got, expected, atol=1e-12)
            assert all(map(partial(torch.allclose, atol=1e-10), grads, expected_grads))

    @forms
    def test_the_future_is_not_seen(self, form):
        inputs = example(length=8)
        before = form(*inputs[:3], 1.0, inputs[3])
        changed = [x.clone() for x in inputs]
        for x in changed[:3]:
            x[5:] += 2.0
        changed[3][5:] *= 0.5
        after = form(*changed[:3], 1.0, changed[3])
        assert torch.allclose(after[:5], before[:5], rtol=0, atol=1e-13)
        assert ((after - before)[5:].abs() > 1e-3).any(-1).all()

    @forms
    def test_dtype(self, form):
        q, k, v, gamma = example(dtype=torch.float32)
        assert form(q, k, v, 1.0, gamma).dtype == torch.float32
        lam = torch.tensor(1.0, dtype=F64, requires_grad=True)
        form(q, k, v, lam).sum().backward()
        assert lam.grad.dtype == F64 and lam.grad != 0


@forms
def test_small_lambda_is_linear_attention(form):
    """o/lambda tends to linear attention, and the error halves with lambda (digest, row 23)."""
    q, k, v, _ = example((2,), 10)
    limit = linear_attention(q, k, v, causal=True)
    errors = [relative_error(form(q, k, v, lam) / lam, limit) for lam in (2e-4, 1e-4, 5e-5)]
    assert errors[0] < 1e-2
    for wide, narrow in zip(errors, errors[1:], strict=False):
        assert wide / narrow == pytest.approx(2.0, rel=0.01)


@forms
def test_large_lambda_is_least_squares(form):
    """With more pairs than dimensions and no noise the teacher is found."""
    q, k, _, _ = example(length=9)
    teacher = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], dtype=F64)
    got = form(q, k, k @ teacher.T, 1e9)
    assert torch.allclose(got[3:], (q @ teacher.T)[3:], atol=1e-4)


@pytest.mark.parametrize("gamma", [0.5, 0.3, 0.1, 1e-3])
def test_strong_forgetting_shortens_the_chunks(gamma):
    """The product of gamma over 32 positions would leave no digit: shorter chunks are taken."""
    q, k, v, _ = example(length=20)
    decay = torch.full((20,), gamma, dtype=F64)
    expected = by_autograd(q[:9], k[:9], v[:9], 1.0, decay[:9])
    got = mesa_attention(q, k, v, 1.0, decay)
    assert relative_error(got[:9], expected) < max(1e-9, 1e-13 / gamma**3)
    assert relative_error(mesa_attention(q[:9], k[:9], v[:9], 1.0, decay[:9], chunk=9), got[:9]) < (
        max(1e-9, 1e-13 / gamma**3)
    )


def collinear(length=64, d=8, d_v=4):
    """Keys that all but point the same way, in float32."""
    q, k, v, _ = example((), length, d, d_v, seed=3)
    return [x.float() for x in (q, k[:1] + 1e-3 * k, v)]


@forms
@pytest.mark.parametrize("lam", [1e-3, 1.0, 1e3])
def test_accuracy_in_float32(form, lam):
    """At most 10 kappa eps, and not worse than a direct solution in float32 (2x and 1e-6 slack)."""
    inputs = collinear()
    q, k, v = (x.double() for x in inputs)
    expected = by_autograd(q, k, v, lam)
    systems = (k[:, :, None] * k[:, None, :]).cumsum(0) + torch.eye(8, dtype=F64) / lam
    kappa = float(torch.linalg.cond(systems).max())
    error = relative_error(form(*inputs, lam), expected)
    assert error <= max(1e-4, 10 * kappa * torch.finfo(torch.float32).eps)
    q, k, v = inputs
    systems = (k[:, :, None] * k[:, None, :]).cumsum(0) + torch.eye(8) / lam
    cross = (v[:, :, None] * k[:, None, :]).cumsum(0)
    direct = (cross @ torch.linalg.solve(systems, q.unsqueeze(-1)))[..., 0]
    rival = relative_error(direct, expected)
    print(f"lambda {lam:g}: kappa {kappa:.1e}, error {error:.1e}, direct solve {rival:.1e}")
    if form is not recursive_mesa:  # the recursion in float32 promises the first bound alone
        assert error <= 2 * rival + 1e-6


@pytest.mark.parametrize(("dtype", "low", "high"), [(torch.float32, 1e-7, 1e-4), (F64, 0, 1e-12)])
def test_the_recursion_run_backwards_ends_at_lambda(monkeypatch, dtype, low, high):
    """R_0 = lambda I is found again, with a drift of about 1e-5 in float32 (digest, row 5)."""
    seen = []

    def spy(d_inverse, inverse, before, key, scale, original=recursion._step_gradient):
        seen.append(before)
        return original(d_inverse, inverse, before, key, scale)

    monkeypatch.setattr(recursion, "_step_gradient", spy)
    q, k, v, _ = example((4,), 50, 8, 8, dtype=dtype)
    recursive_mesa(q.requires_grad_(), k.requires_grad_(), v, 1.0).sum().backward()
    assert len(seen) == 50
    drift = float((seen[-1] - torch.eye(8, dtype=dtype)).abs().max().detach())
    print(f"drift of R_0 in {dtype}: {drift:.1e}")
    assert low <= drift < high


@pytest.mark.parametrize("forget", [False, True])
def test_memory_kept_for_the_backward_pass(forget):
    """Linear in T: below 8 arrays of the queries' size and one d x d state a chunk."""
    rows, d, chunk = 6, 16, 16

    def numbers(length):
        q, k, v, _ = example((rows,), length, d, d, dtype=torch.float32)
        gamma = torch.full((rows, length), 0.9)
        kept = []

        def pack(tensor):
            kept.append(tensor.numel() * tensor.element_size() / 4)
            return tensor

        leaves = [x.requires_grad_() for x in (q, k, v)]
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            mesa_attention(*leaves, 1.0, gamma if forget else None, chunk=chunk)
        return sum(kept)

    sizes = {length: numbers(length) for length in (64, 128, 256)}
    for length, size in sizes.items():
        assert 0 < size < 8 * rows * length * d + rows * (length // chunk) * d * d
    assert sizes[256] - sizes[128] == pytest.approx(2 * (sizes[128] - sizes[64]))


GOOD = {"q": (2, 4, 3), "k": (2, 4, 3), "v": (2, 4, 2)}
BAD = [
    ({"k": (2, 4, 2)}, {}, "keys must have the shape of queries"),
    ({"v": (2, 5, 2)}, {}, r"values must have shape \(2, 4\)"),
    ({"q": (3,), "k": (3,), "v": (3,)}, {}, r"queries must have shape \(..., T, d\)"),
    ({"q": (2, 0, 3), "k": (2, 0, 3), "v": (2, 0, 2)}, {}, "queries must have .* no axis empty"),
    ({"q": (0, 4, 3), "k": (0, 4, 3), "v": (0, 4, 2)}, {}, "queries must have .* no axis empty"),
    ({}, {"lam": 0.0}, "lam must be above 0, got 0.0"),
    ({}, {"lam": -1.0}, "lam must be above 0"),
    ({}, {"lam": math.nan}, "lam must be a finite number"),
    ({}, {"lam": math.inf}, "lam must be a finite number"),
    ({}, {"lam": torch.tensor([1.0, -0.1])}, "lam must be positive, .* from -0.1 to 1"),
    ({}, {"lam": torch.ones(3)}, r"lam must broadcast with shape \(2,\), got \(3,\)"),
    ({}, {"lam": torch.ones(2, 4)}, r"lam must broadcast with shape \(2,\), got \(2, 4\)"),
    ({}, {"forgetting": torch.ones(4)}, r"forgetting must have shape \(2, 4\), got \(4,\)"),
    ({}, {"forgetting": torch.full((2, 4), 1.1)}, r"forgetting must lie in \(0, 1\]"),
    ({}, {"forgetting": torch.zeros(2, 4)}, r"forgetting must lie in \(0, 1\]"),
    ({}, {"forgetting": torch.full((2, 4), math.nan)}, r"forgetting must lie in \(0, 1\]"),
]


@pytest.mark.parametrize("form", [recursive_mesa, mesa_attention])
@pytest.mark.parametrize(("shapes", "options", "message"), BAD)
def test_bad_input(form, shapes, options, message):
    tensors = [torch.ones(shape) for shape in (GOOD | shapes).values()]
    with pytest.raises(ValueError, match=message):
        form(*tensors, **({"lam": 1.0} | options))


@pytest.mark.parametrize("chunk", [0, -1, 2.0])
def test_bad_chunks(chunk):
    with pytest.raises(ValueError, match="chunk must be an integer of at least 1"):
        mesa_attention(*example()[:3], 1.0, chunk=chunk)
