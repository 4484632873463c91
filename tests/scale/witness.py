"""What a trial is judged by: the log of all steps, and what lies in the store."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import Counter
from pathlib import Path

from trial_runs import FAMILY, LOG_VARIABLE, SAVE_EVERY, STEPS

from icl_lib.experiments.sweeps import runs
from icl_lib.experiments.sweeps.backends import LokyBackend
from icl_lib.experiments.sweeps.driver import plan, sweep
from icl_lib.experiments.sweeps.progress import Progress
from icl_lib.experiments.sweeps.store import Store, sha256

SEEDS = 4
PATIENCE = 60.0  # seconds


class Trial:
    """One repetition: its folders, its log, its tasks."""

    def __init__(self, folder: Path, store: str | None = None, scratch: Path | None = None):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.log = Path(os.environ[LOG_VARIABLE])
        self.log.write_text("")
        self.scratch = str(scratch or folder / "scratch")
        self.store = Store(store or str(folder / "store"))

    def tasks(self, **options):
        """Return the tasks of the trial's sweep."""
        options = {"store": self.store.address, "scratch": self.scratch, **options}
        return plan(
            [FAMILY],
            list(range(SEEDS)),
            [{}],
            module="trial_runs",
            save_every=SAVE_EVERY,
            **options,
        )

    def sweep(self, backend=None, **options):
        """Sweep with two processes; return the outcomes."""
        tasks = self.tasks(**options)
        backend = backend or LokyBackend(2)
        with Path(os.devnull).open("w") as nowhere:
            return sweep(tasks, backend, Progress(tasks, backend.workers, nowhere))

    def lines(self) -> list[list[str]]:
        """Return the log: name of the run, step or "evaluate", process."""
        return [line.split() for line in self.log.read_text().splitlines()]

    def wait_for_step(self, step: int, seen: int = 0) -> int:
        """Wait until a run is at ``step`` (after ``seen`` lines); return the process."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for _, what, process in self.lines()[seen:]:
                if what == str(step):
                    return int(process)
            time.sleep(0.005)
        raise AssertionError(f"no run came to step {step}")

    def check(self, reference: dict[str, str], disturbances: int) -> None:
        """Check that every run is done once, whole, and bit-equal to the undisturbed one.

        A run may repeat the steps since its last save, once for each disturbance.
        """
        steps = Counter((name, what) for name, what, _ in self.lines())
        for name, weights in reference.items():
            record = self.store.record(name)
            assert record and record["status"] == "completed", (name, record)
            blob = self.store.read(f"{name}.safetensors")
            assert blob is not None and sha256(blob) == record["sha256"], name
            with tempfile.TemporaryDirectory() as folder:
                copy = Path(folder) / "copy.safetensors"
                copy.write_bytes(blob)
                assert runs.weights_sha256(copy) == weights, f"{name} has other weights"
            done = [steps[name, str(step)] for step in range(STEPS)]
            assert min(done) == 1 or disturbances, (name, done)
            assert min(done) >= 1, (name, done)
            assert sum(done) - STEPS <= disturbances * SAVE_EVERY, (name, done)
            assert steps[name, "evaluate"] <= 1 + disturbances, name
        self.check_names(reference)

    def check_names(self, reference) -> None:
        """Check that nothing half-written and no run of another name lies in the store."""
        names = {path.rpartition("/")[2] for path in self.store.fs.find(self.store.root)}
        names = {name for name in names if not name.endswith(".lock")}
        assert names == {f"{n}.{end}" for n in reference for end in ("json", "safetensors")}, names
        left = [p.name for p in Path(self.scratch).glob("*") if p.is_dir()]
        assert not left, f"unfinished runs are left: {left}"


def undisturbed(folder: Path) -> dict[str, str]:
    """Return the hashes of the weights of all runs, trained one after the other."""
    trial = Trial(folder)
    trial.sweep(LokyBackend(1))
    found = {task.name: trial.store.record(task.name) for task in trial.tasks()}
    assert all(record["status"] == "completed" for record in found.values()), json.dumps(found)
    return {name: record["weights_sha256"] for name, record in found.items()}
