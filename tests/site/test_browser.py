"""Every page in a real browser: nothing breaks, nothing leaks, everybody can read it.

Each test reads what one visit of the page found; see page_visit.py.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from urllib.parse import unquote, urlsplit

THEME_FINDINGS = Path(__file__).parent / "axe_theme_findings.json"
PAGE_LIMIT = 2_000_000
SLIDER = '<figure class="icl-scrubber"'


def test_no_message_in_the_console(visit, page_name):
    assert visit(page_name)["errors"] == []


def test_no_request_to_another_host(visit, page_name):
    others = {
        url
        for url in visit(page_name)["requests"]
        if urlsplit(url).hostname not in (None, "127.0.0.1")
    }
    assert others == set()


def test_every_formula_is_typeset(visit, page_name):
    math = visit(page_name)["math"]
    assert math["raw"] == [], "left as source"
    assert math["errors"] == [], "not understood by MathJax"
    assert math["dollars"] == [], "not recognised as a formula"


def test_chapters_have_formulas(visit, chapter_name):
    assert visit(chapter_name)["math"]["formulas"] >= 3


def test_every_picture_shows(visit, page_name):
    assert visit(page_name)["pictures"] == []


def test_no_serious_finding_in_the_article(visit, page_name, mode):
    seen = visit(page_name)
    assert seen["theme"][mode] == mode
    serious = [
        f"{item['rule']} ({item['impact']}): {item['html']}\n{item['why']}"
        for item in seen["axe"][mode]
        if item["inside"] and item["impact"] in ("serious", "critical")
    ]
    assert not serious, "\n\n".join(serious)


def test_findings_of_the_theme_do_not_grow(visit, page_name, mode):
    """Findings outside the article come from the theme; the named list may only shrink."""
    allowed = json.loads(THEME_FINDINGS.read_text(encoding="utf8"))
    outside = [item for item in visit(page_name)["axe"][mode] if not item["inside"]]
    found = Counter(item["rule"] for item in outside)
    grown = {rule: n for rule, n in found.items() if n > allowed.get(rule, {"nodes": 0})["nodes"]}
    detail = [item for item in outside if item["rule"] in grown]
    assert not grown, json.dumps(detail, indent=1)


def test_no_horizontal_scroll_on_a_telephone(visit, page_name):
    telephone = visit(page_name)["telephone"]
    assert telephone["width"] <= 390, telephone["too_wide"]


def test_no_code_line_is_cropped_at_a_desk(visit, page_name):
    assert visit(page_name)["desk"]["code"] == []


def test_no_formula_needs_a_scroll_at_a_desk(visit, page_name):
    desk = visit(page_name)["desk"]
    assert desk["cut"] == [] and desk["scrolled"] == []


def test_every_formula_is_reachable_on_a_telephone(visit, page_name):
    """What is wider than the screen lies in a box that scrolls, by finger and by keyboard."""
    assert visit(page_name)["telephone"]["cut"] == []


def test_every_verdict_is_in_view(visit, page_name):
    seen = visit(page_name)
    assert seen["desk"]["hidden"] == [] and seen["telephone"]["hidden"] == []


def test_a_telephone_names_the_columns_of_a_table(visit, page_name):
    """There a row is a block: custom.css has to know the name of every column."""
    assert visit(page_name)["telephone"]["nameless"] == []


def test_page_weight(visit, page_name, site, address):
    """Sum of all files that the page loads, uncompressed as our server sends them."""
    paths = {
        unquote(urlsplit(url).path) for url in visit(page_name)["requests"] if url[:4] == "http"
    }
    sizes = {path: (site / path.lstrip("/")).stat().st_size for path in paths}
    total = sum(sizes.values())
    heaviest = sorted(sizes.items(), key=lambda item: -item[1])[:8]
    assert total <= PAGE_LIMIT, f"{total / 1e6:.2f} MB: {heaviest}"


def test_every_code_cell_has_a_copy_button(visit, chapter_name):
    copy = visit(chapter_name)["copy"]
    assert copy["cells"] > 0
    assert copy["buttons"] == copy["cells"]


def test_every_slider_moves(visit, page_name, site):
    """Each has a described picture and moves with the arrow keys."""
    sliders = visit(page_name)["sliders"]
    assert len(sliders) == (site / page_name).read_text(encoding="utf8").count(SLIDER)
    for before, after in sliders:
        where = before["alt"]
        assert abs(after["at"] - before["at"]) == 1, where
        assert after["src"] != before["src"], f"{where}: two frames are the same"
        assert after["says"] == after["output"] != "", where
        assert all(20 <= len(one["alt"]) <= 300 for one in (before, after)), where
        assert after["alt"].endswith(f": {after['says']}"), where
