"""Tiny runs on raw elements, and on top of them: fixtures without any shipped checkpoint."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icl_lib.experiments import named
from icl_lib.experiments.catalogue.registry import EXPERIMENTS
from icl_lib.experiments.curves import FirstLayer
from icl_lib.experiments.data import FewShotPrompts, NextState
from icl_lib.experiments.judging import HalfSquaredError, LayerDistances
from icl_lib.experiments.networks import PromptConfig, TwinsConfig
from icl_lib.experiments.run import Published, Run
from icl_lib.models.config import TransformerConfig
from icl_lib.tasks.dynamics import LinearDynamics, PartiallyObserved
from icl_lib.training import TrainConfig

TRAINING = TrainConfig(steps=6, lr=1e-2, warmup=2, weight_decay=0.05, clip_norm=1.0, log_every=3)
SIZES = {"width": 8, "heads": 2, "key_size": 4, "init_std": 0.3}
SOFTMAX = Run(
    name="softmax-tiny-s0",
    task=NextState(LinearDynamics()),
    model=TransformerConfig.elements(("softmax", "softmax"), layer_norm=True, **SIZES),
    training=TRAINING,
    evaluation=HalfSquaredError(examples=64),
    seed=0,
    published=Published("nobody"),
    batch=4,
    length=12,
    snapshots=(0, 2, 6),
    watched=FirstLayer(fit=24),
)
MESA = replace(
    SOFTMAX,
    name="fullmesa-tiny-s0",
    task=NextState(PartiallyObserved()),
    model=TransformerConfig.elements(("mesa", "mesa"), n=5, clip=1.0, **SIZES),
    watched=FirstLayer(ridge=1e-6, fit=24),
)
# learned on top of the first run
EOS = Run(
    name="eos-tiny-s0",
    task=FewShotPrompts(),
    model=PromptConfig(),
    training=TRAINING,
    evaluation=HalfSquaredError(examples=32),
    seed=0,
    published=Published("nobody"),
    batch=4,
    length=5,
    known_zero_loss=10 / 6,
    below=(SOFTMAX,),
)
PREFIX = replace(
    EOS,
    name="prefix-tiny-s0",
    model=PromptConfig(prefix=3, fixed_eos=True),
    below=(SOFTMAX, EOS),
)
TWINS = replace(
    EOS,
    name="twins-tiny-s0",
    task=SOFTMAX.task,
    model=TwinsConfig(SOFTMAX.model),
    evaluation=LayerDistances(examples=64),
    length=12,
    known_zero_loss=2.0,
)


@pytest.fixture(name="place")
def temporary_place(tmp_path, monkeypatch):
    """Checkpoints and states in a temporary folder, and the tiny runs in the registry."""
    monkeypatch.setenv("ICL_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("ICL_STATE", str(tmp_path / "state"))
    for run in (SOFTMAX, MESA, EOS, PREFIX, TWINS):
        monkeypatch.setitem(EXPERIMENTS, run.name, run)
    return tmp_path


@pytest.fixture(name="base")
def trained_base(place):
    """The checkpoint of the first run, which the runs on top of it load."""
    named.train(SOFTMAX.name, progress=False)
    return named.path_of(SOFTMAX.name)
