"""The registry and the training of named runs, with a tiny run in a temporary folder."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_experiments import (  # noqa: F401 - fixtures
    NAME,
    TINY,
    finished_checkpoint,
    metadata_of,
    temporary_workplace,
)
from training_examples import content_of

from icl_lib import training
from icl_lib.experiments import named, storage
from icl_lib.experiments import run as run_module
from icl_lib.experiments.catalogue.registry import EXPERIMENTS, families, get
from icl_lib.experiments.data import RegressionPrompts, regression_task
from icl_lib.experiments.run import EVALUATION_SEED, Run, evaluation_batch
from icl_lib.tasks.randomness import generators
from icl_lib.training import TrainingError

UNKNOWN = (
    *("gpt", "gpt-d5-fixed-n10", "gpt-d5-fixed-n10-s", "nobody-s0", "", "gpt-d5-fixed-n10-s00"),
    *(f"gpt-d5-fixed-n10-s{seed}" for seed in ("01", "\u0663", "x", "-1", EVALUATION_SEED, 10**20)),
)
pytestmark = pytest.mark.usefixtures("workplace")


class TestRegistry:
    def test_names(self):
        names = [name for name in EXPERIMENTS if name.startswith("gpt")]
        expected = {
            f"gpt-d5-{inputs}-n{n}-s{seed}"
            for inputs in ("fixed", "random")
            for n in (10, 18, 25)
            for seed in range(3)
        } | {f"gpt-d8-fixed-n20-s{seed}" for seed in range(3)}
        expected -= {"gpt-d5-random-n25-s2"}  # two seeds of this family are trained
        assert set(names) == expected and len(names) == 20

    @pytest.mark.parametrize("name", [n for n in EXPERIMENTS if re.match("gpt.*s1", n)])
    def test_entries_say_what_their_name_says(self, name):
        run = EXPERIMENTS[name]
        d, inputs, n_train, seed = re.fullmatch(r"gpt-d(\d+)-(\w+)-n(\d+)-s(\d+)", name).groups()
        assert (run.model.n, run.task.covariance, run.length, run.seed) == (
            int(d),
            inputs,
            int(n_train),
            int(seed),
        )
        assert run.name == name and run.family == name[:-3]
        assert run.zero_loss == run.model.n
        assert run.model.max_points > run.length
        assert run.task.d == run.evaluation.power == run.model.n
        kind = {"fixed": "GaussianInputs", "random": "RandomDiagonalInputs"}[inputs]
        law = regression_task(run.task.d, inputs).inputs
        assert type(law).__name__ == kind
        xs, ys, targets = run.task.sample(4000, 2, generators(99))
        assert xs.shape == (4000, 3, int(d)) and ys.shape == targets.shape == (4000, 3)
        second_moment = xs.square().mean((0, 1)).numpy()
        assert second_moment == pytest.approx(np.ones(int(d)), abs=0.15)
        json.dumps(run.configuration())

    def test_loss_at_the_start_is_near_that_of_predicting_zero(self):
        for name, run in EXPERIMENTS.items():
            if name.startswith("gpt") and name.endswith("s0"):
                model = run.build_model()
                with torch.no_grad():
                    loss = np.mean([float(run.loss_at(model, step)) for step in range(6)])
                assert 0.7 < loss / run.zero_loss < 1.4, name

    def test_loss_is_the_mean_over_all_prefixes(self):
        run, model = TINY, TINY.build_model()
        xs, ys, _ = run.task.sample(4, 3, generators(0, 5))  # N + 1 inputs with labels
        errors = [
            (model(xs[b : b + 1], ys[b : b + 1])[0, i].item() - ys[b, i].item()) ** 2
            for b in range(4)
            for i in range(4)
        ]
        assert run.loss_at(model, 5).item() == pytest.approx(np.mean(errors), rel=1e-5)

    def test_initial_weights_depend_on_the_seed_alone(self):
        torch.manual_seed(0)
        first = TINY.build_model().state_dict()
        torch.manual_seed(1)
        other_law = replace(TINY, length=2, task=RegressionPrompts(2, "random"))
        again = other_law.build_model().state_dict()
        other = replace(TINY, seed=1).build_model().state_dict()
        assert all(torch.equal(first[key], again[key]) for key in first)
        assert not torch.equal(first["embed.weight"], other["embed.weight"])

    def test_evaluation_never_uses_a_training_seed(self, monkeypatch):
        used = []

        def spy(seed, step=0, original=generators):
            used.append((seed, step))
            return original(seed, step)

        monkeypatch.setattr(run_module, "generators", spy)
        model = TINY.build_model()
        TINY.loss_at(model, 7)
        assert used == [(0, 7)]
        evaluation_batch.cache_clear()
        TINY.evaluate(model)
        assert used[1:] == [(EVALUATION_SEED, 0)]
        assert EVALUATION_SEED not in {run.seed for run in EXPERIMENTS.values()}

    def test_evaluation_by_hand(self):
        model = TINY.build_model()
        xs, ys, _ = TINY.task.sample(64, 3, generators(EVALUATION_SEED))
        with torch.no_grad():
            predicted = model.predict_query(xs[:, :3], ys[:, :3], xs[:, 3])
        error = ((predicted - ys[:, 3]) ** 2 / 2).numpy().astype(float)
        got = TINY.evaluate(model)
        assert got == TINY.evaluate(model)
        assert got["normalised_error"] == pytest.approx(error.mean(), rel=1e-5)
        assert got["standard_error"] == pytest.approx(error.std(ddof=1) / 8, rel=1e-5)

    @pytest.mark.parametrize("name", UNKNOWN)
    def test_unknown_names(self, name):
        with pytest.raises(ValueError, match=rf"name must be one of \['gpt-d5.*got '{name}'"):
            get(name)

    @pytest.mark.parametrize("name", [None, 3, b"lsa1-k20-s0", ["lsa1-k20-s0"], TINY])
    def test_names_of_another_kind(self, name):
        for function in (get, named.path_of, named.load, named.verify):
            with pytest.raises(ValueError, match="name must be a name such as"):
                function(name)

    @pytest.mark.parametrize("family", ["gpt-d5-fixed-n10", "lsa1-k20", "contracting-chebyshev6"])
    def test_any_seed_of_a_family_exists(self, family):
        first, far = get(f"{family}-s0"), get(f"{family}-s41")
        assert far.name == f"{family}-s41" and far.seed == 41 and far.family == family
        assert replace(far, name=first.name, seed=0) == first
        assert f"{family}-s41" not in EXPERIMENTS and family in families()
        with pytest.raises(ValueError, match="name must be one of"):
            get(f"{family}-s-1")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"length": 0}, "length must be an integer of at least 1"),
            ({"length": 4}, "length must be below max_points = 4, got 4"),
            ({"known_zero_loss": -1.0}, "known_zero_loss must be"),
            ({"batch": 2.0}, "batch must be an integer"),
            ({"seed": -1}, "seed must be an integer of at least 0"),
        ],
    )
    def test_entries_that_mean_nothing(self, change, message):
        with pytest.raises(ValueError, match=message):
            replace(TINY, **change)

    @pytest.mark.parametrize("covariance", ["Fixed", None])
    def test_other_laws(self, covariance):
        with pytest.raises(ValueError, match="covariance must be 'fixed' or 'random', got"):
            RegressionPrompts(2, covariance)


class TestTraining:
    def test_the_same_command_gives_the_same_file(self, path, monkeypatch):
        first = metadata_of(path)["content_sha256"]
        monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: 0.0))
        blobs = []
        for seed in (1, 2):  # nothing may depend on global randomness
            path.unlink()
            torch.manual_seed(seed)
            named.train(NAME, progress=False)
            assert metadata_of(path)["content_sha256"] == first
            blobs.append(path.read_bytes())
        assert blobs[0] == blobs[1]

    def test_an_interrupted_run_ends_in_the_same_file(self, path, monkeypatch, workplace):
        expected = metadata_of(path)["content_sha256"]
        path.unlink()
        original = Run.loss_at

        def interrupted(self, model, step):
            if step == 9:
                raise KeyboardInterrupt
            return original(self, model, step)

        with monkeypatch.context() as patch:
            patch.setattr(Run, "loss_at", interrupted)
            with pytest.raises(KeyboardInterrupt):
                named.train(NAME, progress=False, save_every=5)
        state = workplace / "state" / f"{NAME}.pt"
        assert content_of(state)["step"] == 5 and not path.exists()
        named.train(NAME, progress=False, save_every=5)
        assert metadata_of(path)["content_sha256"] == expected
        assert not state.exists()

    def test_metadata(self, path):
        metadata = metadata_of(path)
        assert metadata["name"] == NAME and metadata["seed"] == 0
        assert metadata["configuration"]["training"]["steps"] == 12
        assert metadata["versions"]["torch"] == torch.__version__
        assert "1 thread" in metadata["versions"]["device"]
        assert [step for step, _ in metadata["loss_trace"]] == [4, 8, 12]
        assert metadata["final_loss"] == metadata["loss_trace"][-1][1]
        assert metadata["wall_seconds"] >= 0
        assert set(metadata["metrics"]) == {"normalised_error", "standard_error"}

    def test_weights_are_those_of_training(self, path):
        model, metadata = named.load(NAME)
        assert not model.training
        assert TINY.evaluate(model) == metadata["metrics"]
        start = TINY.build_model().state_dict()
        assert any(not torch.equal(value, start[key]) for key, value in model.state_dict().items())

    @pytest.mark.parametrize("threads", [1, 2])
    def test_the_callers_threads_stay(self, threads):
        """The library trains and verifies with the threads that torch has, and says how many."""
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            metadata = named.train(NAME, progress=False)
            named.verify(NAME)
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
        assert metadata["versions"]["device"].endswith(("1 thread", "2 threads")[threads - 1])

    def test_the_record(self, path):
        entry = named.record()[NAME]
        assert entry["status"] == "completed"
        assert entry["normalised_error"] == metadata_of(path)["metrics"]["normalised_error"]
        named.train("tiny-fixed-n3-s1", progress=False)
        assert list(named.record()) == [NAME, "tiny-fixed-n3-s1"]
        names = sorted(file.name for file in path.parent.iterdir())
        files = ["record.json", f"{NAME}.safetensors", "tiny-fixed-n3-s1.safetensors"]
        assert [name for name in names if not name.endswith(".lock")] == files

    def test_a_failed_run_stays_on_record(self, path, monkeypatch):
        wild = replace(TINY, name="wild-s0", training=replace(TINY.training, lr=1e30))
        monkeypatch.setitem(EXPERIMENTS, "wild-s0", wild)
        with pytest.raises(TrainingError):
            named.train("wild-s0", progress=False, save_every=1)
        entry = named.record()["wild-s0"]
        assert entry["status"] == "failed" and "loss" in entry["reason"]
        assert not named.path_of("wild-s0").exists()
        assert not storage.state_path(wild).exists()  # nothing to go on from
        assert named.record()[NAME]["status"] == "completed"

    def test_other_draws(self, monkeypatch):
        """Under another offset of the seeds it would be another run with the same name."""
        monkeypatch.setenv("ICL_SEED_OFFSET", "3")
        with pytest.raises(ValueError, match="ICL_SEED_OFFSET must be 0 or unset, got 3"):
            named.train(NAME, progress=False)
        assert not named.path_of(NAME).exists()

    def test_unknown_name(self):
        with pytest.raises(ValueError, match="name must be one of"):
            named.train("nobody")
