"""Figures with a slider in a real browser: by keyboard, in both colour modes, on a telephone.

These are pages of their own; the sliders of the built pages are moved in test_browser.py.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from page_visit import SLIDER

from icl_lib.teaching.scrubber import scrubber

ROOT = Path(__file__).resolve().parents[2]
GROUND = {"light": ("#fff", "#222832"), "dark": ("#121212", "#ced6dd")}
LABELS = ["step 0", "step 10", "step 20", "a </script> & step"]
HINT = ".icl-scrubber-controls"


def draw(index: int):
    figure, ax = plt.subplots(figsize=(6, 3))
    ax.plot([0, 1], [0, index])
    ax.set_ylim(0, 4)
    return figure


@pytest.fixture(scope="module")
def figures() -> str:
    """Two figures, as the outputs of two cells."""
    alt = "A line from the origin that becomes steeper with every step"
    shown = [
        scrubber(draw, LABELS, alt=alt, caption="It grows.", name="fig-one"),
        scrubber(draw, LABELS, alt=alt, name="fig-two", start=2),
    ]
    return "\n".join(f'<div class="cell_output"><div>{item.page}</div></div>' for item in shown)


@pytest.fixture
def open_page(contexts, figures, tmp_path):
    """``open_page(mode, width)``: the figures in a page that has the book's style sheet only."""
    opened = []

    def load(mode: str = "light", width: int = 1280, context=None, body: str = figures):
        style = (ROOT / "book" / "_static" / "custom.css").read_text(encoding="utf8")
        ground, ink = GROUND[mode]
        file = tmp_path / "figures.html"
        file.write_text(
            f'<!doctype html><html lang="en" data-theme="{mode}"><head><meta charset="utf-8">'
            f"<title>Figures</title><style>body {{ background: {ground}; color: {ink} }}\n{style}"
            f"</style></head><body><main><h1>Figures</h1>{body}</main></body></html>",
            encoding="utf8",
        )
        page = (context or contexts[mode]).new_page()
        seen = SimpleNamespace(page=page, errors=[], requests=[])
        opened.append(page)
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("console", lambda m: seen.errors.append(m.text) if m.type == "error" else None)
        page.on("request", lambda request: seen.requests.append(request.url))
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(file.as_uri())
        return seen

    yield load
    for page in opened:
        page.close()


def state(page, name: str) -> dict:
    return page.locator(f"#{name}").evaluate(SLIDER)


def test_keys_move_through_the_frames(open_page):
    seen = open_page()
    page = seen.page
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.id") == "fig-one-range"
    pictures = [state(page, "fig-one")["src"]]
    for key, at in (
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("End", 3),
        ("ArrowLeft", 2),
        ("Home", 0),
    ):
        page.keyboard.press(key)
        now = state(page, "fig-one")
        assert now["at"] == at
        assert now["says"] == now["output"] == LABELS[at]
        assert now["alt"].endswith(f"every step: {LABELS[at]}")
        assert now["src"] != pictures[-1]
        pictures.append(now["src"])
    assert len(set(pictures)) == 4 and pictures[2] == pictures[4]  # frame 2 looks the same again
    assert pictures[-1] == pictures[0]
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.id") == "fig-two-range"
    assert seen.errors == []


def test_figures_move_apart_from_each_other(open_page):
    page = open_page().page
    before = state(page, "fig-two")
    assert before["at"] == 2 and before["output"] == LABELS[2]
    page.locator("#fig-one-range").press("End")
    assert state(page, "fig-two") == before
    page.locator("#fig-two-range").press("ArrowLeft")
    assert state(page, "fig-two")["at"] == 1


def test_nothing_is_requested(open_page):
    seen = open_page()
    seen.page.locator("#fig-one-range").press("End")
    others = [url for url in seen.requests[1:] if not url.startswith("data:")]
    assert others == []
    assert seen.page.evaluate("() => performance.getEntriesByType('resource').length") == 0


def test_the_script_may_run_again(open_page, figures):
    """JupyterLab runs it anew for each view of an output; nothing may pile up or leak."""
    seen = open_page()
    page = seen.page
    names = "() => Object.keys(window).length"
    before = page.evaluate(names)
    page.locator("#fig-one-range").press("ArrowRight")
    again = """() => document.querySelectorAll("figure script:not([type])").forEach(old => {
        const script = document.createElement("script");
        script.textContent = old.textContent;
        old.replaceWith(script);
    })"""
    page.evaluate(again)
    assert state(page, "fig-one")["at"] == 1
    page.locator("#fig-one-range").press("ArrowRight")
    assert state(page, "fig-one")["at"] == 2
    assert page.evaluate(names) == before
    page.evaluate("html => { document.querySelector('main').innerHTML = html }", figures)
    assert not page.locator(HINT).first.is_visible()  # inserted scripts sleep
    page.evaluate(again)
    page.locator("#fig-two-range").press("Home")
    assert state(page, "fig-two")["output"] == LABELS[0]
    assert seen.errors == []


def test_without_javascript_a_picture_remains(browser, open_page):
    context = browser.new_context(java_script_enabled=False)
    try:
        page = open_page(context=context).page
        assert page.locator("#fig-two img").is_visible()
        assert page.locator("#fig-two img").get_attribute("alt").endswith(": step 20")
        assert not page.locator(HINT).first.is_visible()
        assert page.locator("#fig-one figcaption").is_visible()
    finally:
        context.close()


def test_axe_finds_nothing(open_page, mode):
    page = open_page(mode).page
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("async () => (await axe.run(document)).violations")
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []


@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_and_shows_the_focus(open_page, mode, width):
    page = open_page(mode, width).page
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    slider, image = page.locator("#fig-one-range"), page.locator("#fig-one img")
    box, picture = slider.bounding_box(), image.bounding_box()
    assert box["height"] >= 24
    assert picture["width"] <= min(width, 480) and box["width"] <= picture["width"]
    assert picture["width"] / picture["height"] == pytest.approx(2, rel=0.02)
    ring = slider.evaluate(
        "e => [getComputedStyle(e).outlineStyle, getComputedStyle(e).outlineWidth]"
    )
    assert ring == ["solid", "3px"]
