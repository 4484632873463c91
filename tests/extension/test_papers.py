"""Several papers: which claims, statements and items belong to which, without a build."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from docutils.nodes import reference

from icl_lib.claims import files

ROOT = Path(__file__).resolve().parents[2]
FUNCTION = "icl_lib.claims.files.every_claim"
FIRST = {
    "paper": "zhang2024",
    "name": "First et al.",
    "items": [
        {
            "item": "Theorem 1",
            "title": "Something",
            "chapters": ["01"],
            "functions": [FUNCTION],
            "tests": ["tests/unit/test_claims.py"],
        }
    ],
    "statements": {1: "One is checked."},
}
SECOND = {
    "paper": "second2025",
    "name": "Second et al.",
    "items": [{"item": "Figure 9", "title": "Not yet", "later": True}],
    "statements": {
        1: "Another one is checked.",
        2: {"statement": "This one waits.", "later": True},
    },
}
CLAIM = {
    "was": "01-old",
    "kind": "identity",
    "statement": "It is so.",
    "source": "somewhere",
    "expected": 0,
    "mode": "absolute",
    "tolerance": 0,
    "holds": True,
}
CLAIMS = {
    "one-first": CLAIM | {"rows": [1], "item": "Theorem 1", "verdict": "reproduced"},
    "one-second": CLAIM | {"paper": "second2025", "rows": [1], "verdict": "differs"},
}


@pytest.fixture
def extension(monkeypatch):
    """``extension("book_papers")``: a module of book/_ext."""
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    return importlib.import_module


@pytest.fixture
def build(extension, tmp_path):
    """``build(claims, first=..., complete=...)``: what the extension sees of such a book."""

    def make(claims=CLAIMS, first=FIRST, second=SECOND, complete=True):
        book = tmp_path / "book"
        (book / "claims").mkdir(exist_ok=True, parents=True)
        (tmp_path / "tests" / "unit").mkdir(parents=True, exist_ok=True)
        (tmp_path / "tests" / "unit" / "test_claims.py").touch()
        for name, content in (
            ("claims/one.yml", {"strict_null": False, "claims": claims}),
            ("paper_map.yml", first),
            ("paper_map_second.yml", second),
        ):
            (book / name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf8")
        files.every_chapter.cache_clear()  # the same folder may have held other claims
        payloads = [(3, {"id": name}) for name in claims]
        chapter = SimpleNamespace(docname="book/01_one", number="01", claims=payloads)
        place = SimpleNamespace(docname="book/reference/api/tools", node_id="anchor-of-it")
        domain = SimpleNamespace(objects={FUNCTION: place})
        env = SimpleNamespace(
            get_domain=lambda name: domain,
            found_docs={"book/01_one", "book/reference/claims"},
            titles={"book/01_one": SimpleNamespace(astext=lambda: "One")},
            toc_secnumbers={"book/01_one": {"": (1,)}},
        )
        return SimpleNamespace(
            srcdir=str(tmp_path),
            config=SimpleNamespace(icl_complete=complete, html_theme_options={}),
            builder=SimpleNamespace(get_relative_uri=lambda fromdoc, todoc: f"{todoc}.html"),
            env=env,
            icl_chapters=[chapter],
        )

    return make


def check(extension, app):
    extension("book_ledger").check_statements(app, app.env)
    extension("book_map").check_map(app, app.env)


def refused(extension, app) -> str:
    from sphinx.errors import ExtensionError

    with pytest.raises(ExtensionError) as error:
        check(extension, app)
    return str(error.value)


def with_item(**changes) -> dict:
    return FIRST | {"items": [FIRST["items"][0] | changes]}


def test_papers_are_read_the_default_one_first(extension, build):
    found = extension("book_papers").papers(build())
    assert list(found) == ["zhang2024", "second2025"]
    assert found["second2025"].file == "book/paper_map_second.yml"
    assert found["second2025"].statements[2] == ("This one waits.", True)
    assert found["second2025"].statements[1] == ("Another one is checked.", False)


def test_a_complete_book_passes(extension, build):
    check(extension, build())


def test_a_row_belongs_to_the_claims_paper(extension, build):
    """Row 1 of one paper does not cover row 1 of the other."""
    app = build({"one-first": CLAIMS["one-first"]})
    said = refused(extension, app)
    assert "paper_map_second.yml: statement 1 is checked by no claim" in said
    assert "paper_map.yml" not in said
    assert "statement 2" not in said, "it waits for a later chapter"


def test_without_later_the_statement_must_be_checked(extension, build):
    second = SECOND | {"statements": {1: "Checked.", 2: "Not checked."}}
    assert "statement 2 is checked by no claim" in refused(extension, build(second=second))
    check(extension, build(second=second, complete=False))


@pytest.mark.parametrize("complete", [True, False])
def test_unknown_rows_and_papers_are_refused(extension, build, complete):
    odd = CLAIM | {"verdict": "differs"}
    first = CLAIMS | {"one-odd": odd | {"rows": [2]}}
    said = refused(extension, build(first, complete=complete))
    assert "one-odd: there is no statement 2 in book/paper_map.yml" in said
    other = CLAIMS | {"one-odd": odd | {"paper": "nobody1900"}}
    said = refused(extension, build(other, complete=complete))
    assert "one-odd: there is no paper nobody1900, only zhang2024, second2025" in said


def test_an_item_belongs_to_the_claims_paper(extension, build):
    wrong = CLAIMS | {"one-second": CLAIMS["one-second"] | {"item": "Theorem 1"}}
    said = refused(extension, build(wrong))
    assert "paper_map_second.yml: claim one-second: there is no item Theorem 1" in said
    right = CLAIMS | {"one-second": CLAIMS["one-second"] | {"item": "Figure 9"}}
    check(extension, build(right))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"chapters": ["02"]}, "there is no chapter 02"),
        ({"functions": ["icl_lib.claims.absent"]}, "there is no function icl_lib.claims.absent"),
        (
            {"functions": ["icl_lib.claims.cells.claim"]},
            "there is no API entry of icl_lib.claims.cells.claim",
        ),
        ({"tests": ["tests/unit/test_absent.py"]}, "there is no test tests/unit/test_absent.py"),
        ({"chapters": []}, "there is no chapter named"),
        ({"functions": []}, "there is no function named"),
        ({"tests": []}, "there is no test named"),
    ],
)
def test_what_an_item_names_must_exist(extension, build, changes, says):
    said = refused(extension, build(first=with_item(**changes)))
    assert f"book/paper_map.yml: Theorem 1: {says}" in said


def test_a_later_item_needs_nothing_but_may_not_name_what_is_not_there(extension, build):
    second = SECOND | {"items": [{"item": "Figure 9", "later": True, "functions": ["icl_lib.no"]}]}
    assert "Figure 9: there is no function icl_lib.no" in refused(extension, build(second=second))


def test_a_file_without_its_keys_and_two_files_of_one_paper_are_refused(extension, build):
    without = {key: value for key, value in SECOND.items() if key != "name"}
    assert "paper_map_second.yml must have the keys name" in refused(
        extension, build(second=without)
    )
    assert "are one paper's" in refused(extension, build(second=SECOND | {"paper": "zhang2024"}))


def cells(nodes) -> list[list[str]]:
    from docutils.nodes import entry, row

    return [[e.astext() for e in r.findall(entry)] for r in nodes[0].findall(row)]


def test_each_paper_has_its_own_tables(extension, build):
    app = build()
    tables = [
        extension(module).__dict__[filler](app, "book/reference/claims", **which)
        for module, filler in (("book_ledger", "statement_nodes"), ("book_map", "map_nodes"))
        for which in ({}, {"paper": "second2025"})
    ]
    assert [nodes[0]["ids"] for nodes in tables] == [
        ["paper-statements"],
        ["paper-statements-second2025"],
        ["paper-map-table"],
        ["paper-map-table-second2025"],
    ]
    links = {link["refuri"] for link in tables[2][0].findall(reference)}
    assert "book/reference/api/tools.html#anchor-of-it" in links, "where the entry really is"
    first, second, first_map, second_map = (cells(nodes)[1:] for nodes in tables)
    assert first == [["1", "One is checked.", "reproduced", "1", "one-first"]]
    assert second == [
        ["1", "Another one is checked.", "differs", "1", "one-second"],
        ["2", "This one waits.", "–", "a later chapter", "–"],
    ]
    assert first_map[0][0] == "Theorem 1" and first_map[0][5] == "one-first"
    assert second_map == [["Figure 9", "Not yet", "a later chapter", "–", "–", "–"]]


def test_a_directive_names_a_known_paper(extension, build):
    papers = extension("book_papers")
    env = SimpleNamespace(app=build(), docname="book/reference/claims")
    directive = SimpleNamespace(env=env, arguments=["second2025"], error=ValueError)
    assert papers.paper_placeholder(directive, "paper-map")[0]["paper"] == "second2025"
    directive.arguments = []
    assert papers.paper_placeholder(directive, "paper-map")[0]["paper"] == "zhang2024"
    directive.arguments = ["nobody1900"]
    with pytest.raises(ValueError, match="no paper nobody1900, only zhang2024, second2025"):
        papers.paper_placeholder(directive, "paper-map")


def test_the_claims_of_this_book_name_papers_rows_and_items_that_exist(extension):
    """A fast look at the sources; the build looks at what was really executed."""
    module = extension("book_papers")
    app = SimpleNamespace(srcdir=str(ROOT))
    claims = extension("book_payloads").claims_file(app)
    known = module.papers(app)
    assert module.strangers(claims, known) == []
    for paper in known.values():
        items = [item["item"] for item in paper.items]
        assert len(items) == len(set(items))
        for name, claim in module.claims_of(claims, paper).items():
            assert set(claim.get("rows", ())) <= set(paper.statements), name
            assert claim.get("item", items[0]) in items, name


def test_the_pages_show_every_paper(extension):
    known = extension("book_papers").papers(SimpleNamespace(srcdir=str(ROOT)))
    for page, directive in (("paper_map", "paper-map"), ("claims", "paper-statements")):
        text = (ROOT / "book" / "reference" / f"{page}.md").read_text(encoding="utf8")
        assert [key for key in known if f"{{{directive}}} {key}\n" not in text] == []
