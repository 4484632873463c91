"""Two Dask workers against one on the same short runs: how much of the second one is used.

Efficiency is t1 / (2 t2), from one measurement of each. Both clusters are there beforehand, and
their workers have imported the library. Needs two idle cores.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from _timing import Bar, finish, machine, options, rounded

from icl_lib.experiments.sweeps import runs
from icl_lib.experiments.sweeps.dask_backend import DaskBackend
from icl_lib.experiments.sweeps.driver import plan, sweep
from icl_lib.experiments.sweeps.progress import Progress

FAMILY, SEEDS, SETTINGS = "chebyshev2", list(range(8)), {"training.steps": "600"}
LEAST = 0.9


def seconds(workers: int, folder: Path) -> float:
    """Return the seconds that the fixed set of runs takes with so many workers."""
    places = {"store": str(folder / f"store-{workers}"), "scratch": str(folder / f"s-{workers}")}
    warm_up = plan([FAMILY], list(range(100, 100 + workers)), [{"training.steps": "1"}], **places)
    tasks = plan([FAMILY], SEEDS, [SETTINGS], **places)
    backend = DaskBackend("local", workers)
    with Path(os.devnull).open("w") as nowhere:
        try:
            sweep(warm_up, backend, Progress(warm_up, workers, nowhere))
            started = time.perf_counter()
            outcomes = sweep(tasks, backend, Progress(tasks, workers, nowhere))
            taken = time.perf_counter() - started
        finally:
            backend.close()
    if bad := [each for each in outcomes.values() if each.status != "completed"]:
        raise RuntimeError(f"runs failed: {bad}")
    return taken


def main() -> int:
    """Measure, print, and store if asked for."""
    chosen = options(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        one, two = (seconds(workers, Path(folder)) for workers in (1, 2))
    efficiency = one / (2 * two)
    print(f"{len(SEEDS)} runs of {FAMILY}: {one:.1f} s with one worker, {two:.1f} s with two")
    bars = [Bar("efficiency of two Dask workers against one", efficiency, "at least", LEAST)]
    times = {"one": rounded(one), "two": rounded(two), "commit": runs.commit()}
    return finish("sweep_efficiency", {"times": times, "machine": machine()}, bars, chosen)


if __name__ == "__main__":
    sys.exit(main())
