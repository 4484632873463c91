"""No claim of the book can pass by being empty: each is corrupted, and must then fail."""

from __future__ import annotations

import ast
import math
import re
from copy import deepcopy

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from icl_lib.claims import claim, files, verdicts

ORIGINS = ("paper", "derived")
OPTIONAL = {
    "was",
    "paper",
    "rows",
    "item",
    "origin",
    "note",
    "reason",
    "otherwise",
    "computed",
    "max_se",
}
KEYS = OPTIONAL | {"recorded", "recorded_tolerance", "band", *files.NEEDED, *files.JUDGED}


def standard_error(spec: dict) -> float | None:
    """The largest standard error that the claim admits; none where it does not use one."""
    return spec["max_se"] * (abs(spec["expected"]) or 1) if spec.get("mode") == "z" else None


def one_tolerance(spec: dict) -> float:
    """How far the measured value may be from the expected one."""
    expected, tolerance = abs(spec["expected"]), spec["tolerance"]
    if spec["mode"] == "z":
        return tolerance * standard_error(spec)
    return tolerance * expected if spec["mode"] == "relative" else tolerance


def corrupted(spec: dict) -> list[float]:
    """Values that the claim must refuse, in every direction in which it says something.

    Ten tolerances away from what is expected; just outside of a band or of what is on record.
    """
    if spec["kind"] == "record":
        low, high = spec["band"]
        return [low - 1e-3 * (high - low) - 1e-9, high + 1e-3 * (high - low) + 1e-9]
    if not spec["holds"]:
        return [spec["recorded"] + side * 1.01 * spec["recorded_tolerance"] for side in (1, -1)]
    expected = spec["expected"]
    step = 10 * one_tolerance(spec) or 1  # a count without tolerance: the next number
    if spec["mode"] in ("at_most", "at_least"):
        step = max(step, 1e-3 * abs(expected), 1e-9)
    sides = {"at_most": (1,), "at_least": (-1,)}.get(spec["mode"], (1, -1))
    return [expected + side * step for side in sides]


def typical(spec: dict) -> float:
    """A value that the claim accepts."""
    if spec["kind"] == "record":
        return sum(spec["band"]) / 2
    return spec["expected"] if spec["holds"] else spec["recorded"]


def test_entry_is_complete(claim_name, claims):
    spec = claims[claim_name]
    assert set(spec) <= KEYS, set(spec) - KEYS
    assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", claim_name)
    if "was" in spec:  # the old name, for old links
        assert re.fullmatch(r"\d\d-[a-z0-9]+(-[a-z0-9]+)*", spec["was"])
    assert spec.get("origin", "paper") in ORIGINS
    assert len(spec["statement"].split()) >= 4
    assert spec["statement"].rstrip().endswith(".")
    assert spec["source"].strip()
    if spec.get("verdict") in ("differs", "not at this scale", "reproduced in part"):
        assert spec.get("note"), "say why"


def test_old_names_are_unique(claims):
    old = [spec["was"] for spec in claims.values() if "was" in spec]
    assert len(old) == len(set(old))


def test_tolerance_can_be_exceeded(claim_name, claims):
    """A tolerance of the size of the expected value would let everything through."""
    spec = claims[claim_name]
    if spec["kind"] == "record":
        return
    if spec["mode"] == "z":
        assert spec["tolerance"] <= 6
        assert 0 < spec["max_se"] <= 0.05 or "otherwise" in spec, "else a null must stand the test"
    elif spec["mode"] == "relative":
        assert 0 < spec["tolerance"] <= 0.5
    elif spec["mode"] == "absolute":
        assert spec["tolerance"] > 0 or isinstance(spec["expected"], int), "exact only for counts"
        if spec["expected"]:
            assert spec["tolerance"] <= 0.5 * abs(spec["expected"])


