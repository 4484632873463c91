"""What a model looks at: attention by distance by loops, gradients against functional Jacobians."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformer_oracles import F64, build, elements

from icl_lib.models.inspection import (
    element_maps,
    element_products,
    first_layer_weights,
    identity_share,
    sensitivity,
    weights_by_distance,
)


class TestWeightsByDistance:
    @settings(deadline=None, max_examples=40)
    @given(data=st.data(), length=st.integers(1, 14), heads=st.integers(1, 3))
    def test_by_loops(self, data, length, heads):
        distances = data.draw(st.integers(1, length))
        first = data.draw(st.integers(distances - 1, length - 1))
        generator = torch.Generator().manual_seed(length)
        weights = torch.rand(2, heads, length, length, generator=generator, dtype=F64)
        got = weights_by_distance(weights, distances, first)
        assert got.shape == (2, heads, distances)
        w = weights.numpy()
        for j in range(distances):
            expected = np.mean([w[..., t, t - j] for t in range(first, length)], axis=0)
            assert got[..., j].numpy() == pytest.approx(expected, abs=1e-13)

    def test_rows_from_the_eleventh_on_by_default(self):
        weights = torch.zeros(20, 20)
        weights[9] = 100.0
        assert weights_by_distance(weights, 8).tolist() == [0.0] * 8
        weights[10] = 1.0
        assert weights_by_distance(weights, 8).tolist() == pytest.approx([0.1] * 8)

    def test_uniform_attention(self):
        """Row t spreads 1/(t + 1) on every distance."""
        uniform = torch.ones(12, 12, dtype=F64).tril()
        uniform /= uniform.sum(-1, keepdim=True)
        expected = np.mean([1 / t for t in range(6, 13)])
        got = weights_by_distance(uniform, 4, first=5)
        assert got.numpy() == pytest.approx(np.full(4, expected), rel=1e-12)

    @pytest.mark.parametrize(
        ("distances", "first", "message"),
        [
            (4, 2, "first must lie between distances - 1 = 3 and 5, got 2"),
            (4, 6, "first must lie between distances - 1 = 3 and 5, got 6"),
            (7, 6, "first must lie between"),
            (0, 3, "distances must be an integer"),
        ],
    )
    def test_bad_arguments(self, distances, first, message):
        with pytest.raises(ValueError, match=message):
            weights_by_distance(torch.eye(6), distances, first)


class TestFirstLayer:
    def test_reproduces_the_first_layer(self):
        """Normalised tokens, their values weighted, heads summed: what the block then adds."""
        model, states = build(("softmax", "mesa"), layer_norm=True), elements()
        weights, layer = first_layer_weights(model, states), model.blocks[0].attention
        tokens = model.embed(states)
        centred = tokens - tokens.mean(-1, keepdim=True)
        norm = model.blocks[0].attention_norm
        seen = centred / (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt()
        seen = seen * norm.weight + norm.bias
        values = torch.einsum("hav,bsv->bhsa", layer.w_v, seen)
        update = torch.einsum("hwa,bhts,bhsa->btw", layer.p, weights, values)
        assert weights.shape == (2, 2, 6, 6)
        assert torch.allclose(tokens + update, model.streams(states)[1], atol=1e-12)

    def test_other_first_layers_have_none(self):
        with pytest.raises(ValueError, match="names must be among .*blocks.0.weights"):
            first_layer_weights(build(("mesa", "softmax")), elements())


class TestSensitivity:
    @pytest.mark.parametrize("layer", [1, 2])
    def test_against_jacrev(self, layer):
        model = build(("softmax", "softmax"), mlp=5, layer_norm=True)
        states = elements(batch=3)
        jacobian = torch.func.jacrev(lambda s: model.streams(s[None])[layer][0, -1], chunk_size=1)
        each = [jacobian(s).norm(dim=-1) for s in states]  # (width, T) each
        expected = torch.stack(each).mean((0, 1))
        got = sensitivity(model, states, layer=layer)
        assert got.shape == (6,) and torch.allclose(got, expected, atol=1e-12)

    @pytest.mark.parametrize("kind", ["linear", "mesa"])
    def test_against_the_reverse_mode_jacobian(self, kind):
        """The first block is the default; these layers have backward passes of their own."""
        model, states = build((kind, "softmax")), elements(batch=2)
        jacobian = torch.autograd.functional.jacobian
        each = [
            jacobian(lambda s: model.streams(s[None])[1][0, -1], s).norm(dim=-1) for s in states
        ]
        expected = torch.stack(each).mean((0, 1))
        assert torch.allclose(sensitivity(model, states), expected, rtol=1e-10)

    def test_without_attention_only_the_last_element_counts(self):
        """The stream is then the embedding: the mean norm of its rows at the end, 0 before."""
        model = build()
        with torch.no_grad():
            model.blocks[0].attention.p.zero_()
        expected = [0.0] * 5 + [float(model.embed.weight.detach().norm(dim=1).mean())]
        assert sensitivity(model, elements()).tolist() == pytest.approx(expected)

    def test_leaves_no_trace(self):
        model, states = build(("softmax", "mesa")), elements()
        kept = states.clone()
        sensitivity(model, states, layer=2)
        assert torch.equal(states, kept) and not states.requires_grad
        assert all(weight.grad is None for weight in model.parameters())

    @pytest.mark.parametrize("layer", [0, 3, -1])
    def test_bad_layers(self, layer):
        with pytest.raises(
            ValueError, match=f"layer must be an integer between 1 and 2, got {layer}"
        ):
            sensitivity(build(("softmax", "softmax")), elements(), layer=layer)


class WritesPairs(torch.nn.Module):
    """A layer that makes the stream current s_t + previous s_{t-1}, from a one-to-one embedding."""

    def __init__(self, current, previous):
        super().__init__()
        self.current, self.previous = current, previous

    def forward(self, stream):
        before = torch.cat([torch.zeros_like(stream[:, :1]), stream[:, :-1]], dim=1)
        return stream[..., :3] @ self.current.T + before[..., :3] @ self.previous.T - stream


class TestElementMaps:
    def test_recovers_what_was_written(self):
        model, states = build(("softmax", "mesa")), elements(4, 16)
        generator = torch.Generator().manual_seed(1)
        maps = [torch.randn(8, 3, generator=generator, dtype=F64) for _ in range(2)]
        with torch.no_grad():
            model.embed.weight.copy_(torch.eye(8, 3))
        found = element_maps(model.replace_layer(0, WritesPairs(*maps)), states)
        assert torch.allclose(found.current, maps[0], atol=1e-10)
        assert torch.allclose(found.previous, maps[1], atol=1e-10)
        assert found.unexplained == pytest.approx(0, abs=1e-20)

    @pytest.mark.parametrize("first", [1, 4])
    def test_the_fit_by_loops(self, first):
        model, states = build(("softmax", "softmax")), elements(5, 9)
        stream = model.streams(states)[1].detach().numpy()
        rows, tokens = [], []
        for b in range(5):
            for t in range(first, 9):
                rows.append([*states[b, t], *states[b, t - 1]])
                tokens.append(stream[b, t])
        solution, residual, *_ = np.linalg.lstsq(np.array(rows), np.array(tokens), rcond=None)
        found = element_maps(model, states, first)
        both = np.vstack([found.current.numpy().T, found.previous.numpy().T])
        assert both == pytest.approx(solution, abs=1e-10)
        assert found.unexplained == pytest.approx(residual.sum() / np.square(tokens).sum())
        assert 0.01 < found.unexplained < 1

    @pytest.mark.parametrize(("length", "first"), [(9, 0), (6, 5), (6, 6), (6, 9)])
    def test_bad_arguments(self, length, first):
        with pytest.raises(
            ValueError, match=f"first must be .* at least 2n = 6 tokens, got {first}"
        ):
            element_maps(build(("softmax", "mesa")), elements(2, length), first)


class TestElementProducts:
    def test_scores_and_outputs_of_pairs(self):
        """The score of two tokens made of elements, and what a value becomes at the read-out."""
        model = build(("softmax", "softmax", "mesa"))
        maps = element_maps(model, elements(5, 9), 1)
        pairs = np.random.default_rng(0).normal(size=(2, 2, 3))  # key's and query's, s_t, s_{t-1}
        key, query = (
            maps.current.numpy() @ pair[0] + maps.previous.numpy() @ pair[1] for pair in pairs
        )
        for index in (1, 2):
            found = element_products(model, index, maps)
            assert found.key_query.shape == (2, 2, 2, 3, 3) and found.written.shape == (2, 2, 3, 3)
            layer = model.blocks[index].attention
            for head in range(2):
                w_q, w_k, w_v, p = (
                    w[head].detach().numpy() for w in (layer.w_q, layer.w_k, layer.w_v, layer.p)
                )
                score = np.einsum("an,abnm,bm->", pairs[0], found.key_query[head].numpy(), pairs[1])
                assert score == pytest.approx((w_k @ key) @ (w_q @ query), rel=1e-10)
                out = np.einsum("anm,am->n", found.written[head].numpy(), pairs[0])
                assert out == pytest.approx(model.readout.weight.detach().numpy() @ p @ w_v @ key)
                both = np.hstack([maps.current.numpy(), maps.previous.numpy()])
                fit = np.linalg.lstsq(both, p @ w_v @ key, rcond=None)[0]
                added = np.einsum("banm,am->bn", found.moved[head].numpy(), pairs[0])
                assert added.ravel() == pytest.approx(fit, rel=1e-8)

    @pytest.mark.parametrize("index", [0, 2, -1])
    def test_only_layers_after_the_first(self, index):
        model = build(("softmax", "softmax"))
        maps = element_maps(model, elements(5, 9), 1)
        with pytest.raises(
            ValueError, match=f"index must be an integer between 1 and 1, got {index}"
        ):
            element_products(model, index, maps)


class TestIdentityShare:
    @settings(deadline=None, max_examples=30)
    @given(n=st.integers(1, 6), seed=st.integers(0, 10**6))
    def test_projection_on_the_identity(self, n, seed):
        matrices = np.random.default_rng(seed).normal(size=(2, 3, n, n))
        got = identity_share(torch.as_tensor(matrices)).numpy()
        assert got.shape == (2, 3)
        unit = np.eye(n) / n**0.5
        for i, j in np.ndindex(2, 3):
            cosine = (matrices[i, j] * unit).sum() / np.linalg.norm(matrices[i, j])
            assert got[i, j] == pytest.approx(cosine**2, rel=1e-9)

    def test_noise_has_one_over_n_squared(self):
        noise = torch.randn(4000, 5, 5, generator=torch.Generator().manual_seed(0), dtype=F64)
        shares = identity_share(noise)
        assert float(shares.mean()) == pytest.approx(
            1 / 25, abs=4 * float(shares.std()) / 4000**0.5
        )
