"""Attention stacks on constructed tokens: by loops, symmetries, causality, clipping, names."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mesa_oracles import by_cho_solve

from icl_lib.layers.attention import AttentionLayer
from icl_lib.models.config import TransformerConfig
from icl_lib.models.transformer import Transformer

F64 = torch.float64
MIXED = ("softmax", "linear", "mesa")


def build(layers=("linear",), seed=0, **options):
    """A small float64 model with weights that are large enough to matter."""
    options = {"n": 3, "heads": 2, "key_size": 4, "init_std": 0.3} | options
    config = TransformerConfig.constructed(layers, **options)
    model = Transformer(config, torch.Generator().manual_seed(seed)).double()
    with torch.no_grad():
        for block in layers_of(model):
            if block.kind == "mesa":
                block.log_lambda.copy_(torch.linspace(-1, 1, config.heads))
    return model


def layers_of(model):
    return [block.attention for block in model.blocks]


def states(batch=2, length=6, n=3, seed=9):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, length, n, generator=generator, dtype=F64)


def heads_of(block, tokens):
    """Yield P_h and the head's queries, keys, values (T, n_a) for tokens (T, w), in NumPy."""
    for w_q, w_k, w_v, p in zip(block.w_q, block.w_k, block.w_v, block.p, strict=True):
        yield p.detach().numpy(), *((tokens @ w.T).detach().numpy() for w in (w_q, w_k, w_v))


class TestLayer:
    def test_linear_by_loops(self):
        model = build()
        tokens = model.streams(states())[0]
        got = layers_of(model)[0](tokens).detach().numpy()
        for b in range(2):
            expected = np.zeros((6, 12))
            for p, q, k, v in heads_of(layers_of(model)[0], tokens[b]):
                for t in range(6):
                    for s in range(t + 1):
                        expected[t] += p @ v[s] * (k[s] @ q[t])
            assert got[b] == pytest.approx(expected, abs=1e-13)

    def test_softmax_equals_torch(self):
        model = build(("softmax",))
        tokens, block = model.streams(states())[0], layers_of(model)[0]
        expected = torch.zeros_like(tokens)
        for head in range(2):
            q, k, v = (tokens @ w[head].T for w in (block.w_q, block.w_k, block.w_v))
            mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            expected = expected + mixed @ block.p[head].T
        assert torch.allclose(block(tokens), expected, atol=1e-13)

    def test_mesa_is_least_squares_on_its_keys_and_values(self):
        model = build(("mesa",))
        tokens, block = model.streams(states())[0], layers_of(model)[0]
        got = block(tokens).detach().numpy()
        for b in range(2):
            expected = np.zeros((6, 12))
            for head, (p, q, k, v) in enumerate(heads_of(block, tokens[b])):
                lam = math.exp(float(block.log_lambda[head].detach()))
                expected += by_cho_solve(q, k, v, lam) @ p.T
            assert got[b] == pytest.approx(expected, abs=1e-12)

    def test_lambda_starts_at_one_and_learns(self):
        block = AttentionLayer("mesa", 12, 2, 4)
        assert block.log_lambda.tolist() == [0.0, 0.0]
        model = build(("mesa",))
        model(states()).square().sum().backward()
        assert (layers_of(model)[0].log_lambda.grad != 0).all()

    def test_products(self):
        block = layers_of(build())[0]
        key_query, value = block.products()
        for head in range(2):
            w_q, w_k, w_v, p = (
                w[head].detach() for w in (block.w_q, block.w_k, block.w_v, block.p)
            )
            expected = sum(torch.outer(w_k[i], w_q[i]) for i in range(4))
            assert torch.allclose(key_query[head], expected, atol=1e-14)
            expected = sum(torch.outer(p[:, i], w_v[i]) for i in range(4))
            assert torch.allclose(value[head], expected, atol=1e-14)


@pytest.mark.parametrize("layers", [("linear", "linear"), ("softmax",)])
def test_only_the_products_matter(layers):
    """W_q -> M W_q, W_k -> M^-T W_k and P -> P N, W_v -> N^-1 W_v change nothing."""
    model = build(layers)
    before = model(states())
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for block in layers_of(model):
            m, n = torch.randn(2, 2, 4, 4, generator=generator, dtype=F64)
            block.w_q.copy_(m @ block.w_q)
            block.w_k.copy_(torch.linalg.inv(m).mT @ block.w_k)
            block.p.copy_(block.p @ n)
            block.w_v.copy_(torch.linalg.inv(n) @ block.w_v)
    assert torch.allclose(model(states()), before, rtol=1e-9, atol=1e-10)
    with torch.no_grad():
        layers_of(model)[0].w_q.mul_(1.5)
    assert not torch.allclose(model(states()), before, atol=1e-3)


