"""Mutation test of `icl_lib.theory`, `icl_lib.models` and `icl_lib.layers` (`make mutants`).

Each mutation changes one place of one formula in a temporary copy of the library; the unit tests
of that file must then fail. Exits with 1 when fewer than 90 % are noticed, when the tests do not
pass unchanged, or when an original text no longer occurs exactly once.

    python tests/mutants.py [--only WORD] [--jobs N] [--check]
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutations import MUTATIONS, tests_of

ROOT = Path(__file__).resolve().parent.parent
GOAL = 0.90
TIME_LIMIT = 300  # seconds for one mutation; a run this slow counts as noticed

CONFTEST = """
import pathlib
import icl_lib
from hypothesis import Phase, settings

settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate])  # no shrinking
settings.load_profile("mutants")
here = pathlib.Path(__file__).resolve().parent
if here not in pathlib.Path(icl_lib.__file__).resolve().parents:
    raise RuntimeError(f"the copy is not what is tested: {icl_lib.__file__}")
"""


def main() -> int:
    """Run the listed mutations and return the exit status."""
    arguments = _parse()
    problems = _unmatched()
    for problem in problems:
        print(problem)
    if problems or arguments.check:
        print(f"{len(MUTATIONS)} mutations listed, {len(problems)} do not match")
        return bool(problems)
    chosen = [m for m in MUTATIONS if arguments.only in " ".join(m)]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = [_copy(Path(folder) / str(i)) for i in range(arguments.jobs)]
        if not _passes_unchanged(copies[0], {m[0] for m in chosen}):
            return 1
        return _report(chosen, _run_all(chosen, copies))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="run the mutations that contain this text")
    parser.add_argument("--jobs", type=int, default=1, help="how many to run at once")
    parser.add_argument("--check", action="store_true", help="only check that the texts match")
    return parser.parse_args()


def _unmatched() -> list[str]:
    found = []
    for file, original, replacement in MUTATIONS:
        count = (ROOT / "icl_lib" / file).read_text(encoding="utf-8").count(original)
        if count != 1:
            found.append(f"{file}: occurs {count} times, expected once: {original!r}")
        if original == replacement:
            found.append(f"{file}: changes nothing: {original!r}")
    return found


def _copy(folder: Path) -> Path:
    """Copy the library and its unit tests; the conftest refuses any other icl_lib."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "icl_lib", folder / "icl_lib", ignore=ignore)
    shutil.copytree(ROOT / "tests" / "unit", folder / "tests" / "unit", ignore=ignore)
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return folder


def _pytest(folder: Path, tests) -> tuple[int, str]:
    """Return pytest's exit status (None after the time limit) and the end of what it said."""
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",  # an old .pyc of the same size would hide a mutation
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
    }
    files = [f"tests/unit/{name}" for name in tests]
    if not files:
        return 0, "no unit test imports it"
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *files]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT
        )
    except subprocess.TimeoutExpired:
        return 1, f"stopped after {TIME_LIMIT} s"
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return done.returncode, (lines or [(done.stdout + done.stderr)[-2000:]])[0]


def _passes_unchanged(folder: Path, files: set[str]) -> bool:
    tests = sorted({test for file in files for test in tests_of(file)})
    started = time.monotonic()
    status, said = _pytest(folder, tests)
    print(
        f"unchanged: {len(tests)} test files, {time.monotonic() - started:.0f} s, status {status}"
    )
    if status:
        print(f"the tests must pass before anything is mutated:\n{said}")
    return status == 0


def _run_all(chosen, copies) -> list[tuple[int, str]]:
    free: queue.Queue[Path] = queue.Queue()
    for copy in copies:
        free.put(copy)

    def run(mutation):
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
        return list(pool.map(run, chosen))


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


if __name__ == "__main__":
    sys.exit(main())
