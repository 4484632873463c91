"""A tiny experiment and a temporary folder for it: fixtures of the tests of `experiments`."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from safetensors.torch import save_file

from icl_lib.experiments import checkpoint, named
from icl_lib.experiments.catalogue.registry import EXPERIMENTS
from icl_lib.experiments.curves import Compression
from icl_lib.experiments.data import NextState, RegressionPrompts
from icl_lib.experiments.judging import HalfSquaredError, NormalisedError
from icl_lib.experiments.networks import IterationConfig
from icl_lib.experiments.run import Published, Run
from icl_lib.models.config import TransformerConfig
from icl_lib.tasks.dynamics import LinearDynamics
from icl_lib.training import TrainConfig

NAME = "tiny-fixed-n3-s0"
TINY = Run(
    name=NAME,
    task=RegressionPrompts(2, "fixed"),
    model=TransformerConfig.gpt(2, width=8, layers=1, heads=1, max_points=4),
    training=TrainConfig(steps=12, lr=1e-2, warmup=2, log_every=4),
    evaluation=NormalisedError(examples=64, power=2.0),
    seed=0,
    published=Published("nobody", steps=500_000),
    batch=4,
    length=3,
    known_zero_loss=2.0,
)

LINEAR_NAME = "lsa2-tiny-s0"
LINEAR = Run(
    name=LINEAR_NAME,
    task=NextState(LinearDynamics()),
    model=TransformerConfig.constructed(("linear", "linear"), heads=2, key_size=4, init_std=0.1),
    training=TrainConfig(steps=12, lr=1e-2, warmup=2, weight_decay=0.1, clip_norm=1.0, log_every=4),
    evaluation=HalfSquaredError(examples=64),
    seed=0,
    published=Published("nobody", lr=1e-4),
    batch=4,
    length=6,
    snapshots=(0, 4, 10, 12),
    watched=Compression(examples=32),
)
CHEBYSHEV = replace(
    LINEAR, name="chebyshev2-tiny-s0", model=IterationConfig(2), snapshots=(), watched=None
)


@pytest.fixture(name="workplace")
def temporary_workplace(tmp_path, monkeypatch):
    """Checkpoints and states in a temporary folder, and tiny experiments in the registry."""
    monkeypatch.setenv("ICL_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("ICL_STATE", str(tmp_path / "state"))
    for seed in range(3):
        run = TINY.with_seed(seed)
        monkeypatch.setitem(EXPERIMENTS, run.name, run)
    for run in (LINEAR, CHEBYSHEV):
        monkeypatch.setitem(EXPERIMENTS, run.name, run)
    return tmp_path


@pytest.fixture(name="path")
def finished_checkpoint():
    """A finished checkpoint."""
    named.train(NAME, progress=False)
    return named.path_of(NAME)


def stop_at(last_step, original=Run.loss_at):
    """A loss that is interrupted at that step, to be patched into `Run`."""

    def loss_at(self, model, step):
        if step == last_step:
            raise KeyboardInterrupt
        return original(self, model, step)

    return loss_at


def metadata_of(path):
    return checkpoint.read(path)[1]


def rewrite(path, tensors=None, **changes):
    """Write the checkpoint again with other tensors or metadata, with a hash that fits."""
    old_tensors, metadata = checkpoint.read(path)
    tensors = old_tensors if tensors is None else tensors
    metadata = {**metadata, **changes}
    metadata["content_sha256"] = checkpoint.content_sha256(tensors, metadata)
    save_file(tensors, path, {"icl_lib": json.dumps(metadata)})
