"""The named runs of Part 3: registry, loss, curves, resumption and verification of tiny runs."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_experiments import (  # noqa: F401 - fixtures
    CHEBYSHEV,
    LINEAR,
    LINEAR_NAME,
    NAME,
    metadata_of,
    rewrite,
    temporary_workplace,
)
from training_examples import content_of

from icl_lib.analysis.evaluation import (
    all_states,
    evaluate,
    loss_of,
    losses_of,
    predict_in_batches,
    sequence_loss,
)
from icl_lib.experiments import checkpoint, named
from icl_lib.experiments.__main__ import main
from icl_lib.experiments.catalogue import sequences
from icl_lib.experiments.catalogue.registry import EXPERIMENTS
from icl_lib.experiments.data import NextState
from icl_lib.experiments.networks import IterationConfig
from icl_lib.experiments.run import EVALUATION_SEED, Run
from icl_lib.models.compressed import CompressedModel, ProductModel, interpolate, products, read_off
from icl_lib.models.learned_inverse import LearnedInverse
from icl_lib.tasks.randomness import generators
from icl_lib.theory import sequences as theory
from icl_lib.training import TrainingError

pytestmark = pytest.mark.usefixtures("workplace")
FIRST = [run for run, _ in sequences.FAMILIES]


class TestRegistry:
    def test_names(self):
        families = {run.family for run in FIRST}
        linear = {f"lsa{depth}-k{size}" for depth in (2, 4, 6) for size in (20, 40)}
        plain = {"lsa1-k20", "mesa1", "chebyshev2", "chebyshev4", "chebyshev6"}
        others = {
            f"{task}-{kind}"
            for task in ("contracting", "fixed")
            for kind in (*(f"lsa{d}-k20" for d in (1, 2, 4, 6)), "mesa1", "chebyshev6")
        }
        assert families == linear | plain | others
        assert all(EXPERIMENTS[run.name] == run for run in FIRST)

    @pytest.mark.parametrize("run", FIRST, ids=lambda run: run.family)
    def test_entries_say_what_their_name_says(self, run):
        words = run.family.split("-")
        task = words.pop(0) if words[0] in ("contracting", "fixed") else "linear"
        kind = words[0]
        assert run.length == 50
        dynamics = {"linear": "Linear", "contracting": "Contracting"}.get(task)
        expected = f"{dynamics}Dynamics" if dynamics else "FixedTeacher"
        assert type(run.task.dynamics).__name__ == expected and run.task.dynamics.n == 10
        if kind.startswith("chebyshev"):
            assert run.model.steps == int(kind.removeprefix("chebyshev")) and run.snapshots == ()
        elif kind == "mesa1":
            assert run.model.layers == ("mesa",) and run.snapshots == ()
        else:
            depth, size = int(kind.removeprefix("lsa")), int(run.family.rsplit("-k")[1])
            assert run.model.layers == ("linear",) * depth and run.model.key_size == size
            assert (run.model.reads == "two-channel") == (depth == 1)
            assert run.snapshots[0] == 0 and run.snapshots[-1] == run.training.steps
            assert list(run.snapshots) == sorted(set(run.snapshots))
        assert run.published.lr and "Tables 1-3" in run.published.source
        assert run.metric == "loss" and (run.watched is None) == (run.snapshots == ())
        json.dumps(run.configuration())

    def test_models(self):
        for run in FIRST:
            model = run.build_model()
            if isinstance(run.model, IterationConfig):
                assert isinstance(model, LearnedInverse)
                assert len(model.alpha) == run.model.steps
            else:
                assert model.config == run.model

    def test_initial_weights_depend_on_the_seed_alone(self):
        torch.manual_seed(0)
        first = LINEAR.build_model().state_dict()
        torch.manual_seed(1)
        again = replace(LINEAR, task=sequences.TASKS["contracting"]).build_model().state_dict()
        other = LINEAR.with_seed(1).build_model().state_dict()
        assert all(torch.equal(first[key], again[key]) for key in first)
        assert not torch.equal(first["blocks.0.attention.w_q"], other["blocks.0.attention.w_q"])

    def test_seeds(self):
        far = LINEAR.with_seed(12)
        assert far.name == "lsa2-tiny-s12" and far.seed == 12 and far.family == "lsa2-tiny"
        assert EVALUATION_SEED not in {run.seed for run in EXPERIMENTS.values()}

    @pytest.mark.parametrize("name", ["batch", "length", "seed"])
    @pytest.mark.parametrize("value", [-1, 1.5, None])
    def test_entries_that_mean_nothing(self, name, value):
        with pytest.raises(ValueError, match=f"{name} must be an integer of at least"):
            replace(LINEAR, **{name: value})

    @pytest.mark.parametrize("dynamics", ["linear", None, 10])
    def test_tasks(self, dynamics):
        with pytest.raises(ValueError, match="dynamics must be a task of icl_lib.tasks, got"):
            NextState(dynamics)

    @pytest.mark.parametrize("steps", [0, -1, 2.0, None])
    def test_iterations(self, steps):
        with pytest.raises(ValueError, match="steps must be an integer of at least 1"):
            IterationConfig(steps)


class TestLoss:
    def test_predictions_of_another_shape(self):
        """Broadcasting would compare every sequence with every other, and say nothing."""
        for shape in ((6, 10), (1, 6, 10), (4, 6, 1), (4, 1, 10)):
            with pytest.raises(ValueError, match="predictions must have the shape"):
                sequence_loss(torch.zeros(shape), torch.zeros(4, 6, 10))

    @pytest.mark.parametrize("states", [torch.zeros(0, 6, 10), torch.tensor(3.0), None])
    def test_no_sequences(self, states):
        with pytest.raises(ValueError, match="inputs must be .B, .... tensors of sequences"):
            predict_in_batches(LINEAR.build_model(), states)

    @pytest.mark.parametrize("chunk", [0, -1, 2.0, None])
    def test_chunks(self, chunk):
        with pytest.raises(ValueError, match="chunk must be an integer of at least 1"):
            predict_in_batches(LINEAR.build_model(), torch.zeros(2, 6, 10), chunk=chunk)

    def test_loss_by_loops(self):
        model = LINEAR.build_model()
        s = LINEAR.task.dynamics.sample(4, 6, generators(0, 5)).states
        errors = []
        for b in range(4):
            for t in range(6):
                predicted = model(s[b : b + 1, : t + 1])[0, t].detach()  # no later state is needed
                errors.append(float((predicted - s[b, t + 1]).square().sum()) / 2)
        assert float(LINEAR.loss_at(model, 5).detach()) == pytest.approx(np.mean(errors), rel=1e-5)

    def test_equals_the_theorys_loss(self):
        predictions, targets = torch.randn(
            2, 3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        expected = theory.sequence_loss(predictions.numpy(), targets.numpy())
        assert float(sequence_loss(predictions, targets)) == pytest.approx(expected)

    def test_prediction_in_chunks(self):
        model, states = LINEAR.build_model(), torch.randn(7, 6, 10)
        whole = model(states)
        for chunk in (1, 3, 64):
            assert torch.allclose(predict_in_batches(model, states, chunk=chunk), whole, atol=1e-6)

    def test_loss_of_predicting_zero(self):
        """And an untrained stack predicts next to nothing."""
        run = replace(LINEAR)
        expected = theory.sequence_loss(np.zeros((64, 6, 10)), run.test_set()[1].numpy())
        assert run.zero_loss == pytest.approx(expected, rel=1e-5)
        assert 1.3 < run.zero_loss < 2.1
        for name in ("lsa1-k20-s0", "mesa1-s0", "contracting-lsa2-k20-s0"):
            untrained = replace(EXPERIMENTS[name], batch=4)
            targets = untrained.task.dynamics.sample(4, 50, generators(0, 0)).targets
            zero = float(sequence_loss(torch.zeros(()), targets))
            loss = float(untrained.loss_at(untrained.build_model(), 0).detach())
            assert loss == pytest.approx(zero, rel=0.02), name

    def test_evaluation_by_hand(self):
        run, model = replace(LINEAR), LINEAR.build_model()
        s = run.task.dynamics.sample(64, 6, generators(EVALUATION_SEED))
        each = [
            theory.sequence_loss(
                model(s.inputs[b : b + 1]).detach().numpy()[0], s.targets[b].numpy()
            )
            for b in range(64)
        ]
        got = run.evaluate(model)
        assert set(got) == {"loss", "standard_error"} and got == run.evaluate(model)
        assert got["loss"] == pytest.approx(np.mean(each), rel=1e-5)
        assert got["standard_error"] == pytest.approx(np.std(each, ddof=1) / 8, rel=1e-4)


class TestPredictors:
    """One call for a network, a solver and a formula: they can stand in the same curve."""

    def test_a_solver_and_a_formula_beside_a_network(self):
        inputs, targets = batch = LINEAR.task.sample(9, 6, generators(3))

        def ridge(states):
            return torch.as_tensor(theory.ridge_lagged(states.numpy(), 0.1), dtype=states.dtype)

        def last(states):
            return states

        x, y = inputs.double().numpy(), targets.double().numpy()
        for predict, by_hand in (
            (ridge, theory.ridge_lagged(x, 0.1)),
            (last, x),
            (LINEAR.build_model(), None),
        ):
            if by_hand is None:
                by_hand = predict(inputs).detach().double().numpy()
            each = ((by_hand - y) ** 2).sum(-1).mean(-1) / 2
            assert losses_of(predict, batch, chunk=4).numpy() == pytest.approx(each, rel=1e-4)
            scores = LINEAR.evaluation.scores(predict, batch)
            assert scores == evaluate(predict, batch)
            assert scores["loss"] == pytest.approx(each.mean(), rel=1e-4)
            assert scores["standard_error"] == pytest.approx(each.std(ddof=1) / 3, rel=1e-3)
            assert loss_of(predict, batch) == pytest.approx(each.mean(), rel=1e-4)

    def test_all_states(self):
        drawn = LINEAR.task.dynamics.sample(3, 5, generators(3))
        batch = LINEAR.task.sample(3, 5, generators(3))
        assert torch.equal(all_states(batch), drawn.states)
        for other in ((batch[0],), (*batch, batch[0]), (batch[0], batch[1][:, 1:])):
            with pytest.raises(ValueError, match="batch must be inputs and targets"):
                all_states(other)


class TestCurves:
    def test_by_hand(self, monkeypatch):
        """The model, the average with the final scalars, and what is read off at that step."""
        metadata = named.train(LINEAR_NAME, progress=False)
        curves, run = metadata["curves"], EXPERIMENTS[LINEAR_NAME]
        assert list(curves) == ["steps", "model", "interpolated", "compressed"]
        assert curves["steps"] == list(LINEAR.snapshots)
        assert all(len(column) == 4 for column in curves.values())
        model, _ = named.load(LINEAR_NAME)
        start, config = run.build_model(), LINEAR.model
        final = read_off(products(model))
        inputs, targets = (part[:32] for part in run.test_set())
        for row, weights in ((0, start), (3, model)):
            for column, judged in (
                ("model", weights),
                ("interpolated", ProductModel(config, interpolate(products(weights), final))),
                ("compressed", CompressedModel(config, read_off(products(weights)))),
            ):
                expected = float(sequence_loss(judged(inputs), targets).detach())
                assert curves[column][row] == pytest.approx(expected, rel=1e-6), column

    def test_none_without_snapshots(self):
        metadata = named.train(CHEBYSHEV.name, progress=False)
        assert "curves" not in metadata
        assert LINEAR.curves(LINEAR.build_model(), []) == {}
        mesa = EXPERIMENTS["mesa1-s0"]
        weights = mesa.build_model()
        assert mesa.curves(weights, [(0, weights.state_dict())]) == {}


class TestTraining:
    def test_an_interrupted_run_ends_in_the_same_file(self, monkeypatch, workplace):
        """Weights, trace and curves (from the snapshots), bit for bit."""
        named.train(LINEAR_NAME, progress=False)
        path = named.path_of(LINEAR_NAME)
        expected, weights = metadata_of(path), checkpoint.read(path)[0]
        path.unlink()
        original = Run.loss_at

        def interrupted(self, model, step):
            if step == 9:
                raise KeyboardInterrupt
            return original(self, model, step)

        with monkeypatch.context() as patch:
            patch.setattr(Run, "loss_at", interrupted)
            with pytest.raises(KeyboardInterrupt):
                named.train(LINEAR_NAME, progress=False, save_every=5)
        assert content_of(workplace / "state" / f"{LINEAR_NAME}.pt")["step"] == 5
        again = named.train(LINEAR_NAME, progress=False, save_every=5)
        assert again["curves"] == expected["curves"]
        assert metadata_of(path)["content_sha256"] == expected["content_sha256"]
        for key, value in checkpoint.read(path)[0].items():
            assert torch.equal(value, weights[key])

    @pytest.mark.parametrize("name", [LINEAR_NAME, CHEBYSHEV.name])
    def test_learns_and_is_recorded(self, name):
        run = EXPERIMENTS[name]
        before = run.evaluate(run.build_model())["loss"]
        metadata = named.train(name, progress=False)
        assert metadata["metrics"]["loss"] < before
        entry = named.record()[name]
        assert entry["status"] == "completed"
        assert {key: entry[key] for key in ("loss", "standard_error")} == metadata["metrics"]
        assert metadata["configuration"] == json.loads(json.dumps(run.configuration()))
        assert [step for step, _ in metadata["loss_trace"]] == [4, 8, 12]

    def test_a_diverging_run_stays_on_record(self, monkeypatch):
        wild = replace(LINEAR, name="lsa2-wild-s0", training=replace(LINEAR.training, lr=1e30))
        wild = replace(wild, model=replace(wild.model, clip=None))
        monkeypatch.setitem(EXPERIMENTS, wild.name, wild)
        with pytest.raises(TrainingError):
            named.train(wild.name, progress=False)
        entry = named.record()[wild.name]
        assert entry["status"] == "failed" and "loss" in entry["reason"]
        assert not named.path_of(wild.name).exists()


class TestVerify:
    @pytest.mark.parametrize(
        ("name", "metric"), [(LINEAR_NAME, "loss"), (NAME, "normalised_error")]
    )
    def test_both_metrics(self, name, metric):
        metadata = named.train(name, progress=False)
        result = named.verify(name)
        assert result.ok and result.recorded == result.measured == metadata["metrics"][metric]
        path = named.path_of(name)
        rewrite(path, metrics={**metadata["metrics"], metric: 1.01 * result.recorded})
        assert not named.verify(name).ok

    def test_commands(self, capsys):
        assert main(["train", LINEAR_NAME]) == 0
        assert capsys.readouterr().out.startswith(f"{LINEAR_NAME}: loss ")
        assert main(["verify", LINEAR_NAME]) == 0
        assert main(["list"]) == 0
        lines = capsys.readouterr().out.splitlines()
        (line,) = [line for line in lines if line.startswith(LINEAR_NAME)]
        assert "completed" in line and "loss" in line
        assert main(["show", LINEAR_NAME]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["published"] == {"source": "nobody", "lr": 1e-4} and "curves" in shown

    def test_seed_band(self):
        folder = checkpoint.folder()
        folder.mkdir(parents=True)
        entries = {
            f"lsa2-tiny-s{seed}": {"status": "completed", "loss": loss}
            for seed, loss in enumerate((0.1, 0.4))
        }
        (folder / "record.json").write_text(json.dumps(entries))
        low, high = named.seed_band("lsa2-tiny")
        spread = math.exp(3 * math.log(4) / math.sqrt(2))
        assert (low, high) == (pytest.approx(0.2 / spread), pytest.approx(0.2 * spread))
