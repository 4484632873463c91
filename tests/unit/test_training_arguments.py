"""Every argument of the training: what is no such thing is refused by its name, before any step."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from training_examples import Point, config, content_of, quadratic, quiet

from icl_lib.training import TrainConfig, TrainingError, train

HUGE = 10**400  # beyond the range of a float
NO_NUMBERS = [math.nan, math.inf, -math.inf, HUGE, -HUGE, "0.1", True, [0.1], 1j, b"1"]
NO_COUNTS = [1.5, 2.0, math.nan, math.inf, HUGE, 2**63, 2**31, -1, "3", True, [3]]
NUMBERS = ("lr", "weight_decay", "clip_norm")
COUNTS = ("steps", "warmup", "log_every")


class TestConfig:
    @pytest.mark.parametrize("name", NUMBERS)
    @pytest.mark.parametrize("value", [*NO_NUMBERS, -0.5], ids=repr)
    def test_numbers(self, name, value):
        with pytest.raises(ValueError, match=f"^{name} must be "):
            config(**{name: value})

    @pytest.mark.parametrize("name", COUNTS)
    @pytest.mark.parametrize("value", NO_COUNTS, ids=repr)
    def test_counts(self, name, value):
        with pytest.raises(ValueError, match=f"^{name} must be an integer of at "):
            config(**{name: value})

    @pytest.mark.parametrize("name", [*NUMBERS[:2], *COUNTS, "schedule", "optimizer"])
    def test_none(self, name):
        with pytest.raises(ValueError, match=f"^{name} must be "):
            config(**{name: None})

    @pytest.mark.parametrize("name", ["schedule", "optimizer"])
    @pytest.mark.parametrize("value", ["", "Cosine", 3, ["cosine"], {"sgd": 1}], ids=repr)
    def test_words(self, name, value):
        with pytest.raises(ValueError, match=f"^{name} must be '"):
            config(**{name: value})

    def test_kept_as_plain_numbers(self):
        """So that a state file and the metadata of a checkpoint can hold them."""
        given = {
            "warmup": np.int64(3),
            "lr": np.float32(0.125),
            "clip_norm": 2,
            "log_every": np.int8(5),
        }
        settings = config(np.int32(20), **given, weight_decay=np.float32(0.5))
        plain = TrainConfig(20, 0.125, 3, "constant", "sgd", 0.5, 2.0, 5)
        assert settings == plain
        assert {type(value) for value in asdict(settings).values()} == {int, float, str}


class TestCall:
    def refused(self, message, model=None, loss_at=quadratic, settings=None, **options):
        model = Point(5.0, 1.0) if model is None else model
        with pytest.raises(ValueError, match=message):
            train(model, loss_at, settings or config(), **{"progress": False} | options)
        if isinstance(model, Point) and model.w.requires_grad:
            assert model.w.tolist() == [5.0, 1.0]

    @pytest.mark.parametrize("value", [*NO_NUMBERS, 0, 0.0, -1.0], ids=repr)
    def test_zero_loss(self, value):
        """NaN would switch the guard off: no loss is above it."""
        self.refused("^zero_loss must be ", zero_loss=value)

    @pytest.mark.parametrize("value", [*NO_COUNTS, 0, None], ids=repr)
    def test_save_every(self, value):
        self.refused("^save_every must be an integer of at ", save_every=value)

    @pytest.mark.parametrize("value", [None, 3, "34", [1.5], [-1], [21], [3, 21], [HUGE], [None]])
    def test_snapshot_steps(self, value):
        self.refused("^snapshot_steps must be ", snapshot_steps=value)

    @pytest.mark.parametrize("value", [3, b"state", True, ["state"]])
    def test_state_path(self, value):
        self.refused("^state_path must be a path or None", state_path=value, identity={"seed": 0})

    @pytest.mark.parametrize("value", [None, {}, "seed 0", 3, [("seed", 0)]])
    def test_identity(self, value, tmp_path):
        path = tmp_path / "state.pt"
        self.refused("^identity must say whose state", state_path=path, identity=value)

    @pytest.mark.parametrize("value", [torch.ones(1), math.nan, object, {1, 2}, b"x"], ids=str)
    def test_identity_that_is_no_plain_data(self, value, tmp_path):
        path = tmp_path / "state.pt"
        self.refused("^identity must be plain data", state_path=path, identity={"seed": value})
        assert not path.exists()

    @pytest.mark.parametrize("value", [3, "model", quadratic, Point, nn.ReLU(), Point(1.0).w])
    def test_model(self, value):
        self.refused("^model must be a torch module with weights to train", model=value)

    def test_frozen_model(self):
        self.refused("^model must be a torch module with", model=Point(1.0).requires_grad_(False))

    @pytest.mark.parametrize("value", [None, 3, "loss"])
    def test_loss_at(self, value):
        self.refused("^loss_at must be a function of", loss_at=value)

    @pytest.mark.parametrize("value", [asdict(config()), 20, TrainConfig])
    def test_config(self, value):
        self.refused("^config must be a TrainConfig", settings=value)

    @pytest.mark.parametrize("value", [None, 1, "no"])
    def test_progress(self, value):
        self.refused("^progress must be True or False", progress=value)

    @pytest.mark.parametrize(
        ("loss", "shown"),
        [
            (lambda model: 3.0, "3.0"),
            (lambda model: None, "None"),
            (lambda model: model.w, r"shape \(2,\)"),
            (lambda model: model.w.sum().detach(), r"shape \(\)"),
            (lambda model: np.float64(1.0), "1.0"),
        ],
    )
    def test_what_the_loss_gives(self, loss, shown):
        message = rf"loss_at must return a scalar tensor with a gradient, got .*{shown}.* at step 0"
        self.refused(message, loss_at=lambda model, step: loss(model))


def test_weights_that_the_last_step_spoils():
    """The square root's gradient at 0 is infinite, its value is not: no loss would show it."""

    def loss_at(model, step):
        return (model.w - (model.w.detach() if step == 4 else 0)).square().sum().sqrt()

    model = Point(3.0, 4.0)
    assert math.isfinite(quiet(model, loss_at, config(4)).final_loss)
    with pytest.raises(TrainingError, match=r"the weights \['w'\] are not finite"):
        quiet(Point(3.0, 4.0), loss_at, config(5))


