"""A training step of the sequence models of Part 3: time, data's share, RevAlg-d's forward pass.

    python benchmarks/training_step.py [--strict] [--write]

A step draws new sequences of 50 states of dimension 10, computes the loss and its gradient, clips
it and makes an AdamW update, as the book's runs do at batch 64; gradients of larger batches are
summed over parts of 32 sequences, which stay in the processor's cache. float32, one thread; median
of fifteen rounds in which the competitors take turns.

Operations of a linear layer with H heads of size n and tokens of width w, a sequence: forward
2 T (3 H n w) for the projections, 2 H (2 T^2 n) for scores and mixing (all T^2 pairs, as they are
computed), 2 T (H n w) for the output; backward twice as many. The first layer's tokens need no
gradient, which saves 2 T (3 H n w).
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import torch
from _page import training_tables
from _timing import Bar, finish, machine, matmul_call, medians, options, rounded
from torch import nn

from icl_lib.analysis.evaluation import sequence_loss
from icl_lib.models.compressed import CompressedModel, products, read_off
from icl_lib.models.config import TransformerConfig
from icl_lib.models.transformer import Transformer
from icl_lib.tasks.dynamics import LinearDynamics
from icl_lib.tasks.randomness import generators

LENGTH, BATCH, PART = 50, 64, 32
REFERENCE = "2-layer LSA with data, steps a second (a compiled JAX reference made 9.9)"


class Setting(NamedTuple):
    """One row: the name, the model and the batch."""

    name: str
    config: TransformerConfig
    batch: int


def linear(depth: int, key_size: int = 20) -> TransformerConfig:
    """Return the book's linear model of that depth."""
    if depth == 1:
        return TransformerConfig.constructed(
            ("linear",), heads=2, key_size=key_size, reads="two-channel"
        )
    return TransformerConfig.constructed(("linear",) * depth, key_size=key_size)


SETTINGS = (
    Setting("LSA-1", linear(1), 64),
    Setting("LSA-1", linear(1), 256),
    Setting("LSA-2", linear(2), 64),
    Setting("LSA-2", linear(2), 256),
    Setting("LSA-6", linear(6), 64),
    Setting("LSA-6", linear(6, 40), 64),
    Setting("one mesa-layer", TransformerConfig.constructed(("mesa",)), 64),
)


class Trainer:
    """A model with its optimiser and data."""

    def __init__(self, setting: Setting):
        self.setting, self.task, self.step = setting, LinearDynamics(), 0
        self.model = Transformer(setting.config, torch.Generator().manual_seed(0))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.1)

    def draw(self):
        """Draw the sequences of the next step."""
        self.step += 1
        return self.task.sample(self.setting.batch, LENGTH, generators(0, self.step))

    def train(self) -> None:
        """Make one step."""
        sequences = self.draw()
        size = PART if self.setting.batch > BATCH else BATCH
        parts = zip(sequences.inputs.split(size), sequences.targets.split(size), strict=True)
        self.optimizer.zero_grad()
        for inputs, targets in parts:
            loss = sequence_loss(self.model(inputs), targets)
            (loss * (len(inputs) / self.setting.batch)).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()


def flops(setting: Setting) -> float | None:
    """Return the operations of a step of a linear model; none for other kinds of layers."""
    config = setting.config
    if set(config.layers) != {"linear"}:
        return None
    inner = config.heads * config.key_size
    project = 2 * LENGTH * 3 * inner * config.width
    others = 2 * 2 * LENGTH**2 * inner + 2 * LENGTH * inner * config.width
    return setting.batch * (3 * len(config.layers) * (project + others) - project)


def step_row(setting: Setting) -> dict:
    """Time a step, its data and the machine's own product in turn."""
    trainer, (product, product_flops) = Trainer(setting), matmul_call()
    calls = {"step": trainer.train, "data": trainer.draw, "product": product}
    times = medians(calls, rounds=15)
    rate, work = product_flops / times["product"], flops(setting)
    return {
        "model": setting.name,
        "key_size": setting.config.key_size,
        "batch": setting.batch,
        "step": rounded(1e3 * times["step"]),
        "share": rounded(work / times["step"] / rate) if work else None,
        "data": rounded(times["data"] / times["step"]),
    }


def compressed_row(key_size: int) -> dict:
    """Time RevAlg-d's forward pass and the full model's, six layers, 64 sequences."""
    config = linear(6, key_size)
    full = Transformer(config, torch.Generator().manual_seed(0))
    small = CompressedModel(config, read_off(products(full)))
    states = LinearDynamics().sample(BATCH, LENGTH, generators(0)).inputs
    with torch.no_grad():
        calls = {"full": lambda: full(states), "compressed": lambda: small(states)}
        times = medians(calls, rounds=15)
    row = {name: rounded(1e3 * each) for name, each in times.items()}
    return {"key_size": key_size, **row, "ratio": rounded(times["full"] / times["compressed"])}


def bars(rows: list[dict]) -> list[Bar]:
    """Return this benchmark's bars."""
    result = [
        Bar(
            f"data's share of a step of {r['model']}, batch {r['batch']}",
            r["data"],
            "at most",
            0.15,
        )
        for r in rows
        if r["key_size"] == 20 and r["share"]
    ]
    two = next(row for row in rows if (row["model"], row["batch"]) == ("LSA-2", 256))
    return [*result, Bar(REFERENCE, 1e3 / two["step"], "at least", 12)]


def main() -> int:
    """Measure, print the tables and bars."""
    chosen, about = options(__doc__), machine()
    print(about)
    rows = [step_row(setting) for setting in SETTINGS]
    results = {
        "machine": about,
        "steps": rows,
        "compressed": [compressed_row(20), compressed_row(40)],
    }
    print("\n\n".join(["", *training_tables(results).values()]))
    return finish("training_step", results, bars(rows), chosen)


if __name__ == "__main__":
    sys.exit(main())
