"""The registry, the checkpoints and the command line, with a tiny run in a temporary folder."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from icl_lib import training
from icl_lib.experiments import checkpoint, registry, runs
from icl_lib.experiments.__main__ import main
from icl_lib.experiments.registry import EVALUATION_SEED, EXPERIMENTS, Experiment
from icl_lib.models.transformer import InContextTransformer, TransformerConfig
from icl_lib.training import TrainConfig, TrainingError

NAME = "tiny-fixed-n3-s0"
TINY = Experiment(
    NAME, "fixed", 3, 0, TransformerConfig(d=2, width=8, layers=1, heads=1, max_points=4),
    TrainConfig(steps=12, lr=1e-2, warmup=2, log_every=4), batch=4,
)


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """Checkpoints and states in a temporary folder, and tiny experiments in the registry."""
    monkeypatch.setenv("ICL_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("ICL_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(registry, "EVALUATION_PROMPTS", 64)
    for seed in range(3):
        name = f"tiny-fixed-n3-s{seed}"
        monkeypatch.setitem(EXPERIMENTS, name, replace(TINY, name=name, seed=seed))
    return tmp_path


@pytest.fixture
def path():
    """A finished checkpoint."""
    runs.train_experiment(NAME, progress=False)
    return checkpoint.path_of(NAME)


def metadata_of(path):
    return checkpoint.read(path)[1]


class TestRegistry:
    def test_names(self):
        names = [name for name in EXPERIMENTS if not name.startswith("tiny")]
        expected = {
            f"gpt-d5-{inputs}-n{n}-s{seed}"
            for inputs in ("fixed", "random") for n in (10, 18, 25) for seed in range(3)
        } | {f"gpt-d8-fixed-n20-s{seed}" for seed in range(3)}
        assert set(names) == expected and len(names) == 21

    @pytest.mark.parametrize("name", [n for n in EXPERIMENTS if n.endswith("s1")])
    def test_entries_say_what_their_name_says(self, name):
        run = EXPERIMENTS[name]
        d, inputs, n_train, seed = re.fullmatch(r"gpt-d(\d+)-(\w+)-n(\d+)-s(\d+)", name).groups()
        assert (run.model.d, run.inputs, run.n_train, run.seed) == (
            int(d), inputs, int(n_train), int(seed),
        )
        assert run.name == name and run.family == name[:-3]
        assert run.zero_loss == run.model.d
        assert run.model.max_points > run.n_train
        kind = {"fixed": "GaussianInputs", "random": "RandomDiagonalInputs"}[inputs]
        assert type(run.task.inputs).__name__ == kind
        prompts = run.task.sample(4000, 3, registry.generators(99))
        second_moment = prompts.xs.square().mean((0, 1)).numpy()
        assert second_moment == pytest.approx(np.ones(int(d)), abs=0.15)
        json.dumps(run.configuration())

    def test_loss_at_the_start_is_near_that_of_predicting_zero(self):
        for name, run in EXPERIMENTS.items():
            if name.endswith("s0") and not name.startswith("tiny"):
                model = run.build_model()
                with torch.no_grad():
                    loss = np.mean([float(run.loss_at(model, step)) for step in range(6)])
                assert 0.7 < loss / run.zero_loss < 1.4, name

    def test_loss_is_the_mean_over_all_prefixes(self):
        run, model = TINY, TINY.build_model()
        prompts = run.task.sample(4, 4, registry.generators(0, 5))  # N + 1 inputs with labels
        errors = [
            (model(prompts.xs[b : b + 1], prompts.ys[b : b + 1])[0, i].item()
             - prompts.ys[b, i].item()) ** 2
            for b in range(4) for i in range(4)
        ]
        assert run.loss_at(model, 5).item() == pytest.approx(np.mean(errors), rel=1e-5)

    def test_initial_weights_depend_on_the_seed_alone(self):
        torch.manual_seed(0)
        first = TINY.build_model().state_dict()
        torch.manual_seed(1)
        again = replace(TINY, n_train=2, inputs="random").build_model().state_dict()
        other = replace(TINY, seed=1).build_model().state_dict()
        assert all(torch.equal(first[key], again[key]) for key in first)
        assert not torch.equal(first["read_in.weight"], other["read_in.weight"])

    def test_evaluation_never_uses_a_training_seed(self, monkeypatch):
        used = []

        def spy(seed, step=0, original=registry.generators):
            used.append((seed, step))
            return original(seed, step)

        monkeypatch.setattr(registry, "generators", spy)
        model = TINY.build_model()
        TINY.loss_at(model, 7)
        assert used == [(0, 7)]
        TINY.evaluate(model)
        assert used[1:] == [(EVALUATION_SEED, 0)]
        assert EVALUATION_SEED not in {run.seed for run in EXPERIMENTS.values()}

    def test_evaluation_by_hand(self):
        model = TINY.build_model()
        prompts = TINY.task.sample(64, 4, registry.generators(EVALUATION_SEED))
        with torch.no_grad():
            predicted = model.predict_query(prompts.xs[:, :3], prompts.ys[:, :3], prompts.xs[:, 3])
        error = ((predicted - prompts.ys[:, 3]) ** 2 / 2).numpy().astype(float)
        got = TINY.evaluate(model)
        assert got == TINY.evaluate(model)
        assert got["normalised_error"] == pytest.approx(error.mean(), rel=1e-5)
        assert got["standard_error"] == pytest.approx(error.std(ddof=1) / 8, rel=1e-5)

    def test_unknown_names(self):
        with pytest.raises(ValueError, match=r"name must be one of \['gpt-d5.*got 'gpt'"):
            registry.get("gpt")


class TestTraining:
    def test_the_same_command_gives_the_same_file(self, path, monkeypatch):
        first = metadata_of(path)["content_sha256"]
        monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: 0.0))
        blobs = []
        for seed in (1, 2):  # nothing may depend on global randomness
            path.unlink()
            torch.manual_seed(seed)
            runs.train_experiment(NAME, progress=False)
            assert metadata_of(path)["content_sha256"] == first
            blobs.append(path.read_bytes())
        assert blobs[0] == blobs[1]

    def test_an_interrupted_run_ends_in_the_same_file(self, path, monkeypatch, workplace):
        expected = metadata_of(path)["content_sha256"]
        path.unlink()
        original = Experiment.loss_at

        def interrupted(self, model, step):
            if step == 9:
                raise KeyboardInterrupt
            return original(self, model, step)

        with monkeypatch.context() as patch:
            patch.setattr(Experiment, "loss_at", interrupted)
            with pytest.raises(KeyboardInterrupt):
                runs.train_experiment(NAME, progress=False, save_every=5)
        state = workplace / "state" / f"{NAME}.pt"
        assert torch.load(state, weights_only=True)["step"] == 5 and not path.exists()
        runs.train_experiment(NAME, progress=False, save_every=5)
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
        model, metadata = checkpoint.load(NAME)
        assert not model.training
        assert TINY.evaluate(model) == metadata["metrics"]
        start = TINY.build_model().state_dict()
        assert any(not torch.equal(value, start[key]) for key, value in model.state_dict().items())

    def test_one_thread(self, path):
        assert torch.get_num_threads() == 1

    def test_the_record(self, path):
        entry = runs.record()[NAME]
        assert entry["status"] == "completed"
        assert entry["normalised_error"] == metadata_of(path)["metrics"]["normalised_error"]
        runs.train_experiment("tiny-fixed-n3-s1", progress=False)
        assert list(runs.record()) == [NAME, "tiny-fixed-n3-s1"]
        names = sorted(file.name for file in path.parent.iterdir())
        assert names == ["record.json", f"{NAME}.safetensors", "tiny-fixed-n3-s1.safetensors"]

    def test_a_failed_run_stays_on_record(self, path, monkeypatch):
        wild = replace(TINY, name="wild-s0", training=replace(TINY.training, lr=1e30))
        monkeypatch.setitem(EXPERIMENTS, "wild-s0", wild)
        with pytest.raises(TrainingError):
            runs.train_experiment("wild-s0", progress=False)
        entry = runs.record()["wild-s0"]
        assert entry["status"] == "failed" and "loss" in entry["reason"]
        assert not checkpoint.path_of("wild-s0").exists()
        assert runs.record()[NAME]["status"] == "completed"

    def test_unknown_name(self):
        with pytest.raises(ValueError, match="name must be one of"):
            runs.train_experiment("nobody")


def rewrite(path, tensors=None, **changes):
    """Write the checkpoint again with other tensors or metadata, with a hash that fits."""
    old_tensors, metadata = checkpoint.read(path)
    tensors = old_tensors if tensors is None else tensors
    metadata = {**metadata, **changes}
    metadata["content_sha256"] = checkpoint.content_sha256(tensors, metadata)
    save_file(tensors, path, {"icl_lib": json.dumps(metadata)})


class TestRefusal:
    def refused(self, message, path=None):
        with pytest.raises(ValueError, match=message) as caught:
            checkpoint.load(NAME, path)
        assert NAME in str(caught.value)

    def test_missing(self):
        self.refused(f"does not exist: train it with python -m icl_lib.experiments train {NAME}")

    def test_unknown_experiment(self, path):
        with pytest.raises(ValueError, match="name must be one of"):
            checkpoint.load("nobody", path)

    def test_not_a_file(self, path):
        path.unlink()
        path.mkdir()
        self.refused("does not exist")

    @pytest.mark.parametrize("keep", [0, 1, 7, 8, 100, 2000, -1])
    def test_truncated(self, path, keep):
        path.write_bytes(path.read_bytes()[:keep])
        self.refused("is damaged")

    def test_a_changed_byte_anywhere(self, path):
        """Every other byte of the header, some of the weights; only the wall time is free."""
        blob = path.read_bytes()
        good, reference = checkpoint.load(NAME)
        header = 8 + int.from_bytes(blob[:8], "little")
        rng = np.random.default_rng(0)
        places = [(i, (1, 0x0F, 0xFF)[i % 3]) for i in range(0, header, 2)]
        places += [(int(i), 1) for i in rng.integers(header, len(blob), 100)]
        loose = 0
        for place, flip in places:
            damaged = bytearray(blob)
            damaged[place] ^= flip
            path.write_bytes(bytes(damaged))
            try:
                model, metadata = checkpoint.load(NAME)
            except ValueError as error:
                assert NAME in str(error), (place, flip)
                continue
            loose += 1
            free = {"wall_seconds": 0, "content_sha256": 0}
            assert {**metadata, **free} == {**reference, **free}, (place, flip)
            for key, value in good.state_dict().items():
                assert torch.equal(model.state_dict()[key], value), (place, flip)
        assert loose < 30

    def test_text_file(self, path):
        path.write_text("not a checkpoint at all", encoding="utf-8")
        self.refused("is damaged, expected safetensors")

    @pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
    def test_foreign(self, path, metadata):
        save_file({"weight": torch.ones(2)}, path, metadata)
        self.refused("is foreign: expected metadata 'icl_lib', got")

    @pytest.mark.parametrize("text", ["{", "3", "null", "[]", "{}"])
    def test_foreign_metadata(self, path, text):
        save_file(load_file(path), path, {"icl_lib": text})
        self.refused("is damaged")

    def test_foreign_tensor_type(self, path):
        save_file({"weight": torch.ones(2, dtype=torch.bfloat16)}, path, {"icl_lib": "{}"})
        self.refused("is damaged")

    def test_changed_metadata(self, path):
        tensors, metadata = checkpoint.read(path)
        metadata["metrics"]["normalised_error"] = 0.001
        save_file(tensors, path, {"icl_lib": json.dumps(metadata)})
        self.refused("is damaged: its content does not match its hash")

    def test_another_run(self, path):
        runs.train_experiment("tiny-fixed-n3-s1", progress=False)
        with pytest.raises(ValueError, match="belongs to the configuration .*expected"):
            checkpoint.load(NAME, checkpoint.path_of("tiny-fixed-n3-s1"))

    def test_another_configuration(self, path, monkeypatch):
        monkeypatch.setitem(EXPERIMENTS, NAME, replace(TINY, batch=5))
        self.refused("belongs to the configuration .*'batch': 4.*expected .*'batch': 5")

    def test_no_configuration(self, path):
        rewrite(path, configuration=None)
        self.refused("belongs to the configuration None")

    def test_wrong_shapes(self, path):
        tensors = load_file(path)
        tensors["read_out.weight"] = tensors["read_out.weight"].reshape(-1, 1).contiguous()
        rewrite(path, tensors)
        self.refused("holds tensors .*expected")

    @pytest.mark.parametrize("change", ["missing", "additional", "type"])
    def test_wrong_tensors(self, path, change):
        tensors = load_file(path)
        if change == "missing":
            del tensors["norm.weight"]
        elif change == "additional":
            tensors["more"] = torch.ones(1)
        else:
            tensors["norm.weight"] = tensors["norm.weight"].view(torch.int32)
        rewrite(path, tensors)
        self.refused("holds tensors .*expected")

    def test_a_rewritten_file_that_is_right(self, path):
        rewrite(path, wall_seconds=1e6)
        assert checkpoint.load(NAME)[1]["wall_seconds"] == 1e6

    def test_nothing_is_half_written(self, path, monkeypatch):
        blob = path.read_bytes()

        def full_disk(source, target):
            raise OSError("no space left on device")

        monkeypatch.setattr(checkpoint.os, "replace", full_disk)
        with pytest.raises(OSError, match="no space"):
            checkpoint.write(path, TINY.build_model(), {})
        assert path.read_bytes() == blob


class TestHash:
    TENSORS = {"a": torch.tensor([1.0, 2.0]), "b": torch.ones(2, 2)}
    METADATA = {"name": "x", "wall_seconds": 3.0}

    def test_what_it_covers(self):
        base = checkpoint.content_sha256(self.TENSORS, self.METADATA)
        swapped = dict(reversed(self.TENSORS.items()))
        assert checkpoint.content_sha256(swapped, self.METADATA) == base
        free = {"wall_seconds": 4.0, "name": "x", "content_sha256": "z"}
        assert checkpoint.content_sha256(self.TENSORS, free) == base
        for tensors, metadata in [
            ({**self.TENSORS, "a": torch.tensor([1.0, 2.0000002])}, self.METADATA),
            ({"a": self.TENSORS["a"], "c": self.TENSORS["b"]}, self.METADATA),
            (self.TENSORS, {"name": "y"}),
            (self.TENSORS, {**self.METADATA, "more": 1}),
        ]:
            assert checkpoint.content_sha256(tensors, metadata) != base


class TestVerify:
    def test_good(self, path):
        result = runs.verify(NAME)
        assert result.ok and result.name == NAME and result.recorded == result.measured

    def test_recorded_value_that_is_wrong(self, path):
        metrics = metadata_of(path)["metrics"]
        rewrite(path, metrics={**metrics, "normalised_error": 1.01 * metrics["normalised_error"]})
        assert not runs.verify(NAME).ok

    @pytest.mark.parametrize(("measured", "ok"), [(1.0009, True), (1.0011, False), (math.nan, False)])
    def test_tolerance(self, measured, ok):
        assert runs.Verification("x", 1.0, measured).ok is ok

    def test_missing(self):
        with pytest.raises(ValueError, match="does not exist"):
            runs.verify(NAME)


class TestSeedBand:
    def write_record(self, *errors, **more):
        entries = {
            f"tiny-s{i}": {"status": "completed", "normalised_error": error}
            for i, error in enumerate(errors)
        }
        checkpoint.folder().mkdir(parents=True)
        (checkpoint.folder() / "record.json").write_text(json.dumps(entries | more))

    def test_three_seeds(self):
        """Geometric mean times exp(+-3 s), s the sample deviation of the logarithms."""
        failed = {"tiny-s9": {"status": "failed", "reason": "loss"}}
        other = {"tiny-n2-s0": {"status": "completed", "normalised_error": 9.0}}
        self.write_record(0.1, 0.2, 0.4, **failed, **other)
        low, high = runs.seed_band("tiny")
        assert low == pytest.approx(0.2 / 2**3) and high == pytest.approx(0.2 * 2**3)

    def test_one_seed_is_no_band(self):
        self.write_record(0.1)
        with pytest.raises(ValueError, match="family 'tiny' must have two recorded seeds, got 1"):
            runs.seed_band("tiny")

    def test_completed_runs(self):
        failed = {"tiny-s9": {"status": "failed", "reason": "loss"}}
        self.write_record(0.1, 0.2, **failed)
        assert runs.completed("tiny") == ["tiny-s0", "tiny-s1"]
        for function in (runs.completed, runs.seed_band):
            with pytest.raises(ValueError, match="family must have a completed run .*'nobody'"):
                function("nobody")


class TestFolders:
    def test_defaults(self, monkeypatch, tmp_path):
        for name in ("ICL_CHECKPOINTS", "ICL_STATE"):
            monkeypatch.delenv(name)
        assert checkpoint.folder() == Path(__file__).resolve().parents[2] / "checkpoints"
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert runs.state_folder() == tmp_path / "icl_lib"
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert runs.state_folder() == Path.home() / ".cache" / "icl_lib"
        assert checkpoint.folder() not in runs.state_folder().parents

    def test_settings(self, workplace):
        assert checkpoint.path_of(NAME) == workplace / "checkpoints" / f"{NAME}.safetensors"
        assert runs.state_folder() == workplace / "state"

    def test_no_record_yet(self):
        assert runs.record() == {}


class TestCommandLine:
    def test_list(self, path, capsys):
        assert main(["list"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == len(EXPERIMENTS)
        tiny = [line for line in lines if line.startswith("tiny")]
        assert "completed" in tiny[0] and "normalised error" in tiny[0]
        assert "not trained" in tiny[1]

    def test_show(self, capsys):
        assert main(["show", NAME]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert list(shown) == ["configuration"] and shown["configuration"]["n_train"] == 3
        runs.train_experiment(NAME, progress=False)
        assert main(["show", NAME]) == 0
        assert json.loads(capsys.readouterr().out)["metrics"]["normalised_error"] > 0

    def test_train_twice(self, capsys):
        assert main(["train", NAME]) == 0
        out = capsys.readouterr().out
        assert re.fullmatch(rf"{NAME}: normalised error \d\.\d{{4}}, \d+ s\n", out)
        assert main(["train", NAME]) == 0
        assert f"{NAME}: the same file as before" in capsys.readouterr().out

    def test_train_on_another_device(self, path, capsys):
        """Other versions mean another file; the band is printed if it is known."""
        rewrite(path, versions={"device": "elsewhere"})
        assert main(["train", NAME]) == 0
        out = capsys.readouterr().out
        assert "another file than before" in out and "no seed band, since fewer than two" in out
        runs.train_experiment("tiny-fixed-n3-s1", progress=False)
        rewrite(path, versions={"device": "elsewhere"})
        assert main(["train", NAME]) == 0
        low, high = runs.seed_band("tiny-fixed-n3")
        assert f"seed band {low:.4f} to {high:.4f}" in capsys.readouterr().out

    def test_train_replaces_a_damaged_file(self, path, capsys):
        path.write_bytes(b"damaged")
        assert main(["train", NAME]) == 0
        assert runs.verify(NAME).ok

    def test_verify(self, path, capsys):
        assert main(["verify", NAME]) == 0
        assert capsys.readouterr().out.startswith(f"OK   {NAME}: recorded ")
        rewrite(path, metrics={"normalised_error": 0.5})
        assert main(["verify", NAME]) == 1
        assert capsys.readouterr().out.startswith(f"FAIL {NAME}: recorded 0.500000, measured ")

    def test_one_bad_name_does_not_stop_the_others(self, path, capsys):
        assert main(["verify", "nobody", NAME, "tiny-fixed-n3-s1"]) == 1
        captured = capsys.readouterr()
        assert captured.out.startswith(f"OK   {NAME}")
        assert "nobody: name must be one of" in captured.err
        assert "tiny-fixed-n3-s1: checkpoint" in captured.err

    @pytest.mark.parametrize("command", ["show", "train", "verify"])
    def test_unknown_names(self, command, capsys):
        assert main([command, "nobody"]) == 1
        assert "name must be one of" in capsys.readouterr().err

    def test_all(self, path, monkeypatch, capsys):
        for name in [name for name in EXPERIMENTS if name != NAME]:
            monkeypatch.delitem(EXPERIMENTS, name)
        assert main(["verify", "all"]) == 0
        assert NAME in capsys.readouterr().out

    def test_divergence(self, monkeypatch, capsys):
        wild = replace(TINY, training=replace(TINY.training, lr=1e30))
        monkeypatch.setitem(EXPERIMENTS, NAME, wild)
        assert main(["train", NAME]) == 1
        assert f"{NAME}: the loss" in capsys.readouterr().err

    @pytest.mark.parametrize("arguments", [[], ["dance"], ["train"]])
    def test_usage(self, arguments, capsys):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "usage: python -m icl_lib.experiments" in capsys.readouterr().err


def test_the_shipped_checkpoints_load_and_match_the_record(monkeypatch):
    """Every file of the repository: intact, of its experiment, and with its entry on record."""
    monkeypatch.delenv("ICL_CHECKPOINTS")
    record = runs.record()
    for file in sorted(checkpoint.folder().glob("*.safetensors")):
        model, metadata = checkpoint.load(file.stem)
        assert isinstance(model, InContextTransformer)
        assert record[file.stem]["normalised_error"] == metadata["metrics"]["normalised_error"]
        assert metadata["wall_seconds"] < 45 * 60
        assert file.stat().st_size < 3e6
