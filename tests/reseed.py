"""The book with other seeds (`make reseed`): which claims hold for these draws only?

Executes the chapters with ``ICL_SEED_OFFSET`` set to each offset, keeps what every claim measured
in ``_build/reseed/OFFSET/CHAPTER.json`` and judges it by ``book/claims/`` as it is now. A
chapter whose code, library and checkpoints are unchanged is not executed again. Exits with 1 if
the outcome of a claim flips, a chapter stops, or a claim was measured at some offsets only.

    python tests/reseed.py --offsets 1-5 [--chapters 03,05] [--jobs 2] [--report]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "book" / "_ext")]  # those beside this file

from book_digest import chapter_digest, file_sha256, read_notebook  # noqa: E402

from icl_lib.claims.cells import CLAIM_MIME  # noqa: E402
from icl_lib.claims.files import specification  # noqa: E402
from icl_lib.claims.verdicts import problems  # noqa: E402
from icl_lib.claims.words import tolerance_in_words  # noqa: E402

FOLDER = ROOT / "_build" / "reseed"
CELL_LIMIT = 1800  # seconds; a shared machine can be slow
MEASURED = ("id", "measured", "se", "null", "expected")  # what a claim's cell reports
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    "PYTHONHASHSEED": "0",
}


class Flip(NamedTuple):
    """A claim that the build would refuse at this offset, and why."""

    name: str
    offset: int
    reason: str


def chapters(numbers: set[str] | None = None) -> list[Path]:
    """Return the notebooks of the chapters, those with the given numbers ("03") if any are given.

    Raises
    ------
    ValueError
        If there is no chapter of one of the numbers.
    """
    found = {path.name[:2]: path for path in sorted((ROOT / "book").glob("part*/*.ipynb"))}
    if unknown := sorted((numbers or set()) - set(found)):
        raise ValueError(f"chapters must be of {sorted(found)}, got {unknown}")
    return [path for number, path in found.items() if numbers is None or number in numbers]


def numbers_in(text: str) -> list[int]:
    """Return the integers that "1-5" or "0,3" name.

    >>> numbers_in("0,3-5")
    [0, 3, 4, 5]
    """
    found: list[int] = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        found += range(int(low), int(high or low) + 1)
    if not found:
        raise ValueError(f"offsets must be such as 1-5 or 0,3, got {text!r}")
    return found


def digest(chapter: Path, offset: int) -> str:
    """Return a checksum of all that decides what the chapter measures at this offset."""
    code = chapter_digest(ROOT, read_notebook(chapter))  # the cells, and the library they reach
    total = hashlib.sha256(f"{code} {offset}".encode())
    for path in sorted(ROOT.glob("checkpoints/*")):
        total.update(f"{path.name} {file_sha256(path)}\n".encode())
    return total.hexdigest()


def result_file(chapter: Path, offset: int) -> Path:
    """Return where the measurements of a chapter at an offset lie."""
    return FOLDER / str(offset) / f"{chapter.stem}.json"


def stored(chapter: Path, offset: int) -> dict | None:
    """Return the measurements on disk; None if there are none, old ones, or the chapter stopped."""
    try:
        result = json.loads(result_file(chapter, offset).read_text(encoding="utf8"))
        current = result["inputs"] == digest(chapter, offset) and result["error"] is None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return result if current else None


def measurements(notebook: nbformat.NotebookNode) -> list[dict]:
    """Return what the claims of an executed notebook measured, with the keys ``MEASURED``."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            payload = output.get("data", {}).get(CLAIM_MIME)
            if payload is not None:
                found.append({key: payload.get(key) for key in MEASURED})
    return found


