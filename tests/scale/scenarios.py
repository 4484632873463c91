"""What can happen to a sweep, scenario by scenario.

Each scenario is repeated; after each repetition every run must be done exactly once, whole, and
bit-equal to an undisturbed one. The table at the end says how many repetitions passed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path

from dask_processes import DaskProcesses
from stores import RefusingS3, fill, set_immutable, small_disk
from trial_runs import FAMILY, LOG_VARIABLE, SAVE_EVERY, STEPS
from witness import SEEDS, Trial, undisturbed

from icl_lib.experiments.sweeps.backends import LokyBackend
from icl_lib.experiments.sweeps.dask_backend import DaskBackend
from icl_lib.experiments.sweeps.tasks import FAILED, SYSTEM

KILLS = 2


@contextmanager
def meanwhile(act):
    """Do ``act`` in a thread; what it raises is raised here in the end."""
    errors = []

    def guarded():
        try:
            act()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    yield
    thread.join(timeout=60)
    if errors:
        raise errors[0]


def kill_workers(trial: Trial, chance: random.Random) -> None:
    """SIGKILL the process of a run in mid-training, and once again."""
    seen = 0
    for _ in range(KILLS):
        process = trial.wait_for_step(chance.randrange(2, STEPS), seen)
        assert process != os.getpid()
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        seen = len(trial.lines())


def loky_worker_killed(folder: Path, reference, chance) -> None:
    """A process of joblib's is killed twice; loky then ends its siblings."""
    trial = Trial(folder)
    with meanwhile(lambda: kill_workers(trial, chance)):
        outcomes = trial.sweep(LokyBackend(2))
    assert all(outcome.status == "completed" for outcome in outcomes.values()), outcomes
    trial.check(reference, disturbances=KILLS)


def dask_worker_killed(folder: Path, reference, chance) -> None:
    """A Dask worker is killed twice; Dask starts another and gives it the run again."""
    trial = Trial(folder)
    backend = DaskBackend("local", 2)
    try:
        with meanwhile(lambda: kill_workers(trial, chance)):
            outcomes = trial.sweep(backend)
    finally:
        backend.close()
    assert all(outcome.status == "completed" for outcome in outcomes.values()), outcomes
    trial.check(reference, disturbances=KILLS)


def scheduler_restarted(folder: Path, reference, chance) -> None:
    """The scheduler is killed in mid-training; another starts at its address."""
    trial, cluster = Trial(folder), DaskProcesses(folder)

    def restart():
        trial.wait_for_step(chance.randrange(2, STEPS))
        cluster.scheduler.kill()
        cluster.scheduler.wait()
        cluster.start()

    cluster.start()
    try:
        backend = DaskBackend(cluster.address, 2)
        with meanwhile(restart):
            outcomes = trial.sweep(backend)
        backend.close()
    finally:
        cluster.end()
    assert all(outcome.status == "completed" for outcome in outcomes.values()), outcomes
    trial.check(reference, disturbances=1)


def disk_full(folder: Path, reference, chance) -> None:
    """The disk of the scratch folder, or of the store, is full in mid-training; then it is not."""
    with small_disk(folder / "disk") as disk:
        scratch_is_full = chance.random() < 0.5
        places = {"scratch": disk / "in"} if scratch_is_full else {"store": str(disk / "in")}
        trial = Trial(folder, **places)
        filled = threading.Event()

        def fill_it():
            trial.wait_for_step(chance.randrange(2, STEPS))
            fill(disk)
            filled.set()

        with meanwhile(fill_it):
            outcomes = trial.sweep()
        assert filled.is_set()
        check_failures(trial, outcomes, in_store=scratch_is_full)
        (disk / "filler").unlink()
        trial.sweep()
        trial.check(reference, disturbances=1)
        check_reasons_are_kept(trial, outcomes)


def check_failures(trial: Trial, outcomes, in_store: bool) -> None:
    """Check that some runs failed, by the system's fault, and that the record says so."""
    failed = {name: each for name, each in outcomes.items() if each.status == FAILED}
    assert failed, "nothing failed"
    for name, outcome in failed.items():
        assert outcome.record["kind"] == SYSTEM and outcome.reason, outcome
        assert outcome.stored is in_store, outcome
        if in_store:
            assert trial.store.record(name) == outcome.record
        else:
            entry = trial.store.record(name)
            assert entry is None or entry["status"] == FAILED, entry


def check_reasons_are_kept(trial: Trial, outcomes) -> None:
    """Check that the record of a run that failed at first still has the reason."""
    for name, outcome in outcomes.items():
        if outcome.status == FAILED:
            reasons = [each["reason"] for each in trial.store.record(name)["earlier"]]
            assert outcome.reason in reasons, (outcome.reason, reasons)


