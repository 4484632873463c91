"""The visible line of a claim: numbers, tolerance and source in words."""

from __future__ import annotations

import pytest

from icl_lib.claims import describe, tolerance_in_words

BASE = {
    "chapter": "99",
    "statement": "The answer is two.",
    "source": "A paper, eq. (1)",
    "origin": "paper",
    "expected": 2.0,
    "mode": "absolute",
    "tolerance": 0.5,
    "verdict": "reproduced",
    "holds": True,
}


def spec(**changes):
    return {**BASE, **changes}


class TestWords:
    @pytest.mark.parametrize(
        ("mode", "tolerance", "se", "words"),
        [
            ("absolute", 0.5, None, "within 0.5"),
            ("relative", 0.02, None, "within 2 %"),
            ("z", 4, 0.1, "4 standard errors"),
            ("at_most", 0, None, "a bound"),
            ("at_least", 0.1, None, "a bound, slack 0.1"),
            ("at_most", 4, 0.1, "4 standard errors"),
        ],
    )
    def test_tolerance(self, mode, tolerance, se, words):
        entry = spec(mode=mode, tolerance=tolerance, max_se=1)
        assert tolerance_in_words(entry, se is not None) == words
        assert f"({words}; A paper, eq. (1))." in describe(entry, 2.0, se)

    def test_relation_origin_and_standard_error(self):
        assert "paper: at most 2 (" in describe(spec(mode="at_most"), 1.0)
        assert "paper: at least 2 (" in describe(spec(mode="at_least"), 1.0)
        assert "theory: 2 (" in describe(spec(origin="derived"), 1.0)
        no_origin = {key: value for key, value in BASE.items() if key != "origin"}
        assert "theory: 2 (" in describe(no_origin, 1.0)
        assert "Measured 1.5 ± 0.25;" in describe(BASE, 1.5, 0.25)

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0.0, "0"),
            (0.397111, "0.39711"),
            (1e-3, "0.001"),
            (1e-4, "1.00e-04"),
            (-12345.678, "-12346"),
            (1e5, "1.00e+05"),
            (-2e-9, "-2.00e-09"),
        ],
    )
    def test_numbers(self, value, text):
        assert f"Measured {text};" in describe(BASE, value)
