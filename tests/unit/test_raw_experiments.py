"""Named runs on raw elements: registry, loss, curves, and checkpoints of tiny runs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import mean_squared_error
from tiny_raw_experiments import MESA, SOFTMAX, temporary_place  # noqa: F401 - fixture

from icl_lib.experiments import named
from icl_lib.experiments.catalogue import elements
from icl_lib.experiments.catalogue.registry import EXPERIMENTS, families, get
from icl_lib.experiments.curves import FirstLayer, first_layer_probe, first_layer_view
from icl_lib.experiments.data import NextState
from icl_lib.experiments.run import EVALUATION_SEED
from icl_lib.models.config import TransformerConfig
from icl_lib.models.transformer import Transformer
from icl_lib.tasks.dynamics import LinearDynamics, NonlinearDynamics, PartiallyObserved
from icl_lib.tasks.randomness import generators
from icl_lib.theory import sequences as theory

FIRST = [run for run, _ in elements.FAMILIES]
RUNS = [first.with_seed(seed) for first, count in elements.FAMILIES for seed in range(count)]
LAWS = {
    "linear": LinearDynamics,
    "partial": PartiallyObserved,
    "nonlinear": NonlinearDynamics,
}
DEPTHS = {"softmax2": 2, "softmax3": 3, "softmax7": 7, "hybrid": 2, "fullmesa": 2}


class TestRegistry:
    def test_names(self):
        expected = {
            *(f"{f}-s{i}" for f in ("softmax3", "softmax7", "hybrid") for i in range(3)),
            "fullmesa-s0",
            *(f"{f}-s0" for f in ("softmax7-n4", "softmax2-n20")),
            *(f"partial-hybrid-w{width}-s0" for width in (10, 20, 40)),
            *(f"partial-{f}-s0" for f in ("softmax7", "hybrid")),
            *(f"{t}-{k}-s0" for t in ("nonlinear", "long") for k in ("softmax7", "hybrid")),
        }
        assert {run.name for run in RUNS} == expected
        assert all(EXPERIMENTS[run.name] == run for run in RUNS)
        assert all(run.family in families() for run in FIRST)
        assert EVALUATION_SEED not in {run.seed for run in RUNS}

    @pytest.mark.parametrize("run", FIRST, ids=lambda run: run.family)
    def test_entries_say_what_their_name_says(self, run):
        words = run.family.split("-")
        task = words[0] if words[0] in ("partial", "nonlinear") else "linear"
        assert type(run.task.dynamics) is LAWS[task] and run.metric == "loss" and run.seed == 0
        (kind,) = [word for word in words if word in DEPTHS]
        layers = run.model.layers
        assert len(layers) == DEPTHS[kind]
        if kind == "hybrid":
            assert layers == ("softmax", "mesa")
        else:
            assert set(layers) == {"mesa" if kind == "fullmesa" else "softmax"}
        n = int(words[-1][1:]) if words[-1].startswith("n") else {"partial": 5}.get(task, 10)
        assert run.model.n == n == run.task.dynamics.sample(1, 2, generators(0)).states.shape[-1]
        assert (run.model.clip is not None) == ("mesa" in layers)
        assert (run.model.mlp > 0) == run.model.unit_keys == (task == "nonlinear")
        assert run.length == {"long": 224}.get(words[0], {4: 16, 20: 80}.get(n, 50))
        usual = {"partial": 80, "nonlinear": 60}.get(task, 4 * n)
        assert run.model.width == (int(words[-1][1:]) if words[-1][0] == "w" else usual)

    @pytest.mark.parametrize("run", FIRST, ids=lambda run: run.family)
    def test_settings_of_the_paper_and_plain_data(self, run):
        wanted = run.family.split("-")[0].rstrip("0123456789")
        assert run.published == get(run.name).published
        steps = {"softmax": 10000, "hybrid": 20000, "fullmesa": 3000, "partial": 20000}
        known = {**steps, "nonlinear": 40000, "long": 15000}
        assert run.published.steps == known[wanted] and run.published.lr
        plain = json.loads(json.dumps(run.configuration()))
        assert TransformerConfig(**plain["model"]) == run.model
        assert plain["name"] == run.name and tuple(plain["snapshots"]) == run.snapshots
        if run.snapshots:
            assert run.snapshots[0] == 0 and run.snapshots[-1] == run.training.steps
            assert run.snapshots == tuple(s for s in elements.SNAPSHOTS if s <= run.training.steps)

    @pytest.mark.parametrize("run", FIRST, ids=lambda run: run.family)
    def test_models(self, run):
        model, c = run.build_model(), run.model
        assert isinstance(model, Transformer) and model.config == c
        a_layer = c.heads * 4 * c.width * c.key_size + 2 * c.width * c.mlp
        codes, lambdas = 2 * c.heads * c.width * c.key_size, c.heads * c.layers.count("mesa")
        expected = 2 * c.n * c.width + len(c.layers) * a_layer + codes + lambdas
        assert sum(weight.numel() for weight in model.parameters()) == expected

    def test_initial_weights_depend_on_the_seed_alone(self):
        torch.manual_seed(0)
        first = SOFTMAX.build_model().state_dict()
        torch.manual_seed(1)
        bent = NextState(NonlinearDynamics())
        again = replace(SOFTMAX, task=bent, batch=9).build_model().state_dict()
        other = SOFTMAX.with_seed(1).build_model().state_dict()
        assert all(torch.equal(first[key], again[key]) for key in first)
        assert not torch.equal(first["embed.weight"], other["embed.weight"])
        far = get("nonlinear-hybrid-s7")
        assert (far.name, far.seed, far.family) == ("nonlinear-hybrid-s7", 7, "nonlinear-hybrid")


@pytest.mark.usefixtures("place")
class TestLoss:
    @pytest.mark.parametrize("run", [SOFTMAX, MESA], ids=lambda run: run.family)
    def test_loss_by_loops(self, run):
        model = run.build_model()
        s = run.task.dynamics.sample(4, 12, generators(0, 5)).states
        errors = []
        for b in range(4):
            for t in range(12):
                predicted = model(s[b : b + 1, : t + 1])[0, t].detach()  # no later state is needed
                errors.append(float((predicted - s[b, t + 1]).square().sum()) / 2)
        assert float(run.loss_at(model, 5).detach()) == pytest.approx(np.mean(errors), rel=1e-5)

    def test_a_pure_function_of_the_step(self):
        model = SOFTMAX.build_model()
        first = float(SOFTMAX.loss_at(model, 3).detach())
        torch.manual_seed(9)
        assert float(SOFTMAX.loss_at(model, 4).detach()) != first
        assert float(SOFTMAX.loss_at(model, 3).detach()) == first

    @pytest.mark.parametrize("name", [SOFTMAX.name, MESA.name])
    def test_evaluation_by_hand(self, name):
        run = EXPERIMENTS[name]
        model = run.build_model()
        s = run.task.dynamics.sample(64, 12, generators(EVALUATION_SEED))
        predictions = model(s.inputs).detach().numpy()
        each = [
            theory.sequence_loss(p, y.numpy()) for p, y in zip(predictions, s.targets, strict=True)
        ]
        got = run.evaluate(model)
        assert set(got) == {"loss", "standard_error"} and got == run.evaluate(model)
        assert got["loss"] == pytest.approx(np.mean(each), rel=1e-5)
        assert got["standard_error"] == pytest.approx(stats.sem(each), rel=1e-4)

    @pytest.mark.parametrize("run", FIRST, ids=lambda run: run.family)
    def test_untrained_models_predict_next_to_nothing(self, run):
        small = replace(run, batch=4, length=12)
        with torch.no_grad():
            loss = float(small.loss_at(small.build_model(), 0))
        targets = small.task.dynamics.sample(4, 12, generators(0, 0)).targets.numpy()
        zero = theory.sequence_loss(np.zeros_like(targets), targets)
        assert loss == pytest.approx(zero, rel=0.1)


@pytest.mark.usefixtures("place")
class TestCurves:
    @pytest.mark.parametrize("name", [SOFTMAX.name, MESA.name])
    def test_kinds_and_shapes(self, name):
        metadata = named.train(name, progress=False)
        curves = metadata["curves"]
        assert list(curves) == ["steps", "probe", "sensitivity", "attention"]
        assert curves["steps"] == [0, 2, 6]
        for kind in ("probe", "sensitivity"):
            assert np.shape(curves[kind]) == (3, 8)
        shape = (3, 2, 8) if name == SOFTMAX.name else (3, 0)
        assert np.shape(curves["attention"]) == shape
        assert curves == json.loads(json.dumps(curves))
        assert curves["probe"][0] != curves["probe"][-1]  # the weights of every step are loaded
        model, _ = named.load(name)
        run = EXPERIMENTS[name]
        view = first_layer_view(model, run.test_set()[0][:48], run.watched.ridge, 24)
        for kind, value in view.items():
            assert np.array(curves[kind][-1]) == pytest.approx(np.array(value), abs=2e-6)

    def test_the_penalty_is_relative_to_the_features(self):
        model = MESA.build_model()
        states = MESA.task.dynamics.sample(48, 12, generators(3)).inputs
        probe = first_layer_view(model, states, 0.01, 24)["probe"]
        x = model.streams(states)[1][:, -1].detach().double().numpy()
        s = states.double().numpy()
        ridge = Ridge(alpha=0.01 * (x[:24] ** 2).sum(), fit_intercept=False)
        for j in range(8):
            fitted = ridge.fit(x[:24], s[:24, 11 - j])
            error = mean_squared_error(s[24:, 11 - j], fitted.predict(x[24:]))
            assert probe[j] == pytest.approx(error, abs=1e-6)
        assert get("partial-hybrid-s0").watched == FirstLayer(ridge=1e-6)
        assert get("softmax3-s0").watched == FirstLayer(ridge=0.0)

    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ((48, 7, 10), "states must be .B, T, n. with T of at least 8, got .48, 7, 10."),
            ((48, 10), "states must be .B, T, n. with T of at least 8, got .48, 10."),
            ((24, 12, 10), "states must hold more than 24 sequences, got 24"),
        ],
    )
    def test_too_few_states(self, shape, message):
        """A negative position would count from the end."""
        with pytest.raises(ValueError, match=message):
            first_layer_probe(SOFTMAX.build_model(), torch.zeros(shape), fit=24)

    def test_by_hand(self):
        """Distance j = 0, ..., 7 from the last position of 12: probes, gradients and weights."""
        model = SOFTMAX.build_model()
        states = SOFTMAX.task.dynamics.sample(48, 12, generators(3)).inputs
        view = first_layer_view(model, states, fit=24)
        last = model.streams(states)[1][:, -1].detach().double().numpy()
        s = states.double().numpy()
        weights = model.run_with_cache(states)[1]["blocks.0.weights"]
        mean = weights.detach().mean(0).numpy()  # over sequences: (H, T, T)
        jacobian = torch.func.jacrev(lambda x: model.streams(x[None])[1][0, -1], chunk_size=1)
        slopes = (
            torch.stack([jacobian(x) for x in states]).norm(dim=-1).mean((0, 1)).detach().numpy()
        )
        for j in range(8):
            t = 11 - j
            probe = LinearRegression(fit_intercept=False).fit(last[:24], s[:24, t])
            error = ((probe.predict(last[24:]) - s[24:, t]) ** 2).mean()
            assert view["probe"][j] == pytest.approx(error, rel=1e-4)
            assert view["sensitivity"][j] == pytest.approx(slopes[t], abs=2e-6)
            for head in range(2):
                expected = (mean[head, 10, 10 - j] + mean[head, 11, 11 - j]) / 2
                assert view["attention"][head][j] == pytest.approx(expected, abs=2e-6)


@pytest.mark.usefixtures("place")
class TestCheckpoints:
    @pytest.mark.parametrize("name", [SOFTMAX.name, MESA.name])
    def test_round_trip(self, name):
        run = EXPERIMENTS[name]
        metadata = named.train(name, progress=False)
        model, read = named.load(name)
        assert not model.training and model.config == run.model
        assert read["configuration"] == json.loads(json.dumps(run.configuration()))
        start = run.build_model().state_dict()
        assert not torch.equal(model.state_dict()["embed.weight"], start["embed.weight"])
        assert run.evaluate(model) == metadata["metrics"] == read["metrics"]
        assert named.verify(name).ok and named.completed(run.family) == [name]

    def test_other_layers_are_another_run(self, monkeypatch):
        named.train(SOFTMAX.name, progress=False)
        other = replace(SOFTMAX, model=replace(SOFTMAX.model, layer_norm=False))
        monkeypatch.setitem(EXPERIMENTS, SOFTMAX.name, other)
        with pytest.raises(ValueError, match="belongs to the configuration"):
            named.load(SOFTMAX.name)
