"""Command line: ``python -m icl_lib.experiments list``, or show, train, verify, forget ``NAME``.

``convert`` rewrites checkpoints of former kinds of runs (:mod:`icl_lib.experiments.conversion`).
All commands compute with one thread, so that a run gives the same file again.
``sweep`` and ``reproduce`` are in :mod:`icl_lib.experiments.sweeps`.

The exit status is 0, or 1 if anything failed, 2 if the command makes no sense, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from icl_lib.experiments import checkpoint, conversion, named
from icl_lib.experiments.catalogue.registry import EXPERIMENTS, get
from icl_lib.experiments.storage import record, state_path
from icl_lib.experiments.sweeps.command import add_commands, run
from icl_lib.experiments.sweeps.settings import parse_seeds
from icl_lib.tasks.randomness import OFFSET_VARIABLE, seed_offset
from icl_lib.training import TrainingError


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m icl_lib.experiments", description="Train and check the runs of the book."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="all runs, with what is on disk")
    commands.add_parser("convert", help="rewrite checkpoints that former versions have written")
    for command, text in (
        ("show", "configuration and provenance of a run"),
        ("train", "train runs, continuing where they stopped"),
        ("verify", "evaluate checkpoints again ('all' for every one)"),
        ("forget", "remove the states of unfinished runs"),
    ):
        command = commands.add_parser(command, help=text)
        command.add_argument(
            "names", nargs="+", metavar="NAME", help="a run, or with --seeds a family"
        )
        command.add_argument("--seeds", help="such as 0-4 or 0,3")
    add_commands(commands)
    options = parser.parse_args(arguments)
    with one_thread():
        return _command(options)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread; afterwards it has as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _command(options: argparse.Namespace) -> int:
    if options.command in ("sweep", "reproduce"):
        return run(options)
    if options.command == "list":
        return _guarded(lambda _: _list(), "list")
    if options.command == "convert":
        files = sorted(checkpoint.folder().glob("*.safetensors"))
        return max((_guarded(_convert, file.stem) for file in files), default=0)
    try:
        seeds = None if options.seeds is None else parse_seeds(options.seeds)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    act = {"show": _show, "train": _train, "verify": _verify, "forget": _forget}[options.command]
    return _guarded(lambda _: _each(act, options.names, seeds), options.command)


def _each(act, names: list[str], seeds: list[int] | None) -> int:
    """Let ``act`` deal with every run, also after one has failed."""
    names = _all_names() if names == ["all"] else names
    if seeds is not None:
        names = [f"{family}-s{seed}" for family in names for seed in seeds]
    return max((_guarded(act, name) for name in names), default=0)


def _all_names() -> list[str]:
    """Return the runs of the registry, those left out that are on record as failed."""
    runs = record()
    return [n for n in EXPERIMENTS if runs.get(n, {}).get("status") != "failed"]


def _guarded(act, name: str) -> int:
    try:
        if act in (_train, _verify) and seed_offset():  # with other draws it would be another run
            raise ValueError(f"{OFFSET_VARIABLE} must be 0 or unset, got {seed_offset()}")
        return act(name)
    except (ValueError, TrainingError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1


def _list() -> int:
    runs = record()
    for name in EXPERIMENTS:
        entry = runs.get(name, {"status": "not trained"})
        value = entry.get(get(name).metric)
        figures = f"{_metric(name)} {value:.4f}" if value is not None else ""
        kept = "(unfinished state kept)" if state_path(get(name)).exists() else ""
        print(f"{name:24s} {entry['status']:12s} {figures} {kept}".rstrip())
    return 0


def _convert(name: str) -> int:
    changed = conversion.convert(checkpoint.folder() / f"{name}.safetensors", get(name))
    print(f"{name}: {'converted' if changed else 'already as it should be'}")
    return 0


def _show(name: str) -> int:
    shown = {"configuration": get(name).configuration()}
    if named.path_of(name).exists():
        shown = checkpoint.read(named.path_of(name))[1]
    if name in (runs := record()):
        shown["record"] = runs[name]
    shown["published"] = get(name).published.plain()
    print(json.dumps(shown, indent=1))
    return 0


def _train(name: str) -> int:
    earlier = _content(name)
    metadata = named.train(name)
    value = metadata["metrics"][get(name).metric]
    print(f"{name}: {_metric(name)} {value:.4f}, {metadata['wall_seconds']:.0f} s")
    if earlier is not None:
        same = earlier == _content(name)
        print(f"{name}: {'the same file as before' if same else 'another file than before'}")
        if not same:
            print(f"{name}: {_band_in_words(get(name).family)}")
    return 0


def _metric(name: str) -> str:
    return get(name).metric.replace("_", " ")


def _content(name: str) -> str | None:
    """Return the hash of the checkpoint on disk, None if it is missing or damaged."""
    path = named.path_of(name)
    try:
        return checkpoint.read(path)[1]["content_sha256"]
    except ValueError:
        return None


def _band_in_words(family: str) -> str:
    try:
        low, high = named.seed_band(family)
    except ValueError:
        return "no seed band, since fewer than two seeds are on record"
    return f"seed band {low:.4f} to {high:.4f}"


def _verify(name: str) -> int:
    result = named.verify(name)
    print(
        f"{'OK  ' if result.ok else 'FAIL'} {name}: recorded {result.recorded:.6f}, "
        f"measured {result.measured:.6f}"
    )
    return 0 if result.ok else 1


def _forget(name: str) -> int:
    removed = named.forget(name)
    print(f"{name}: removed {', '.join(map(str, removed))}" if removed else f"{name}: no state")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; a training goes on from its last saved step", file=sys.stderr)
        sys.exit(130)