def printed(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Return what each cell printed, for the sentences that quote it."""
    texts = {
        cell.id: "".join(out.get("text", "") for out in cell.get("outputs", ()))
        for cell in notebook.cells
    }
    return {name: text for name, text in texts.items() if text}


def execute(chapter: Path, offset: int) -> dict:
    """Execute one chapter in this process's environment and write its measurements."""
    notebook = nbformat.read(chapter, as_version=4)
    inputs, start, error = digest(chapter, offset), time.monotonic(), None
    client = NotebookClient(
        notebook,
        timeout=CELL_LIMIT,
        kernel_name="python3",
        resources={"metadata": {"path": str(chapter.parent)}},
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as problem:
        error = str(problem).strip()[-2000:] or type(problem).__name__
    result = {
        "inputs": inputs,
        "offset": offset,
        "chapter": chapter.stem,
        "seconds": round(time.monotonic() - start, 1),
        "error": error,
        "claims": measurements(notebook),
        "printed": printed(notebook),
    }
    target = result_file(chapter, offset)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(result, indent=1) + "\n", encoding="utf8")
    os.replace(partial, target)
    return result


def environment(offset: int) -> dict[str, str]:
    """Return the environment of a kernel: the offset, one thread, claims that do not stop it."""
    kept = {k: v for k, v in os.environ.items() if k not in ("ICL_CLAIMS", "ICL_RUN_LOG")}
    kept.pop("MPLBACKEND", None)
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return kept | ONE_THREAD | {"ICL_SEED_OFFSET": str(offset), "PYTHONPATH": path}


def run_apart(chapter: Path, offset: int) -> dict:
    """Return the measurements on disk, or execute the chapter in a process of its own."""
    if (result := stored(chapter, offset)) is not None:
        return result
    command = [sys.executable, __file__, "--execute", chapter.name[:2], "--offsets", str(offset)]
    done = subprocess.run(command, env=environment(offset), capture_output=True, text=True)
    if done.returncode:  # even the executing process died
        error = done.stderr.strip()[-2000:] or f"exit status {done.returncode}"
        return {"offset": offset, "chapter": chapter.stem, "error": error, "claims": []}
    return json.loads(result_file(chapter, offset).read_text(encoding="utf8"))


def judge(entry: dict) -> str:
    """Return why the build would refuse this measurement of a claim, an empty text if it would not.

    Whether the chapter gives every null it should is no matter of the seed, so it is not asked.
    """
    spec, _ = specification(entry["id"])
    try:
        wrong = problems(entry["id"], spec, entry, strict_null=False)
    except ValueError as error:  # such as a standard error of 0
        wrong = [f"claim {entry['id']}: {error}"]
    if not wrong:
        return ""
    tolerance = tolerance_in_words(spec, entry.get("se") is not None)
    return f"{'; '.join(wrong)} ({spec.get('mode', spec['kind'])}, {tolerance})"


def flips(results: list[dict]) -> list[Flip]:
    """Return the claims that do not hold as recorded, by name and offset."""
    return sorted(
        Flip(entry["id"], result["offset"], reason)
        for result in results
        for entry in result["claims"]
        if (reason := judge(entry))
    )


def missing(results: list[dict]) -> list[str]:
    """Return the claims that some other offset of the chapter measured and this one did not."""
    names: dict[str, set[str]] = {}
    for result in results:
        names.setdefault(result["chapter"], set()).update(c["id"] for c in result["claims"])
    return [
        f"{name} at offset {result['offset']}"
        for result in results
        for name in sorted(names[result["chapter"]] - {c["id"] for c in result["claims"]})
    ]


def table(results: list[dict]) -> list[str]:
    """Return a line a claim: the value at offset 0, then mean, sd and range of the others."""
    values: dict[str, dict[int, float]] = {}
    for result in results:
        for entry in result["claims"]:
            values.setdefault(entry["id"], {})[result["offset"]] = entry["measured"]
    lines = [f"{'claim':44s}{'base':>12s}{'mean':>12s}{'sd':>11s}{'least':>12s}{'most':>12s}"]
    for name, by_offset in sorted(values.items()):
        base = f"{by_offset[0]:.5g}" if 0 in by_offset else "-"
        others = [value for offset, value in by_offset.items() if offset]
        line = ""
        if others:
            spread = stdev(others) if len(others) > 1 else math.nan
            line = f"{mean(others):12.5g}{spread:11.3g}{min(others):12.5g}{max(others):12.5g}"
        lines.append(f"{name:44s}{base:>12s}{line}")
    return lines


def summary(results: list[dict]) -> tuple[list[str], bool]:
    """Return the closing lines, and whether anything flipped, stopped or is missing."""
    flipped, absent = flips(results), missing(results)
    stopped = [f"{r['chapter']} at offset {r['offset']}" for r in results if r["error"]]
    lines = [*table(results), ""]
    lines += [f"stopped: {name}" for name in stopped] + [f"not measured: {name}" for name in absent]
    lines += [f"flips at offset {offset}: {reason}" for _, offset, reason in flipped]
    lines.append(f"{len(flipped)} outcomes flip, {len(stopped)} chapters stopped")
    return lines, bool(flipped or stopped or absent)


def main(arguments: list[str] | None = None) -> int:
    """Execute what is asked for, report, and return the exit status."""
    options = _parse(arguments)
    if options.execute:
        execute(chapters({options.execute})[0], options.offsets[0])
        return 0
    jobs = [(chapter, k) for k in options.offsets for chapter in chapters(options.chapters)]
    results = []
    with ThreadPoolExecutor(options.jobs) as pool:
        waiting = [pool.submit(run_apart, *job) for job in jobs]
        for future in as_completed(waiting):
            results.append(result := future.result())
            text = f"STOPPED\n{result['error']}" if result["error"] else "done"
            count, taken = len(flips([result])), result.get("seconds", 0)
            print(f"{result['offset']:3d} {result['chapter']:24s} {text}, {count} flip, {taken} s")
    if 0 not in options.offsets:  # the base values, if they are there
        results += filter(None, (stored(chapter, 0) for chapter in chapters(options.chapters)))
    lines, bad = summary(results)
    print("\n".join(lines))
    return int(bad and not options.report)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--offsets", type=numbers_in, required=True, help="such as 1-5 or 0,3")
    parser.add_argument("--chapters", type=lambda text: set(text.split(",")), help="03,05")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 4))
    parser.add_argument("--report", action="store_true", help="exit with 0 whatever is found")
    parser.add_argument("--execute", help=argparse.SUPPRESS)  # one chapter, in this process
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