def test_an_identity_is_exact(claim_name, claims):
    """Its tolerance is one of rounding or of a stated numerical method, not of a measurement."""
    spec = claims[claim_name]
    if spec["kind"] == "identity" and spec["mode"] != "relative":
        assert spec["mode"] != "z"
        assert one_tolerance(spec) <= 2e-3 * max(1.0, abs(spec["expected"]))


def test_what_the_claim_excludes_is_refused(claim_name, claims):
    spec = claims[claim_name]
    for value in corrupted(spec):
        assert not verdicts.accepts(spec, value, standard_error(spec)), f"{value} passes"


def test_a_typical_value_is_accepted(claim_name, claims):
    """Else the test above would pass for a claim that nothing can meet."""
    spec = claims[claim_name]
    assert verdicts.accepts(spec, typical(spec), standard_error(spec))


@pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf, -1e12, 1e12])
def test_junk_fails(claim_name, claims, junk):
    """A one-sided bound has one side only; everything else refuses both."""
    spec = claims[claim_name]
    open_side = {"at_most": -1e12, "at_least": 1e12}.get(spec.get("mode"))
    if spec.get("holds") and junk == open_side:
        return
    assert not verdicts.accepts(spec, junk, standard_error(spec))


def test_an_unsure_measurement_fails(claim_name, claims):
    """A standard error above the admitted one excuses any value, so it is refused."""
    spec = claims[claim_name]
    if spec.get("mode") == "z":
        assert not verdicts.accepts(spec, typical(spec), 1.01 * standard_error(spec))


def test_the_corrupted_claim_stops_the_notebook(claim_name, claims, monkeypatch):
    """End to end: under the build's strict setting, the cell that shows the claim raises."""
    spec = deepcopy(claims[claim_name])
    monkeypatch.setenv("ICL_CLAIMS", "strict")
    for value in corrupted(spec):
        with pytest.raises(AssertionError, match=claim_name):
            claim(claim_name, value, se=standard_error(spec))
    monkeypatch.delenv("ICL_CLAIMS")
    assert "DIFFERS" in repr(claim(claim_name, corrupted(spec)[0], se=standard_error(spec)))


def test_every_file_belongs_to_a_chapter(claim_files, books):
    slugs = {item.slug for item in books}
    assert set(claim_files) <= slugs


def claim_calls(source: str) -> list[ast.Call]:
    tree = ast.parse(TransformerManager().transform_cell(source))
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "claim"
    ]


def is_literal(node: ast.expr) -> bool:
    """Whether nothing is computed: only numbers, and arithmetic of numbers."""
    allowed = (ast.Constant, ast.UnaryOp, ast.BinOp, ast.operator, ast.unaryop)
    return all(isinstance(part, allowed) for part in ast.walk(node))


def typed_numbers(call: ast.Call) -> list[str]:
    """The measured value or the null of a claim that is typed in instead of computed."""
    given = {"measured": call.args[1]} if len(call.args) > 1 else {}
    given |= {item.arg: item.value for item in call.keywords if item.arg in ("measured", "null")}
    return [name for name, node in given.items() if is_literal(node)]


def test_every_claim_is_named_in_its_chapter(claim_name, claims, books):
    """A fast look at the sources; the build looks at what was really executed."""
    chapter = next(item for item in books if claim_name.startswith(f"{item.slug}-"))
    assert any(f'"{claim_name}"' in cell.source for cell in chapter.code)


def test_no_measured_value_and_no_null_is_typed_in(chapter):
    typed = [
        f"{cell.id}: {name}"
        for cell in chapter.code
        for call in claim_calls(cell.source)
        for name in typed_numbers(call)
    ]
    assert typed == []


def test_the_finder_of_typed_numbers():
    (call,) = claim_calls('claim("x", 0.5, null=-1.5e3 * 2)')
    assert typed_numbers(call) == ["measured", "null"]
    (call,) = claim_calls('claim("x", float(n), se=0.1, null=1 / n)')
    assert typed_numbers(call) == []
