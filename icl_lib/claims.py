"""Claims: the book states a number, and a cell checks it each time the book runs.

``claim("03-minimum-loss", measured)`` looks up what is expected, with which tolerance, in
``book/claims.yml`` and shows one legible line. With ``ICL_CLAIMS=strict`` in the environment, as
under the tests and the build, a claim whose outcome is not the recorded one raises; on a reader's
own machine it prints DIFFERS and goes on.
"""

from __future__ import annotations

import json
import math
import os
import time
from functools import lru_cache
from pathlib import Path

import psutil
import yaml

CLAIM_MIME = "application/vnd.icl.claim+json"
RUN_MIME = "application/vnd.icl.run+json"
MODES = ("absolute", "relative", "z", "at_most", "at_least")
VERDICTS = ("reproduced", "reproduced in part", "not at this scale", "differs")


class Line:
    """A Markdown line for the page, with the claim's data beside it for the ledger."""

    def __init__(self, text: str, mime: str, payload: dict):
        self.text, self.mime, self.payload = text, mime, payload

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {"text/markdown": self.text, "text/plain": self.text, self.mime: self.payload}

    def __repr__(self) -> str:
        return self.text


def claim(
    name: str, measured: float, *, se: float | None = None, expected: float | None = None
) -> Line:
    """Compare ``measured`` with the claim ``name`` of ``book/claims.yml`` and show the result.

    Parameters
    ----------
    name : identifier, such as "03-minimum-loss"
    measured : the value found by this cell
    se : its standard error; needed by claims of mode "z"
    expected : the expected value recomputed here; must agree with the file to 1e-4 relative

    Raises
    ------
    ValueError
        If the claim is unknown, or ``expected`` contradicts the file.
    AssertionError
        In strict mode, if the outcome is not the recorded one.
    """
    spec = specification(name)
    if expected is not None and not math.isclose(
        expected, spec["expected"], rel_tol=1e-4, abs_tol=1e-12
    ):
        raise ValueError(
            f"expected of {name} must be {spec['expected']}, as in claims.yml, got {expected}"
        )
    measured, se = float(measured), None if se is None else float(se)
    # a broken or imprecise measurement confirms nothing, not even an honest negative
    good = outcome(spec, measured, se) == spec["holds"] and _usable(spec, measured, se)
    text = describe(spec, measured, se)
    line = f"**{_heading(good, spec)}.** {text}"
    payload = {
        "id": name,
        "chapter": spec["chapter"],
        "statement": spec["statement"],
        "source": spec["source"],
        "expected": spec["expected"],
        "measured": measured,
        "se": se,
        "tolerance": spec["tolerance"],
        "mode": spec["mode"],
        "verdict": spec["verdict"],
        "holds": good,
        "line": text,
    }
    if not good and os.environ.get("ICL_CLAIMS") == "strict":
        raise AssertionError(f"claim {name} does not hold: {text}")
    return Line(line, CLAIM_MIME, payload)


def _heading(good: bool, spec: dict) -> str:
    """Return the word before a claim's line; an honest negative must not read as a success."""
    if not good:
        return "DIFFERS"
    return "Checked" if spec["holds"] else "Does not hold, as the book says"


def outcome(spec: dict, measured: float, se: float | None = None) -> bool:
    """Return whether ``measured`` meets the claim ``spec``.

    Modes: "absolute" and "relative" bound the distance to the expected value; "z" bounds it in
    standard errors and wants the standard error itself below ``max_se`` times the expected
    value, since a large enough one would excuse anything; "at_most" and "at_least" bound the
    value, and if ``se`` is given the bound must hold by ``tolerance`` standard errors.

    Raises
    ------
    ValueError
        If the mode is unknown, a "z" claim comes without its standard error, or ``se`` is
        negative.
    """
    expected, tolerance, mode = spec["expected"], spec["tolerance"], spec["mode"]
    if mode not in MODES:
        raise ValueError(f"mode must be one of {MODES}, got {mode!r}")
    if not math.isfinite(measured):
        return False
    distance = abs(measured - expected)
    if mode == "absolute":
        return distance <= tolerance
    if mode == "relative":
        return distance <= tolerance * abs(expected)
    if mode == "z":
        if se is None or not se > 0:
            raise ValueError(f"se must be a positive standard error for mode 'z', got {se!r}")
        return distance <= tolerance * se and se <= spec["max_se"] * abs(expected)
    if se is not None and not se >= 0:
        raise ValueError(f"se must be a standard error of at least 0, got {se!r}")
    slack = tolerance if se is None else tolerance * se
    if mode == "at_most":
        return measured + slack <= expected if se is not None else measured <= expected + slack
    return measured - slack >= expected if se is not None else measured >= expected - slack


def _usable(spec: dict, measured: float, se: float | None) -> bool:
    if not math.isfinite(measured):
        return False
    return spec["mode"] != "z" or se <= spec["max_se"] * abs(spec["expected"])


