"""What the named runs minimise, and how a finished one is judged.

Every kind has a ``metric``, ``loss(predict, batch)`` and ``scores(predict, batch)``, where
``predict(*inputs)`` is any predictor of that kind of data.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from icl_lib._checks import positive_int
from icl_lib.analysis.evaluation import (
    Batch,
    Predictor,
    evaluate,
    loss_of,
    predict_in_batches,
    sequence_loss,
)
from icl_lib.experiments.networks import Imitation


@dataclass(frozen=True)
class OnExamples:
    """``examples`` is the number of prompts or sequences of the test set."""

    examples: int = 2048

    def __post_init__(self):
        positive_int("examples", self.examples)

    def plain(self) -> dict:
        """Return the judge as plain data."""
        return {"kind": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class NormalisedError(OnExamples):
    """Squared error of scalar labels, over E y^2 = ``power``: predicting zero scores 1."""

    power: float = 1.0

    metric = "normalised_error"

    def loss(self, predict: Predictor, batch: Batch) -> Tensor:
        """Return the training loss: mean squared error over prompts and all N + 1 prefixes.

        Convention: no factor 1/2, as in Garg et al.
        """
        *inputs, targets = batch
        return (predict(*inputs) - targets).square().mean()

    def scores(self, predict: Predictor, batch: Batch) -> dict[str, float]:
        """Return the normalised error at the query, M = N, with its standard error."""
        *inputs, targets = batch
        with torch.no_grad():
            error = (predict(*inputs) - targets)[:, -1].square() / self.power
        return {
            "normalised_error": float(error.mean()),
            "standard_error": float(error.std() / len(error) ** 0.5),
        }


@dataclass(frozen=True)
class HalfSquaredError(OnExamples):
    """Half the squared error, summed over coordinates, averaged over sequences and positions.

    Source: von Oswald et al. 2023, training objective; the released code's scaling.
    """

    metric = "loss"

    def loss(self, predict: Predictor, batch: Batch) -> Tensor:
        """Return the training loss."""
        *inputs, targets = batch
        return sequence_loss(predict(*inputs), targets)

    def scores(self, predict: Predictor, batch: Batch) -> dict[str, float]:
        """Return the loss on the test set with its standard error over sequences."""
        return evaluate(predict, batch)


@dataclass(frozen=True)
class LayerDistances(OnExamples):
    """The relative squared distances of linear layers to the softmax layers that they imitate."""

    metric = "loss"

    def loss(self, predict: Predictor, batch: Batch) -> Tensor:
        """Return the training loss: the distances of all layers, their sum."""
        states, _ = batch
        return predict(states).sum()

    def scores(self, predict: Predictor, batch: Batch) -> dict[str, float]:
        """Return "loss_1", ...: the loss with that layer replaced, over the original's loss.

        "loss" is the mean of these ratios over the layers.

        Raises
        ------
        ValueError
            If ``predict`` is no :class:`icl_lib.experiments.networks.Imitation`.
        """
        if not isinstance(predict, Imitation):
            raise ValueError(f"predict must be an Imitation of layers, got {predict!r}")
        states, targets = batch
        reference = loss_of(predict.original, batch)
        with torch.no_grad():
            losses = [
                sequence_loss(predict_in_batches(model, states), targets)
                for model in predict.replaced()
            ]
        ratios = [float(loss / reference) for loss in losses]
        each = {f"loss_{layer}": ratio for layer, ratio in enumerate(ratios, start=1)}
        return {"loss": sum(ratios) / len(ratios), **each}


Judge = NormalisedError | HalfSquaredError | LayerDistances
