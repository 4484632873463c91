"""What a claim accepts: at, inside and outside its tolerance, nulls, honest negatives, records."""

from __future__ import annotations

import math

import pytest
from claim_examples import NULL, RECORD, negative, spec

from icl_lib.claims.verdicts import accepts, margin, outcome, problems

NAME = "last-two"


def payload(measured, **given):
    return {"id": NAME, "measured": measured, "se": None, "null": None, "expected": None} | given


class TestOutcome:
    """Numbers are chosen so that the distance at the tolerance is exact in binary."""

    @pytest.mark.parametrize(
        ("measured", "good"),
        [
            (2.0, True),
            (2.25, True),
            (2.5, True),
            (1.5, True),
            (2.53125, False),
            (1.46875, False),
            (math.nan, False),
            (math.inf, False),
            (-math.inf, False),
            (-2.0, False),
        ],
    )
    def test_absolute(self, measured, good):
        assert outcome(spec(), measured) is good

    @pytest.mark.parametrize(
        ("expected", "measured", "good"),
        [
            (4.0, 4.0, True),
            (4.0, 4.5, True),
            (4.0, 5.0, True),
            (4.0, 3.0, True),
            (4.0, 5.0625, False),
            (4.0, 2.9375, False),
            (-4.0, -5.0, True),
            (-4.0, -5.0625, False),
            (-4.0, 4.0, False),
            (0.0, 0.0, True),
            (0.0, 1e-12, False),
        ],
    )
    def test_relative(self, expected, measured, good):
        assert outcome(spec(mode="relative", expected=expected, tolerance=0.25), measured) is good

    @pytest.mark.parametrize(
        ("measured", "se", "good"),
        [
            (2.0, 0.125, True),
            (2.25, 0.125, True),
            (2.5, 0.125, True),
            (1.5, 0.125, True),
            (2.53125, 0.125, False),
            (1.46875, 0.125, False),
            (2.5, 0.0625, False),
            (2.0, 0.25, True),
            (2.0, 0.2501, False),
        ],  # at and above max_se times expected
    )
    def test_z(self, measured, se, good):
        assert outcome(spec(mode="z", tolerance=4, max_se=0.125), measured, se) is good

    def test_where_zero_is_expected_max_se_is_absolute(self):
        entry = spec(mode="z", expected=0.0, tolerance=4, max_se=0.125)
        assert outcome(entry, 0.25, 0.125) is True
        assert outcome(entry, 0.0, 0.1251) is False

    @pytest.mark.parametrize("mode", ["z", "at_most", "absolute"])
    @pytest.mark.parametrize("se", [0.0, -1.0, math.nan, math.inf])
    def test_a_bad_standard_error_is_refused(self, mode, se):
        with pytest.raises(ValueError, match="se must be a positive standard error, got"):
            outcome(spec(mode=mode, tolerance=4, max_se=0.1), 2.0, se)

    def test_z_needs_a_standard_error(self):
        with pytest.raises(ValueError, match="se must be given for a claim of mode 'z'"):
            outcome(spec(mode="z", tolerance=4, max_se=0.1), 2.0)

    @pytest.mark.parametrize(
        ("side", "mode"), [(1, "at_most"), (-1, "at_least")], ids=["at_most", "at_least"]
    )
    def test_bounds(self, side, mode):
        """A slack of 0.5 without a standard error; with one, four of them must fit below."""
        slack, sure = spec(mode=mode), spec(mode=mode, tolerance=4)
        for gap, good in [(-9.0, True), (0.0, True), (0.5, True), (0.53125, False)]:
            assert outcome(slack, 2.0 + side * gap) is good
        for gap, good in [(-9.0, True), (-0.5, True), (-0.46875, False), (0.0, False)]:
            assert outcome(sure, 2.0 + side * gap, 0.125) is good
        assert outcome(slack, -side * math.inf) is False
        assert outcome(slack, math.nan) is False

    def test_unknown_mode(self):
        with pytest.raises(ValueError, match="mode must be one of .*got 'about'"):
            outcome(spec(mode="about"), 2.0)


class TestAccepts:
    def test_a_record_accepts_its_band(self):
        assert [accepts(RECORD, value) for value in (1.5, 2.0, 2.5)] == [True] * 3
        assert [accepts(RECORD, value) for value in (1.4999, 2.5001, math.nan)] == [False] * 3

    @pytest.mark.parametrize("junk", [-1e9, -7.0, 0.0, 2.0, 6.4, 7.6, 1e9, math.nan])
    def test_an_honest_negative_accepts_what_it_recorded_and_nothing_else(self, junk):
        assert accepts(negative(), 7.0) is True
        assert accepts(negative(), 7.5) is True
        assert accepts(negative(), junk) is False

    def test_a_negative_whose_criterion_is_met_is_refused_even_near_its_record(self):
        entry = negative(recorded=2.75, recorded_tolerance=0.5)
        assert accepts(entry, 2.75) is True
        assert accepts(entry, 2.4) is False  # near the record, but the claim holds now

    def test_a_negative_needs_a_small_standard_error_too(self):
        entry = negative(mode="z", tolerance=4, max_se=0.1)
        assert accepts(entry, 7.0, 0.1) is True
        assert accepts(entry, 7.0, 1.0) is False

    @pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("mode", ["absolute", "relative", "z", "at_most", "at_least"])
    @pytest.mark.parametrize("make", [spec, negative])
    def test_a_broken_measurement_is_never_accepted(self, broken, mode, make):
        assert accepts(make(mode=mode, max_se=0.1), broken, 0.1) is False


