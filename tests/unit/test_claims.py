"""Claims at, inside and outside their tolerance, strict and lax, and bad claims files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
import yaml

from icl_lib import claims
from icl_lib.claims import CLAIM_MIME, claim, outcome

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


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A folder with a claims file, and a function that writes it; the test runs inside."""
    (tmp_path / "book" / "part").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "book" / "part")
    monkeypatch.delenv("ICL_CLAIMS", raising=False)

    def write(entries):
        text = entries if isinstance(entries, str) else yaml.safe_dump(entries)
        (tmp_path / "book" / "claims.yml").write_text(text, encoding="utf-8")
        claims.specifications.cache_clear()

    return write


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

    @pytest.mark.parametrize("se", [None, 0.0, -1.0, math.nan])
    def test_z_needs_a_standard_error(self, se):
        with pytest.raises(ValueError, match="se must be a positive standard error for mode 'z'"):
            outcome(spec(mode="z", tolerance=4, max_se=0.1), 2.0, se)

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
        assert outcome(sure, 2.0, 0.0) is True
        assert outcome(slack, -side * math.inf) is False
        assert outcome(slack, math.nan) is False

    @pytest.mark.parametrize("se", [-0.1, math.nan])
    def test_bounds_refuse_a_bad_standard_error(self, se):
        with pytest.raises(ValueError, match="se must be a standard error of at least 0"):
            outcome(spec(mode="at_most"), 1.0, se)

    def test_unknown_mode(self):
        with pytest.raises(ValueError, match="mode must be one of .*got 'about'"):
            outcome(spec(mode="about"), 2.0)


class TestClaim:
    def test_good(self, book):
        book({"99-two": BASE})
        line = claim("99-two", 2.25)
        assert repr(line).startswith("**Checked.** The answer is two. Measured 2.25; paper: 2 ")

    def test_strict_raises(self, book, monkeypatch):
        book({"99-two": BASE})
        monkeypatch.setenv("ICL_CLAIMS", "strict")
        claim("99-two", 2.25)
        with pytest.raises(AssertionError, match="claim 99-two does not hold: The answer is two"):
            claim("99-two", 7.0)

    @pytest.mark.parametrize("mode", [None, "lax", ""])
    def test_lax_prints_differs(self, book, monkeypatch, mode):
        book({"99-two": BASE})
        if mode is not None:
            monkeypatch.setenv("ICL_CLAIMS", mode)
        line = claim("99-two", 7.0)
        assert repr(line).startswith("**DIFFERS.** The answer is two. Measured 7;")
        assert line.payload["holds"] is False

    def test_honest_negative(self, book, monkeypatch):
        """holds: false is checked in turn: a claim that suddenly holds is an error."""
        monkeypatch.setenv("ICL_CLAIMS", "strict")
        book({"99-two": spec(holds=False, verdict="differs")})
        line = claim("99-two", 7.0)
        assert line.payload["holds"] is True
        # it must not read as a success
        assert repr(line).startswith("**Does not hold, as the book says.** ")
        with pytest.raises(AssertionError, match="claim 99-two does not hold"):
            claim("99-two", 2.0)

    @pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("mode", ["absolute", "relative", "z", "at_most", "at_least"])
    @pytest.mark.parametrize("holds", [True, False])
    def test_a_broken_measurement_never_passes(self, book, monkeypatch, broken, mode, holds):
        monkeypatch.setenv("ICL_CLAIMS", "strict")
        book({"99-two": spec(holds=holds, mode=mode, max_se=0.1)})
        with pytest.raises(AssertionError, match="does not hold"):
            claim("99-two", broken, se=0.1)

    def test_a_negative_needs_a_small_standard_error_too(self, book, monkeypatch):
        monkeypatch.setenv("ICL_CLAIMS", "strict")
        book({"99-two": spec(holds=False, mode="z", tolerance=4, max_se=0.1)})
        claim("99-two", 9.0, se=0.1)
        with pytest.raises(AssertionError, match="does not hold"):
            claim("99-two", 9.0, se=1.0)

    def test_bundle(self, book):
        entry = spec(mode="z", tolerance=4, max_se=0.1)
        book({"99-two": entry})
        line = claim("99-two", torch.tensor(2.125), se=torch.tensor(0.125), expected=2.0)
        bundle = line._repr_mimebundle_()
        assert set(bundle) == {"text/markdown", "text/plain", CLAIM_MIME}
        assert bundle["text/markdown"] == bundle["text/plain"] == repr(line)
        text = repr(line).removeprefix("**Checked.** ")
        assert bundle[CLAIM_MIME] == {
            "id": "99-two",
            "chapter": "99",
            "statement": "The answer is two.",
            "source": "A paper, eq. (1)",
            "expected": 2.0,
            "measured": 2.125,
            "se": 0.125,
            "tolerance": 4,
            "mode": "z",
            "verdict": "reproduced",
            "holds": True,
            "line": text,
        }
        json.dumps(bundle)  # the notebook stores it

    def test_expected_must_agree_with_the_file(self, book):
        book({"99-two": BASE, "99-zero": spec(expected=0.0)})
        claim("99-two", 2.0, expected=2.0001)
        claim("99-zero", 0.0, expected=0.0)
        with pytest.raises(ValueError, match="expected of 99-two must be 2.0, as in claims.yml"):
            claim("99-two", 2.0, expected=2.001)
        with pytest.raises(ValueError, match="expected of 99-zero must be 0.0"):
            claim("99-zero", 0.0, expected=1e-6)

    def test_unknown_claim(self, book):
        book({"99-two": BASE})
        with pytest.raises(ValueError, match="name must be a claim of .*got '99-three'"):
            claim("99-three", 2.0)


