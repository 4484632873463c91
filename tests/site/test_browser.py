"""Every page in a real browser: nothing breaks, nothing leaks, everybody can read it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from urllib.parse import unquote, urlsplit

THEME_FINDINGS = Path(__file__).parent / "axe_theme_findings.json"
PAGE_LIMIT = 2_000_000


def test_no_message_in_the_console(visit, page_name):
    assert visit(page_name).errors == []


def test_no_request_to_another_host(visit, page_name):
    others = {
        url
        for url in visit(page_name).requests
        if urlsplit(url).hostname not in (None, "127.0.0.1")
    }
    assert others == set()


def test_every_formula_is_typeset(visit, page_name):
    math = visit(page_name).math
    assert math["raw"] == [], "left as source"
    assert math["errors"] == [], "not understood by MathJax"
    assert math["dollars"] == [], "not recognised as a formula"


def test_chapters_have_formulas(visit, chapter_name):
    assert visit(chapter_name).math["formulas"] >= 3


def test_every_picture_shows(visit, page_name):
    assert visit(page_name).pictures == []


def test_no_serious_finding_in_the_article(visit, page_name, mode):
    seen = visit(page_name, mode)
    assert seen.theme == mode
    serious = [
        f"{item['rule']} ({item['impact']}): {item['html']}\n{item['why']}"
        for item in seen.axe
        if item["inside"] and item["impact"] in ("serious", "critical")
    ]
    assert not serious, "\n\n".join(serious)


def test_findings_of_the_theme_do_not_grow(visit, page_name, mode):
    """Findings outside the article come from the theme; the named list may only shrink."""
    allowed = json.loads(THEME_FINDINGS.read_text(encoding="utf8"))
    found = Counter(item["rule"] for item in visit(page_name, mode).axe if not item["inside"])
    grown = {rule: n for rule, n in found.items() if n > allowed.get(rule, {"nodes": 0})["nodes"]}
    detail = [item for item in visit(page_name, mode).axe if item["rule"] in grown]
    assert not grown, json.dumps([item for item in detail if not item["inside"]], indent=1)


def test_no_horizontal_scroll_on_a_telephone(visit, page_name):
    seen = visit(page_name)
    assert seen.phone_width <= 390, seen.too_wide


def test_page_weight(visit, page_name, site, address):
    """Sum of all files that the page loads, uncompressed as our server sends them."""
    paths = {unquote(urlsplit(url).path) for url in visit(page_name).requests if url[:4] == "http"}
    sizes = {path: (site / path.lstrip("/")).stat().st_size for path in paths}
    total = sum(sizes.values())
    heaviest = sorted(sizes.items(), key=lambda item: -item[1])[:8]
    assert total <= PAGE_LIMIT, f"{total / 1e6:.2f} MB: {heaviest}"


def test_every_code_cell_has_a_copy_button(visit, chapter_name):
    copy = visit(chapter_name).copy
    assert copy["cells"] > 0
    assert copy["buttons"] == copy["cells"]


def test_search_finds_a_word(address, contexts):
    page = contexts["light"].new_page()
    try:
        page.goto(f"{address}search.html?q=covariance")
        page.wait_for_selector("#search-results li a", timeout=30_000)
        hits = page.locator("#search-results li a").all_inner_texts()
    finally:
        page.close()
    assert len(hits) >= 3, hits


def test_dark_mode_toggles(address, contexts):
    page = contexts["light"].new_page()
    try:
        page.goto(address + "book/intro.html")
        background = "() => getComputedStyle(document.body).backgroundColor"
        before = page.evaluate(background)
        for _ in range(3):  # the button goes through auto, light and dark
            page.locator("button.theme-switch-button").first.click()
            if page.evaluate("() => document.documentElement.dataset.theme") == "dark":
                break
        assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"
        assert page.evaluate(background) != before
    finally:
        page.evaluate("() => localStorage.clear()")
        page.close()


def test_a_chapter_reads_from_the_file_system(site, contexts):
    """Without any server: formulas, pictures and styles are there."""
    chapter = next((site / "book").glob("part*/*.html"))
    errors, others = [], []
    page = contexts["light"].new_page()
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else others.append(r))
    try:
        page.goto(chapter.as_uri(), wait_until="load")
        page.wait_for_function("() => window.MathJax?.startup?.promise", timeout=30_000)
        page.evaluate("async () => { await MathJax.startup.promise }")
        assert page.locator("main article .math mjx-container").count() >= 3
        assert page.locator("main article h1").count() == 1
    finally:
        page.close()
    assert errors == []
    assert others == []