class TestProblems:
    def test_none(self):
        assert problems(NAME, spec(), payload(2.25), False) == []

    def test_outcome(self):
        (said,) = problems(NAME, spec(), payload(7.0), False)
        assert said.startswith("claim last-two does not hold as recorded: measured 7, our bound")

    def test_the_cells_expected_value_must_agree_with_the_file(self):
        assert problems(NAME, spec(), payload(2.0, expected=2.0001), False) == []
        (said,) = problems(NAME, spec(), payload(2.0, expected=2.001), False)
        assert said == "claim last-two expects 2.0, its cell computes 2.001"
        assert problems(NAME, spec(expected=0.0), payload(0.0, expected=1e-6), False)
        assert problems(NAME, RECORD, payload(2.0, expected=2.0), False)

    def test_a_null_that_passes_fails_the_claim(self):
        """Typed or computed: what the sentence excludes must lie outside of what it accepts."""
        assert problems(NAME, spec(otherwise=NULL), payload(2.0), True) == []
        (said,) = problems(NAME, spec(otherwise=NULL | {"value": 2.4}), payload(2.0), False)
        assert said.endswith("would accept its null, the answer of everybody else (2.4)")
        computed = spec(otherwise={"says": "averaging"})
        assert problems(NAME, computed, payload(2.0, null=3.0), True) == []
        (said,) = problems(NAME, computed, payload(2.0, null=1.5), True)
        assert "would accept its null, averaging (1.5)" in said

    def test_a_null_is_judged_with_the_standard_error_of_the_measurement(self):
        entry = spec(mode="z", tolerance=4, max_se=1, kind="estimate", otherwise=NULL)
        assert problems(NAME, entry, payload(2.0, se=0.2), True) == []
        assert "would accept its null" in problems(NAME, entry, payload(2.0, se=0.3), True)[0]

    def test_the_null_of_an_honest_negative_lies_outside_of_its_record(self):
        entry = negative(otherwise=NULL | {"value": 7.25})
        assert "would accept its null" in problems(NAME, entry, payload(7.0), False)[0]
        assert problems(NAME, negative(otherwise=NULL | {"value": 2.0}), payload(7.0), True) == []

    @pytest.mark.parametrize("kind", ["estimate", "published", "bound"])
    def test_strict_chapters_ask_for_a_null(self, kind):
        entry = spec(kind=kind, mode="z", tolerance=4, max_se=1)
        assert problems(NAME, entry, payload(2.0, se=0.1), False) == []
        (said,) = problems(NAME, entry, payload(2.0, se=0.1), True)
        assert "names no null" in said
        unvalued = entry | {"otherwise": {"says": "averaging"}}
        (said,) = problems(NAME, unvalued, payload(2.0, se=0.1), True)
        assert "its null has no value" in said

    def test_strict_chapters_ask_an_estimate_for_a_z_test(self):
        entry = spec(kind="estimate", otherwise=NULL)
        assert problems(NAME, entry, payload(2.0), False) == []
        (said,) = problems(NAME, entry, payload(2.0), True)
        assert "needs mode z and a standard error" in said

    def test_identities_and_records_have_no_null(self):
        assert problems(NAME, spec(kind="identity"), payload(2.0), True) == []
        assert problems(NAME, RECORD, payload(2.0), True) == []
        (said,) = problems(NAME, spec(kind="identity"), payload(2.0, null=9.0), False)
        assert said.endswith("is of kind identity, which has no null")
        assert problems(NAME, RECORD, payload(2.0, null=9.0), False)

    def test_a_null_from_the_cell_must_be_named_in_the_file(self):
        (said,) = problems(NAME, spec(), payload(2.0, null=9.0), False)
        assert "a null that book/claims does not name" in said


class TestMargin:
    """In units of the distance from the null to the limit, or in standard errors."""

    def test_z(self):
        entry = spec(mode="z", tolerance=4, max_se=1)
        assert margin(entry, 2.25, 0.125, None) == "2.0 s.e."

    @pytest.mark.parametrize(
        ("changes", "measured", "null", "says"),
        [
            ({}, 2.0, 3.0, "1"),  # limit 2.5: half a unit here, half a unit there
            ({}, 2.25, 3.5, "0.25"),
            ({}, 1.75, 0.5, "0.25"),  # the other side: limit 1.5
            ({"mode": "relative", "tolerance": 0.25}, 2.0, 3.0, "1"),
            ({"mode": "at_most", "tolerance": 0}, 1.0, 4.0, "0.5"),
            ({"mode": "at_least", "tolerance": 0}, 3.0, 1.0, "1"),
        ],
    )
    def test_with_a_null(self, changes, measured, null, says):
        entry = spec(otherwise={"says": "averaging"}, **changes)
        assert margin(entry, measured, None, null) == says

    def test_a_negative_is_measured_against_its_record(self):
        entry = negative(otherwise={"says": "what the paper says", "value": 2.0, "source": "it"})
        assert margin(entry, 7.0, None, None) == "0.11"  # limit 6.5: 0.5 over 4.5

    def test_none(self):
        assert margin(spec(kind="identity"), 2.0, None, None) == "–"
        assert margin(spec(), 2.0, None, None) == "–"
        assert margin(RECORD, 2.0, None, None) == "–"
        assert margin(spec(otherwise=NULL | {"value": 2.5}), 2.0, None, None) == "–"
