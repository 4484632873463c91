"""Named activations: against a forward pass written out, and what patching them does."""

from __future__ import annotations

import pytest
import torch
from transformer_examples import CONFIGS, SIZES, build, by_hand, every_config, inputs_of
from transformer_oracles import F64, elements

from icl_lib.models.config import TransformerConfig


class TestCache:
    @every_config
    def test_equals_the_forward_pass_by_hand(self, config):
        model = build(config)
        predictions, cache = model.run_with_cache(*inputs_of(model))
        expected, activations = by_hand(model)
        assert torch.allclose(predictions, expected, rtol=1e-9, atol=1e-10)
        assert list(cache) == model.activations() and set(cache) == set(activations)
        for name, value in activations.items():
            assert torch.allclose(cache[name], value, rtol=1e-9, atol=1e-10), name

    @every_config
    def test_looking_changes_nothing(self, config):
        model = build(config)
        inputs = inputs_of(model)
        predictions, cache = model.run_with_cache(*inputs)
        assert torch.equal(predictions, model(*inputs))
        for name, stream in zip(["embed", "blocks.0"], model.streams(*inputs), strict=False):
            assert torch.equal(stream, cache[name])

    @every_config
    def test_rows_of_weights_sum_to_one(self, config):
        model = build(config)
        cache = model.run_with_cache(*inputs_of(model))[1]
        names = [name for name in cache if name.endswith("weights")]
        assert len(names) == config.layers.count("softmax")
        for name in names:
            assert torch.allclose(cache[name].sum(-1), torch.ones((), dtype=F64), atol=1e-13)
            assert (cache[name].triu(1) == 0).all() and (cache[name].tril() >= 0).all()

    @every_config
    def test_heads_sum_to_the_update(self, config):
        model = build(config)
        cache = model.run_with_cache(*inputs_of(model))[1]
        for k, block in enumerate(model.blocks):
            written = torch.einsum("hwa,btha->bthw", block.attention.p, cache[f"blocks.{k}.heads"])
            bias = 0.0 if block.attention.b_p is None else block.attention.b_p
            update = cache[f"blocks.{k}.attention"]
            assert torch.allclose(written.sum(2) + bias, update, atol=1e-12)

    def test_only_what_is_asked_for(self):
        model = build(CONFIGS["elements"])
        names = ["blocks.0.weights", "blocks.1"]
        assert list(model.run_with_cache(elements(), names=names)[1]) == names
        assert model.run_with_cache(elements(), names=())[1] == {}

    @pytest.mark.parametrize("depth", [0, 1, 3])
    def test_stop_at_layer(self, depth):
        model = build(CONFIGS["elements"])
        stream, cache = model.run_with_cache(elements(), stop_at_layer=depth)
        assert torch.equal(stream, model.streams(elements())[depth])
        assert list(cache)[-1] == (f"blocks.{depth - 1}" if depth else "embed")
        assert f"blocks.{depth}.attention" not in cache

    def test_gradients_flow_to_an_activation(self):
        model = build(CONFIGS["elements"])
        predictions, cache = model.run_with_cache(elements())
        (gradient,) = torch.autograd.grad(predictions.sum(), cache["blocks.2"])
        assert torch.allclose(gradient, model.readout.weight.sum(0).expand(2, 6, 8), atol=1e-14)