class TestFile:
    def test_found_from_below(self, book, tmp_path):
        book({"99-two": BASE})
        assert claims.claims_file() == tmp_path / "book" / "claims.yml"

    def test_the_repositorys_own_is_the_fallback(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        own = Path(claims.__file__).resolve().parents[1] / "book" / "claims.yml"
        assert claims.claims_file() == own

    def test_outside_a_repository(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(claims, "__file__", str(tmp_path / "icl_lib" / "claims.py"))
        with pytest.raises(ValueError, match="found no book/claims.yml from"):
            claims.claims_file()

    @pytest.mark.parametrize("key", sorted(set(BASE) - {"origin"}))
    def test_missing_key(self, book, key):
        book({"99-two": {name: value for name, value in BASE.items() if name != key}})
        with pytest.raises(ValueError, match=rf"claim 99-two must have the keys \['{key}'\]"):
            claims.specification("99-two")

    def test_z_without_max_se(self, book):
        book({"99-two": spec(mode="z")})
        with pytest.raises(ValueError, match=r"claim 99-two must have the keys \['max_se'\]"):
            claims.specification("99-two")

    @pytest.mark.parametrize("change", [{"mode": "about"}, {"verdict": "perhaps"}])
    def test_unknown_words(self, book, change):
        book({"99-two": spec(**change)})
        with pytest.raises(ValueError, match="claim 99-two must have a mode of .* and a verdict"):
            claims.specification("99-two")

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ({"expected": "1e-3"}, "expected"),
            ({"tolerance": "small"}, "tolerance"),
            ({"expected": math.nan}, "expected"),
            ({"tolerance": -1}, "tolerance"),
            ({"mode": "z", "max_se": "1e-2"}, "max_se"),
            ({"expected": True}, "expected"),
            ({"holds": "maybe"}, "holds"),
        ],
    )
    def test_values_of_the_wrong_type(self, book, change, name):
        """YAML reads 1e-3 as text; it wants 1.0e-3."""
        book({"99-two": spec(**change)})
        with pytest.raises(ValueError, match=f"claim 99-two: {name} must be"):
            claims.specification("99-two")

    @pytest.mark.parametrize("text", ["", "- a\n- b\n", "two", "99-two: 3\n", "99-two:\n"])
    def test_not_a_table_of_claims(self, book, text):
        book(text)
        with pytest.raises(ValueError, match="must be a mapping"):
            claims.specification("99-two")
