"""One transformer for every config: gradients, the meta device, presets, and bad arguments."""

from __future__ import annotations

import pytest
import torch
from transformer_examples import CONFIGS, SIZES, build, every_config, inputs_of
from transformer_oracles import elements, sines_first, vaswani

from icl_lib.models.config import TransformerConfig
from icl_lib.models.transformer import Transformer


@every_config
def test_gradcheck(config):
    model = build(config)
    names, weights = zip(*model.named_parameters(), strict=True)
    inputs = [part[:1, :3].clone().requires_grad_() for part in inputs_of(model)]

    def call(*given):
        named = dict(zip(names, given[len(inputs) :], strict=True))
        return torch.func.functional_call(model, named, given[: len(inputs)])

    assert torch.autograd.gradcheck(call, (*inputs, *weights), fast_mode=True)


@every_config
def test_on_the_meta_device(config):
    """Only shapes: no part asks for a number, and none moves to another device."""
    model = build(config).to("meta")
    inputs = [part.to("meta") for part in inputs_of(model)]
    predictions, cache = model.run_with_cache(*inputs)
    assert predictions.device.type == "meta"
    assert predictions.shape == ((2, 6) if config.reads == "pairs" else (2, 6, 3))
    assert all(value.device.type == "meta" for value in cache.values())
    predictions.sum().backward()
    assert all(weight.grad.device.type == "meta" for weight in model.parameters())


class TestInputs:
    def test_learned_positions_end(self):
        model = build(CONFIGS["learned positions"])
        with pytest.raises(ValueError, match="states must hold at most max_length = 7, got 8"):
            model(elements(length=8))

    def test_number_of_inputs(self):
        with pytest.raises(ValueError, match=r"inputs must be \('xs', 'ys'\), got 1 of them"):
            build(CONFIGS["pairs"])(elements())
        with pytest.raises(ValueError, match=r"inputs must be \('states',\), got 2 of them"):
            build(CONFIGS["elements"])(elements(), elements())

    def test_only_pairs_have_a_query(self):
        states = elements()
        with pytest.raises(ValueError, match="reads must be one of .'pairs',., got 'elements'"):
            build(CONFIGS["elements"]).predict_query(states, states[..., 0], states[:, 0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reads": "words"}, "reads must be one of .*, got 'words'"),
        ({"layers": ("gru",)}, "layers must be one or more of"),
        ({"activation": "tanh"}, "activation must be one of .*, got 'tanh'"),
        ({"positions": "rotary"}, "positions must be one of .*, got 'rotary'"),
        ({"positions": "learned"}, "max_length must be an integer of at least 1, got None"),
        ({"max_length": 5}, "max_length must be None for positions 'sinusoidal', got 5"),
        ({"reads": "constructed", "n": 3}, "width must be 4 n = 12 for constructed tokens, got 40"),
        *(
            ({name: 1}, f"{name} must be True or False, got 1")
            for name in ("biases", "layer_norm", "final_norm", "unit_keys", "fused")
        ),
    ],
)
def test_bad_configurations(options, message):
    with pytest.raises(ValueError, match=message):
        TransformerConfig.elements(**({"layers": ("softmax",)} | options))


def test_presets_are_the_models_of_the_book():
    gpt = TransformerConfig.gpt(5)
    assert (gpt.reads, gpt.layers, gpt.n, gpt.width) == ("pairs", ("softmax",) * 3, 5, 64)
    assert (gpt.heads, gpt.key_size, gpt.mlp, gpt.max_length) == (2, 32, 256, 101)
    assert gpt.max_points == 51 and gpt.biases and gpt.layer_norm and gpt.final_norm
    stack = TransformerConfig.constructed(("mesa",))
    assert (stack.width, stack.heads, stack.key_size, stack.clip) == (40, 4, 20, 4.0)
    assert (stack.mlp, stack.biases, stack.positions, stack.init_std) == (0, False, "none", 0.01)
    raw = TransformerConfig.elements(("softmax",))
    assert (raw.n, raw.width, raw.heads, raw.key_size) == (10, 40, 4, 20)
    assert (raw.positions, raw.clip, raw.init_std, raw.mlp) == ("sinusoidal", None, 0.05, 0)


def test_codes_of_the_oracle():
    """The rows of the oracle's table are what the first layer's queries and keys see."""
    model = build(TransformerConfig.elements(("softmax",), width=8, **SIZES))
    layer, seen = model.blocks[0].attention, model.embed(elements())
    codes = sines_first(vaswani(6, 8)).expand(2, -1, -1)
    expected = torch.einsum("hav,btv->btha", layer.w_q, torch.cat([seen, codes], dim=-1))
    assert torch.allclose(layer.project(seen)[:, :, 0], expected, atol=1e-13)


def test_weights_of_the_generator():
    """Seeds mean what they always meant: read-in, read-out, then block after block."""
    config = TransformerConfig.elements(("softmax", "mesa"), mlp=50, biases=True)
    model = Transformer(config, torch.Generator().manual_seed(3))
    source = torch.Generator().manual_seed(3)
    weights = [model.embed.weight, model.readout.weight]
    for block in model.blocks:
        weights += [getattr(block.attention, name) for name in ("w_q", "w_k", "w_v", "p")]
        weights += [block.mlp.up.weight, block.mlp.down.weight]
    for weight in weights:
        drawn = torch.empty(weight.shape).normal_(0.0, 0.05, generator=source)
        assert torch.equal(weight, drawn)
    drawn = {id(weight) for weight in weights}
    rest = [weight for weight in model.parameters() if id(weight) not in drawn]
    assert len(rest) == 2 + 2 * (4 + 2) + 1 and all((bias == 0).all() for bias in rest)