def folder_refuses(folder: Path, reference, chance) -> None:
    """The folder of the store takes nothing more from mid-training on; then it does again."""
    trial = Trial(folder)
    place = Path(trial.store.root)
    place.mkdir()
    try:
        with meanwhile(
            lambda: (trial.wait_for_step(chance.randrange(2, STEPS)), set_immutable(place, True))
        ):
            outcomes = trial.sweep()
        check_failures(trial, outcomes, in_store=False)
    finally:
        set_immutable(place, False)
    trial.sweep()
    trial.check(reference, disturbances=1)


def s3_refuses(folder: Path, reference, chance, server: RefusingS3) -> None:
    """S3 answers 403 to what is written, at first or in mid-training; then it does not."""
    trial = Trial(folder, store=server.bucket(f"trial-{chance.randrange(10**9)}"))

    def refuse():
        if chance.random() < 0.8:
            trial.wait_for_step(chance.randrange(2, STEPS))
        server.refuses = True

    with meanwhile(refuse):
        outcomes = trial.sweep()
    assert server.refuses and server.refused
    check_failures(trial, outcomes, in_store=False)
    server.refuses = False
    trial.sweep()
    trial.check(reference, disturbances=1)


def command(trial: Trial, workers: int, scratch: str) -> list[str]:
    """Return the command of a sweep."""
    return [
        *(sys.executable, "-m", "icl_lib.experiments", "sweep", FAMILY),
        *("--seeds", f"0-{SEEDS - 1}", "--module", "trial_runs", "--workers", str(workers)),
        *("--store", trial.store.address, "--scratch", scratch, "--save-every", str(SAVE_EVERY)),
    ]


def two_sweeps(folder: Path, reference, chance, server: RefusingS3) -> None:
    """Two commands sweep the same runs at once: into a folder, or into S3 from two hosts' disks."""
    remote, apart = chance.random() < 0.5, chance.random() < 0.5
    bucket = server.bucket(f"two-{chance.randrange(10**9)}") if remote else None
    trial = Trial(folder, store=bucket)
    scratches = [trial.scratch, str(folder / "other") if apart else trial.scratch]
    both = []
    for scratch in scratches:
        both.append(subprocess.Popen(command(trial, 1, scratch), stdout=subprocess.DEVNULL))
        time.sleep(chance.random())
    assert [process.wait(timeout=180) for process in both] == [0, 0]
    trial.check(reference, disturbances=0)


def sweep_killed(folder: Path, reference, chance) -> None:
    """The whole command is killed in mid-training and given again."""
    trial = Trial(folder)
    for _ in range(KILLS):
        seen = len(trial.lines())
        process = subprocess.Popen(command(trial, 1, trial.scratch), stdout=subprocess.DEVNULL)
        trial.wait_for_step(chance.randrange(2, STEPS), seen)
        process.kill()
        process.wait()
    subprocess.run(
        command(trial, 1, trial.scratch), check=True, stdout=subprocess.DEVNULL, timeout=180
    )
    trial.check(reference, disturbances=KILLS)


SCENARIOS = {
    each.__name__: each
    for each in (
        loky_worker_killed,
        dask_worker_killed,
        scheduler_restarted,
        disk_full,
        folder_refuses,
        s3_refuses,
        two_sweeps,
        sweep_killed,
    )
}


def repeat(name: str, times: int, folder: Path, reference, server: RefusingS3) -> list[str]:
    """Repeat a scenario; return what went wrong, an entry for every repetition that failed."""
    wrong = []
    for number in range(times):
        place, chance = folder / f"{name}-{number}", random.Random(f"{name} {number}")
        more = (server,) if name in ("s3_refuses", "two_sweeps") else ()
        try:
            SCENARIOS[name](place, reference, chance, *more)
        except Exception:
            wrong.append(f"{name} {number}: {traceback.format_exc()}")
            print(wrong[-1], file=sys.stderr, flush=True)
            server.refuses = False
        shutil.rmtree(place, ignore_errors=True)
    return wrong


def main() -> int:
    """Do the trials; return 1 if a repetition failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary, RefusingS3() as server:
        os.environ[LOG_VARIABLE] = str(Path(temporary) / "steps.log")
        reference = undisturbed(Path(temporary) / "reference")
        for name in options.scenarios or SCENARIOS:
            started = time.perf_counter()
            wrong = repeat(name, options.times, Path(temporary), reference, server)
            passed, seconds = options.times - len(wrong), time.perf_counter() - started
            rows.append(f"{name:20s} {passed:3d} of {options.times}  {seconds:5.0f} s")
            print(rows[-1], flush=True)
    print("", *rows, sep="\n")
    return int(not all(f" {options.times} of {options.times} " in row for row in rows))
