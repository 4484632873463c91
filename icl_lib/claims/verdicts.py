"""How a measured value is judged against what the book expects of it.

The kind of an entry of ``book/claims/`` says what the comparison is worth:

* ``identity``: two exact results, equal to rounding.
* ``estimate``: theory against a random measurement, with its standard error.
* ``published``: a number that a paper reports of its own experiments.
* ``bound``: a threshold that this book chose, and says so.
* ``record``: a number that illustrates, with its band over seeds; no verdict.

A *null* is the strongest alternative that the claim's sentence excludes. A claim that would accept
its null says nothing, and fails.
"""

from __future__ import annotations

import math

from icl_lib.claims.files import MODES
from icl_lib.claims.words import describe

WITH_NULL = ("estimate", "published", "bound")


def accepts(spec: dict, value: float, se: float | None = None) -> bool:
    """Return whether the claim ``spec`` would accept ``value``.

    A claim that holds accepts what meets its criterion (:func:`outcome`). An honest negative
    (``holds: false``) accepts what misses the criterion and lies within ``recorded_tolerance`` of
    the ``recorded`` value. A record accepts its band. NaN and infinity are never accepted.
    """
    if not math.isfinite(value):
        return False
    if spec["kind"] == "record":
        low, high = spec["band"]
        return low <= value <= high
    if spec["holds"]:
        return outcome(spec, value, se)
    precise = spec["mode"] != "z" or _se_is_small(spec, se)
    near = abs(value - spec["recorded"]) <= spec["recorded_tolerance"]
    return precise and near and not outcome(spec, value, se)


def outcome(spec: dict, measured: float, se: float | None = None) -> bool:
    """Return whether ``measured`` meets the criterion of the claim ``spec``.

    Modes: "absolute" and "relative" bound the distance to the expected value; "z" bounds it in
    standard errors and wants the standard error itself small (``max_se``), since a large enough
    one would excuse anything; "at_most" and "at_least" bound the value, and if ``se`` is given the
    bound must hold by ``tolerance`` standard errors.

    Raises
    ------
    ValueError
        If a "z" claim comes without its standard error, or ``se`` is not positive.
    """
    expected, tolerance, mode = spec["expected"], spec["tolerance"], spec["mode"]
    if mode not in MODES:
        raise ValueError(f"mode must be one of {MODES}, got {mode!r}")
    if se is not None and not (math.isfinite(se) and se > 0):
        raise ValueError(f"se must be a positive standard error, got {se!r}")
    if mode == "z" and se is None:
        raise ValueError("se must be given for a claim of mode 'z', got None")
    if not math.isfinite(measured):
        return False
    distance = abs(measured - expected)
    if mode == "absolute":
        return distance <= tolerance
    if mode == "relative":
        return distance <= tolerance * abs(expected)
    if mode == "z":
        return distance <= tolerance * (se or 0.0) and _se_is_small(spec, se)
    slack = tolerance if se is None else -tolerance * se
    if mode == "at_most":
        return measured <= expected + slack
    return measured >= expected - slack


def _se_is_small(spec: dict, se: float | None) -> bool:
    """``max_se`` is a share of the expected value, absolute where 0 is expected."""
    return se is not None and se <= spec["max_se"] * (abs(spec["expected"]) or 1.0)


def null_value(spec: dict, cell: float | None) -> float | None:
    """Return the value of the claim's null: from the cell, or cited in the file; None without."""
    if cell is not None:
        return cell
    return (spec.get("otherwise") or {}).get("value")


def problems(name: str, spec: dict, payload: dict, strict_null: bool) -> list[str]:
    """Return what is wrong with the executed claim ``name``, an empty list if nothing is.

    ``payload`` holds what the cell reported: ``measured``, ``se``, ``null`` and ``expected``, the
    last three None where the cell gave none. ``strict_null`` asks for the full discipline: an
    estimate has a standard error, and the null is there and would not be accepted.
    """
    measured, se, null = payload["measured"], payload.get("se"), payload.get("null")
    found = []
    computed = payload.get("expected")
    if computed is not None and not math.isclose(
        computed, spec.get("expected", math.nan), rel_tol=1e-4, abs_tol=1e-12
    ):
        found.append(f"claim {name} expects {spec.get('expected')}, its cell computes {computed}")
    if not accepts(spec, measured, se):
        found.append(f"claim {name} does not hold as recorded: {describe(spec, measured, se)}")
    if null is not None and spec["kind"] in ("identity", "record"):
        found.append(f"claim {name} is of kind {spec['kind']}, which has no null")
    elif null is not None and "otherwise" not in spec:
        found.append(f"claim {name}: its cell gives a null that book/claims does not name")
    value = null_value(spec, null)
    if value is not None and "otherwise" in spec and accepts(spec, value, se):
        found.append(f"claim {name} would accept its null, {spec['otherwise']['says']} ({value:g})")
    if strict_null:
        found += _missing_discipline(name, spec, se, value)
    return found


def _missing_discipline(name: str, spec: dict, se: float | None, value: float | None) -> list[str]:
    found = []
    if spec["kind"] == "estimate" and (se is None or spec["mode"] != "z"):
        found.append(f"claim {name} is an estimate: it needs mode z and a standard error")
    if spec["kind"] in WITH_NULL and "otherwise" not in spec:
        found.append(f"claim {name} names no null (the strongest alternative it excludes)")
    elif spec["kind"] in WITH_NULL and value is None:
        found.append(f"claim {name}: its null has no value, neither from the cell nor cited")
    return found


def margin(spec: dict, measured: float, se: float | None, null: float | None) -> str:
    """Return how far the measured value is from its limit, in words; a dash where there is none.

    In standard errors for a z-test, else in units of the distance from the null to the limit.
    """
    if spec["kind"] in ("identity", "record"):
        return "–"
    if spec["mode"] == "z" and se and spec["holds"]:
        return f"{spec['tolerance'] - abs(measured - spec['expected']) / se:.1f} s.e."
    value = null_value(spec, null)
    if value is None:
        return "–"
    limit = _limit_towards(spec, value, se)
    return f"{(limit - measured) / (value - limit):.2g}" if value != limit else "–"


def _limit_towards(spec: dict, null: float, se: float | None) -> float:
    """The end of the accepted range that lies between the expected value and the null."""
    if not spec["holds"]:
        centre, reach = spec["recorded"], spec["recorded_tolerance"]
    elif spec["mode"] in ("at_most", "at_least"):
        reach = spec["tolerance"] if se is None else -spec["tolerance"] * se
        return spec["expected"] + (reach if spec["mode"] == "at_most" else -reach)
    else:
        scale = abs(spec["expected"]) if spec["mode"] == "relative" else 1.0
        centre, reach = spec["expected"], spec["tolerance"] * scale
    return centre + math.copysign(reach, null - centre)
