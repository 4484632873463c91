"""Linear imitations of attention layers: their losses, what they train, how they are installed."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from transformer_oracles import F64, build, elements

from icl_lib.models.distillation import LinearTwins

OPTIONS = {"mlp": 5, "layer_norm": True, "unit_keys": True}


def twins_of(model, seed=3, std=0.3):
    return LinearTwins(model, std, torch.Generator().manual_seed(seed)).double()


class TestLosses:
    def test_zero_for_a_linear_layer_with_the_same_weights(self):
        model = build(("linear", "linear"), **OPTIONS)
        twins = twins_of(model)
        for twin, block in zip(twins.layers, model.blocks, strict=True):
            twin.load_state_dict(block.attention.state_dict())
        assert twins.losses(model, elements()).tolist() == [0.0, 0.0]

    def test_one_for_layers_that_write_nothing(self):
        model = build(("softmax", "mesa", "linear"))
        twins = twins_of(model)
        with torch.no_grad():
            for twin in twins.layers:
                twin.p.zero_()
        assert twins.losses(model, elements()).tolist() == pytest.approx([1.0] * 3, abs=1e-14)

    @pytest.mark.parametrize("options", [{}, OPTIONS])
    def test_by_hand(self, options):
        """Both layers read the original's stream; relative to what the original writes."""
        model, states = build(("softmax", "softmax"), **options), elements()
        twins = twins_of(model)
        streams = model.streams(states)
        for k, loss in enumerate(twins.losses(model, states)):
            block, twin = model.blocks[k], twins.layers[k]
            seen = block.attention_norm(streams[k])
            original = block.attention(seen)
            projections = twin.project(seen)
            q, k_, v = projections.permute(2, 0, 3, 1, 4).unbind()
            mixed = (q @ k_.mT).tril() @ v
            imitation = torch.einsum("hwa,bhta->btw", twin.p, mixed)
            expected = ((imitation - original) ** 2).sum() / (original**2).sum()
            assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-12)

    def test_scale_of_the_output_does_not_matter(self):
        model, states = build(), elements()
        twins = twins_of(model)
        before = twins.losses(model, states)
        with torch.no_grad():
            model.blocks[0].attention.p.mul_(7.0), twins.layers[0].p.mul_(7.0)
        assert torch.allclose(twins.losses(model, states), before, rtol=1e-12)

    def test_only_the_twins_learn_and_each_from_its_own_layer(self):
        model = build(("softmax", "softmax"), **OPTIONS)
        twins = twins_of(model)
        twins.losses(model, elements())[1].backward()
        assert all(weight.grad is None for weight in model.parameters())
        assert not any(weight.grad.any() for weight in twins.layers[0].parameters())
        assert all((weight.grad != 0).any() for weight in twins.layers[1].parameters())


class TestInstall:
    def test_the_original_stays_bit_for_bit(self):
        model = build(("softmax", "mesa", "softmax"), **OPTIONS)
        twins, states = twins_of(model), elements()
        weights, before = copy.deepcopy(model.state_dict()), model(states)
        replaced = twins.install(model, 1)
        with torch.no_grad():
            for weight in replaced.parameters():
                weight.add_(1.0)
        assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
        assert [block.attention.kind for block in model.blocks] == ["softmax", "mesa", "softmax"]
        assert torch.equal(model(states), before)

    def test_only_the_chosen_layer_is_another_one(self):
        model = build(("softmax", "softmax", "softmax"), **OPTIONS)
        twins = twins_of(model)
        replaced = twins.install(model, 1)
        kinds = [block.attention.kind for block in replaced.blocks]
        assert kinds == ["softmax", "linear", "softmax"]
        assert replaced.blocks[1].attention is twins.layers[1]
        mine, theirs = dict(replaced.named_parameters()), dict(model.named_parameters())
        assert mine.keys() == theirs.keys()
        for name, weight in theirs.items():
            assert mine[name].data_ptr() != weight.data_ptr()
            assert torch.equal(mine[name], weight) != name.startswith("blocks.1.attention.")

    @pytest.mark.parametrize("index", [0, 1])
    def test_the_same_attention_gives_the_same_predictions(self, index):
        model, states = build(("linear", "linear"), **OPTIONS), elements()
        twins = twins_of(model)
        assert not torch.allclose(twins.install(model, index)(states), model(states), atol=1e-3)
        twins.layers[index].load_state_dict(model.blocks[index].attention.state_dict())
        assert torch.equal(twins.install(model, index)(states), model(states))

    @pytest.mark.parametrize("index", [-1, 2])
    def test_bad_layers(self, index):
        model = build(("softmax", "softmax"))
        with pytest.raises(
            ValueError, match=f"index must be an integer between 0 and 1, got {index}"
        ):
            twins_of(model).install(model, index)


class TestWeights:
    def test_the_originals_sizes(self):
        model = build(("softmax", "mesa"), heads=3, key_size=2, unit_keys=True)
        for twin, block in zip(twins_of(model).layers, model.blocks, strict=True):
            original = block.attention
            assert twin.kind == "linear"
            assert twin.positions == original.positions and twin.unit_keys == original.unit_keys
            shapes = {name: weight.shape for name, weight in twin.named_parameters()}
            expected = {name: weight.shape for name, weight in original.named_parameters()}
            expected.pop("log_lambda", None)
            assert shapes == expected

    def test_start(self):
        """N(0, std^2) from the generator alone."""
        model = build(("softmax", "softmax"), width=20, key_size=10)
        first, again, other = (twins_of(model, seed).state_dict() for seed in (0, 0, 1))
        assert all(torch.equal(first[key], again[key]) for key in first)
        assert not any(torch.equal(first[key], other[key]) for key in first)
        for std in (0.02, 0.3):
            twins = LinearTwins(model, std, torch.Generator().manual_seed(0))
            for weight in twins.parameters():
                values, count = weight.detach().to(F64), weight.numel()
                z = (float(values.square().mean()) / std**2 - 1) * math.sqrt(count / 2)
                assert abs(z) < 4 and abs(float(values.mean())) < 4 * std / math.sqrt(count)

    def test_small_by_default(self):
        generator = torch.Generator().manual_seed(0)
        spread = torch.cat(
            [w.flatten() for w in LinearTwins(build(), generator=generator).parameters()]
        ).std()
        assert float(spread.detach()) == pytest.approx(0.02, rel=0.2)

    def test_bad_start(self):
        with pytest.raises(ValueError, match="init_std must be above 0"):
            LinearTwins(build(), 0.0)
