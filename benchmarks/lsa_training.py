"""Steps per second of training one linear attention layer on fresh prompts, one thread.

    python benchmarks/lsa_training.py [--steps 60] [--rounds 5]

A step draws a new batch, computes the squared loss, its gradient and an Adam update. The forms are
timed in turn, round after round, so that a busy machine slows all of them alike, and the best round
of each counts. Seconds are CPU seconds of the one thread: on an idle machine those of the clock.

    query form      icl_lib.models.single_layer.QueryLSA, which never builds the prompt matrix E
    full E          icl_lib.models.single_layer.MergedLSA, eq. (3.3) of Zhang et al. 2024
    full E, rows    tokens in rows, weights padded with blocks of an identity and zeros, the query
                    masked out of the keys; written here in the style of Ahn et al. 2023
"""

from __future__ import annotations

import argparse
import time
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from icl_lib.models.single_layer import MergedLSA, QueryLSA, paper_initialisation, random_theta
from icl_lib.tasks.randomness import generators
from icl_lib.tasks.regression import gaussian_task


class Setting(NamedTuple):
    """One row block of the table."""

    d: int
    n_train: int
    batch: int


SETTINGS = (Setting(5, 20, 2048), Setting(20, 40, 256))


class RowLSA(nn.Module):
    """Full form with tokens in rows: P and Q are matrices padded by blocks of eye and zeros."""

    def __init__(self, d: int, theta: Tensor, sigma: float):
        super().__init__()
        self.value = nn.Parameter(torch.full((1,), sigma))
        self.query = nn.Parameter(sigma * theta @ theta.T)
        self.d = d

    def forward(self, xs: Tensor, ys: Tensor, x_query: Tensor) -> Tensor:
        """Return predictions (B,) for prompts (B, n, d), (B, n), (B, d)."""
        batch, n, d = xs.shape
        tokens = torch.zeros(batch, n + 1, d + 1)
        tokens[:, :n, :d], tokens[:, :n, d], tokens[:, n, :d] = xs, ys, x_query
        w_p = torch.cat([torch.zeros(d, d + 1), torch.cat([torch.zeros(1, d), torch.eye(1)], 1)])
        w_q = torch.cat([self.query, torch.zeros(1, d)], 0)
        w_q = torch.cat([w_q, torch.zeros(d + 1, 1)], 1)  # (d+1, d+1)
        mask = torch.eye(n + 1)
        mask[n, n] = 0.0
        scores = torch.einsum("bid,de,bje->bij", tokens, w_q.T, tokens)  # query i, key j
        values = torch.einsum("jk,bkd->bjd", mask, tokens @ (self.value * w_p).T)
        attended = torch.einsum("bij,bjd->bid", scores, values) / n
        return (tokens + attended)[:, -1, -1]


def forms(setting: Setting) -> dict[str, nn.Module]:
    """Return the three forms with the same start, Assumption 3.3."""
    sigma, theta = 0.1, random_theta(setting.d, torch.Generator().manual_seed(0))
    start = paper_initialisation(setting.d, sigma, theta)
    return {
        "query form": QueryLSA(*start),
        "full E": MergedLSA(*start),
        "full E, rows": RowLSA(setting.d, theta, sigma),
    }


def largest_difference(setting: Setting) -> float:
    """Return how far the three forms' predictions are apart on one batch, relative."""
    prompts = gaussian_task(np.eye(setting.d)).sample(64, setting.n_train, generators(1))
    with torch.no_grad():
        outputs = [
            model(prompts.xs, prompts.ys, prompts.x_query) for model in forms(setting).values()
        ]
    scale = outputs[0].abs().max()
    return max(float((other - outputs[0]).abs().max() / scale) for other in outputs[1:])


class Runner:
    """Trains one form for some steps at a time and remembers the best rate."""

    def __init__(self, model: nn.Module, setting: Setting):
        self.model, self.setting = model, setting
        self.task = gaussian_task(np.eye(setting.d))
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        self.step, self.rate = 0, 0.0

    def run(self, steps: int) -> None:
        """Take ``steps`` steps; each draws its own prompts."""
        started = time.process_time()
        for _ in range(steps):
            prompts = self.task.sample(
                self.setting.batch, self.setting.n_train, generators(0, self.step)
            )
            predicted = self.model(prompts.xs, prompts.ys, prompts.x_query)
            loss = 0.5 * (predicted - prompts.y_query).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.step += 1
        self.rate = max(self.rate, steps / (time.process_time() - started))


def measure(setting: Setting, steps: int, rounds: int) -> dict[str, float]:
    """Return the best steps per second of every form, and of drawing the data alone."""
    runners = {name: Runner(model, setting) for name, model in forms(setting).items()}
    task, data_rate = gaussian_task(np.eye(setting.d)), 0.0
    for _ in range(rounds):
        for runner in runners.values():
            runner.run(steps)
        started = time.process_time()
        for step in range(steps):
            task.sample(setting.batch, setting.n_train, generators(0, step))
        data_rate = max(data_rate, steps / (time.process_time() - started))
    return {**{name: runner.rate for name, runner in runners.items()}, "data alone": data_rate}


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60, help="steps a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, the best one counts")
    # make bench gives all benchmarks the same options; this one keeps nothing and has no bars
    parser.add_argument("--write", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--strict", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread, float32")
    for setting in SETTINGS:
        rates = measure(setting, options.steps, options.rounds)
        print(
            f"\nd = {setting.d}, N = {setting.n_train}, batch {setting.batch}; the forms agree "
            f"to {largest_difference(setting):.0e} relative"
        )
        print(f"{'form':14s} {'steps/s':>8s} {'ms/step':>8s} {'query form is faster by':>24s}")
        for name, rate in rates.items():
            ratio = f"{rates['query form'] / rate:.1f}" if name.startswith("full") else ""
            print(f"{name:14s} {rate:8.0f} {1e3 / rate:8.2f} {ratio:>24s}")


if __name__ == "__main__":
    main()
