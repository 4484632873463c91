"""A claim on the page: one line, the rest on demand, old addresses, and the ledger's row."""

from __future__ import annotations

from types import SimpleNamespace

import book_claims
import book_ledger
import pytest
from docutils import nodes
from docutils.utils import new_document

SPEC = {
    "was": "01-value",
    "kind": "estimate",
    "statement": "The value is x < 3.",
    "source": "A & B, eq. (1)",
    "expected": 2.0,
    "mode": "z",
    "tolerance": 4,
    "max_se": 0.1,
    "reason": "four of them",
    "otherwise": {"says": "averaging"},
    "verdict": "reproduced",
    "holds": True,
}
RECORD = {
    "was": "01-number",
    "kind": "record",
    "statement": "The number.",
    "source": "here",
    "band": [1.0, 2.0],
}
KNOWN = {"first-value": SPEC, "first-number": RECORD}
PAYLOAD = {"id": "first-value", "measured": 2.0123, "se": 0.0123, "null": 3.0}


def app():
    builder = SimpleNamespace(get_relative_uri=lambda here, there: f"../{there}.html")
    return SimpleNamespace(builder=builder)


@pytest.fixture
def page(monkeypatch):
    """A document with a cell whose output holds two claims, one after the other."""
    monkeypatch.setattr(book_claims, "claims_file", lambda app: KNOWN)
    document, output = new_document("page"), nodes.container()
    number = {"id": "first-number", "measured": 1.5, "se": None, "null": None}
    for payload in (PAYLOAD, number):
        output += nodes.container(classes=["icl-claim"], icl_claim=payload)
    document += output
    book_claims.fill_claims(app(), document, "book/part1/01_first")
    return output


def test_one_line_with_mark_verdict_and_number(page):
    html = page[0].children[0].astext()
    summary = html[html.index("<summary>") : html.index("</summary>")]
    assert "reproduced</span>: measured 2.012 ± 0.012, theory: 2" in summary
    assert '<span class="icl-mark" aria-hidden="true">✓</span>' in summary
    assert html.startswith('<details class="icl-verdict-line icl-reproduced">')


def test_the_rest_on_demand(page):
    html = page[0].children[0].astext()
    rest = html[html.index("</summary>") :]
    for text in (
        "x &lt; 3",
        "within 4 standard errors: four of them",
        "averaging: 3",
        "A &amp; B",
        "3.0 s.e.",
        'href="../book/reference/claims.html#ledger-first-value"',
    ):
        assert text in rest


def test_addresses_new_and_old(page):
    assert page[0]["ids"] == ["claim-first-value", "claim-01-value"]


def test_neighbours_share_a_block(page):
    assert "icl-claim-joined" in page[0]["classes"]
    assert "icl-claim-joined" not in page[1]["classes"]


def test_a_record_has_no_verdict_and_no_tolerance(page):
    html = page[1].children[0].astext()
    assert "for the record</span>: 1.5 (band 1 to 2)" in html
    assert "Tolerance" not in html and "Margin" not in html


def test_every_verdict_has_a_mark_of_its_own():
    from icl_lib.claims.files import VERDICTS

    marks = [book_claims.MARKS[verdict] for verdict in (*VERDICTS, "for the record")]
    assert len(set(marks)) == len(marks)  # colour is not the only sign


def test_the_ledgers_row():
    chapter = SimpleNamespace(docname="book/part1/01_first")
    row, ids = book_ledger.ledger_row(app(), "book/reference/claims", chapter, PAYLOAD, SPEC)
    texts = [book_ledger_text(part) for part in row]
    assert ids == ["ledger-first-value"]
    assert texts[1:] == [
        "reproduced",
        "estimate",
        "2 within 4 standard errors",
        "2.012 ± 0.012",
        "3 averaging",
        "3.0 s.e.",
    ]
    assert texts[0].endswith("Cell: first-value Tolerance: four of them")
    assert row[0][0]["ids"] == ["ledger-01-value"], "links with the old name still lead here"


def book_ledger_text(part) -> str:
    parts = part if isinstance(part, list) else [part]
    return " ".join(p if isinstance(p, str) else p.astext() for p in parts)


def test_records_are_not_in_the_totals():
    assert book_ledger.counted(KNOWN) == (
        "1 claims: 1 reproduced. Beside them 1 numbers are kept for the record."
    )
    assert book_ledger.counted({}) == "No claims yet."
