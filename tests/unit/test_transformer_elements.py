"""The transformer on raw elements: against a plain second implementation, positions, causality."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mesa_oracles import relative_error
from scipy import stats
from transformer_oracles import F64, build, elements, heads_of, reference, sines_first, vaswani

from icl_lib.layers.attention import sinusoidal_positions
from icl_lib.models.blocks import MLP
from icl_lib.models.config import TransformerConfig
from icl_lib.models.transformer import Transformer

MIXED = ("softmax", "linear", "mesa")
EVERYTHING = {"layers": MIXED, "mlp": 5, "layer_norm": True, "unit_keys": True, "clip": 0.9}
OPTIONS = [
    {"layers": ("softmax",)},
    {"layers": ("linear", "linear")},
    {"layers": ("mesa", "mesa")},
    {"layers": MIXED},
    {"layers": ("softmax", "mesa"), "mlp": 5},
    {"layers": ("softmax", "softmax"), "layer_norm": True},
    {"layers": ("linear", "softmax"), "layer_norm": True, "mlp": 5},
    {"layers": ("mesa", "softmax", "linear"), "unit_keys": True},
    {"layers": ("softmax", "linear"), "clip": 0.3, "mlp": 3},
    {"layers": ("linear",), "heads": 3, "key_size": 2, "width": 6, "n": 2},
    EVERYTHING,
]
IDS = ["-".join(f"{value}" for value in options.values()) for options in OPTIONS]


class TestForward:
    @pytest.mark.parametrize("options", OPTIONS, ids=IDS)
    def test_equals_the_second_implementation(self, options):
        model = build(**options)
        states = elements(n=model.config.n)
        got, expected = model(states).detach(), reference(model, states).detach()
        assert float(expected.abs().max()) > 0.1
        assert relative_error(got, expected) < 1e-12

    @pytest.mark.parametrize(
        "change",
        [{"mlp": 0}, {"layer_norm": False}, {"unit_keys": False}, {"clip": None}, {"clip": 0.1}],
    )
    def test_every_option_matters(self, change):
        """The same weights with one option less give another function."""
        full, other = build(**EVERYTHING), build(**(EVERYTHING | change))
        kept = {k: v for k, v in full.state_dict().items() if k in other.state_dict()}
        other.load_state_dict(kept)
        assert not torch.allclose(full(elements()), other(elements()), atol=1e-3)

    @pytest.mark.parametrize("options", OPTIONS, ids=IDS)
    def test_the_future_is_not_seen(self, options):
        model = build(**(options | {"clip": None}))
        states = elements(n=model.config.n)
        changed = states.clone()
        changed[:, 3] += 1.0
        before, after = model(states), model(changed)
        assert torch.allclose(after[:, :3], before[:, :3], rtol=0, atol=1e-12)
        assert ((after - before)[:, 3:].abs() > 1e-6).any(-1).all()

    @pytest.mark.parametrize("layers", [("softmax", "mesa"), ("linear",)])
    def test_gradcheck_of_inputs_and_weights(self, layers):
        model = build(layers, n=2, width=4, heads=1, key_size=2, mlp=2, layer_norm=True)
        names, weights = zip(*model.named_parameters(), strict=True)

        def call(states, *weights):
            named = dict(zip(names, weights, strict=True))
            return torch.func.functional_call(model, named, (states,))

        inputs = elements(1, 3, 2).requires_grad_()
        assert torch.autograd.gradcheck(call, (inputs, *weights), fast_mode=True)

    def test_streams(self):
        model, states = build(**EVERYTHING), elements()
        streams = model.streams(states)
        assert len(streams) == 4 and all(s.shape == (2, 6, 8) for s in streams)
        assert torch.equal(streams[0], states @ model.embed.weight.T)
        for block, before, after in zip(model.blocks, streams, streams[1:], strict=False):
            assert torch.equal(block(before).clamp(-0.9, 0.9), after)
        assert torch.equal(model(states), streams[-1] @ model.readout.weight.T)

    def test_clipping_bounds_the_stream_after_each_block(self):
        kinds = ("softmax", "linear")
        loud, bounded = (build(kinds, mlp=4, clip=c, init_std=2.0) for c in (None, 0.5))
        assert all(float(s.detach().abs().max()) > 10 for s in loud.streams(elements())[1:])
        streams = bounded.streams(elements())
        assert torch.equal(streams[0], loud.streams(elements())[0])  # the embedding is not clipped
        assert all(float(s.detach().abs().max()) == 0.5 for s in streams[1:])

    def test_mlp_by_hand(self):
        """x Phi(x) with the tanh approximation of Phi, written out."""
        mlp = MLP(1, 1)
        with torch.no_grad():
            mlp.up.weight.fill_(2.0), mlp.down.weight.fill_(3.0)
        x = torch.tensor([[-0.7], [0.0], [0.4]])
        z = 2 * x
        expected = 1.5 * z * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))
        assert torch.allclose(mlp(x), expected, atol=1e-6)

    @pytest.mark.parametrize("shape", [(6, 3), (2, 6, 4), (1, 2, 6, 3)])
    def test_bad_states(self, shape):
        with pytest.raises(ValueError, match=r"states must have shape \(B, T, 3\), got"):
            build()(torch.zeros(shape, dtype=F64))


class TestPositions:
    @settings(deadline=None, max_examples=30)
    @given(length=st.integers(1, 60), half=st.integers(1, 12))
    def test_vaswanis_formula_up_to_the_order(self, length, half):
        got = sinusoidal_positions(length, 2 * half, F64)
        assert torch.allclose(got, sines_first(vaswani(length, 2 * half)), atol=1e-13)

    @pytest.mark.parametrize("width", [1, 3, 7])
    def test_an_odd_width_lacks_the_last_cosine(self, width):
        even = sinusoidal_positions(9, width + 1, F64)
        assert torch.equal(sinusoidal_positions(9, width, F64), even[:, :width])

    def test_types_and_bad_sizes(self):
        assert sinusoidal_positions(3, 4).dtype == torch.float32
        exact = sinusoidal_positions(4000, 4, F64)
        assert torch.equal(sinusoidal_positions(4000, 4), exact.float())  # rounded at the end
        with pytest.raises(ValueError, match="length must be an integer of at least 1"):
            sinusoidal_positions(0, 4)
        with pytest.raises(ValueError, match="width must be an integer of at least 1"):
            sinusoidal_positions(4, 0)

    @pytest.mark.parametrize("kind", ["softmax", "linear", "mesa"])
    def test_without_codes_the_order_of_earlier_elements_is_not_seen(self, kind):
        """One layer, last prediction: a set of elements, unless queries and keys see codes."""
        model, states = build((kind,)), elements(length=5)
        shuffled = states[:, [2, 0, 3, 1, 4]]
        assert not torch.allclose(model(states)[:, -1], model(shuffled)[:, -1], atol=1e-3)
        layer = model.blocks[0].attention
        with torch.no_grad():
            layer.w_q[..., 8:], layer.w_k[..., 8:] = 0.0, 0.0
        assert torch.allclose(model(states)[:, -1], model(shuffled)[:, -1], rtol=0, atol=1e-12)

    def test_values_see_no_codes(self):
        """A first token alone: the softmax is 1, so the update is P W_v token, without a code."""
        model, states = build(), elements(length=1)
        token, layer = states @ model.embed.weight.T, model.blocks[0].attention
        expected = sum(token @ (p @ w_v).T for p, w_v in zip(layer.p, layer.w_v, strict=True))
        assert torch.allclose(layer(token), expected, atol=1e-13)

    def test_only_the_first_layer_has_room_for_codes(self):
        model = build(MIXED)
        assert [block.attention.positions for block in model.blocks] == [True, False, False]
        assert [block.attention.w_q.shape[-1] for block in model.blocks] == [16, 8, 8]
        assert [block.attention.w_k.shape[-1] for block in model.blocks] == [16, 8, 8]
        assert [block.attention.w_v.shape[-1] for block in model.blocks] == [8, 8, 8]

    def test_unit_keys_from_the_second_layer_on(self):
        model = build(("softmax", "softmax"), unit_keys=True)
        states = elements()
        stream = model.streams(states)
        for block, seen, unit in zip(model.blocks, stream, (False, True), strict=False):
            norms = block.attention.project(seen)[:, :, :2].norm(dim=-1)
            assert torch.allclose(norms, torch.ones((), dtype=F64), atol=1e-12) == unit
            values = block.attention.project(seen)[:, :, 2].norm(dim=-1)
            assert not torch.allclose(values, torch.ones((), dtype=F64), atol=1e-2)


class TestAttentionWeights:
    @pytest.mark.parametrize("index", [0, 1])
    def test_rows_are_causal_laws_and_reproduce_the_output(self, index):
        model = build(("softmax", "softmax"), unit_keys=True)
        layer, seen = model.blocks[index].attention, model.streams(elements())[index].detach()
        weights = model.run_with_cache(elements())[1][f"blocks.{index}.weights"]
        assert weights.shape == (2, 2, 6, 6)
        assert torch.allclose(weights.sum(-1), torch.ones(2, 2, 6, dtype=F64), atol=1e-13)
        assert (weights.triu(1) == 0).all() and (weights.tril() >= 0).all()
        mixed = torch.einsum("bhts,hav,bsv->bhta", weights, layer.w_v, seen)
        expected = torch.einsum("hwa,bhta->btw", layer.p, mixed)
        assert torch.allclose(layer(seen), expected, atol=1e-13)

    def test_by_loops(self):
        model = build()
        seen = model.streams(elements())[0].detach()
        got = model.run_with_cache(elements())[1]["blocks.0.weights"].detach().numpy()
        for head, q, k, _ in heads_of(model.blocks[0], seen, True, False):
            q, k = q.detach().numpy(), k.detach().numpy()
            for b in range(2):
                for t in range(6):
                    masses = [math.exp(q[b, t] @ k[b, s] / math.sqrt(4)) for s in range(t + 1)]
                    expected = np.array(masses) / sum(masses)
                    assert got[b, head, t, : t + 1] == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("kind", ["linear", "mesa"])
    def test_other_kinds_have_none(self, kind):
        with pytest.raises(ValueError, match="names must be among .*, got .'blocks.0.weights'"):
            build((kind,)).run_with_cache(elements(), names=["blocks.0.weights"])


class TestWeights:
    def test_a_function_of_the_generator(self):
        options = {"mlp": 5, "layer_norm": True}
        first, again, other = (build(MIXED, seed, **options).state_dict() for seed in (0, 0, 1))
        torch.manual_seed(3)
        assert all(torch.equal(first[key], again[key]) for key in first)
        for name in (
            "embed.weight",
            "readout.weight",
            "blocks.0.attention.w_q",
            "blocks.2.mlp.up.weight",
        ):
            assert not torch.equal(first[name], other[name])

    @pytest.mark.parametrize("std", [0.05, 0.2])
    def test_initial_spread(self, std):
        """Matrices are N(0, std^2): z-scores of mean and variance, and a Kolmogorov test of all."""
        config = TransformerConfig.elements(
            ("softmax", "mesa"), mlp=50, layer_norm=True, init_std=std
        )
        model = Transformer(config, torch.Generator().manual_seed(0))
        drawn = []
        for name, weight in model.named_parameters():
            values, count = weight.detach().double(), weight.numel()
            if weight.ndim == 1:
                expected = 1.0 if name.endswith("norm.weight") else 0.0
                assert (values == expected).all(), name
                continue
            z = (float(values.square().mean()) / std**2 - 1) * math.sqrt(count / 2)
            assert abs(z) < 4 and abs(float(values.mean())) < 4 * std / math.sqrt(count), name
            drawn.append(values.flatten())
        assert stats.kstest(torch.cat(drawn).numpy() / std, "norm").pvalue > 1e-3

    def test_names(self):
        """The checkpoints rely on these names and shapes."""
        model = build(("softmax", "mesa"), mlp=5, layer_norm=True)
        got = {name: tuple(value.shape) for name, value in model.state_dict().items()}
        shared = {"w_v": (2, 4, 8), "p": (2, 8, 4)}
        first = shared | {"w_q": (2, 4, 16), "w_k": (2, 4, 16)}
        second = shared | {"w_q": (2, 4, 8), "w_k": (2, 4, 8), "log_lambda": (2,)}
        expected = {"embed.weight": (8, 3), "readout.weight": (3, 8)}
        for i, parts in enumerate((first, second)):
            expected |= {f"blocks.{i}.attention.{name}": shape for name, shape in parts.items()}
            expected |= {f"blocks.{i}.mlp.up.weight": (5, 8)}
            expected |= {f"blocks.{i}.mlp.down.weight": (8, 5)}
            for norm in ("attention_norm", "mlp_norm"):
                expected |= {f"blocks.{i}.{norm}.{name}": (8,) for name in ("weight", "bias")}
        assert got == expected

    def test_nothing_that_is_not_used(self):
        assert not any("mlp" in name for name in build(MIXED, layer_norm=True).state_dict())
        assert not any("norm" in name for name in build(MIXED, mlp=5).state_dict())

    def test_every_weight_learns(self):
        model = build(MIXED, mlp=5, layer_norm=True)
        model(elements()).square().sum().backward()
        assert all((weight.grad != 0).any() for weight in model.parameters())

    def test_size_of_the_paper(self):
        """40 wide, 4 heads of 20: 3200 weights a head, 3200 more in the first for the codes."""
        count = sum(
            weight.numel()
            for weight in Transformer(TransformerConfig.elements(("softmax",) * 7)).parameters()
        )
        assert count == 2 * 40 * 10 + 7 * 4 * 3200 + 4 * 2 * 20 * 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ()}, r"layers must be one or more of .*, got \(\)"),
        ({"layers": ("softmax", "gru")}, "layers must be one or more of"),
        ({"layers": "softmax"}, "layers must be one or more of"),
        ({"n": 0}, "n must be an integer"),
        ({"width": 2.0}, "width must be an integer"),
        ({"heads": 1.5}, "heads must be an integer"),
        ({"key_size": -1}, "key_size must be an integer"),
        ({"mlp": -1}, "mlp must be an integer of at least 0"),
        ({"mlp": 2.5}, "mlp must be an integer of at least 0"),
        ({"clip": 0.0}, "clip must be above 0"),
        ({"init_std": 0.0}, "init_std must be above 0"),
    ],
)
def test_bad_configurations(options, message):
    with pytest.raises(ValueError, match=message):
        TransformerConfig.elements(**({"layers": ("softmax",)} | options))


def test_layers_read_from_json_are_a_tuple_again():
    assert TransformerConfig.elements(["softmax", "mesa"]) == TransformerConfig.elements(
        ("softmax", "mesa")
    )
    assert hash(TransformerConfig.elements(["mesa"])) == hash(TransformerConfig.elements(("mesa",)))
