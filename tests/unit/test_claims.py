"""The call in a cell, and the files of expectations: what they refuse and how they say it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from claim_examples import BASE, NULL, RECORD, negative, spec, write

from icl_lib.claims import claim, files
from icl_lib.claims.cells import CLAIM_MIME, RUN_MIME
from icl_lib.claims.page import ClaimOutputs

NAME = "last-two"


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A function that writes the expectations of a project; the test runs inside of it."""
    (tmp_path / "book" / "part").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "book" / "part")
    monkeypatch.delenv("ICL_CLAIMS", raising=False)
    yield lambda entries, strict_null=False: write(tmp_path, entries, strict_null)
    files.every_chapter.cache_clear()


class TestClaim:
    def test_good(self, book):
        book({NAME: BASE})
        assert repr(claim(NAME, 2.25)) == (
            "**reproduced:** measured 2.25, our bound: within 0.5 of 2 (within 0.5). "
            "*The answer is two.*"
        )

    def test_strict_raises(self, book, monkeypatch):
        book({NAME: BASE})
        monkeypatch.setenv("ICL_CLAIMS", "strict")
        claim(NAME, 2.25)
        with pytest.raises(AssertionError, match="claim last-two does not hold as recorded"):
            claim(NAME, 7.0)

    def test_strict_raises_where_the_null_would_pass(self, book, monkeypatch):
        book({NAME: spec(otherwise={"says": "averaging"})}, strict_null=True)
        monkeypatch.setenv("ICL_CLAIMS", "strict")
        claim(NAME, 2.25, null=3.0)
        with pytest.raises(AssertionError, match="would accept its null, averaging"):
            claim(NAME, 2.25, null=2.25)
        with pytest.raises(AssertionError, match="its null has no value"):
            claim(NAME, 2.25)

    @pytest.mark.parametrize("mode", [None, "lax", ""])
    def test_lax_prints_differs(self, book, monkeypatch, mode):
        book({NAME: BASE})
        if mode is not None:
            monkeypatch.setenv("ICL_CLAIMS", mode)
        line = repr(claim(NAME, 7.0))
        assert line.startswith("**DIFFERS:** measured 7, our bound")
        assert "does not hold as recorded" in line

    def test_an_honest_negative_does_not_read_as_a_success(self, book):
        book({NAME: negative()})
        assert repr(claim(NAME, 7.0)).startswith("**does not hold, as the book says:** measured 7")

    def test_a_record_has_no_verdict(self, book):
        book({NAME: RECORD})
        line = repr(claim(NAME, 2.0))
        assert line.startswith("**for the record:** 2 (band 1.5 to 2.5)")

    def test_bundle(self, book):
        """What a notebook stores is what was measured; nothing of what was expected."""
        book({NAME: spec(mode="z", tolerance=4, max_se=0.1, otherwise={"says": "averaging"})})
        line = claim(NAME, torch.tensor(2.125), se=torch.tensor(0.125), null=9, expected=2.0)
        bundle = line._repr_mimebundle_()
        assert set(bundle) == {"text/markdown", "text/plain", CLAIM_MIME}
        assert bundle["text/markdown"] == bundle["text/plain"] == repr(line)
        assert bundle[CLAIM_MIME] == {
            "id": NAME,
            "measured": 2.125,
            "se": 0.125,
            "null": 9.0,
            "expected": 2.0,
        }
        json.dumps(bundle)  # the notebook stores it

    def test_unknown_claim(self, book):
        book({NAME: BASE})
        with pytest.raises(ValueError, match="name must be a claim of .*got 'last-three'"):
            claim("last-three", 2.0)

    @pytest.mark.parametrize("wrong", ["two", None, [1.0, 2.0], torch.zeros(2), 2j, 10**400])
    @pytest.mark.parametrize("argument", ["measured", "se", "null", "expected"])
    def test_bad_arguments_are_named(self, book, argument, wrong):
        book({NAME: BASE})
        if argument != "measured" and wrong is None:
            return
        given = {"measured": 2.0} | {argument: wrong}
        with pytest.raises(ValueError, match=f"{argument} must be one real number, got"):
            claim(NAME, **given)

    @pytest.mark.parametrize("argument", ["se", "null", "expected"])
    def test_only_the_measured_value_may_be_broken(self, book, argument):
        book({NAME: BASE})
        with pytest.raises(ValueError, match=f"{argument} must be finite, got nan"):
            claim(NAME, 2.0, **{argument: math.nan})
        assert "DIFFERS" in repr(claim(NAME, math.nan))


