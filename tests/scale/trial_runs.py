"""Tiny runs for the trials: every step is written to a log, so that it can be counted.

Importing this module adds the family "trial-n3" to the registry, in the workers as well.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from icl_lib.experiments.data import RegressionPrompts
from icl_lib.experiments.judging import NormalisedError
from icl_lib.experiments.named import EXPERIMENTS
from icl_lib.experiments.run import Published, Run
from icl_lib.models.config import TransformerConfig
from icl_lib.training import TrainConfig

FAMILY = "trial-n3"
STEPS, SAVE_EVERY = 40, 5
LOG_VARIABLE = "ICL_TRIAL_LOG"
PAUSE = 0.015  # seconds a step, so that there is time to disturb it


@dataclass(frozen=True)
class TrialRun(Run):
    """A transformer of a few hundred weights, trained for less than a second."""

    def loss_at(self, model, step):
        """Write down which step is done by whom, and do it."""
        note(self.name, str(step))
        time.sleep(PAUSE)
        return super().loss_at(model, step)

    def evaluate(self, model):
        """Judge as usual, and write that down as well."""
        note(self.name, "evaluate")
        return super().evaluate(model)


def note(name: str, what: str) -> None:
    """Append a line to the log; lines of several processes do not mix."""
    if path := os.environ.get(LOG_VARIABLE):
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(log, f"{name} {what} {os.getpid()}\n".encode())
        os.close(log)


FIRST = TrialRun(
    name=f"{FAMILY}-s0",
    task=RegressionPrompts(2, "fixed"),
    model=TransformerConfig.gpt(2, width=8, layers=1, heads=1, max_points=4),
    training=TrainConfig(steps=STEPS, lr=1e-2, warmup=2, log_every=4),
    evaluation=NormalisedError(examples=64, power=2.0),
    seed=0,
    published=Published("nobody"),
    batch=4,
    length=3,
    known_zero_loss=2.0,
)
EXPERIMENTS[FIRST.name] = FIRST
