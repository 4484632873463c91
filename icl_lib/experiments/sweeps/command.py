"""The commands ``sweep`` and ``reproduce`` of ``python -m icl_lib.experiments``."""

from __future__ import annotations

import argparse
import importlib
import sys

from icl_lib.experiments.sweeps.settings import grid, parse_seeds

STORE, SCRATCH = "sweeps", "_build/sweeps"
REPRODUCED = "_build/reproduced"
EXTRA = {"joblib", "fsspec", "distributed", "dask", "s3fs"}


def add_commands(commands) -> None:
    """Add both commands to the subparsers ``commands``."""
    sweep = commands.add_parser("sweep", help="train families over seeds and settings")
    sweep.add_argument("families", nargs="+", metavar="FAMILY")
    sweep.add_argument("--seeds", default="0", help="such as 0-9 or 0,3")
    sweep.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="FIELD=VALUES",
        help="such as training.lr=1e-3,3e-3 (the elements of a tuple are joined by ~)",
    )
    sweep.add_argument("--store", default=STORE, help="folder or fsspec address of the results")
    sweep.add_argument("--scratch", default=SCRATCH, help="folder of unfinished runs")
    sweep.add_argument("--module", help="a module that adds runs to the registry")
    sweep.add_argument("--save-every", type=int, default=500, metavar="STEPS")
    sweep.add_argument("--retry-failed", action="store_true", help="also runs that diverged")
    sweep.set_defaults(act=_sweep)
    reproduce = commands.add_parser("reproduce", help="train the book's runs anew and compare")
    reproduce.add_argument("families", nargs="*", metavar="FAMILY", help="all if none is named")
    reproduce.add_argument("--folder", default=REPRODUCED, help="scratch folder")
    reproduce.add_argument("--report", help="another file than the committed report")
    reproduce.add_argument("--again", action="store_true", help="also runs that are in the report")
    reproduce.set_defaults(act=_reproduce)
    for command in (sweep, reproduce):
        command.add_argument("--workers", type=int, help="processes; one a core if left out")
        command.add_argument("--scheduler", metavar="ADDRESS", help="Dask; 'local' starts one here")


def run(options: argparse.Namespace) -> int:
    """Return the exit status: 0, 1 if a run failed, 2 if the command makes no sense."""
    try:
        return options.act(options)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in EXTRA:
            raise
        missing = f"{options.command} needs {error.name}: pip install '.[scale]' in the repository"
        print(missing, file=sys.stderr)
    except (ValueError, OSError) as error:
        print(f"{options.command}: {error}", file=sys.stderr)
    return 2


def _sweep(options: argparse.Namespace) -> int:
    _check(options)
    driver = importlib.import_module("icl_lib.experiments.sweeps.driver")
    tasks = driver.plan(
        options.families,
        parse_seeds(options.seeds),
        grid(options.set),
        store=options.store,
        scratch=options.scratch,
        module=options.module,
        save_every=options.save_every,
        retry_failed=options.retry_failed,
    )
    backend = driver.open_backend(options.workers, options.scheduler)
    try:
        progress = driver.Progress(tasks, backend.workers)
        progress.say(f"{len(tasks)} runs, {backend.words}, results in {tasks[0].store}")
        driver.sweep(tasks, backend, progress)
    finally:
        backend.close()
    progress.draw()
    for line in progress.failures():
        progress.say(line)
    return int(bool(progress.failures()))


def _reproduce(options: argparse.Namespace) -> int:
    _check(options)
    reproduce = importlib.import_module("icl_lib.experiments.sweeps.reproduce")
    return reproduce.reproduce(
        options.families,
        folder=options.folder,
        report=options.report,
        again=options.again,
        workers=options.workers,
        scheduler=options.scheduler,
    )


def _check(options: argparse.Namespace) -> None:
    for name in ("workers", "save_every"):
        value = getattr(options, name, None)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
