"""What is measured at the snapshots of a training, for the curves of the book."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from icl_lib._checks import nonnegative, positive_int
from icl_lib.analysis.evaluation import Batch, loss_of
from icl_lib.analysis.probing import token_probe_errors
from icl_lib.models.compressed import (
    CompressedModel,
    ProductModel,
    interpolate,
    products,
    read_off,
)
from icl_lib.models.inspection import first_layer_weights, sensitivity, weights_by_distance
from icl_lib.models.transformer import Transformer

WINDOW = 8  # the last eight elements, as in the paper's figures
PROBE_FIT = 512
Snapshots = list[tuple[int, dict]]


@dataclass(frozen=True)
class Compression:
    """Losses on the first ``examples`` test sequences: of the model, interpolated, compressed."""

    examples: int = 512

    def __post_init__(self):
        positive_int("examples", self.examples)

    def curves(self, model: Transformer, moving: Transformer, snapshots: Snapshots, test: Batch):
        """Return "steps", "model", "interpolated" and "compressed", lists over snapshots.

        "interpolated" is the average of the products at that step and the scalars of the *final*
        ``model``, as in the paper; "compressed" is RevAlg-d read off at that step. ``moving`` is a
        model that takes the weights of every snapshot.
        """
        few = tuple(part[: self.examples] for part in test)
        final, config, rows = read_off(products(model)), model.config, []
        for step, weights in snapshots:
            moving.load_state_dict(weights)
            now = products(moving)
            models = (
                moving,
                ProductModel(config, interpolate(now, final)),
                CompressedModel(config, read_off(now)),
            )
            rows.append([step, *(loss_of(m, few) for m in models)])
        columns = ("steps", "model", "interpolated", "compressed")
        return dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))

    def plain(self) -> dict:
        """Return the settings as plain data."""
        return {"kind": "compression", **asdict(self)}


@dataclass(frozen=True)
class FirstLayer:
    """What the first layer holds of the last eight elements.

    ``ridge`` is the penalty of the probes, relative to the features' squared size: a wide stream of
    few observed numbers has directions of almost no variance, through which a probe without penalty
    reads noise. ``fit`` is the number of sequences that each probe is fitted on.
    """

    ridge: float = 0.0
    fit: int = PROBE_FIT

    def __post_init__(self):
        nonnegative("ridge", self.ridge)
        positive_int("fit", self.fit)

    def curves(self, model: Transformer, moving: Transformer, snapshots: Snapshots, test: Batch):
        """Return "steps" and the three parts of :func:`first_layer_view`, lists over snapshots."""
        states = test[0][: 2 * self.fit]
        columns = {"steps": [], "probe": [], "sensitivity": [], "attention": []}
        for step, weights in snapshots:
            moving.load_state_dict(weights)
            columns["steps"].append(step)
            for name, value in first_layer_view(moving, states, self.ridge, self.fit).items():
                columns[name].append(value)
        return columns

    def plain(self) -> dict:
        """Return the settings as plain data."""
        return {"kind": "first layer", **asdict(self)}


def first_layer_view(
    model: Transformer, states: Tensor, probe_ridge: float = 0.0, fit: int = PROBE_FIT
) -> dict[str, list]:
    """Return what a first layer holds, by distance j = 0..7 from the last position.

    "probe" is the held-out error of reading s_{T-j} off the layer's output, "sensitivity" the
    gradient's norm, "attention" (softmax layers only) the mean weight by head. ``states`` are
    (2 fit, T, n), the first half for the probes' fit.
    """
    with torch.no_grad():
        maps = states[:256]
        attention = (
            _rounded(weights_by_distance(first_layer_weights(model, maps).mean(0), WINDOW))
            if model.config.layers[0] == "softmax"
            else []
        )
    return {
        "probe": _rounded(first_layer_probe(model, states, probe_ridge, fit)),
        "sensitivity": _rounded(sensitivity(model, states[:64])[_window(states)]),
        "attention": attention,
    }


def first_layer_probe(
    model: Transformer, states: Tensor, probe_ridge: float = 0.0, fit: int = PROBE_FIT
) -> np.ndarray:
    """Return the held-out errors (8,) of reading s_T, s_{T-1}, ... off the first block's output.

    states : (2 fit, T, n), the first half for the fit; ``probe_ridge`` as in :class:`FirstLayer`.

    Raises
    ------
    ValueError
        If there are too few sequences, or they are shorter than 8 positions.
    """
    positions = _window(states)
    if len(states) <= fit:
        raise ValueError(f"states must hold more than {fit} sequences, got {len(states)}")
    with torch.no_grad():
        # small pieces stay in the processor's cache
        parts = [
            model.run_with_cache(some, names=(), stop_at_layer=1)[0][:, -1]
            for some in states.split(64)
        ]
    last = torch.cat(parts).double().numpy()
    ridge = probe_ridge * float((last[:fit] ** 2).sum())
    seen = states.double().numpy()
    return token_probe_errors(last, seen, positions, n_fit=fit, ridge=ridge).held_out


def _window(states: Tensor) -> list[int]:
    if states.ndim != 3 or states.shape[1] < WINDOW:
        raise ValueError(
            f"states must be (B, T, n) with T of at least {WINDOW}, got {tuple(states.shape)}"
        )
    return [states.shape[1] - 1 - j for j in range(WINDOW)]


def _rounded(values) -> list:
    return np.asarray(values, dtype=np.float64).round(6).tolist()
