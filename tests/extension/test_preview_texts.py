"""What the previews of links hold, and which links have one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import book_previews
import pytest
import sphinx_tippy
from bs4 import BeautifulSoup

EQUATION = (
    '<div class="math notranslate nohighlight" id="equation-eq-a"><span class="eqno">(1.1)'
    '<a class="headerlink" href="#equation-eq-a">#</a></span>\\[a &lt; b\\]</div>'
)
THEOREM = (
    '<div class="proof theorem admonition" id="theorem-a"><p><span>Theorem 1.1</span></p>'
    '<section id="proof-content"><p>By <a href="#term-risk"><em>risk</em></a>.</p></section></div>'
)
TERM = (
    '<dl><dt id="term-risk">risk<a class="headerlink" href="#term-risk">#</a></dt><dd>R</dd></dl>'
)
FIGURE = '<figure id="fig-{}"><img alt="x" src="{}" style="width: 9px; height: 9px" /></figure>'
CLAIM = (
    '<div class="icl-claim docutils container" id="claim-a"><span id="claim-01-a"></span><details>'
    "<summary>reproduced: 1</summary><dl><dt>Statement</dt><dd>One &lt; two.</dd><dt>Ledger</dt>"
    '<dd><a href="claims.html#ledger-a">a</a></dd></dl></details></div>'
)
LEDGER = (
    '<table id="claims-1"><tr id="ledger-a"><th><p><span id="ledger-01-a"></span>One &lt; two.</p>'
    '<p><a href="c.html#claim-a">a</a></p></th>'
    '<td class="icl-column-verdict"><p>reproduced</p></td>'
    '<td class="icl-column-expected"><p>&lt; 2</p><p>a bound</p></td>'
    '<td class="icl-column-measured"><p>1</p></td></tr></table>'
)


def soup(*parts: str) -> BeautifulSoup:
    return BeautifulSoup("".join(parts), "html.parser")


def test_a_preview_has_no_id_no_permalink_and_no_link():
    found = book_previews.previews(soup(EQUATION, THEOREM, TERM))
    assert set(found) == {"equation-eq-a", "theorem-a", "term-risk"}
    shown = soup(*found.values())
    assert not shown.find(id=True) and not shown.find("a") and "#" not in shown.text
    assert "(1.1)\\[a < b\\]" in shown.text
    assert shown.select_one("section em").text == "risk"
    assert found["term-risk"] == "<dl><dt>risk</dt><dd>R</dd></dl>"


def test_a_figure_shrinks_and_a_slider_has_no_preview():
    figures = soup(FIGURE.format("a", "a.png"), FIGURE.format("b", "data:image/png;base64,AAAA"))
    found = book_previews.previews(figures)
    assert found == {"fig-a": '<figure><img alt="x" src="a.png"/></figure>'}


@pytest.mark.parametrize("name", ["claim-a", "claim-01-a"])
def test_a_claim_shows_its_line_and_statement_under_both_names(name):
    found = book_previews.previews(soup(CLAIM))
    assert found[name] == "<p>reproduced: 1</p><p>One &lt; two.</p>"


def test_a_row_of_the_ledger_shows_verdict_numbers_and_statement():
    found = book_previews.previews(soup(LEDGER))
    assert found["ledger-a"] == found["ledger-01-a"]
    text = soup(found["ledger-a"]).get_text("|")
    assert text == "reproduced|: measured 1; expected < 2, a bound|One < two."


def test_permalinks_and_what_a_claim_says_of_itself_ask_for_no_preview():
    link = '<p><a href="x.html#claim-b">b</a> <a href="y.html">y</a> <a href="#">top</a></p>'
    body = soup(EQUATION, TERM, CLAIM, LEDGER, link)
    assert book_previews.wanted_targets(body) == {"claim-b"}


@pytest.fixture
def builder(tmp_path):
    """Stands for the application: two pages that sphinx-tippy has collected."""
    pages = {
        "index": {"refs_in_page": set()},
        "book/one": {"refs_in_page": {("book/two", "b"), (None, "a"), (None, "not-wanted")}},
    }
    added = []
    return SimpleNamespace(
        env=SimpleNamespace(tippy_data={"pages": pages}),
        outdir=str(tmp_path),
        pages=pages,
        added=added,
        add_js_file=lambda name, **options: added.append((name, options)),
    )


def context(body: str) -> dict:
    random = SimpleNamespace(filename="tippy/book/one.8c1f.js")
    return {"body": body, "script_files": ["_static/formulas.js", random]}


def test_a_page_with_such_links_loads_one_small_script(builder):
    given = context('<a href="two.html#b">b</a><a href="#a">a</a>' + EQUATION)
    book_previews.choose(builder, "book/one", "page.html", given, object())
    page = builder.pages["book/one"]
    assert page["refs_in_page"] == [(None, "a"), ("book/two", "b")]
    assert page["element_id_map"] == {"equation-eq-a": "equation-eq-a"}
    assert page["js_path"] == Path(builder.outdir, "_static/previews/book/one.js")
    assert given["script_files"] == ["_static/formulas.js"], "the page's previews come later"
    [(name, options)] = builder.added
    files = options["data-files"].split()
    assert name == "previews.js" and files[-1] == "../_static/previews/book/one.js"
    root = Path(__file__).resolve().parents[2] / "book"
    assert all((root / file.removeprefix("../")).is_file() for file in files[:-1])


def test_a_page_without_such_links_loads_nothing(builder):
    book_previews.choose(builder, "index", "page.html", context("<p></p>"), object())
    book_previews.choose(builder, "search", "search.html", {}, None)
    assert builder.added == []


def test_empty_caches_are_not_published(builder):
    for name in (*book_previews.CACHES, "index.html"):
        Path(builder.outdir, name).write_text("{}")
    book_previews.tidy(builder, None)
    assert [path.name for path in Path(builder.outdir).iterdir()] == ["index.html"]


def test_our_choice_comes_between_what_sphinx_tippy_collects_and_writes():
    """sphinx-tippy 0.4.3 collects at 450, and writes and makes its caches at 500."""
    connected = {}
    app = SimpleNamespace(connect=lambda event, _, priority: connected.update({event: priority}))
    book_previews.setup(app)
    theirs = {}
    app.connect = lambda event, _, priority=500: theirs.update({event: priority})
    app.add_config_value = lambda *_: None
    sphinx_tippy.setup(app)
    assert connected["html-page-context"] > theirs["html-page-context"]
    assert connected["build-finished"] > theirs["build-finished"]
