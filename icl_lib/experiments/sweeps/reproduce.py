"""Train the book's runs anew, in a scratch folder, and compare them with the committed ones."""

from __future__ import annotations

from pathlib import Path

from icl_lib.experiments.sweeps import runs
from icl_lib.experiments.sweeps.driver import open_backend, sweep
from icl_lib.experiments.sweeps.progress import Progress
from icl_lib.experiments.sweeps.report import BIT_EQUAL, GOOD, add_row, read_report, verdict
from icl_lib.experiments.sweeps.store import Store
from icl_lib.experiments.sweeps.tasks import COMPLETED, DIVERGED, Outcome, Task


def reproduce(
    families: list[str],
    *,
    folder: str,
    report: str | None = None,
    again: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> int:
    """Reproduce the runs of these families (of all, if none is named) that have no row yet.

    A run that is trained on others waits for them. Returns the exit status: 1 if a run could not
    be trained, or its verdict is not a good one.

    Raises
    ------
    ValueError
        If there is no such family, or the report or the record is damaged.
    OSError
        If the report cannot be written.
    """
    path = runs.report_path() if report is None else Path(report)
    rows = {} if again else read_report(path)
    store = Store(str(Path(folder).resolve() / "store"))
    floors = _floors(families, rows, store, Path(folder).resolve() / "scratch")
    tasks = [task for floor in floors for task in floor]
    if not tasks:
        print(f"nothing is left to do: every run is in {path} (--again repeats them)")
        return 0
    backend = open_backend(workers, scheduler)
    verdicts: list[str] = []

    def note(outcome: Outcome) -> None:
        if row := _row(outcome):
            add_row(path, outcome.name, row)
            verdicts.append(row["verdict"])
            progress.say(f"{outcome.name}: {row['verdict']}")

    try:
        progress = Progress(tasks, backend.workers)
        progress.say(f"{len(tasks)} runs, {backend.words}, rows go into {path}")
        for floor in floors:
            sweep(floor, backend, progress, note)
    finally:
        backend.close()
    progress.draw()
    for line in progress.failures():
        progress.say(line)
    good = len(verdicts) == len(tasks) and all(each in GOOD for each in verdicts)
    return int(not good)


def _floors(families: list[str], rows: dict, store: Store, scratch: Path) -> list[list[Task]]:
    """Return the tasks, those first on whose checkpoints others are trained."""
    wanted = {run.name: run for run in runs.book_runs(families) if run.name not in rows}
    at_hand = {name for name, row in rows.items() if row["verdict"] == BIT_EQUAL}
    for run in list(wanted.values()):
        _add_bases(run, wanted, at_hand, store)
    floors: dict[int, list[Task]] = {}
    for name, run in wanted.items():
        bases = {
            base: store.address if base in wanted or base not in at_hand else runs.book_folder()
            for base in (lower.name for lower in run.below)
        }
        task = Task(name, run.family, run.seed, store.address, str(scratch), bases=bases)
        floors.setdefault(runs.floor_of(run), []).append(task)
    return [floors[number] for number in sorted(floors)]


def _add_bases(run, wanted: dict, at_hand: set[str], store: Store) -> None:
    """Add the runs that ``run`` needs: neither in the store, nor equal to the book's file."""
    for name in (lower.name for lower in run.below):
        entry = store.record(name)
        there = name in at_hand or (entry is not None and store.is_done(name, entry))
        if name not in wanted and not there:
            wanted[name] = runs.book_run(name)
            _add_bases(wanted[name], wanted, at_hand, store)


def _row(outcome: Outcome) -> dict | None:
    """Return the row of a run; None if it failed by no fault of its own (a full disk, say)."""
    record = outcome.record
    if outcome.status != COMPLETED and record.get("kind") != DIVERGED:
        return None
    run = runs.book_run(outcome.name)
    recorded = runs.recorded(run.name).get(run.metric)
    reproduced = record["metrics"][run.metric] if outcome.status == COMPLETED else None
    same = reproduced is not None and record["weights_sha256"] == runs.book_weights(run.name)
    return {
        "date": record["date"][:10],
        "commit": record["commit"],
        "device": record["device"],
        "torch": record["versions"]["torch"],
        "recorded": recorded,
        "reproduced": reproduced,
        "verdict": verdict(recorded, reproduced, same, lambda: runs.seed_band(run.family)),
        "seconds": record.get("seconds"),
    }
