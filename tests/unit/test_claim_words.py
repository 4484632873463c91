"""The visible line of a claim: it never calls a bound of ours theory or a paper's number."""

from __future__ import annotations

import pytest
from claim_examples import RECORD, negative, spec

from icl_lib.claims.words import describe, short, tolerance_in_words, with_error


class TestLine:
    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"kind": "estimate"}, "measured 1.5, theory: 2"),
            ({"kind": "published"}, "measured 1.5, paper: 2"),
            ({"kind": "bound"}, "measured 1.5, our bound: within 0.5 of 2"),
            ({"kind": "bound", "mode": "at_most"}, "measured 1.5, our bound: at most 2"),
            ({"kind": "bound", "mode": "at_least"}, "measured 1.5, our bound: at least 2"),
            ({"kind": "bound", "computed": True}, "computed 1.5, our bound: within 0.5 of 2"),
            ({"kind": "published", "mode": "at_most"}, "measured 1.5, paper: at most 2"),
            ({"kind": "identity"}, "computed 1.5, exact value 2"),
            ({"kind": "identity", "expected": 0}, "difference 1.5, rounding"),
        ],
    )
    def test_words(self, changes, says):
        assert describe(spec(**changes), 1.5) == says

    @pytest.mark.parametrize("mode", ["absolute", "relative", "at_most", "at_least"])
    def test_a_bound_of_ours_is_never_called_theory_or_paper(self, mode):
        line = describe(spec(mode=mode, origin="paper"), 1.5)
        assert "theory" not in line and "paper" not in line

    def test_identities_are_not_measured(self):
        assert "measured" not in describe(spec(kind="identity"), 2.0)

    def test_standard_error_and_record(self):
        assert describe(spec(kind="estimate"), 1.5, 0.25) == "measured 1.50 ± 0.25, theory: 2"
        assert describe(RECORD, 2.0) == "2 (band 1.5 to 2.5)"
        assert describe(negative(), 7.0).startswith("measured 7, our bound")


class TestTolerance:
    @pytest.mark.parametrize(
        ("mode", "tolerance", "with_se", "words"),
        [
            ("absolute", 0.5, False, "within 0.5"),
            ("absolute", 0, False, "exact"),
            ("relative", 0.02, False, "within 2 %"),
            ("z", 4, True, "within 4 standard errors"),
            ("at_most", 0, False, "a bound"),
            ("at_least", 0.1, False, "a bound, slack 0.1"),
            ("at_most", 4, True, "kept by 4 standard errors"),
        ],
    )
    def test_tolerance(self, mode, tolerance, with_se, words):
        assert tolerance_in_words(spec(mode=mode, tolerance=tolerance), with_se) == words

    def test_a_record_has_none(self):
        assert tolerance_in_words(RECORD) == "none"


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0.0, "0"),
            (0.397111, "0.3971"),
            (1e-3, "0.001"),
            (1e-4, "1.0e-04"),
            (-12345.678, "-1.235e+04"),
            (1e5, "1.0e+05"),
            (-2e-9, "-2.0e-09"),
        ],
    )
    def test_short(self, value, text):
        assert short(value) == text

    @pytest.mark.parametrize(
        ("value", "se", "text"),
        [
            (0.793812, 0.00112, "0.7938 ± 0.0011"),
            (0.793812, 0.0996, "0.79 ± 0.10"),
            (123.456, 2.5, "123.5 ± 2.5"),
            (1234.56, 250.0, "1235 ± 250"),
            (0.5, None, "0.5"),
            (0.5, 0.0, "0.5"),
            (float("nan"), 0.1, "nan"),
        ],
    )
    def test_as_many_digits_as_the_error_allows(self, value, se, text):
        assert with_error(value, se) == text
