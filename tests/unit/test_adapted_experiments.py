"""Named runs on top of a trained model: prompts and twins of a tiny base in a temporary folder."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from moments import assert_mean
from scipy import stats
from tiny_raw_experiments import (  # noqa: F401 - fixtures
    EOS,
    PREFIX,
    SOFTMAX,
    TWINS,
    temporary_place,
    trained_base,
)

from icl_lib.experiments import checkpoint, named, store
from icl_lib.experiments.__main__ import main
from icl_lib.experiments.catalogue import elements, frozen
from icl_lib.experiments.catalogue.registry import EXPERIMENTS, families, get
from icl_lib.experiments.networks import PromptConfig, TwinsConfig
from icl_lib.experiments.run import EVALUATION_SEED
from icl_lib.models.prompting import Prompt
from icl_lib.tasks.randomness import generators
from icl_lib.theory import sequences as theory

FIRST = [run for run, _ in frozen.FAMILIES]
BASES = {run.name: run for run, _ in elements.FAMILIES}
PUBLISHED = {
    "eos": ("batch", 64),
    "prefix": ("note", "20 vectors, Adam"),
    "twins": ("steps", 15000),
}


def on_top(name):
    """The run with the models below it."""
    return EXPERIMENTS[name].attach(checkpoint.load_model)


def train(name):
    return named.train(name, progress=False)


class TestRegistry:
    def test_names(self):
        prompts = {
            f"{kind}-{base}" for kind in ("eos", "prefix") for base in ("hybrid", "softmax7")
        }
        twins = {"twins-n4", "twins-n10", "twins2-n20"}
        assert {run.name for run in FIRST} == {f"{family}-s0" for family in prompts | twins}
        assert all(EXPERIMENTS[run.name] == run for run in FIRST)
        assert all(seeds == 1 for _, seeds in frozen.FAMILIES)
        assert prompts | twins <= set(families())

    @pytest.mark.parametrize("run", FIRST, ids=lambda run: run.family)
    def test_entries_say_what_their_name_says(self, run):
        kind, rest = run.family.split("-")
        kind = kind.rstrip("2")
        base = BASES[run.below[0].name]
        key, value = PUBLISHED[kind]
        assert run.below[0] == base and run.published.plain()[key] == value
        assert run.metric == "loss" and run.snapshots == () and base.seed == run.seed == 0
        if kind == "twins":
            assert base.model.n == int(rest[1:]) and set(base.model.layers) == {"softmax"}
            assert run.model.original == base.model and run.zero_loss == len(base.model.layers)
            assert run.task == base.task and run.length == base.length
            assert len(base.model.layers) == (2 if run.family.startswith("twins2") else 7)
            return
        assert base.family == f"long-{rest}" and run.model.n == 10
        assert base.model.n == run.task.regression.n == 10
        if kind == "prefix":
            eos = run.below[1]
            assert run.model == PromptConfig(prefix=20, fixed_eos=True)
            assert eos.family == f"eos-{rest}" and eos.below == run.below[:1]
        else:
            assert run.model == PromptConfig() and len(run.below) == 1

    @pytest.mark.parametrize("run", FIRST, ids=lambda run: run.family)
    def test_plain_data(self, run):
        plain = json.loads(json.dumps(run.configuration()))
        assert type(run.training)(**plain["training"]) == run.training
        assert plain["below"] == [lower.name for lower in run.below]
        assert "frozen" not in plain and "published" not in plain
        far = get(f"{run.family}-s3")
        assert far.seed == 3 and far.below == run.below
        assert replace(far, name=run.name, seed=0) == run

    @pytest.mark.parametrize("name", ["eos-softmax7-s0", "twins-n4-s0", "twins-n10-s0"])
    def test_models_that_need_no_checkpoint(self, name):
        run = EXPERIMENTS[name]
        model = run.build_model()
        if isinstance(run.model, PromptConfig):
            assert model.eos.shape == (10,) and model.prefix is None
        else:
            layers = run.below[0].build_model().blocks
            assert len(model.layers) == len(layers) and isinstance(run.model, TwinsConfig)
            assert model.layers[0].w_q.shape == layers[0].attention.w_q.shape

    @pytest.mark.parametrize("base", ["hybrid", "softmax7"])
    def test_prefixes_start_from_the_learned_eos_of_their_run(self, base):
        eos = Prompt(10, generator=torch.Generator().manual_seed(3))
        loaded = {f"eos-{base}-s0": eos, f"long-{base}-s0": torch.nn.Identity()}
        run = EXPERIMENTS[f"prefix-{base}-s0"]
        prompt = run.attach(lambda lower: loaded[lower.name]).build_model()
        assert torch.equal(prompt.eos, eos.eos)
        assert not prompt.eos.requires_grad and prompt.prefix.shape == (20, 10)

    @pytest.mark.parametrize("run", [EOS, PREFIX, TWINS], ids=lambda run: run.family)
    def test_nothing_is_learned_on_top_of_nothing(self, run):
        message = "frozen must hold the models below the run, got 0: attach.load. loads them"
        with pytest.raises(ValueError, match=message):
            run.loss_at(run.build_model(), 0)

    def test_initial_weights_depend_on_the_seed_alone(self):
        torch.manual_seed(0)
        first = EOS.build_model().eos
        torch.manual_seed(1)
        assert torch.equal(replace(EOS, batch=9).build_model().eos, first)
        assert not torch.equal(EOS.with_seed(1).build_model().eos, first)

    @pytest.mark.parametrize("name", ["batch", "seed", "length"])
    def test_entries_that_mean_nothing(self, name):
        with pytest.raises(ValueError, match=f"{name} must be an integer of at least"):
            replace(PREFIX, **{name: -1})

    @pytest.mark.parametrize("name", ["n", "prefix"])
    def test_prompts_that_mean_nothing(self, name):
        with pytest.raises(ValueError, match=f"{name} must be an integer of at least"):
            PromptConfig(**{name: -1})

    def test_what_a_run_is_trained_on(self):
        assert EOS.below == TWINS.below == (SOFTMAX,)
        assert PREFIX.below == (SOFTMAX, EOS) and SOFTMAX.below == ()
        assert SOFTMAX.attach(checkpoint.load_model) is SOFTMAX

    def test_loss_of_predicting_zero(self):
        """1/2 E |y|^2 = 1/2 n / 3, up to label noise of variance 1e-4."""
        _, ys, targets = EOS.task.sample(2000, 1, generators(7))
        assert torch.equal(ys, targets)
        assert_mean(ys.square().sum(-1)[:, 0] / 2, EOS.zero_loss)
        assert EOS.zero_loss == pytest.approx(10 / 3 / 2)


@pytest.mark.usefixtures("base")
class TestFrozen:
    def test_is_the_trained_model_without_gradients(self):
        trained, _ = named.load(SOFTMAX.name)
        run = on_top(EOS.name)
        (below,) = run.frozen
        assert run.attach(checkpoint.load_model) is run and run == EOS and not below.training
        assert not any(weight.requires_grad for weight in below.parameters())
        for name, value in below.state_dict().items():
            assert torch.equal(value, trained.state_dict()[name])

    @pytest.mark.parametrize("name", [EOS.name, TWINS.name])
    def test_training_on_top_changes_nothing_below(self, name, base):
        blob = base.read_bytes()
        run = on_top(name)
        before = copy.deepcopy(run.frozen[0].state_dict())
        store.train_experiment(run, progress=False)
        after = run.frozen[0].state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before)
        assert base.read_bytes() == blob

    def test_a_missing_base_is_named(self, base):
        base.unlink()
        with pytest.raises(ValueError, match=f"{SOFTMAX.name}.safetensors does not exist"):
            on_top(EOS.name)


@pytest.mark.usefixtures("base")
class TestPrompts:
    def test_loss_by_loops(self):
        """Every prediction from the prompt that ends with its input."""
        run = on_top(EOS.name)
        prompt, few = run.build_model(), run.task.regression.sample(4, 5, generators(0, 2))
        errors = []
        for b in range(4):
            tokens = []
            for x, y in zip(few.xs[b], few.ys[b], strict=True):
                predicted = run.frozen[0](torch.stack([*tokens, x])[None])[0, -1]
                errors.append(float((predicted - y).square().sum()) / 2)
                tokens += [x, y, prompt.eos.detach()]
        assert float(run.loss_at(prompt, 2).detach()) == pytest.approx(np.mean(errors), rel=1e-5)

    def test_a_pure_function_of_the_step(self):
        run = on_top(EOS.name)
        prompt = run.build_model()
        first = float(run.loss_at(prompt, 3).detach())
        torch.manual_seed(9)
        assert float(run.loss_at(prompt, 4).detach()) != first
        assert float(run.loss_at(prompt, 3).detach()) == first

    def test_evaluation_by_hand(self):
        run = on_top(EOS.name)
        prompt = run.build_model()
        few = run.task.regression.sample(32, 5, generators(EVALUATION_SEED))
        predictions = prompt(run.frozen[0], few.xs, few.ys).detach().numpy()
        each = [
            theory.sequence_loss(p, y.numpy()) for p, y in zip(predictions, few.ys, strict=True)
        ]
        got = run.evaluate(prompt)
        assert set(got) == {"loss", "standard_error"} and got == run.evaluate(prompt)
        assert got["loss"] == pytest.approx(np.mean(each), rel=1e-5)
        assert got["standard_error"] == pytest.approx(stats.sem(each), rel=1e-4)

    def test_a_prefix_goes_on_from_the_learned_eos(self):
        """The separator of the finished run, fixed; the prefix learns; both are in the file."""
        train(EOS.name)
        learned, start = named.load_model(EOS.name).eos, on_top(PREFIX.name).build_model()
        assert torch.equal(start.eos, learned) and start.prefix.shape == (3, 10)
        train(PREFIX.name)
        prompt, metadata = named.load(PREFIX.name)
        assert torch.equal(prompt.eos, learned) and not prompt.eos.requires_grad
        assert not torch.equal(prompt.prefix, start.prefix)
        assert on_top(PREFIX.name).evaluate(prompt) == metadata["metrics"]

    def test_round_trip(self, capsys):
        run = on_top(EOS.name)
        metadata = train(EOS.name)
        prompt, read = named.load(EOS.name)
        assert not torch.equal(prompt.eos, run.build_model().eos)
        assert read["configuration"] == json.loads(json.dumps(run.configuration()))
        assert run.evaluate(prompt) == metadata["metrics"] and "curves" not in metadata
        assert named.verify(EOS.name).ok
        assert main(["show", EOS.name]) == 0
        assert json.loads(capsys.readouterr().out)["published"] == {"source": "nobody"}


@pytest.mark.usefixtures("base")
class TestTwins:
    def test_loss_is_the_sum_over_layers(self):
        run = on_top(TWINS.name)
        twins = run.build_model()
        states, _ = run.task.sample(4, 12, generators(0, 3))
        expected = sum(float(loss) for loss in twins.losses(run.frozen[0], states).detach())
        first = float(run.loss_at(twins, 3).detach())
        assert first == pytest.approx(expected, rel=1e-6)
        assert float(run.loss_at(twins, 4).detach()) != first
        with torch.no_grad():
            for layer in twins.layers:
                layer.p.zero_()
        zero = float(run.loss_at(twins, 3).detach())
        assert zero == pytest.approx(run.zero_loss) and run.zero_loss == 2.0

    def test_evaluation_by_hand(self):
        """One layer at a time is replaced: losses on the base's test set, over the base's own."""
        run = on_top(TWINS.name)
        twins, base = run.build_model(), EXPERIMENTS[SOFTMAX.name]
        s = base.task.dynamics.sample(64, 12, generators(EVALUATION_SEED))
        own = theory.sequence_loss(run.frozen[0](s.inputs).numpy(), s.targets.numpy())
        ratios = []
        for k in range(2):
            model, _ = named.load(SOFTMAX.name)
            model.blocks[k].attention = twins.layers[k]
            predictions = model(s.inputs).detach().numpy()
            ratios.append(theory.sequence_loss(predictions, s.targets.numpy()) / own)
        got = run.evaluate(twins)
        assert list(got) == ["loss", "loss_1", "loss_2"]
        assert [got["loss_1"], got["loss_2"]] == pytest.approx(ratios, rel=1e-5)
        assert got["loss"] == pytest.approx(np.mean(ratios), rel=1e-5)

    def test_round_trip(self):
        run = on_top(TWINS.name)
        metadata = train(TWINS.name)
        twins, read = named.load(TWINS.name)
        start = run.build_model().state_dict()
        assert not any(torch.equal(value, start[key]) for key, value in twins.state_dict().items())
        assert read["configuration"] == json.loads(json.dumps(run.configuration()))
        assert run.evaluate(twins) == metadata["metrics"]
        assert named.verify(TWINS.name).ok