class TestPatch:
    @every_config
    def test_its_own_value_changes_nothing(self, config):
        """Bit for bit; scores and weights of a fused layer are computed otherwise: to rounding."""
        model = build(config)
        inputs = inputs_of(model)
        predictions, cache = model.run_with_cache(*inputs)
        for name, value in cache.items():
            for patch in (value, lambda activation: activation.clone()):
                got = model.run_with_patch(*inputs, patch={name: patch})
                if config.fused and name.endswith(("scores", "weights")):
                    assert torch.allclose(got, predictions, rtol=0, atol=1e-12), name
                else:
                    assert torch.equal(got, predictions), name

    @every_config
    def test_a_head_set_to_zero_is_a_head_without_output(self, config):
        model, other = build(config), build(config)
        inputs = inputs_of(model)
        with torch.no_grad():
            other.blocks[0].attention.p[1] = 0.0

        def without_the_second(heads):
            return heads * torch.tensor([1.0, 0.0], dtype=F64)[:, None]

        got = model.run_with_patch(*inputs, patch={"blocks.0.heads": without_the_second})
        assert torch.allclose(got, other(*inputs), rtol=1e-10, atol=1e-12)
        assert not torch.allclose(got, model(*inputs), atol=1e-4)

    def test_an_mlp_set_to_zero_is_a_model_without_it(self):
        config = CONFIGS["elements"]
        model, other = build(config), build(config)
        for block in other.blocks:
            block.mlp = None
        patch = {f"blocks.{k}.mlp": torch.zeros_like for k in range(3)}
        got = model.run_with_patch(elements(), patch=patch)
        assert torch.allclose(got, other(elements()), rtol=0, atol=1e-13)
        assert not torch.allclose(got, model(elements()), atol=1e-3)

    def test_given_weights_mix_the_values(self):
        """Even weights in a fused softmax layer: the update is a mean over the past."""
        model = build(TransformerConfig.elements(("softmax",), width=8, **SIZES))
        even = torch.ones(6, 6, dtype=F64).tril() / torch.arange(1, 7, dtype=F64)[:, None]
        patch = {"blocks.0.weights": even.expand(2, 2, 6, 6)}
        _, cache = model.run_with_cache(elements(), patch=patch)
        layer, seen = model.blocks[0].attention, cache["embed"]
        values = torch.einsum("hwa,hav,btv->btw", layer.p, layer.w_v, seen)
        means = torch.stack([values[:, : t + 1].mean(1) for t in range(6)], dim=1)
        assert torch.allclose(cache["blocks.0.attention"], means, atol=1e-12)
        assert torch.equal(cache["blocks.0.weights"], patch["blocks.0.weights"])

    def test_scores_set_to_zero_give_even_weights(self):
        model = build(CONFIGS["elements"])
        patch = {"blocks.0.scores": torch.zeros_like}
        weights = model.run_with_cache(elements(), patch=patch)[1]["blocks.0.weights"]
        even = torch.ones(6, 6, dtype=F64).tril() / torch.arange(1, 7, dtype=F64)[:, None]
        assert torch.allclose(weights, even.expand(2, 2, 6, 6), atol=1e-14)

    def test_what_comes_before_stays(self):
        model = build(CONFIGS["elements"])
        before = model.run_with_cache(elements())[1]
        after = model.run_with_cache(elements(), patch={"blocks.1.attention": torch.zeros_like})[1]
        place = model.activations().index("blocks.1.attention")
        for k, name in enumerate(model.activations()):
            assert torch.equal(before[name], after[name]) == (k < place), name

    @pytest.mark.parametrize(
        ("patch", "message"),
        [
            ({"blocks.3": torch.ones(2, 6, 8)}, r"patch must be among \['embed'.* got .'blocks.3'"),
            ({"blocks.1.weights": torch.ones(2, 2, 6, 6)}, "patch must be among"),  # linear
            ({"embed": torch.ones(2, 6, 7, dtype=F64)}, r"patch\['embed'\] must have shape"),
            ({"embed": torch.ones(2, 6, 8)}, r"patch\['embed'\] must have the dtype"),
            ({"embed": lambda x: x[:1]}, r"patch\['embed'\] must have shape \(2, 6, 8\)"),
            ({"embed": 0.0}, r"patch\['embed'\] must be a tensor or a function, got 0.0"),
            ({"embed": lambda x: None}, r"patch\['embed'\] must be a torch.Tensor, got None"),
        ],
    )
    def test_bad_patches(self, patch, message):
        with pytest.raises(ValueError, match=message):
            build(CONFIGS["elements"]).run_with_patch(elements(), patch=patch)

    def test_bad_names(self):
        model = build(CONFIGS["elements"])
        with pytest.raises(ValueError, match="names must be names of activations, got 'embed'"):
            model.run_with_cache(elements(), names="embed")
        with pytest.raises(ValueError, match="names must be among .*, got .'blocks.1'"):
            model.run_with_cache(elements(), names=["blocks.1"], stop_at_layer=1)
        with pytest.raises(ValueError, match="stop_at_layer must be an integer between 0 and 3"):
            model.run_with_cache(elements(), stop_at_layer=4)


class Doubles(torch.nn.Module):
    """A layer of somebody else, without weights."""

    def forward(self, tokens):
        return 2 * tokens


class TestReplaceLayer:
    @every_config
    def test_a_foreign_layer(self, config):
        model = build(config)
        inputs = inputs_of(model)
        before = model(*inputs)
        replaced = model.replace_layer(0, Doubles())
        predictions, cache = replaced.run_with_cache(*inputs)
        assert torch.equal(cache["blocks.0.attention"], 2 * cache["blocks.0.attention_input"])
        assert "blocks.0.heads" not in cache
        patch = {"blocks.0.attention": 2 * cache["blocks.0.attention_input"]}
        assert torch.equal(predictions, model.run_with_patch(*inputs, patch=patch))
        assert torch.equal(model(*inputs), before)  # the original is as it was

    def test_shares_nothing_but_the_layer(self):
        model, layer = build(CONFIGS["elements"]), Doubles()
        replaced = model.replace_layer(1, layer)
        assert replaced.blocks[1].attention is layer
        theirs = {id(weight) for weight in replaced.parameters()}
        assert not theirs & {id(weight) for weight in model.parameters()}

    @pytest.mark.parametrize("index", [-1, 3, True])
    def test_bad_arguments(self, index):
        with pytest.raises(ValueError, match="index must be an integer between 0 and 2"):
            build(CONFIGS["elements"]).replace_layer(index, Doubles())
        with pytest.raises(ValueError, match="layer must be a Module"):
            build(CONFIGS["elements"]).replace_layer(0, lambda tokens: tokens)
