"""Checkpoints of former kinds of runs: converted by name, weights untouched, others refused."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch
from former_runs import old_on_top, old_prompts, old_sequences
from tiny_experiments import (  # noqa: F401 - fixtures
    CHEBYSHEV,
    LINEAR,
    NAME,
    TINY,
    finished_checkpoint,
    metadata_of,
    rewrite,
    temporary_workplace,
)
from tiny_raw_experiments import EOS, MESA, PREFIX, SOFTMAX, TWINS

from icl_lib.experiments import checkpoint, named
from icl_lib.experiments.__main__ import main
from icl_lib.experiments.catalogue.registry import EXPERIMENTS
from icl_lib.experiments.conversion import convert, former

pytestmark = pytest.mark.usefixtures("workplace")


KINDS = [
    *((run, old_prompts) for run in (TINY,)),
    *((run, old_sequences) for run in (LINEAR, CHEBYSHEV, SOFTMAX, MESA)),
    *((run, old_on_top) for run in (EOS, PREFIX, TWINS)),
]


@pytest.fixture(name="old_file")
def file_of_a_former_version(path):
    """The tiny run's checkpoint as a former version wrote it."""
    rewrite(path, configuration=json.loads(json.dumps(old_prompts(TINY))))
    return path


class TestConversion:
    def test_only_the_description_changes(self, old_file):
        tensors, before = checkpoint.read(old_file)
        with pytest.raises(ValueError, match="belongs to the configuration"):
            named.load(NAME)
        assert convert(old_file, TINY)
        after_tensors, after = checkpoint.read(old_file)
        assert list(after_tensors) == list(tensors)
        assert all(torch.equal(after_tensors[name], value) for name, value in tensors.items())
        assert {key for key in after if after[key] != before[key]} == {
            "configuration",
            "content_sha256",
        }
        assert named.verify(NAME).ok

    def test_twice_is_once(self, old_file):
        assert convert(old_file, TINY)
        blob = old_file.read_bytes()
        assert not convert(old_file, TINY) and old_file.read_bytes() == blob

    def test_as_if_it_had_been_trained_today(self, path):
        blob = path.read_bytes()
        rewrite(path, configuration=json.loads(json.dumps(old_prompts(TINY))))
        assert convert(path, TINY) and path.read_bytes() == blob

    @pytest.mark.parametrize(("run", "old"), KINDS, ids=lambda value: getattr(value, "name", ""))
    def test_every_kind(self, run, old, path):
        """The metadata alone: any weights will do."""
        rewrite(path, configuration=json.loads(json.dumps(old(run))))
        assert convert(path, run)
        assert metadata_of(path)["configuration"] == json.loads(json.dumps(run.configuration()))

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"n_train": 2}, "length is 2, expected 3"),
            ({"inputs": "random"}, "task.covariance is 'random', expected 'fixed'"),
            ({"seed": 1}, "seed is 1, expected 0"),
            ({"name": "tiny-fixed-n3-s1"}, "name is 'tiny-fixed-n3-s1', expected"),
            ({"model": {**asdict(TINY.model), "width": 16}}, "model.width is 16, expected 8"),
            ({"training": {**asdict(TINY.training), "lr": 1.0}}, "training.lr is 1.0, expected"),
            ({"more": 1}, "is no configuration of a former run"),
        ],
        ids=lambda value: str(value)[:20],
    )
    def test_another_run_is_refused(self, old_file, change, words):
        rewrite(old_file, configuration={**old_prompts(TINY), **change})
        blob = old_file.read_bytes()
        with pytest.raises(ValueError, match=f"{NAME}.safetensors cannot be converted: ") as caught:
            convert(old_file, TINY)
        assert words in str(caught.value) and old_file.read_bytes() == blob

    @pytest.mark.parametrize("value", [None, {}, [], 3, "lsa1", {"name": NAME}], ids=str)
    def test_what_never_was_a_configuration(self, path, value):
        rewrite(path, configuration=value)
        with pytest.raises(ValueError, match="is no configuration of a former run"):
            convert(path, TINY)

    @pytest.mark.parametrize(("run", "old"), KINDS, ids=lambda value: getattr(value, "name", ""))
    def test_every_field_counts(self, run, old):
        for key in old(run):
            if key in ("eos_run", "prefix") and run.family.startswith("eos"):
                continue  # None and 0, both of which may be absent
            missing = {name: value for name, value in old(run).items() if name != key}
            try:
                said = former(missing)
            except (KeyError, TypeError):
                continue
            assert said != former(old(run)), key

    def test_the_command(self, old_file, monkeypatch, capsys):
        monkeypatch.setitem(EXPERIMENTS, NAME, TINY)
        stranger = old_file.with_name("nobody-s0.safetensors")
        stranger.write_bytes(old_file.read_bytes())
        assert main(["convert"]) == 1
        captured = capsys.readouterr()
        assert captured.out == f"{NAME}: converted\n"
        assert captured.err.startswith("nobody-s0: name must be one of")
        stranger.unlink()
        assert main(["convert"]) == 0
        assert capsys.readouterr().out == f"{NAME}: already as it should be\n"