def describe(spec: dict, measured: float, se: float | None = None) -> str:
    """Return the visible line: measured, expected, tolerance and source in words."""
    plus_minus = "" if se is None else f" ± {_short(se)}"
    relation = {"at_most": "at most ", "at_least": "at least "}.get(spec["mode"], "")
    origin = "theory" if spec.get("origin", "derived") == "derived" else "paper"
    return (
        f"{spec['statement']} Measured {_short(measured)}{plus_minus}; {origin}: "
        f"{relation}{_short(spec['expected'])} ({tolerance_in_words(spec, se is not None)}; "
        f"{spec['source']})."
    )


def tolerance_in_words(spec: dict, with_se: bool = False) -> str:
    """Return the tolerance of a claim as a reader would say it.

    >>> tolerance_in_words({"mode": "relative", "tolerance": 0.02})
    'within 2 %'
    """
    tolerance, mode = spec["tolerance"], spec["mode"]
    if mode == "relative":
        return f"within {100 * tolerance:g} %"
    if mode == "absolute":
        return f"within {tolerance:g}"
    if mode == "z" or with_se:
        return f"{tolerance:g} standard errors"
    return "a bound" if tolerance == 0 else f"a bound, slack {tolerance:g}"


def specification(name: str) -> dict:
    """Return the entry of ``book/claims.yml`` called ``name``.

    Raises
    ------
    ValueError
        If there is no such claim.
    """
    entries = specifications(str(claims_file()))
    if name not in entries:
        raise ValueError(f"name must be a claim of book/claims.yml, got {name!r}")
    return entries[name]


@lru_cache
def specifications(path: str) -> dict[str, dict]:
    """Return all entries of a claims file, checked for missing keys, modes and verdicts.

    Raises
    ------
    ValueError
        If an entry lacks a key, has an unknown mode or verdict or a value of the wrong type.
    """
    entries = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    if not isinstance(entries, dict):
        raise ValueError(f"claims file {path} must be a mapping from names to claims")
    for name, entry in entries.items():
        _check_entry(name, entry)
    return entries


def _check_entry(name: str, entry: dict) -> None:
    if not isinstance(entry, dict):
        raise ValueError(f"claim {name} must be a mapping from keys to values, got {entry!r}")
    needed = {"chapter", "statement", "source", "expected", "mode", "tolerance", "verdict", "holds"}
    missing = sorted(needed - set(entry))
    if entry.get("mode") == "z" and "max_se" not in entry:
        missing.append("max_se")
    if missing:
        raise ValueError(f"claim {name} must have the keys {missing}, got {sorted(entry)}")
    if entry["mode"] not in MODES or entry["verdict"] not in VERDICTS:
        raise ValueError(
            f"claim {name} must have a mode of {MODES} and a verdict of {VERDICTS}, "
            f"got {entry['mode']!r} and {entry['verdict']!r}"
        )
    # YAML reads 1e-3 as text (it wants 1.0e-3), and text compares with nothing
    for key, least in (("expected", -math.inf), ("tolerance", 0), ("max_se", 0)):
        value = entry.get(key, 0)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < least:
            bound = "" if key == "expected" else " of at least 0"
            raise ValueError(f"claim {name}: {key} must be a number{bound}, got {value!r}")
    if not isinstance(entry["holds"], bool):
        raise ValueError(f"claim {name}: holds must be true or false, got {entry['holds']!r}")


def claims_file() -> Path:
    """Return the path of ``book/claims.yml``, looking upward from the working directory.

    Raises
    ------
    ValueError
        If there is none, as when a notebook runs outside the repository.
    """
    here = Path.cwd().resolve()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[1]):
        if (folder / "book" / "claims.yml").is_file():
            return folder / "book" / "claims.yml"
    raise ValueError(f"claims must run inside the repository, found no book/claims.yml from {here}")


def run_report(chapter: str) -> Line:
    """Show what the notebook has cost so far: CPU seconds, wall seconds, peak memory in MB.

    Writes ``<chapter>.json`` into the folder ``ICL_RUN_LOG`` if that is set.
    """
    process = psutil.Process()
    times = process.cpu_times()
    payload = {
        "chapter": chapter,
        "cpu_seconds": round(times.user + times.system, 2),
        "wall_seconds": round(time.time() - process.create_time(), 2),
        "peak_mb": round(_peak_bytes(process) / 1e6, 1),
    }
    if folder := os.environ.get("ICL_RUN_LOG"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{chapter}.json").write_text(json.dumps(payload), encoding="utf-8")
    text = "This notebook took {cpu_seconds} s of CPU time and {peak_mb} MB at its peak.".format(
        **payload
    )
    return Line(text, RUN_MIME, payload)


def _peak_bytes(process: psutil.Process) -> int:
    try:
        import resource
    except ImportError:  # Windows has no resource module; psutil knows its peak
        return process.memory_info().peak_wset
    unit = 1 if os.uname().sysname == "Darwin" else 1024  # macOS counts bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _short(value: float) -> str:
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.5g}"
    return f"{value:.2e}"
