"""The listed mutations: each changes one place of one file, whose unit tests must then fail.

Fails when fewer than 90 % are noticed, when the tests do not pass unchanged, or when an original
text no longer occurs exactly once.
"""

from __future__ import annotations

import queue
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutations import MUTATIONS, tests_of
from mutations_copy import ROOT, environment

GOAL = 0.90
TIME_LIMIT = 300  # seconds for one mutation; a run this slow counts as noticed


def check() -> int:
    """Print the mutations whose text does not match, and return the exit status."""
    problems = unmatched()
    for problem in problems:
        print(problem)
    print(f"{len(MUTATIONS)} mutations listed, {len(problems)} do not match")
    return int(bool(problems))


def unmatched() -> list[str]:
    """What is wrong with the list: texts that do not occur exactly once, files without a test."""
    found = []
    for file, original, replacement in MUTATIONS:
        path = ROOT / "icl_lib" / file
        count = path.read_text(encoding="utf-8").count(original) if path.is_file() else 0
        if count != 1:
            found.append(f"{file}: occurs {count} times, expected once: {original!r}")
        if original == replacement:
            found.append(f"{file}: changes nothing: {original!r}")
    files = {file for file, _, _ in MUTATIONS}
    return found + [f"{file}: no unit test imports it" for file in files if not tests_of(file)]


def run(copies: list[Path], only: str = "") -> int:
    """Run the mutations that contain ``only``, one in each copy at a time."""
    if check():
        return 1
    chosen = [mutation for mutation in MUTATIONS if only in " ".join(mutation)]
    if not _passes_unchanged(copies[0], {mutation[0] for mutation in chosen}):
        return 1
    return _report(chosen, _run_all(chosen, copies))


def _pytest(folder: Path, tests: list[str]) -> tuple[int, str]:
    """Return pytest's exit status (1 after the time limit) and the end of what it said."""
    files = [f"tests/unit/{name}" for name in tests]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *files]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment(PYTHONPATH=str(folder)),
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
        )
    except subprocess.TimeoutExpired:
        return 1, f"stopped after {TIME_LIMIT} s"
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return done.returncode, (lines or [(done.stdout + done.stderr)[-2000:]])[0]


def _passes_unchanged(folder: Path, files: set[str]) -> bool:
    tests = sorted({test for file in files for test in tests_of(file)})
    started = time.monotonic()
    status, said = _pytest(folder, tests)
    seconds = time.monotonic() - started
    print(f"unchanged: {len(tests)} test files, {seconds:.0f} s, status {status}")
    if status:
        print(f"the tests must pass before anything is mutated:\n{said}")
    return status == 0


def _run_all(chosen, copies: list[Path]) -> list[tuple[int, str]]:
    free: queue.Queue[Path] = queue.Queue()
    for copy in copies:
        free.put(copy)

    def one(mutation):
        file, original, replacement = mutation
        copy = free.get()
        path = copy / "icl_lib" / file
        source = path.read_text(encoding="utf-8")
        try:
            path.write_text(source.replace(original, replacement), encoding="utf-8")
            status, said = _pytest(copy, tests_of(file))
        finally:
            path.write_text(source, encoding="utf-8")
            free.put(copy)
        _print_row(mutation, status, said)
        return status, said

    with ThreadPoolExecutor(len(copies)) as pool:
        return list(pool.map(one, chosen))


def _print_row(mutation, status: int, said: str) -> None:
    verdict = {0: "SURVIVED", 1: "KILLED"}.get(status, "BROKEN")
    file, original, replacement = (" ".join(part.split()) for part in mutation)
    by = said.split("::")[-1].split(" - ")[0][:60] if status == 1 else ""
    print(f"{verdict:9} {file:30} {original} -> {replacement}   {by}", flush=True)


def _report(chosen, results) -> int:
    """Print the sums and return the exit status."""
    killed = sum(status == 1 for status, _ in results)
    survived = sum(status == 0 for status, _ in results)
    for mutation, (status, said) in zip(chosen, results, strict=True):
        if status not in (0, 1):
            print(f"BROKEN (pytest's status {status}): {mutation}\n{said}")
    share = killed / max(1, len(results))
    print(f"{killed} of {len(results)} mutations killed ({share:.0%}), {survived} survived")
    enough = share >= GOAL and killed + survived == len(results)
    print("make mutants: passed" if enough else "make mutants: FAILED")
    return 0 if enough else 1
