"""Tiny runs on raw elements, and on top of them: fixtures without any shipped checkpoint."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icl_lib.experiments import adapted, raw, runs, sequences
from icl_lib.experiments.adapted import PromptExperiment, TwinExperiment
from icl_lib.experiments.raw import RAW_EXPERIMENTS, RawExperiment
from icl_lib.experiments.registry import EXPERIMENTS
from icl_lib.models.config import TransformerConfig
from icl_lib.training import TrainConfig

TRAINING = TrainConfig(steps=6, lr=1e-2, warmup=2, weight_decay=0.05, clip_norm=1.0, log_every=3)
SIZES = {"width": 8, "heads": 2, "key_size": 4, "init_std": 0.3}
SOFTMAX = RawExperiment(
    "softmax-tiny-s0",
    "linear",
    TransformerConfig.elements(("softmax", "softmax"), layer_norm=True, **SIZES),
    TRAINING,
    0,
    batch=4,
    length=12,
    snapshots=(0, 2, 6),
)
MESA = replace(
    SOFTMAX,
    name="fullmesa-tiny-s0",
    task="partial",
    model=TransformerConfig.elements(("mesa", "mesa"), n=5, clip=1.0, **SIZES),
)
# learned on top of the first run
EOS = PromptExperiment("eos-tiny-s0", SOFTMAX.name, TRAINING, 0, 4)
PREFIX = PromptExperiment(
    "prefix-tiny-s0", SOFTMAX.name, TRAINING, 0, 4, prefix=3, eos_run=EOS.name
)
TWINS = TwinExperiment("twins-tiny-s0", SOFTMAX.name, TRAINING, 0, 4)


@pytest.fixture(name="place")
def temporary_place(tmp_path, monkeypatch):
    """Checkpoints and states in a temporary folder, small test sets, the tiny runs registered."""
    monkeypatch.setenv("ICL_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("ICL_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(sequences, "EVALUATION_SEQUENCES", 64)
    monkeypatch.setattr(raw, "PROBE_FIT", 24)
    monkeypatch.setattr(adapted, "EVALUATION_PROMPTS", 32)
    monkeypatch.setattr(adapted, "PAIRS", 5)
    # new objects, since a run remembers its test set and the model below it
    for run in (SOFTMAX, MESA, EOS, PREFIX, TWINS):
        monkeypatch.setitem(EXPERIMENTS, run.name, replace(run))
    for run in (SOFTMAX, MESA):
        monkeypatch.setitem(RAW_EXPERIMENTS, run.name, EXPERIMENTS[run.name])
    return tmp_path


@pytest.fixture(name="base")
def trained_base(place):
    """The checkpoint of the first run, which the runs on top of it load."""
    runs.train_experiment(SOFTMAX.name, progress=False)
    return runs.checkpoint.path_of(SOFTMAX.name)
