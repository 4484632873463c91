"""Attention against PyTorch's own and against loops that sum one pair of tokens at a time."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_lib.layers.linear import linear_attention, multi_head_linear_attention
from icl_lib.layers.softmax import causal_mask, check_qkv, softmax_attention

F64 = torch.float64
SHAPES = {
    "batch": st.lists(st.integers(1, 3), max_size=2),
    "length": st.integers(1, 6),
    "d_k": st.integers(1, 5),
    "d_v": st.integers(1, 5),
    "causal": st.booleans(),
}


def qkv(batch=(), length=5, d_k=3, d_v=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(*batch, length, d_k), (*batch, length, d_k), (*batch, length, d_v)]
    return [torch.randn(shape, generator=generator, dtype=F64) for shape in shapes]


@settings(deadline=None, max_examples=40)
@given(**SHAPES)
def test_softmax_equals_torch(batch, length, d_k, d_v, causal):
    inputs = qkv(batch, length, d_k, d_v)
    expected = torch.nn.functional.scaled_dot_product_attention(*inputs, is_causal=causal)
    assert torch.allclose(softmax_attention(*inputs, causal=causal), expected, atol=1e-13)


@pytest.mark.parametrize("causal", [False, True])
def test_softmax_by_hand(causal):
    q, k, v = qkv()
    got = softmax_attention(q, k, v, causal=causal)
    for t in range(5):
        seen = range(t + 1) if causal else range(5)
        weights = {s: math.exp(float(q[t] @ k[s]) / math.sqrt(3)) for s in seen}
        total = sum(weights.values())
        expected = sum(weight / total * v[s] for s, weight in weights.items())
        assert torch.allclose(got[t], expected, atol=1e-13)


@settings(deadline=None, max_examples=40)
@given(**SHAPES, normaliser=st.floats(0.1, 50))
def test_linear_equals_a_loop(batch, length, d_k, d_v, causal, normaliser):
    q, k, v = qkv(batch, length, d_k, d_v)
    got = linear_attention(q, k, v, causal=causal, normaliser=normaliser)
    expected = torch.zeros_like(v)
    for t in range(length):
        for s in range(t + 1 if causal else length):
            score = (q[..., t, :] * k[..., s, :]).sum(-1, keepdim=True)
            expected[..., t, :] += score * v[..., s, :] / normaliser
    assert torch.allclose(got, expected, atol=1e-11)


@pytest.mark.parametrize("attention", [softmax_attention, linear_attention])
def test_the_future_is_not_seen(attention):
    """Changing tokens after t changes no output up to t, and does change later ones."""
    inputs = qkv(length=6)
    before = attention(*inputs, causal=True)
    free = attention(*inputs, causal=False)
    for t in range(5):
        perturbed = [x.clone() for x in inputs]
        for x in perturbed:
            x[t + 1 :] += 3.0
        after = attention(*perturbed, causal=True)
        assert torch.equal(after[: t + 1], before[: t + 1])
        assert (after[t + 1 :] != before[t + 1 :]).all()
        assert not torch.allclose(attention(*perturbed, causal=False)[: t + 1], free[: t + 1])


@pytest.mark.parametrize("attention", [softmax_attention, linear_attention])
@pytest.mark.parametrize("causal", [False, True])
def test_gradcheck(attention, causal):
    inputs = [x.requires_grad_() for x in qkv((2,), 4)]
    assert torch.autograd.gradcheck(lambda *x: attention(*x, causal=causal), inputs)


def test_softmax_survives_large_scores():
    q, k, v = qkv()
    out = softmax_attention(1e4 * q, 1e4 * k, v, causal=True)
    assert out.isfinite().all()


def test_causal_mask():
    assert causal_mask(3).tolist() == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


BAD = [
    ((4, 3), (4, 2), (4, 2), r"keys must have the shape of queries, \(4, 3\), got \(4, 2\)"),
    ((4, 3), (5, 3), (5, 2), r"keys must have the shape of queries"),
    ((4, 3), (4, 3), (5, 2), r"values must have shape \(4,\) \+ \(d_v,\), got \(5, 2\)"),
    ((2, 4, 3), (2, 4, 3), (4, 2), r"values must have shape \(2, 4\)"),
]


@pytest.mark.parametrize(("q", "k", "v", "message"), BAD)
def test_bad_shapes(q, k, v, message):
    tensors = [torch.zeros(shape) for shape in (q, k, v)]
    with pytest.raises(ValueError, match=message):
        check_qkv(*tensors)
    for attention in (softmax_attention, linear_attention):
        with pytest.raises(ValueError, match=message):
            attention(*tensors, causal=True)


@pytest.mark.parametrize("normaliser", [0.0, -1.0, math.nan, math.inf, "a"])
def test_bad_normaliser(normaliser):
    with pytest.raises(ValueError, match="normaliser must be"):
        linear_attention(*qkv(), causal=False, normaliser=normaliser)


class TestLinearHeads:
    def projections(self, batch=2, length=6, heads=3, size=4, seed=0):
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(batch, length, 3, heads, size, generator=generator, dtype=F64)

    @settings(deadline=None, max_examples=25)
    @given(
        batch=st.integers(1, 3),
        length=st.integers(1, 7),
        heads=st.integers(1, 4),
        size=st.integers(1, 5),
    )
    def test_equals_linear_attention_a_head_at_a_time(self, batch, length, heads, size):
        """Outputs side by side, and the gradients of a weighted sum of them."""
        parts = self.projections(batch, length, heads, size).requires_grad_()
        weights = self.projections(batch, length, heads, size, seed=1)[:, :, 0].flatten(2)
        got = multi_head_linear_attention(parts)
        single = [
            linear_attention(*parts[:, :, :, head].unbind(2), causal=True) for head in range(heads)
        ]
        expected = torch.cat(single, dim=-1)
        assert torch.allclose(got, expected, atol=1e-12)
        (ours,) = torch.autograd.grad((got * weights).sum(), parts)
        (theirs,) = torch.autograd.grad((expected * weights).sum(), parts)
        assert torch.allclose(ours, theirs, atol=1e-11)

    def test_gradcheck(self):
        parts = self.projections(2, 4, 2, 3).requires_grad_()
        assert torch.autograd.gradcheck(multi_head_linear_attention, (parts,))

    @pytest.mark.parametrize("shape", [(2, 5, 3, 4), (2, 5, 2, 3, 4), (3, 2, 5, 3, 4, 1)])
    def test_bad_shape(self, shape):
        with pytest.raises(ValueError, match=r"projections must have shape \(B, T, 3, H, n_a\)"):
            multi_head_linear_attention(torch.zeros(shape))
