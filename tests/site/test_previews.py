"""What a link leads to is shown beside it, by mouse and by keyboard, in both colour modes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from bs4 import BeautifulSoup

PAGE = "book/part2_one_layer/04_gradient_flow.html"
LINKS = {
    "equation": "a[href*='#equation-']:not(.headerlink)",
    "theorem": "a[href*='#theorem-']:not(.headerlink)",
    "term": "a[href$='#term-gradient-flow']",
}
NAME = {"equation": ".eqno", "theorem": ".caption-number", "term": "dt"}
WAYS = ("hover", "focus")
BOX = ".tippy-box[data-state=visible]"
TYPESET = "[data-tippy-root][data-typeset=done]"
# it would fetch the style sheets again, and look for imported ones beside the page
AXE = "async () => (await axe.run('.tippy-box', { preload: false })).violations"
FILE_LIMIT = 100_000


@pytest.fixture(scope="module")
def open_chapter(address, contexts):
    """``open_chapter(mode)``: one loaded page a mode, with what it asked for and complained of."""
    opened = {}

    def load(mode: str):
        if mode not in opened:
            page = contexts[mode].new_page()
            seen = opened[mode] = SimpleNamespace(page=page, errors=[], requests=[])
            page.on("pageerror", lambda error: seen.errors.append(str(error)))
            page.on("console", lambda m: seen.errors.append(m.text) if m.type == "error" else None)
            page.on("request", lambda request: seen.requests.append(request.url))
            page.goto(address + PAGE, wait_until="load")
            page.evaluate("async () => { await window.MathJax?.startup?.promise }")
        seen = opened[mode]
        seen.page.set_viewport_size({"width": 1280, "height": 900})
        put_away(seen.page)
        return seen

    yield load
    for seen in opened.values():
        seen.page.close()


def put_away(page):
    page.mouse.move(1, 1)
    page.evaluate("() => document.activeElement.blur()")
    page.locator(BOX).wait_for(state="detached")


def reach(page, kind: str, way: str):
    """Point at the first link of this kind, or tab to it; the preview's box."""
    link = page.locator("main article").locator(LINKS[kind]).first
    link.scroll_into_view_if_needed()
    if way == "hover":
        link.hover()
    else:
        page.evaluate("(e) => { e.setAttribute('tabindex', -1); e.focus() }", previous(link))
        page.keyboard.press("Tab")
        assert link.evaluate("e => e === document.activeElement")
    page.locator(TYPESET).wait_for()
    return link, page.locator(BOX)


def previous(link):
    """A place just before the link, from which the next Tab goes to the link."""
    return link.evaluate_handle(
        "e => { const s = document.createElement('span'); e.before(s); return s; }"
    )


@pytest.mark.parametrize("kind", LINKS)
@pytest.mark.parametrize("way", WAYS)
def test_a_link_shows_its_target_typeset(open_chapter, mode, way, kind):
    seen = open_chapter(mode)
    link, box = reach(seen.page, kind, way)
    assert box.count() == 1
    assert link.inner_text().strip() in box.locator(NAME[kind]).inner_text()
    formulas = box.locator(".math")
    assert formulas.count() > 0
    assert formulas.locator("mjx-container mjx-math").count() == formulas.count()
    assert box.locator("mjx-merror").count() == 0 and "\\" not in box.inner_text()
    assert box.locator("[id], a").count() == 0, "an id is given twice, or a link lies in no order"
    assert link.get_attribute("aria-describedby") == box.locator("..").get_attribute("id")
    seen.page.evaluate(AXE_SCRIPT)
    found = seen.page.evaluate(AXE)
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
    assert seen.page.evaluate("() => document.documentElement.dataset.theme") == mode
    assert seen.errors == []
    assert {urlsplit(url).hostname for url in seen.requests} <= {"127.0.0.1", None}


@pytest.mark.parametrize("kind", LINKS)
def test_a_preview_fits_a_narrow_window(open_chapter, kind):
    page = open_chapter("light").page
    page.set_viewport_size({"width": 390, "height": 844})
    at = reach(page, kind, "hover")[1].bounding_box()
    assert at["x"] >= 0 and at["x"] + at["width"] <= 390
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390


def test_the_mouse_may_enter_and_escape_closes(open_chapter):
    page = open_chapter("light").page
    at = reach(page, "theorem", "hover")[1].bounding_box()
    page.mouse.move(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2, steps=20)
    page.wait_for_timeout(500)
    assert page.locator(BOX).is_visible()
    page.keyboard.press("Escape")
    page.locator(BOX).wait_for(state="detached")


def test_paper_has_no_preview(open_chapter):
    page = open_chapter("light").page
    box = reach(page, "theorem", "hover")[1]
    try:
        page.emulate_media(media="print")
        assert not box.is_visible()
    finally:
        page.emulate_media(media="screen")


def test_nothing_is_loaded_before_a_link_is_reached(address, contexts):
    page, asked = contexts["light"].new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(address + PAGE, wait_until="load")
        assert not any(part in url for url in asked for part in ("/hover/", "/previews/"))
        reach(page, "term", "focus")
        assert sum(part in url for url in asked for part in ("/hover/", "/previews/")) == 3
    finally:
        page.close()


def test_without_javascript_a_link_is_a_link(browser, address):
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(address + PAGE)
        page.locator("main article").locator(LINKS["theorem"]).first.click()
        assert "#theorem-" in page.url
    finally:
        context.close()


def written_previews(site: Path) -> dict[str, dict[str, str]]:
    """page -> selector -> HTML, of all pages that have previews."""
    found = {}
    for path in sorted((site / "_static" / "previews").rglob("*.js")):
        first = path.read_text(encoding="utf8").partition("\n")[0]
        if first:
            name = path.relative_to(site / "_static" / "previews").with_suffix(".html")
            found[name.as_posix()] = json.loads(first.removeprefix("selector_to_html = "))
            assert path.stat().st_size <= FILE_LIMIT, path
    return found


def test_previews_are_light_and_complete(site):
    """No picture inside of the text, no id; pictures exist; formulas only where MathJax is."""
    found = written_previews(site)
    assert PAGE in found
    for page, tips in found.items():
        text = (site / page).read_text(encoding="utf8")
        assert "previews.js" in text and f"_static/previews/{page[:-5]}.js" in text, page
        for selector, html in tips.items():
            tip = BeautifulSoup(html, "html.parser")
            assert not tip.find(id=True) and not tip.find("a"), (page, selector)
            assert tip.get_text(strip=True), (page, selector)
            assert "mathjax/startup.js" in text or not tip.select(".math"), (page, selector)
            for picture in tip.find_all("img"):
                assert ((site / page).parent / picture["src"]).is_file(), (page, picture["src"])


def test_no_cache_of_another_site_is_published(site):
    assert [path.name for path in site.glob("tippy_*")] == []
    assert not re.search(r"unpkg|jsdelivr", (site / PAGE).read_text(encoding="utf8"))
