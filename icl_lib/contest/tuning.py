"""Tuning a baseline on other prompts: one parameter for all positions, or one a position."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from icl_lib.contest._arrays import numbers, squared_errors, targets_array


@dataclass(frozen=True)
class TunedPredictor:
    """A predictor with chosen parameters.

    ``values`` are the chosen ones, T of them or one for all positions; ``at_edge`` counts those at
    an end of the grid that are better than their neighbour: there a wider grid may do better.
    """

    make: Callable
    values: tuple
    at_edge: int

    def __call__(self, prompts):
        """Predict; position t uses the predictor made with ``values[t]``."""
        if len(self.values) == 1:
            return self.make(self.values[0])(prompts)
        parts: dict[int, np.ndarray] = {}  # by identity: a value need not be hashable
        for value in self.values:
            if id(value) not in parts:
                name = f"predictions with the grid value {value!r}"
                parts[id(value)] = numbers(name, self.make(value)(prompts))
                shape = parts[id(value)].shape
                if len(shape) < 2 or shape[1] != len(self.values):
                    raise ValueError(f"{name} must have {len(self.values)} positions, got {shape}")
        return np.stack([parts[id(v)][:, t] for t, v in enumerate(self.values)], axis=1)


@dataclass(frozen=True)
class GridTuning:
    """What :func:`tune_grid` returns: call it with (prompts, targets) to get a predictor.

    A contest sets ``clip`` to its own, so that a baseline is tuned under the clip that it meets.
    """

    make: Callable
    grid: tuple
    per_position: bool = True
    clip: float | None = None

    def __call__(self, prompts, targets) -> TunedPredictor:
        """Choose on prompts with targets (B,), (B, T) or (B, T, n)."""
        targets = targets_array("targets", targets)
        table = []  # (grid, T)
        for value in self.grid:
            name = f"predictions with the grid value {value!r}"
            guesses = self.make(value)(prompts)
            table.append(squared_errors(name, guesses, targets, self.clip).mean(0))
        scores = np.array(table)
        if not self.per_position:
            scores = scores.mean(1, keepdims=True)
        best = scores.argmin(0)  # the first of equals
        columns = np.arange(scores.shape[1])
        low = (best == 0) & (scores[0] < scores[1])
        high = (best == len(scores) - 1) & (scores[best, columns] < scores[-2])
        values = tuple(self.grid[i] for i in best)
        return TunedPredictor(self.make, values, int((low | high).sum()))


def tune_grid(make: Callable, grid: Iterable, per_position: bool = True) -> GridTuning:
    """Return a ``tune`` for a contestant: the grid's value with the smallest mean squared error.

    Convention: the mean runs over the tuning prompts, and with ``per_position=False`` over the
    positions too. A network can treat every position in its own way, and a baseline beside it
    should be allowed to.

    Parameters
    ----------
    make : maps a value to a predictor
    grid : at least two values, in order (the ends are looked at)
    per_position : choose a value a position, or one for all

    Raises
    ------
    ValueError
        If an argument does not fit; when called, if a prediction is not finite or has a wrong
        shape: it names the value.

    Examples
    --------
    >>> targets = np.array([[1.0, 4.0], [1.0, 6.0]])
    >>> tune = tune_grid(lambda value: lambda prompts: value * prompts, [1.0, 2.0, 5.0])
    >>> tune(np.ones((2, 2)), targets).values
    (1.0, 5.0)
    """
    if not callable(make):
        raise ValueError(f"make must be callable, got {make!r}")
    if not isinstance(per_position, bool):
        raise ValueError(f"per_position must be True or False, got {per_position!r}")
    try:
        values = tuple(v.item() if isinstance(v, np.generic) else v for v in grid)
    except TypeError as error:
        raise ValueError(f"grid must be a list of values, got {grid!r}") from error
    if len(values) < 2:
        raise ValueError(f"grid must hold at least 2 values to choose from, got {len(values)}")
    return GridTuning(make, values, per_position)
