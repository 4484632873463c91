"""Checkpoints: what is refused, with which message, and what the hash covers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_experiments import (  # noqa: F401 - fixtures
    NAME,
    TINY,
    finished_checkpoint,
    rewrite,
    temporary_workplace,
)

from icl_lib.experiments import checkpoint, named
from icl_lib.experiments.catalogue.registry import EXPERIMENTS, get
from icl_lib.models.distillation import LinearTwins
from icl_lib.models.learned_inverse import LearnedInverse
from icl_lib.models.prompting import Prompt
from icl_lib.models.transformer import Transformer

pytestmark = pytest.mark.usefixtures("workplace")


class TestRefusal:
    def refused(self, message, path=None):
        with pytest.raises(ValueError, match=message) as caught:
            named.load(NAME, path)
        assert NAME in str(caught.value)

    def test_missing(self):
        self.refused(f"does not exist: train it with python -m icl_lib.experiments train {NAME}")

    def test_unknown_experiment(self, path):
        with pytest.raises(ValueError, match="name must be one of"):
            named.load("nobody", path)

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
        good, reference = named.load(NAME)
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
                model, metadata = named.load(NAME)
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
        named.train("tiny-fixed-n3-s1", progress=False)
        with pytest.raises(ValueError, match="belongs to the configuration .*expected"):
            named.load(NAME, named.path_of("tiny-fixed-n3-s1"))

    def test_another_configuration(self, path, monkeypatch):
        monkeypatch.setitem(EXPERIMENTS, NAME, replace(TINY, batch=5))
        self.refused("belongs to the configuration .*'batch': 4.*expected .*'batch': 5")

    def test_no_configuration(self, path):
        rewrite(path, configuration=None)
        self.refused("belongs to the configuration None")

    def test_wrong_shapes(self, path):
        tensors = load_file(path)
        tensors["readout.weight"] = tensors["readout.weight"].reshape(-1, 1).contiguous()
        rewrite(path, tensors)
        self.refused(r"holds other tensors: readout.weight is '\(8, 1\) float32', expected")

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
        self.refused("holds other tensors: (norm.weight|more) is .*, expected")

    def test_a_rewritten_file_that_is_right(self, path):
        rewrite(path, wall_seconds=1e6)
        assert named.load(NAME)[1]["wall_seconds"] == 1e6

    def test_nothing_is_half_written(self, path, monkeypatch):
        blob = path.read_bytes()

        def full_disk(source, target):
            raise OSError("no space left on device")

        monkeypatch.setattr(checkpoint.os, "replace", full_disk)
        with pytest.raises(OSError, match="no space"):
            checkpoint.write(path, TINY.build_model(), {})
        assert path.read_bytes() == blob


class TestArguments:
    @pytest.mark.parametrize("value", [None, 3, b"file", ["file"], True])
    def test_paths(self, value):
        for call in (
            lambda: checkpoint.read(value),
            lambda: checkpoint.write(value, TINY.build_model(), {}),
            *([lambda: named.load(NAME, value)] if value is not None else []),
        ):
            with pytest.raises(ValueError, match="path must be a path, got"):
                call()

    def test_paths_as_text(self, path):
        assert checkpoint.read(str(path))[1] == named.load(NAME, str(path))[1]

    @pytest.mark.parametrize("value", [None, {}, TINY, TINY.build_model().state_dict()], ids=type)
    def test_model(self, value, path):
        with pytest.raises(ValueError, match="model must be a torch module"):
            checkpoint.write(path, value, {})

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_weights_that_are_not_finite(self, bad, path):
        model, blob = TINY.build_model(), path.read_bytes()
        torch.nn.init.constant_(model.readout.weight, bad)
        with pytest.raises(ValueError, match=r"finite weights.*\['readout.weight'\]"):
            checkpoint.write(path, model, {})
        assert path.read_bytes() == blob

    @pytest.mark.parametrize(
        "value", [None, [], "x", {"a": np.ones(2)}, {"a": np.nan}, {"a": torch.ones(())}], ids=str
    )
    def test_metadata(self, value, path):
        with pytest.raises(ValueError, match="metadata must be"):
            checkpoint.write(path, TINY.build_model(), value)

    @pytest.mark.parametrize("value", [None, {}, {"loss": 1.0}, {"normalised_error": "x"}, 3])
    def test_a_checkpoint_without_its_metric(self, value, path):
        rewrite(path, metrics=value)
        with pytest.raises(ValueError, match=f"{NAME}.* must record a normalised_error, got"):
            named.verify(NAME)


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


KINDS = (
    Transformer,
    LearnedInverse,
    Prompt,
    LinearTwins,
)


def test_the_shipped_checkpoints_load_and_match_the_record(monkeypatch):
    """Every file of the repository: intact, of its experiment, and with its entry on record."""
    monkeypatch.delenv("ICL_CHECKPOINTS")
    record = named.record()
    for file in sorted(checkpoint.folder().glob("*.safetensors")):
        model, metadata = named.load(file.stem)
        assert isinstance(model, KINDS)
        metric = get(file.stem).metric
        assert record[file.stem][metric] == metadata["metrics"][metric]
        assert metadata["wall_seconds"] < 45 * 60
        assert file.stat().st_size < 3e6


def test_the_build_can_see_what_is_read(path):
    """A chapter's stored execution counts as long as the checkpoints that it read are unchanged."""
    import sys

    seen = []
    sys.addaudithook(lambda event, given: seen.append(given) if event == "icl_lib.read" else None)
    checkpoint.read(path)
    assert seen == [(str(path),)]
