"""What the tests and the build complain about in an executed notebook."""

from __future__ import annotations

import book_checks
import nbformat
import pytest
import yaml

from icl_lib.claims import files
from icl_lib.claims.cells import CLAIM_MIME, RUN_MIME

ENTRY = {
    "was": "01-value",
    "kind": "bound",
    "statement": "The value is two or so.",
    "source": "here",
    "expected": 2.0,
    "mode": "absolute",
    "tolerance": 0.5,
    "verdict": "reproduced",
    "holds": True,
}
RUN = {RUN_MIME: {"chapter": "01"}}


def payload(name, measured, null=None):
    return {CLAIM_MIME: {"id": name, "measured": measured, "se": None, "null": null}}


def notebook(*bundles):
    cells = [
        nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("display_data", data=data)])
        for data in bundles
    ]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture
def problems(tmp_path):
    """``problems(notebook, entries)``: what is wrong with chapter "first"."""

    def found(executed, entries, strict_null=False, source="01_first.ipynb"):
        path = tmp_path / "book" / "claims" / "first.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"strict_null": strict_null, "claims": entries}))
        files.every_chapter.cache_clear()
        return book_checks.notebook_problems(executed, source, tmp_path)

    yield found
    files.every_chapter.cache_clear()


def test_good(problems):
    assert problems(notebook(payload("first-value", 2.1), RUN), {"first-value": ENTRY}) == []


def test_outcome_is_judged_against_todays_expectations(problems):
    (said,) = problems(notebook(payload("first-value", 7.0), RUN), {"first-value": ENTRY})
    assert said.startswith("01_first: claim first-value does not hold as recorded")


def test_a_planted_claim_whose_null_passes(problems):
    entry = ENTRY | {"otherwise": {"says": "averaging"}}
    good = notebook(payload("first-value", 2.1, null=3.0), RUN)
    assert problems(good, {"first-value": entry}, strict_null=True) == []
    planted = notebook(payload("first-value", 2.1, null=2.2), RUN)
    (said,) = problems(planted, {"first-value": entry}, strict_null=True)
    assert "would accept its null, averaging (2.2)" in said


def test_a_strict_chapter_without_nulls(problems):
    executed = notebook(payload("first-value", 2.1), RUN)
    (said,) = problems(executed, {"first-value": ENTRY}, strict_null=True)
    assert "names no null" in said


def test_unknown_twice_and_unchecked(problems):
    twice = notebook(payload("first-value", 2.0), payload("first-value", 2.0), RUN)
    assert problems(twice, {"first-value": ENTRY}) == [
        "01_first: claim first-value is checked a second time"
    ]
    assert problems(notebook(payload("first-odd", 2.0), RUN), {}) == [
        "01_first: claim first-odd is not in book/claims/first.yml"
    ]
    assert problems(notebook(RUN), {"first-value": ENTRY}) == [
        "01_first: claim first-value of book/claims/first.yml is checked in no cell"
    ]


def test_a_run_report_is_needed(problems):
    (said,) = problems(notebook(payload("first-value", 2.0)), {"first-value": ENTRY})
    assert "must call icl_lib.claims.run_report" in said


def test_the_template_borrows_a_claim(problems):
    borrowed = notebook(payload("first-value", 2.0), RUN)
    assert problems(borrowed, {"first-value": ENTRY}, source="template.ipynb") == []
    assert problems(notebook(RUN), {"first-value": ENTRY}, source="template.ipynb") == []


def test_a_file_without_a_chapter(problems, tmp_path):
    problems(notebook(RUN), {})
    assert book_checks.orphans(["book/part1/01_first.ipynb"], tmp_path) == []
    assert book_checks.orphans(["book/part1/02_second.ipynb"], tmp_path) == [
        "book/claims/first.yml belongs to no chapter"
    ]


def test_slugs():
    assert book_checks.slug("book/part2/03_closed_form.ipynb") == "closed-form"
    assert book_checks.slug("book/template.ipynb") == "template"
