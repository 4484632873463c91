"""Tiny runs for the trials: every step is written to a log, so that it can be counted.

Importing this module adds the family "trial-n3" to the registry, in the workers as well.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from icl_lib.experiments.registry import EXPERIMENTS, Experiment
from icl_lib.models.transformer import TransformerConfig
from icl_lib.tasks.randomness import generators
from icl_lib.training import TrainConfig

FAMILY = "trial-n3"
STEPS, SAVE_EVERY = 40, 5
LOG_VARIABLE = "ICL_TRIAL_LOG"
PAUSE = 0.015  # seconds a step, so that there is time to disturb it


@dataclass(frozen=True)
class TrialExperiment(Experiment):
    """A transformer of a few hundred weights, trained for less than a second."""

    def loss_at(self, model, step):
        """Write down which step is done by whom, and do it."""
        note(self.name, str(step))
        time.sleep(PAUSE)
        return super().loss_at(model, step)

    def evaluate(self, model):
        """Judge on 64 prompts: enough to see that two models are the same."""
        note(self.name, "evaluate")
        prompts = self.task.sample(64, self.n_train + 1, generators(1_000_003))
        error = (model(prompts.xs, prompts.ys) - prompts.ys)[:, -1].detach().square()
        return {"normalised_error": float(error.mean()), "standard_error": float(error.std() / 8)}


def note(name: str, what: str) -> None:
    """Append a line to the log; lines of several processes do not mix."""
    if path := os.environ.get(LOG_VARIABLE):
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(log, f"{name} {what} {os.getpid()}\n".encode())
        os.close(log)


FIRST = TrialExperiment(
    f"{FAMILY}-s0",
    "fixed",
    3,
    0,
    TransformerConfig(d=2, width=8, layers=1, heads=1, max_points=4),
    TrainConfig(steps=STEPS, lr=1e-2, warmup=2, log_every=4),
    batch=4,
)
EXPERIMENTS[FIRST.name] = FIRST