class TestStack:
    def test_kinds_can_be_mixed(self):
        model = build(MIXED)
        assert [layer.kind for layer in layers_of(model)] == list(MIXED)
        streams = model.streams(states())
        assert len(streams) == 4 and all(s.shape == (2, 6, 12) for s in streams)
        for block, before, after in zip(layers_of(model), streams, streams[1:], strict=False):
            expected = torch.clamp(before + block(before), -4.0, 4.0)
            assert torch.equal(after, expected) and not torch.equal(after, before)
        assert torch.equal(model(states()), streams[-1][..., :3])

    @pytest.mark.parametrize("layers", [("linear",), ("softmax",), ("mesa",), MIXED])
    def test_the_future_is_not_seen(self, layers):
        model = build(layers)
        before, changed = model(states()), states()
        changed[:, 4:] += 1.0
        after = model(changed)
        assert torch.allclose(after[:, :4], before[:, :4], rtol=0, atol=1e-12)
        assert ((after - before)[:, 4:].abs() > 1e-3).any(-1).all()

    def test_clipping_bounds_the_stream(self):
        kinds = ("softmax", "linear")
        loud, bounded = (build(kinds, clip=clip, init_std=2.0) for clip in (None, 0.5))
        assert max(float(s.detach().abs().max()) for s in loud.streams(states())) > 10
        streams = bounded.streams(states())
        assert torch.equal(streams[0], loud.streams(states())[0])  # the tokens are not clipped
        assert all(float(s.detach().abs().max()) == 0.5 for s in streams[1:])

    def test_tokens(self):
        s = states()
        previous = torch.cat([torch.zeros(2, 1, 3, dtype=F64), s[:, :-1]], dim=1)
        zero = torch.zeros_like(s)
        expected = torch.cat([zero, s, s, previous], dim=-1)
        assert torch.equal(build().streams(s)[0], expected)
        expected = torch.cat([zero, zero, s, previous], dim=-1)
        assert torch.equal(build(reads="two-channel").streams(s)[0], expected)

    def test_gradcheck(self):
        model = build(MIXED, n=2, heads=1, key_size=2)
        inputs = states(1, 3, 2).requires_grad_()
        assert torch.autograd.gradcheck(model, (inputs,))

    @pytest.mark.parametrize("shape", [(6, 3), (2, 6, 4), (1, 2, 6, 3)])
    def test_bad_states(self, shape):
        with pytest.raises(ValueError, match=r"states must have shape \(B, T, 3\), got"):
            build()(torch.zeros(shape, dtype=F64))


class TestWeights:
    def test_a_function_of_the_generator(self):
        first, again, other = (build(MIXED, seed).state_dict() for seed in (0, 0, 1))
        torch.manual_seed(3)
        assert all(torch.equal(first[key], again[key]) for key in first)
        assert not torch.equal(first["blocks.0.attention.w_q"], other["blocks.0.attention.w_q"])

    def test_initial_spread(self):
        model = Transformer(
            TransformerConfig.constructed(("linear",) * 2), torch.Generator().manual_seed(0)
        )
        for weight in model.parameters():
            count = weight.numel()
            z = (float(weight.detach().square().mean()) / 1e-4 - 1) * math.sqrt(count / 2)
            assert abs(z) < 4 and abs(float(weight.detach().mean())) < 4 * 0.01 / math.sqrt(count)

    def test_names(self):
        """The checkpoints rely on these names and shapes."""
        got = {
            name: tuple(value.shape)
            for name, value in build(("linear", "mesa")).state_dict().items()
        }
        matrices = {"w_q": (2, 4, 12), "w_k": (2, 4, 12), "w_v": (2, 4, 12), "p": (2, 12, 4)}
        expected = {
            f"blocks.{i}.attention.{name}": shape
            for i in (0, 1)
            for name, shape in matrices.items()
        }
        assert got == expected | {"blocks.1.attention.log_lambda": (2,)}

    def test_size_of_the_paper(self):
        """3200 weights a head with key size 20 (digest, section 0)."""
        model = Transformer(TransformerConfig.constructed(("linear",)))
        assert sum(weight.numel() for weight in model.parameters()) == 4 * 3200
        assert model.config.width == 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ()}, r"layers must be one or more of .*, got \(\)"),
        ({"layers": ("linear", "gru")}, "layers must be one or more of"),
        ({"layers": "linear"}, "layers must be one or more of"),
        ({"n": 0}, "n must be an integer"),
        ({"heads": 1.5}, "heads must be an integer"),
        ({"key_size": -1}, "key_size must be an integer"),
        ({"reads": "raw"}, "reads must be one of .*, got 'raw'"),
        ({"width": 39}, "width must be 4 n = 40 for constructed tokens, got 39"),
        ({"clip": 0.0}, "clip must be above 0"),
        ({"init_std": 0.0}, "init_std must be above 0"),
    ],
)
def test_bad_configurations(options, message):
    with pytest.raises(ValueError, match=message):
        TransformerConfig.constructed(**({"layers": ("linear",)} | options))