class TestFolder:
    def test_found_from_below(self, book, tmp_path):
        book({NAME: BASE})
        assert files.folder() == tmp_path / "book" / "claims"

    def test_the_repositorys_own_is_the_fallback(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert files.folder() == Path(__file__).resolve().parents[2] / "book" / "claims"

    def test_outside_a_repository(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(files, "__file__", str(tmp_path / "icl_lib" / "claims" / "files.py"))
        with pytest.raises(ValueError, match="found no book/claims from"):
            files.folder()


class TestFile:
    def refused(self, book, entries, match):
        book(entries)
        with pytest.raises(ValueError, match=match):
            files.specification(NAME)

    def test_good(self, book):
        book({NAME: spec(otherwise=NULL)}, strict_null=True)
        assert files.specification(NAME) == (spec(otherwise=NULL), True)

    @pytest.mark.parametrize("key", sorted(set(BASE) - {"was", "kind", "mode"}))
    def test_missing_key(self, book, key):
        self.refused(
            book, {NAME: spec(**{key: None})}, rf"claim last-two must have the keys \['{key}'\]"
        )

    @pytest.mark.parametrize("kind", ["guess", None, "theory"])
    def test_unknown_kind(self, book, kind):
        self.refused(book, {NAME: spec(kind=kind)}, "claim last-two: kind must be one of")

    def test_z_without_max_se(self, book):
        self.refused(book, {NAME: spec(mode="z")}, r"must have the keys \['max_se'\]")

    def test_a_negative_records_what_was_measured(self, book):
        for key in ("recorded", "recorded_tolerance"):
            self.refused(book, {NAME: negative(**{key: None})}, rf"must have the keys \['{key}'\]")
        wrong = negative(recorded_tolerance=0)
        self.refused(book, {NAME: wrong}, "recorded_tolerance must be above 0")

    @pytest.mark.parametrize("change", [{"mode": "about"}, {"verdict": "perhaps"}])
    def test_unknown_words(self, book, change):
        match = "claim last-two must have a mode of .* and a verdict"
        self.refused(book, {NAME: spec(**change)}, match)

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ({"expected": "1e-3"}, "expected"),
            ({"tolerance": "small"}, "tolerance"),
            ({"expected": math.nan}, "expected"),
            ({"tolerance": -1}, "tolerance"),
            ({"mode": "z", "max_se": "1e-2"}, "max_se"),
            ({"expected": True}, "expected"),
            ({"expected": 10**400}, "expected"),
            ({"holds": "maybe"}, "holds"),
            ({"otherwise": "averaging"}, "otherwise"),
            ({"otherwise": {"value": 3.0, "source": "here"}}, "otherwise"),
            ({"otherwise": NULL | {"value": "3"}}, "otherwise value"),
        ],
    )
    def test_values_of_the_wrong_type(self, book, change, name):
        """YAML reads 1e-3 as text; it wants 1.0e-3."""
        self.refused(book, {NAME: spec(**change)}, f"claim last-two: {name} must be")

    def test_a_typed_null_names_its_source(self, book):
        for source in ("", None):
            null = {"says": "averaging", "value": 3.0} | (
                {"source": source} if source == "" else {}
            )
            self.refused(
                book, {NAME: spec(otherwise=null)}, "a null with a typed value must name its"
            )
        self.refused(
            book, {NAME: spec(otherwise=NULL | {"from": "x"})}, "otherwise has unknown keys"
        )

    @pytest.mark.parametrize("band", [None, 3, [1.0], [2.0, 1.0], ["a", "b"], [1, 2, 3]])
    def test_the_band_of_a_record(self, book, band):
        entry = {key: value for key, value in (RECORD | {"band": band}).items()}
        self.refused(book, {NAME: entry}, "claim last-two: band must be")

    def test_names_carry_the_chapter(self, book):
        self.refused(book, {"first-two": BASE}, "claim first-two of last.yml must be named last-")

    def test_a_key_that_stands_twice(self, book):
        text = "strict_null: false\nclaims:\n  last-two:\n    kind: bound\n    kind: record\n"
        self.refused(book, text, "last.yml cannot be read: kind stands twice, line 4")
        text = "strict_null: false\nclaims:\n  last-two: {}\n  last-two: {}\n"
        self.refused(book, text, "last-two stands twice")

    @pytest.mark.parametrize("text", ["born: 2026-02-30\n", f"deep: {'[' * 3000}{']' * 3000}\n"])
    def test_what_yaml_itself_cannot_take(self, book, text):
        """A day that does not exist and lists without end are no YAMLErrors, but name the file."""
        self.refused(book, text, "claims file last.yml cannot be read: ")

    def test_bytes_that_are_no_text(self, tmp_path):
        (tmp_path / "last.yml").write_bytes(b"strict_null: false # \xe9\n")
        with pytest.raises(ValueError, match="claims file last.yml cannot be read: .*0xe9"):
            files.read_chapter(tmp_path / "last.yml")

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "- a\n- b\n",
            "two",
            "claims: {}\n",
            "strict_null: false\n",
            "strict_null: 1\nclaims: {}\n",
            "strict_null: false\nclaims: 3\n",
            "strict_null: false\nclaims: {last-two: 3}\n",
            "strict_null: false\nclaims: [\n",
            "strict_null: false\nclaims: {}\nmore: 1\n",
        ],
    )
    def test_not_a_chapter_of_claims(self, book, text):
        self.refused(book, text, "claims file last.yml|claim last-two must be a mapping")


class TestPage:
    def output(self, mime, content, inline=False):
        data = type("Data", (), {"mime_type": mime, "content": content})
        return ClaimOutputs.handle_mime(None, data, inline)

    def test_a_claim_becomes_a_container_with_its_data(self):
        (node,) = self.output(CLAIM_MIME, '{"id": "last-two"}')
        assert node["icl_claim"] == {"id": "last-two"}
        assert "icl-claim" in node["classes"]
        assert self.output(CLAIM_MIME, {"id": "x"})[0]["icl_claim"] == {"id": "x"}

    def test_a_run_report_shows_nothing_and_other_outputs_are_not_ours(self):
        assert self.output(RUN_MIME, "{}") == []
        assert self.output("text/plain", "3") is None

    def test_the_entry_point_is_installed(self):
        from importlib.metadata import entry_points

        found = entry_points(group="myst_nb.mime_renderers", name="icl_claims")
        assert [point.load() for point in found] == [ClaimOutputs]
