"""A model of a few numbers and a quadratic loss, for the tests of the training loop."""

from __future__ import annotations

import io

import torch
from torch import nn

from icl_lib.training import TrainConfig, train

F64 = torch.float64


class Point(nn.Module):
    """Parameters alone; the loss does the rest."""

    def __init__(self, *start):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(start, dtype=F64))


def quadratic(model, step):
    """Curvatures 1 and 3 around the minimum (2, -1)."""
    gap = model.w - torch.tensor([2.0, -1.0], dtype=F64)
    return 0.5 * (torch.tensor([1.0, 3.0], dtype=F64) * gap.square()).sum()


def config(steps=20, **options):
    options = {"lr": 0.1, "schedule": "constant", "optimizer": "sgd", "log_every": 5} | options
    return TrainConfig(steps=steps, **options)


def quiet(model, loss_at, settings, **options):
    if "state_path" in options:
        options.setdefault("identity", {"task": "quadratic"})
    return train(model, loss_at, settings, progress=False, **options)


def content_of(path):
    """What a state file holds after its first line and its hash, read without the library."""
    _, _, payload = path.read_bytes().split(b"\n", 2)
    return torch.load(io.BytesIO(payload), weights_only=True)
