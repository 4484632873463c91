"""Who does the tasks: processes of this machine (joblib with loky), or a Dask cluster.

A back end yields outcomes as they come. If workers die under it, it raises :class:`WorkersLost`;
the driver then hands it again what is not done.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import joblib
from joblib.externals.loky.process_executor import BrokenProcessPool

from icl_lib.experiments.sweeps.tasks import Outcome, Task, perform


class WorkersLost(RuntimeError):
    """Workers or the scheduler went away before all tasks were done."""


class Backend(Protocol):
    """What the driver asks of a back end."""

    workers: int
    words: str  # where the tasks are done, for the reader

    def outcomes(self, tasks: list[Task]) -> Iterator[Outcome]:
        """Yield the outcome of every task, in any order; raises WorkersLost."""
        ...

    def close(self) -> None:
        """Let the workers go."""
        ...


class LokyBackend:
    """``workers`` processes of this machine."""

    def __init__(self, workers: int):
        self.workers = workers
        self.words = f"{workers} process{'es' if workers > 1 else ''} of this machine"

    def outcomes(self, tasks: list[Task]) -> Iterator[Outcome]:
        """Yield the outcome of every task, in any order.

        Raises
        ------
        WorkersLost
            If a worker was killed.
        """
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            # one task at a time to a worker, and outcomes as they come
            how: dict[str, Any] = {"batch_size": 1, "return_as": "generator_unordered"}
            parallel: Any = joblib.Parallel(n_jobs=self.workers, pre_dispatch="all", **how)
            try:
                yield from parallel(joblib.delayed(perform)(task) for task in tasks)
            except BrokenProcessPool as error:
                why = str(error).partition("\n")[0].partition(". ")[0]
                raise WorkersLost(f"a worker of this machine died: {why}") from error

    def close(self) -> None:
        """Let the workers go: they end by themselves when they have been idle for a while."""


def default_workers() -> int:
    """Return how many processes this machine is good for: one a core."""
    return joblib.cpu_count(only_physical_cores=True)
