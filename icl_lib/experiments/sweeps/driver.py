"""Hand tasks to a back end until every run is done or has failed, whatever dies on the way."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from pathlib import Path

from icl_lib.experiments.sweeps import runs
from icl_lib.experiments.sweeps.backends import Backend, LokyBackend, WorkersLost, default_workers
from icl_lib.experiments.sweeps.progress import Progress
from icl_lib.experiments.sweeps.settings import parse_name
from icl_lib.experiments.sweeps.store import Store
from icl_lib.experiments.sweeps.tasks import BUSY, FAILED, SYSTEM, Outcome, Task

MOST_DEATHS = 20  # one after the other, without a run that ended in between
LONGEST_WAIT = 10.0  # seconds between two looks at runs that another sweep has


def plan(
    families: list[str],
    seeds: list[int],
    grid: list[dict[str, str]],
    *,
    store: str,
    scratch: str,
    module: str | None = None,
    save_every: int = 500,
    retry_failed: bool = False,
) -> list[Task]:
    """Return the tasks of a sweep: every family with every seed and every combination of settings.

    Raises
    ------
    ValueError
        If a family, field or value is unknown, or the store is one that processes cannot share.
    """
    place = Store(store)
    if "memory" in place.protocols:
        raise ValueError(f"store must be shared by all workers, got {store!r}")
    tasks = {}
    for family in families:
        for settings in grid:
            for seed in seeds:
                run = runs.make(family, seed, settings, module)
                tasks[run.name] = Task(
                    name=run.name,
                    family=family,
                    seed=seed,
                    store=place.address,
                    scratch=str(Path(scratch).resolve()),
                    settings=parse_name(run.name)[2],
                    module=module,
                    save_every=save_every,
                    retry_failed=retry_failed,
                )
    return list(tasks.values())


def open_backend(workers: int | None, scheduler: str | None) -> Backend:
    """Return the back end: Dask's if there is a ``scheduler`` (an address or "local"), else loky's.

    Raises
    ------
    OSError
        If no scheduler answers at the address.
    """
    workers = default_workers() if workers is None else workers
    if scheduler is None:
        return LokyBackend(workers)
    # Dask only when asked for
    dask_backend = importlib.import_module("icl_lib.experiments.sweeps.dask_backend")
    return dask_backend.DaskBackend(scheduler, workers)


def sweep(
    tasks: list[Task],
    backend: Backend,
    progress: Progress,
    ended: Callable[[Outcome], None] = lambda _: None,
) -> dict[str, Outcome]:
    """Do all tasks; return their outcomes by name, none of them "busy".

    ``ended`` is called with every outcome that is final.
    """
    left = {task.name: task for task in tasks}
    deaths, wait = 0, 1.0
    while left:
        before = len(left)
        try:
            for outcome in backend.outcomes(list(left.values())):
                progress.add(outcome)
                if outcome.status != BUSY:
                    del left[outcome.name]
                    ended(outcome)
        except WorkersLost as lost:
            deaths = 1 if len(left) < before else deaths + 1
            progress.say(f"{lost}; {len(left)} runs are taken up again")
            if deaths >= MOST_DEATHS:
                _give_up(left, progress, str(lost), ended)
            continue
        if left:  # another sweep has them
            wait = 1.0 if len(left) < before else min(2 * wait, LONGEST_WAIT)
            time.sleep(wait)
    return progress.outcomes


def _give_up(left: dict[str, Task], progress: Progress, why: str, ended) -> None:
    for name in list(left):
        reason = f"no run ended while workers died {MOST_DEATHS} times: {why}"
        record = {"name": name, "status": FAILED, "kind": SYSTEM, "reason": reason}
        outcome = Outcome(name, FAILED, record=record, stored=False)
        progress.add(outcome)
        ended(outcome)
        del left[name]
