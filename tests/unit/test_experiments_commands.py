"""Verification, the seed band, the folders and the command line of the named runs."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_experiments import (  # noqa: F401 - fixtures
    NAME,
    TINY,
    finished_checkpoint,
    metadata_of,
    rewrite,
    stop_at,
    temporary_workplace,
)

from icl_lib.experiments import __main__ as commands
from icl_lib.experiments import checkpoint, named, storage, store
from icl_lib.experiments.__main__ import main
from icl_lib.experiments.catalogue.registry import EXPERIMENTS, get
from icl_lib.experiments.run import Run

pytestmark = pytest.mark.usefixtures("workplace")


class TestVerify:
    def test_good(self, path):
        result = named.verify(NAME)
        assert result.ok and result.name == NAME and result.recorded == result.measured

    def test_recorded_value_that_is_wrong(self, path):
        metrics = metadata_of(path)["metrics"]
        rewrite(path, metrics={**metrics, "normalised_error": 1.01 * metrics["normalised_error"]})
        assert not named.verify(NAME).ok

    @pytest.mark.parametrize(
        ("measured", "ok"), [(1.0009, True), (1.0011, False), (math.nan, False)]
    )
    def test_tolerance(self, measured, ok):
        assert store.Verification("x", 1.0, measured).ok is ok

    def test_missing(self):
        with pytest.raises(ValueError, match="does not exist"):
            named.verify(NAME)


class TestSeedBand:
    def write_record(self, *errors, **more):
        entries = {
            f"tiny-fixed-n3-s{i}": {"status": "completed", "normalised_error": error}
            for i, error in enumerate(errors)
        }
        checkpoint.folder().mkdir(parents=True)
        (checkpoint.folder() / "record.json").write_text(json.dumps(entries | more))

    def test_three_seeds(self):
        """Geometric mean times exp(+-3 s), s the sample deviation of the logarithms."""
        failed = {"tiny-fixed-n3-s9": {"status": "failed", "reason": "loss"}}
        other = {"tiny-n2-s0": {"status": "completed", "normalised_error": 9.0}}
        self.write_record(0.1, 0.2, 0.4, **failed, **other)
        low, high = named.seed_band("tiny-fixed-n3")
        assert low == pytest.approx(0.2 / 2**3) and high == pytest.approx(0.2 * 2**3)

    def test_one_seed_is_no_band(self):
        self.write_record(0.1)
        message = "family 'tiny-fixed-n3' must have two recorded seeds, got 1"
        with pytest.raises(ValueError, match=message):
            named.seed_band("tiny-fixed-n3")

    def test_completed_runs(self):
        failed = {"tiny-fixed-n3-s9": {"status": "failed", "reason": "loss"}}
        self.write_record(0.1, 0.2, **failed)
        assert named.completed("tiny-fixed-n3") == ["tiny-fixed-n3-s0", "tiny-fixed-n3-s1"]
        for function in (named.completed, named.seed_band):
            with pytest.raises(ValueError, match="family must have a completed run .*'nobody'"):
                function("nobody")


class TestFolders:
    @pytest.mark.parametrize("empty", [True, False])
    def test_defaults(self, monkeypatch, empty):
        """Both inside the checkout, so that no other checkout meets them."""
        for name in ("ICL_CHECKPOINTS", "ICL_STATE"):
            monkeypatch.setenv(name, "")
            if not empty:
                monkeypatch.delenv(name)
        root = Path(__file__).resolve().parents[2]
        assert checkpoint.folder() == root / "checkpoints"
        assert storage.state_folder() == root / "_build" / "training"

    def test_settings(self, workplace):
        assert named.path_of(NAME) == workplace / "checkpoints" / f"{NAME}.safetensors"
        assert storage.state_path(get(NAME)) == workplace / "state" / f"{NAME}.pt"

    def test_no_record_yet(self):
        assert named.record() == {}


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
        assert list(shown) == ["configuration", "published"]
        assert shown["published"] == {"source": "nobody", "steps": 500_000}
        assert shown["configuration"]["length"] == 3
        named.train(NAME, progress=False)
        assert main(["show", NAME]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["metrics"]["normalised_error"] == shown["record"]["normalised_error"] > 0

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
        named.train("tiny-fixed-n3-s1", progress=False)
        rewrite(path, versions={"device": "elsewhere"})
        assert main(["train", NAME]) == 0
        low, high = named.seed_band("tiny-fixed-n3")
        assert f"seed band {low:.4f} to {high:.4f}" in capsys.readouterr().out

    def test_train_replaces_a_damaged_file(self, path, capsys):
        path.write_bytes(b"damaged")
        assert main(["train", NAME]) == 0
        assert named.verify(NAME).ok

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

    @pytest.mark.parametrize("command", ["show", "train", "verify", "forget"])
    def test_unknown_names(self, command, capsys):
        assert main([command, "nobody"]) == 1
        captured = capsys.readouterr()
        assert captured.err.startswith("nobody: name must be one of")
        assert captured.out == "" and captured.err.count("\n") == 1

    def test_forget(self, monkeypatch, capsys):
        """What an interrupted training leaves is removed, nothing else is."""
        monkeypatch.setattr(Run, "loss_at", stop_at(9))
        for name in ("tiny-fixed-n3-s0", "tiny-fixed-n3-s1"):
            with pytest.raises(KeyboardInterrupt):
                named.train(name, progress=False, save_every=4)
        first, second = (storage.state_path(get(f"tiny-fixed-n3-s{seed}")) for seed in range(2))
        first.with_name(f"{first.name}.77.partial").write_bytes(b"half")
        assert main(["list"]) == 0
        assert capsys.readouterr().out.count("(unfinished state kept)") == 2
        assert main(["forget", NAME]) == 0
        assert capsys.readouterr().out == f"{NAME}: removed {first}, {first}.77.partial\n"
        assert not first.exists() and second.exists()
        assert main(["forget", "tiny-fixed-n3", "--seeds", "0-1"]) == 0
        assert f"{NAME}: no state\ntiny-fixed-n3-s1: removed {second}\n" == capsys.readouterr().out

    def test_ctrl_c(self, workplace):
        """The command says that it can go on, without a traceback."""
        program = (
            "import runpy, sys\nfrom icl_lib.experiments import store\n"
            "def stop(*_): raise KeyboardInterrupt\nstore.record = stop\n"
            "sys.argv = ['x', 'train', 'lsa1-k20-s0']\n"
            "runpy.run_module('icl_lib.experiments', run_name='__main__')"
        )
        root = Path(__file__).resolve().parents[2]
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 130
        assert done.stderr == "interrupted; a training goes on from its last saved step\n"

    def test_all(self, path, monkeypatch, capsys):
        for name in [name for name in EXPERIMENTS if name != NAME]:
            monkeypatch.delitem(EXPERIMENTS, name)
        assert main(["verify", "all"]) == 0
        assert NAME in capsys.readouterr().out

    def test_all_leaves_out_what_is_on_record_as_failed(self, path, monkeypatch, capsys):
        for name in [name for name in EXPERIMENTS if name != NAME]:
            monkeypatch.delitem(EXPERIMENTS, name)
        monkeypatch.setitem(EXPERIMENTS, "tiny-fixed-n3-s1", replace(TINY, name="tiny-fixed-n3-s1"))
        assert main(["verify", "all"]) == 1  # it has never run
        storage.add_entry("tiny-fixed-n3-s1", {"status": "failed", "reason": "loss"})
        assert main(["verify", "all"]) == 0
        assert "tiny-fixed-n3-s1" not in capsys.readouterr().out
        storage.add_entry(NAME, {"status": "failed", "reason": "loss"})
        assert main(["verify", "all"]) == 0 and capsys.readouterr().out == ""

    def test_seeds(self, monkeypatch):
        """--seeds makes a family into its runs, and any seed exists."""
        seen = []
        monkeypatch.setattr(commands, "_train", lambda name: seen.append(name) or 0)
        assert main(["train", "lsa1-k20", "gpt-d5-fixed-n10", "--seeds", "0-1"]) == 0
        assert main(["train", "lsa1-k20", "--seeds", "3,5-6"]) == 0
        assert seen == [
            *("lsa1-k20-s0", "lsa1-k20-s1", "gpt-d5-fixed-n10-s0", "gpt-d5-fixed-n10-s1"),
            *("lsa1-k20-s3", "lsa1-k20-s5", "lsa1-k20-s6"),
        ]

    def test_train_seeds(self, capsys):
        assert main(["train", "tiny-fixed-n3", "--seeds", "0-1"]) == 0
        assert sorted(named.record()) == ["tiny-fixed-n3-s0", "tiny-fixed-n3-s1"]
        assert main(["verify", "tiny-fixed-n3", "--seeds", "0,1"]) == 0
        assert main(["train", NAME, "--seeds", "0"]) == 1  # a run where a family was expected
        assert "name must be one of" in capsys.readouterr().err

    def test_divergence(self, monkeypatch, capsys):
        wild = replace(TINY, training=replace(TINY.training, lr=1e30))
        monkeypatch.setitem(EXPERIMENTS, NAME, wild)
        assert main(["train", NAME]) == 1
        assert f"{NAME}: the loss" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["dance"],
            ["train"],
            ["forget"],
            ["train", NAME, "--seeds"],
        ],
    )
    def test_usage(self, arguments, capsys):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "usage: python -m icl_lib.experiments" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "seeds", ["x", "4-0", "", "-", "0-", "0--1", "1,", "0-1000", "1.5", "\u0663", "9" * 5000]
    )
    @pytest.mark.parametrize("command", ["show", "train", "verify", "forget"])
    def test_bad_seeds(self, command, seeds, capsys):
        assert main([command, "lsa1-k20", "--seeds", seeds]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.count("\n") == 1
        assert captured.err.startswith("--seeds must be such as 0-4 or 0,3 (at most 1000), got '")
