"""One call for networks, solvers and formulas: ``predict(*inputs)``, judged on one batch.

A batch is a tuple ``(*inputs, targets)`` of tensors (B, ...): what a predictor may see, and last
what it should say. Whatever maps the one to the other can stand in the same curve: a trained
network, ridge regression, a construction by hand.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from icl_lib._checks import positive_int

Predictor = Callable[..., Tensor]
Batch = tuple[Tensor, ...]  # (*inputs, targets)
CHUNK = 32  # sequences at a time that stay in the processor's cache: about twice as fast


def sequence_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return 1/2 the squared error (..., T, n), summed over n, averaged over all else: a scalar.

    Raises
    ------
    ValueError
        If ``predictions`` have another shape than ``targets`` and are no single number either.
    """
    if predictions.ndim and predictions.shape != targets.shape:
        raise ValueError(
            f"predictions must have the shape {tuple(targets.shape)} of the targets, "
            f"got {tuple(predictions.shape)}"
        )
    return (predictions - targets).square().sum(-1).mean() / 2


def predict_in_batches(predict: Predictor, *inputs: Tensor, chunk: int = CHUNK) -> Tensor:
    """Return ``predict(*inputs)``, (B, ...), computed ``chunk`` sequences or prompts at a time.

    Raises
    ------
    ValueError
        If ``chunk`` is no integer of at least 1, or there is nothing to predict from.
    """
    positive_int("chunk", chunk)
    for given in inputs or (None,):
        if not isinstance(given, Tensor) or given.ndim < 1 or len(given) == 0:
            raise ValueError(f"inputs must be (B, ...) tensors of sequences, got {given!r}")
    pieces = zip(*(given.split(chunk) for given in inputs), strict=True)
    return torch.cat([predict(*parts) for parts in pieces])


def loss_of(predict: Predictor, batch: Batch, chunk: int = CHUNK) -> float:
    """Return the loss of a predictor on a batch, without gradients: see :func:`sequence_loss`."""
    *inputs, targets = batch
    with torch.no_grad():
        return float(sequence_loss(predict_in_batches(predict, *inputs, chunk=chunk), targets))


def losses_of(predict: Predictor, batch: Batch, chunk: int = CHUNK) -> Tensor:
    """Return the loss of every sequence (B,): 1/2 the squared error, averaged over positions."""
    *inputs, targets = batch
    with torch.no_grad():
        predictions = predict_in_batches(predict, *inputs, chunk=chunk)
    return (predictions - targets).square().sum(-1).mean(-1) / 2


def evaluate(predict: Predictor, batch: Batch, chunk: int = CHUNK) -> dict[str, float]:
    """Return "loss", the mean of :func:`losses_of`, and its "standard_error" over sequences."""
    each = losses_of(predict, batch, chunk)
    return {
        "loss": float(each.mean()),
        "standard_error": float(each.std() / len(each) ** 0.5),
    }


def all_states(batch: Batch) -> Tensor:
    """Return s_1, ..., s_{T+1} (B, T+1, n) of a batch whose targets are the next states.

    Raises
    ------
    ValueError
        If the batch is no pair of tensors of one shape (B, T, n).
    """
    if len(batch) != 2 or batch[0].ndim != 3 or batch[0].shape != batch[1].shape:
        shapes = [tuple(part.shape) for part in batch]
        raise ValueError(f"batch must be inputs and targets (B, T, n), got the shapes {shapes}")
    inputs, targets = batch
    return torch.cat([inputs[:, :1], targets], 1)
