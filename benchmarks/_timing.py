"""What the benchmarks share: interleaved medians, the machine's own rate, bars, results on disk."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"
PLOTS = ROOT / "_build" / "bench"
ONCE = 2.0  # seconds from which on a call is timed once
TURN = 0.04  # seconds that a turn lasts at least


class Bar(NamedTuple):
    """A bound that a measured figure has to keep: ``kind`` is "at most" or "at least"."""

    what: str
    value: float
    kind: str
    bound: float

    @property
    def passed(self) -> bool:
        """Whether the figure keeps the bound; one that was not measured does not."""
        return self.value <= self.bound if self.kind == "at most" else self.value >= self.bound

    def __str__(self) -> str:
        verdict = "PASS" if self.passed else "MISSED"
        return f"{verdict:7s}{self.what}: {self.value:.3g} ({self.kind} {self.bound:g})"

    def record(self) -> dict:
        """Return the bar as plain data."""
        return {**self._asdict(), "value": float(f"{self.value:.6g}"), "passed": self.passed}


def medians(calls: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, float]:
    """Return the median seconds of every call, timed in turn: A B C A B C ...

    A busy machine then slows all of them alike. A short call is repeated within its turn until
    ``TURN`` has passed; one that takes longer than ``ONCE`` is timed once.
    """
    first = {name: _seconds(call) for name, call in calls.items()}  # also warms up
    times = {name: [each] if each > ONCE else [] for name, each in first.items()}
    for _ in range(rounds):
        for name, call in calls.items():
            if first[name] <= ONCE:
                times[name].append(_seconds(call, math.ceil(TURN / first[name])))
    return {name: statistics.median(each) for name, each in times.items()}


def _seconds(call: Callable[[], object], repeats: int = 1) -> float:
    """Return the mean seconds of ``repeats`` calls."""
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - started) / repeats


def matmul_call(size: int = 1024) -> tuple[Callable[[], object], float]:
    """Return a float32 matrix product of ``size`` and the operations that it takes."""
    matrix, out = torch.randn(size, size), torch.empty(size, size)
    return lambda: torch.mm(matrix, matrix, out=out), 2.0 * size**3


def matmul_rate(rounds: int = 9) -> float:
    """Return the machine's operations a second in 1024 x 1024 float32 products."""
    call, flops = matmul_call()
    return flops / medians({"product": call}, rounds)["product"]


def machine() -> dict:
    """Describe the machine in a few words."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": rounded(os.getloadavg()[0]) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "matmul_gflops": rounded(matmul_rate() / 1e9),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def rounded(value: float) -> float:
    """Return three significant digits."""
    return float(f"{value:.3g}")


def options(doc: str) -> argparse.Namespace:
    """Read the command line and set one thread."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar is missed")
    parser.add_argument("--write", action="store_true", help="keep results.json and the page")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return parser.parse_args()


def finish(name: str, results: dict, bars: list[Bar], chosen: argparse.Namespace) -> int:
    """Print the bars, store the results if asked for, return the exit status."""
    print()
    print(*bars, sep="\n")
    if chosen.write:
        store(name, {**results, "bars": [bar.record() for bar in bars]})
    return int(chosen.strict and not all(bar.passed for bar in bars))


def store(name: str, results: dict) -> None:
    """Put one benchmark's results into results.json and its tables onto the page."""
    from _page import write_page

    everything = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    everything[name] = results
    RESULTS.write_text(json.dumps(everything, indent=1, sort_keys=True) + "\n")
    write_page(everything)
