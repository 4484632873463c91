"""A tiny experiment and a temporary folder for it: fixtures of the tests of `experiments`."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from safetensors.torch import save_file

from icl_lib.experiments import checkpoint, registry, runs, sequences
from icl_lib.experiments.registry import EXPERIMENTS, Experiment
from icl_lib.experiments.sequences import SequenceExperiment
from icl_lib.models.config import TransformerConfig
from icl_lib.training import TrainConfig

NAME = "tiny-fixed-n3-s0"
TINY = Experiment(
    NAME,
    "fixed",
    3,
    0,
    TransformerConfig.gpt(2, width=8, layers=1, heads=1, max_points=4),
    TrainConfig(steps=12, lr=1e-2, warmup=2, log_every=4),
    batch=4,
)

LINEAR_NAME = "lsa2-tiny-s0"
LINEAR = SequenceExperiment(
    LINEAR_NAME,
    "linear",
    TransformerConfig.constructed(("linear", "linear"), heads=2, key_size=4, init_std=0.1),
    TrainConfig(steps=12, lr=1e-2, warmup=2, weight_decay=0.1, clip_norm=1.0, log_every=4),
    0,
    batch=4,
    length=6,
    snapshots=(0, 4, 10, 12),
)
CHEBYSHEV = replace(LINEAR, name="chebyshev2-tiny-s0", model=2, snapshots=())


@pytest.fixture(name="workplace")
def temporary_workplace(tmp_path, monkeypatch):
    """Checkpoints and states in a temporary folder, and tiny experiments in the registry."""
    monkeypatch.setenv("ICL_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("ICL_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(registry, "EVALUATION_PROMPTS", 64)
    monkeypatch.setattr(sequences, "EVALUATION_SEQUENCES", 64)
    monkeypatch.setattr(sequences, "CURVE_SEQUENCES", 32)
    for seed in range(3):
        name = f"tiny-fixed-n3-s{seed}"
        monkeypatch.setitem(EXPERIMENTS, name, replace(TINY, name=name, seed=seed))
    # new objects, since a run remembers its test set
    for run in (LINEAR, CHEBYSHEV):
        monkeypatch.setitem(EXPERIMENTS, run.name, replace(run))
    return tmp_path


@pytest.fixture(name="path")
def finished_checkpoint():
    """A finished checkpoint."""
    runs.train_experiment(NAME, progress=False)
    return checkpoint.path_of(NAME)


def stop_at(last_step, original=Experiment.loss_at):
    """A loss that is interrupted at that step, to be patched into `Experiment`."""

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
