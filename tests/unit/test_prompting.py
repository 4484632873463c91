"""Prompt tuning: where predictions are read off, what learns, and that the model stays as it is."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from transformer_oracles import build

from icl_lib.models.config import TransformerConfig
from icl_lib.models.prompting import Prompt, few_shot_predictions, freeze
from icl_lib.models.transformer import Transformer
from icl_lib.tasks.few_shot import FewShotRegression
from icl_lib.tasks.randomness import generators

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4))


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class TestPredictions:
    @settings(deadline=None, max_examples=40)
    @given(shape=SHAPES, separated=st.booleans(), prefix=st.one_of(st.none(), st.integers(0, 4)))
    def test_are_read_at_the_inputs(self, shape, separated, prefix):
        """A model that repeats its input gives x_i back, one that knows the next element y_i."""
        xs, ys = drawn(2, *shape)
        parts = {
            "eos": drawn(shape[-1], seed=1) if separated else None,
            "prefix": None if prefix is None else drawn(prefix, shape[-1], seed=2),
        }
        assert torch.equal(few_shot_predictions(lambda tokens: tokens, xs, ys, **parts), xs)
        oracle = few_shot_predictions(lambda t: t.roll(-1, dims=1), xs, ys, **parts)
        assert torch.equal(oracle, ys)

    @pytest.mark.parametrize("prefix", [0, 3])
    def test_one_pair_at_a_time(self, prefix):
        """Each prediction equals that of a prompt which ends with its input, for a causal model."""
        generator = torch.Generator().manual_seed(5)
        model, prompt = build(("softmax", "mesa")), Prompt(3, prefix, None, generator).double()
        xs, ys = drawn(2, 2, 4, 3).double()
        whole = prompt(model, xs, ys)
        for i in range(4):
            rows = [] if prompt.prefix is None else list(prompt.prefix)
            tokens = [row.expand(2, 3) for row in rows]
            for j in range(i):
                tokens += [xs[:, j], ys[:, j], prompt.eos.expand(2, 3)]
            short = model(torch.stack([*tokens, xs[:, i]], dim=1))[:, -1]
            assert torch.allclose(whole[:, i], short, atol=1e-10)

    def test_a_zero_separator_is_no_missing_one(self):
        model = build(("softmax",)).float()
        xs, ys = drawn(2, 2, 4, 3)
        zero = few_shot_predictions(model, xs, ys, eos=torch.zeros(3))
        assert not torch.allclose(zero, few_shot_predictions(model, xs, ys), atol=1e-3)
        assert torch.equal(Prompt(3, eos=torch.zeros(3))(model, xs, ys), zero)


class TestPrompt:
    def test_start(self):
        """N(0, I) from the generator alone."""
        first, again, other = (
            Prompt(400, 5, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
        )
        for name in ("eos", "prefix"):
            one, two, three = (getattr(p, name).detach() for p in (first, again, other))
            assert torch.equal(one, two) and not torch.equal(one, three)
            assert stats.kstest(one.flatten().numpy(), "norm").pvalue > 1e-3
        assert first.prefix.shape == (5, 400) and first.eos.shape == (400,)
        assert not torch.equal(first.prefix[0], first.eos)

    def test_without_prefix(self):
        prompt = Prompt(4)
        assert prompt.prefix is None and list(prompt.state_dict()) == ["eos"]

    def test_a_given_eos_is_copied_and_fixed(self):
        eos = drawn(4).requires_grad_()
        prompt = Prompt(4, 2, eos)
        assert torch.equal(prompt.eos, eos) and not prompt.eos.requires_grad
        with torch.no_grad():
            eos.add_(1.0)
        assert not torch.equal(prompt.eos, eos)
        assert prompt.prefix.requires_grad and Prompt(4).eos.requires_grad

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((0,), "n must be an integer of at least 1"),
            ((3, -1), "prefix must be an integer of at least 0"),
            ((3, 1.5), "prefix must be an integer of at least 0"),
        ],
    )
    def test_bad_sizes(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            Prompt(*arguments)


class TestTuning:
    @pytest.mark.parametrize(("given_eos", "prefix"), [(False, 0), (False, 2), (True, 2)])
    def test_the_frozen_model_stays_bit_for_bit(self, given_eos, prefix):
        """20 steps of Adam on the prompt: what is to learn has learned, nothing else has moved."""
        config = TransformerConfig.elements(
            ("softmax", "mesa"), n=3, width=12, heads=2, key_size=6, init_std=0.4
        )
        model = freeze(Transformer(config, torch.Generator().manual_seed(0)))
        weights = copy.deepcopy(model.state_dict())
        eos = torch.zeros(3) if given_eos else None
        prompt = Prompt(3, prefix, eos, torch.Generator().manual_seed(1))
        start = copy.deepcopy(prompt.state_dict())
        few = FewShotRegression(3).sample(16, 5, generators(0))
        optimizer, losses = torch.optim.Adam(prompt.parameters(), lr=0.05), []
        for _ in range(20):
            optimizer.zero_grad()
            loss = (prompt(model, few.xs, few.ys) - few.ys).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < losses[0]
        assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
        assert all(w.grad is None and not w.requires_grad for w in model.parameters())
        moved = {key for key, v in prompt.state_dict().items() if not torch.equal(v, start[key])}
        assert moved == ({"prefix"} if prefix else set()) | (set() if given_eos else {"eos"})

    def test_freeze_returns_the_model_itself(self):
        model = build(("softmax", "mesa"), layer_norm=True)
        assert model.training and freeze(model) is model and not model.training
        assert not any(weight.requires_grad for weight in model.parameters())