class TestState:
    """The state of a plain training: whose it is, and what its call adds to that."""

    def start(self, path, **options):
        options = {"identity": {"batch": 4, "seed": 0}} | options
        model = options.pop("model", None) or Point(5.0, 1.0)
        return quiet(
            model, quadratic, options.pop("settings", config()), state_path=path, **options
        )

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"identity": {"batch": 5, "seed": 0}}, "run.batch is 4, expected 5"),
            ({"identity": {"batch": 4, "seed": 1}}, "run.seed is 0, expected 1"),
            ({"identity": {"batch": 4}}, "run.seed is 0, expected 'absent'"),
            ({"identity": {"batch": 4, "seed": 0, "n": 1}}, "run.n is 'absent', expected 1"),
            ({"model": Point(5.0, 1.5)}, "initial weights is '[0-9a-f]{64}', expected"),
            ({"model": Point(5.0)}, "tensors.w is '.2,. float64', expected '.1,. float64'"),
            ({"model": Point(5.0, 1.0).float()}, "expected '.2,. float32'"),
            ({"zero_loss": 9.0}, "zero_loss is None, expected 9.0"),
            ({"snapshot_steps": (3,)}, r"snapshot_steps is \[\], expected \[3\]"),
            ({"settings": config(21)}, "training.steps is 20, expected 21"),
            ({"settings": config(lr=0.2)}, "training.lr is 0.1, expected 0.2"),
            ({"settings": config(clip_norm=1.0)}, "training.clip_norm is None, expected 1.0"),
            ({"settings": config(optimizer="adamw")}, "optimizer is 'sgd', expected 'adamw'"),
            ({"settings": config(schedule="cosine")}, "is 'constant', expected 'cosine'"),
        ],
    )
    def test_of_another_training(self, tmp_path, change, words):
        path = tmp_path / "state.pt"
        self.start(path)
        before = content_of(path)["model"]["w"]
        model = change.get("model", Point(5.0, 1.0))
        start = model.w.tolist()
        with pytest.raises(ValueError, match=rf"state file {path} belongs to another .*{words}"):
            self.start(path, **change | {"model": model})
        assert model.w.tolist() == start  # nothing was loaded
        assert torch.equal(content_of(path)["model"]["w"], before)

    def test_of_another_torch(self, tmp_path, monkeypatch):
        self.start(tmp_path / "state.pt")
        monkeypatch.setattr(torch, "__version__", "1.0")
        with pytest.raises(ValueError, match="torch is '.*', expected '1.0'"):
            self.start(tmp_path / "state.pt")

    def test_how_often_it_is_saved_does_not_matter(self, tmp_path):
        self.start(str(tmp_path / "state.pt"))
        log = self.start(Path(tmp_path / "state.pt"), save_every=3)
        assert [step for step, _ in log.trace] == [5, 10, 15, 20]
