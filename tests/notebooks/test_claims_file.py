"""No claim of the book can pass by being empty: each is corrupted, and must then fail."""

from __future__ import annotations

import math
import re
from copy import deepcopy

import pytest

from icl_lib.claims import MODES, VERDICTS, claim, outcome

ORIGINS = ("paper", "derived")


def standard_error(spec: dict) -> float | None:
    """The largest standard error that the claim admits; none where it does not use one."""
    return spec["max_se"] * abs(spec["expected"]) if spec["mode"] == "z" else None


def one_tolerance(spec: dict) -> float:
    """How far the measured value may be from the expected one."""
    expected, tolerance = abs(spec["expected"]), spec["tolerance"]
    if spec["mode"] == "z":
        return tolerance * standard_error(spec)
    return tolerance * expected if spec["mode"] == "relative" else tolerance


def corrupted(spec: dict) -> list[float]:
    """Values ten tolerances away, in every direction in which the claim says something."""
    expected = spec["expected"]
    step = 10 * one_tolerance(spec) or 1  # a count without tolerance: the next number
    if spec["mode"] in ("at_most", "at_least"):
        step = max(step, 1e-3 * abs(expected), 1e-9)
    sides = {"at_most": (1,), "at_least": (-1,)}.get(spec["mode"], (1, -1))
    return [expected + side * step for side in sides]


def test_entry_is_complete(claim_name, claims):
    spec = claims[claim_name]
    assert re.fullmatch(rf"{spec['chapter']}-[a-z0-9]+(-[a-z0-9]+)*", claim_name)
    assert re.fullmatch(r"\d\d", spec["chapter"])
    assert spec["mode"] in MODES
    assert spec["verdict"] in VERDICTS
    assert spec["origin"] in ORIGINS
    assert isinstance(spec["holds"], bool)
    assert isinstance(spec["expected"], int | float) and math.isfinite(spec["expected"])
    assert len(spec["statement"].split()) >= 4
    assert spec["statement"].rstrip().endswith(".")
    assert spec["source"].strip()
    if spec["verdict"] in ("differs", "not at this scale", "reproduced in part"):
        assert spec.get("note"), "say why"


def test_tolerance_can_be_exceeded(claim_name, claims):
    """A tolerance of the size of the expected value would let everything through."""
    spec = claims[claim_name]
    assert spec["tolerance"] >= 0
    if spec["mode"] == "z":
        assert spec["tolerance"] <= 6
        assert 0 < spec["max_se"] <= 0.05
    elif spec["mode"] == "relative":
        assert 0 < spec["tolerance"] <= 0.5
    elif spec["mode"] == "absolute":
        assert spec["tolerance"] > 0 or isinstance(spec["expected"], int), "exact only for counts"
        if spec["expected"]:
            assert spec["tolerance"] <= 0.5 * abs(spec["expected"])


def test_a_value_ten_tolerances_away_fails(claim_name, claims):
    spec = claims[claim_name]
    for value in corrupted(spec):
        assert not outcome(spec, value, standard_error(spec)), f"{value} passes"


def test_the_expected_value_itself_passes(claim_name, claims):
    """Else the test above would pass for a claim that nothing can meet."""
    spec = claims[claim_name]
    assert outcome(spec, spec["expected"], standard_error(spec))


def test_no_number_fails(claim_name, claims):
    spec = claims[claim_name]
    for value in (math.nan, math.inf, -math.inf):
        assert not outcome(spec, value, standard_error(spec))


def test_an_unsure_measurement_fails(claim_name, claims):
    """A standard error above the admitted one excuses any value, so it is refused."""
    spec = claims[claim_name]
    if spec["mode"] == "z":
        assert not outcome(spec, spec["expected"], 1.01 * standard_error(spec))


def test_the_corrupted_claim_stops_the_notebook(claim_name, claims, monkeypatch):
    """End to end: under the build's strict setting, the cell that shows the claim raises."""
    spec = deepcopy(claims[claim_name])
    monkeypatch.setenv("ICL_CLAIMS", "strict")
    wrong = corrupted(spec) if spec["holds"] else [spec["expected"]]
    for value in wrong:
        with pytest.raises(AssertionError, match=claim_name):
            claim(claim_name, value, se=standard_error(spec))
    monkeypatch.delenv("ICL_CLAIMS")
    shown = claim(claim_name, wrong[0], se=standard_error(spec))
    assert "DIFFERS" in repr(shown)


def test_every_claim_belongs_to_a_chapter(claims, books):
    numbers = {item.number for item in books}
    assert {spec["chapter"] for spec in claims.values()} <= numbers


def test_every_claim_is_named_in_its_chapter(claim_name, claims, books):
    """A fast look at the sources; the build looks at what was really executed."""
    chapter = next(item for item in books if item.number == claims[claim_name]["chapter"])
    assert any(f'"{claim_name}"' in cell.source for cell in chapter.code)
