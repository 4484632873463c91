"""What a reader sees of a claim: the number, what it is compared with, how far it may be off."""

from __future__ import annotations

import math


def describe(spec: dict, measured: float, se: float | None = None) -> str:
    """Return the comparison as one short line: the number, and what it is compared with."""
    shown = with_error(measured, se)
    kind, expected = spec["kind"], short(spec.get("expected", 0.0))
    if kind == "record":
        low, high = spec["band"]
        return f"{shown} (band {short(low)} to {short(high)})"
    if kind == "identity":
        if spec["expected"] == 0:
            return f"difference {shown}, rounding"
        return f"computed {shown}, exact value {expected}"
    verb = "computed" if spec.get("computed") else "measured"
    bound = {"at_most": "at most ", "at_least": "at least "}.get(spec["mode"], "")
    word = {"estimate": "theory", "published": "paper", "bound": "our bound"}[kind]
    if kind == "bound" and not bound:
        bound = f"{tolerance_in_words(spec)} of "
    return f"{verb} {shown}, {word}: {bound}{expected}"


def tolerance_in_words(spec: dict, with_se: bool = False) -> str:
    """Return the tolerance of a claim as a reader would say it.

    >>> tolerance_in_words({"kind": "bound", "mode": "relative", "tolerance": 0.02})
    'within 2 %'
    """
    if spec["kind"] == "record":
        return "none"
    tolerance, mode = spec["tolerance"], spec["mode"]
    if mode == "relative":
        return f"within {100 * tolerance:g} %"
    if mode == "absolute":
        return "exact" if tolerance == 0 else f"within {tolerance:g}"
    if mode == "z":
        return f"within {tolerance:g} standard errors"
    if with_se:
        return f"kept by {tolerance:g} standard errors"
    return "a bound" if tolerance == 0 else f"a bound, slack {tolerance:g}"


def with_error(value: float, se: float | None) -> str:
    """Return a value to as many digits as its standard error allows.

    >>> with_error(0.793812, 0.00112)
    '0.7938 ± 0.0011'
    """
    if not se or not math.isfinite(se) or not math.isfinite(value):
        return short(value)
    rounded = float(f"{se:.1e}")  # 0.0996 counts as 0.10
    digits = min(max(1 - math.floor(math.log10(abs(rounded))), 0), 12)
    return f"{value:.{digits}f} ± {se:.{digits}f}"


def short(value: float) -> str:
    """Return four significant digits; of a rounding error two are enough.

    >>> short(0.7942211), short(3.1e-16)
    ('0.7942', '3.1e-16')
    """
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}"
    return f"{value:.1e}"
