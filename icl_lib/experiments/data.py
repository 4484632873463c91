"""What the named runs are trained on: batches, drawn from the laws of ``icl_lib.tasks``.

Every kind has ``sample(count, length, source) -> (*inputs, targets)``, so that a run needs not know
which it is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np

from icl_lib.analysis.evaluation import Batch
from icl_lib.tasks.dynamics import LinearDynamics, PartiallyObserved
from icl_lib.tasks.few_shot import FewShotRegression
from icl_lib.tasks.inputs import GaussianInputs, RandomDiagonalInputs
from icl_lib.tasks.randomness import Generators
from icl_lib.tasks.regression import LinearRegression

INPUT_LAWS = ("fixed", "random")


@lru_cache(maxsize=8)
def regression_task(d: int, covariance: str) -> LinearRegression:
    """Return the task with x ~ N(0, I) ("fixed") or with a new Exp(1) diagonal every prompt."""
    if covariance == "fixed":
        return LinearRegression(GaussianInputs(np.eye(d)))
    return LinearRegression(RandomDiagonalInputs(d))


@dataclass(frozen=True)
class RegressionPrompts:
    """Linear-regression prompts: xs (B, N+1, d) and ys (B, N+1) in, all N+1 labels out.

    ``length`` is N, the number of examples before the query, which has a label here as well: the
    prediction of y_i may depend on the labels before it only.
    """

    d: int
    covariance: str

    def __post_init__(self):
        if self.covariance not in INPUT_LAWS:
            raise ValueError(f"covariance must be 'fixed' or 'random', got {self.covariance!r}")

    def sample(self, count: int, length: int, source: Generators) -> Batch:
        """Draw ``count`` prompts of ``length`` examples and a query."""
        prompts = regression_task(self.d, self.covariance).sample(count, length + 1, source)
        return prompts.xs, prompts.ys, prompts.ys

    def plain(self) -> dict:
        """Return the law as plain data."""
        return {"kind": "regression prompts", **asdict(self)}


@dataclass(frozen=True)
class NextState:
    """Sequences: states s_1, ..., s_T (B, T, n) in, s_2, ..., s_{T+1} out; ``length`` is T."""

    dynamics: LinearDynamics | PartiallyObserved

    def __post_init__(self):
        if not isinstance(self.dynamics, LinearDynamics | PartiallyObserved):
            raise ValueError(f"dynamics must be a task of icl_lib.tasks, got {self.dynamics!r}")

    def sample(self, count: int, length: int, source: Generators) -> Batch:
        """Draw ``count`` sequences of ``length`` + 1 states."""
        drawn = self.dynamics.sample(count, length, source)
        return drawn.inputs, drawn.targets

    def plain(self) -> dict:
        """Return the law as plain data."""
        return {"kind": type(self.dynamics).__name__, **asdict(self.dynamics)}


@dataclass(frozen=True)
class FewShotPrompts:
    """Few-shot regression: xs and ys (B, N, n) in, the labels ys out; ``length`` is N."""

    regression: FewShotRegression = FewShotRegression()

    def sample(self, count: int, length: int, source: Generators) -> Batch:
        """Draw ``count`` prompts of ``length`` labelled pairs."""
        few = self.regression.sample(count, length, source)
        return few.xs, few.ys, few.ys

    def plain(self) -> dict:
        """Return the law as plain data."""
        return {"kind": "few-shot prompts", **asdict(self.regression)}


Data = RegressionPrompts | NextState | FewShotPrompts
