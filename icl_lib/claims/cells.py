"""The two calls of a chapter: :func:`claim` checks a number, :func:`run_report` says what it cost.

The output of a claim's cell carries what was *measured*; what was expected stays in
``book/claims/``. The built page joins the two, so that an edit of an expectation executes nothing.
With ``ICL_CLAIMS=strict`` in the environment, as under the tests and the build, a claim whose
outcome is not the recorded one raises; on a reader's own machine it prints DIFFERS and goes on.
"""

from __future__ import annotations

import math
import os
import time

import psutil

from icl_lib.claims.files import specification
from icl_lib.claims.verdicts import problems
from icl_lib.claims.words import describe, tolerance_in_words

CLAIM_MIME = "application/vnd.icl.claim+json"
RUN_MIME = "application/vnd.icl.run+json"


class Line:
    """A line for whoever runs the notebook, with the data beside it for the page and the ledger."""

    def __init__(self, text: str, mime: str, payload: dict):
        self.text, self.mime, self.payload = text, mime, payload

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {"text/markdown": self.text, "text/plain": self.text, self.mime: self.payload}

    def __repr__(self) -> str:
        return self.text


def claim(
    name: str,
    measured: float,
    *,
    se: float | None = None,
    null: float | None = None,
    expected: float | None = None,
) -> Line:
    """Compare ``measured`` with the claim ``name`` of ``book/claims/`` and show the result.

    Parameters
    ----------
    name : identifier, such as "closed-form-minimum-loss"
    measured : the value found by this cell
    se : its standard error; needed by estimates, which are z-tests
    null : what the number would be under the strongest alternative that the claim excludes,
        computed by a cell; the claim must not accept it
    expected : the expected value computed here; must agree with the file to 1e-4 relative

    Raises
    ------
    ValueError
        If the claim is unknown, or an argument is not a number.
    AssertionError
        In strict mode, if the outcome is not the recorded one or the null would pass.
    """
    spec, strict_null = specification(name)
    payload = {
        "id": name,
        "measured": _number("measured", measured, finite=False),
        "se": None if se is None else _number("se", se),
        "null": None if null is None else _number("null", null),
        "expected": None if expected is None else _number("expected", expected),
    }
    wrong = problems(name, spec, payload, strict_null)
    if wrong and os.environ.get("ICL_CLAIMS") == "strict":
        raise AssertionError("; ".join(wrong))
    compared = describe(spec, payload["measured"], payload["se"])
    head = "DIFFERS" if wrong else _heading(spec)
    because = f" ({'; '.join(wrong)})" if wrong else ""
    tolerance = tolerance_in_words(spec, se is not None)
    text = f"**{head}:** {compared} ({tolerance}). *{spec['statement']}*{because}"
    return Line(text, CLAIM_MIME, payload)


def _heading(spec: dict) -> str:
    """Return the word before a claim's line; an honest negative must not read as a success."""
    if spec["kind"] == "record":
        return "for the record"
    return spec["verdict"] if spec["holds"] else "does not hold, as the book says"


def _number(name: str, value, finite: bool = True) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be one real number, got {value!r}") from error
    if finite and not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return number


def run_report(chapter: str) -> Line:
    """Show what the notebook has cost so far: CPU seconds, wall seconds, peak memory in MB."""
    process = psutil.Process()
    times = process.cpu_times()
    payload = {
        "chapter": chapter,
        "cpu_seconds": round(times.user + times.system, 2),
        "wall_seconds": round(time.time() - process.create_time(), 2),
        "peak_mb": round(_peak_bytes(process) / 1e6, 1),
    }
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
