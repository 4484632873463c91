"""Every explorable in a browser: its formula is icl_lib's, and everybody can move and read it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from explorable_oracles import FORMULAS, states

from tests import explorable_frames

ROOT = Path(__file__).resolve().parents[2]
NAMES = explorable_frames.names()
PAGE = "explorables"
PAGE_LIMIT = 25_000


@pytest.mark.parametrize("name", NAMES)
def test_the_formula_is_the_librarys(open_widget, name):
    page = open_widget(PAGE)
    figure = page.locator(f"#explore-{name}")
    formula, choices = FORMULAS[name]
    for state in states(choices):
        shown = figure.evaluate("(figure, state) => figure.iclValues(state)", state)
        assert shown == pytest.approx(formula(state), rel=1e-6, abs=1e-9), state
    assert page.errors == []


def test_a_path_on_the_antidiagonal_runs_into_the_saddle(open_widget):
    figure = open_widget(PAGE).locator("#explore-flow-plane")
    values = "figure => figure.iclValues({ a: 0.7, u: -0.7, t: 12 })"
    shown = figure.evaluate(values)
    assert (shown["endA"], shown["endU"]) == (0, 0)
    assert shown["a"] == pytest.approx(-shown["u"]) and 0 < shown["a"] < 1e-4


def test_every_cell_of_the_trap_is_descended_from_again(open_widget):
    """The map against the descent, whose formula the test above compares with the library."""
    figure = open_widget(PAGE).locator("#explore-flow-trap")
    wrong = """figure => {
      const [area, plot] = [".icl-area", ".icl-plot"].map((part) => figure.querySelector(part));
      const [w, h] = ["width", "height"].map((side) => Number(plot.getAttribute(side)));
      const wrong = [];
      for (let i = -10; i <= 10; i += 1) for (let j = -10; j <= 10; j += 1) {
        const [alpha, beta] = [i / 10, j / 10];
        const point = new DOMPoint(((alpha + 1.05) / 2.1) * w, ((1.05 - beta) / 2.1) * h);
        const trapped = figure.iclValues({ alpha, beta }).loss > 0.8;
        if (area.isPointInFill(point) !== trapped) wrong.push([alpha, beta, trapped]);
      }
      return wrong; }"""
    assert figure.evaluate(wrong) == []


@pytest.mark.parametrize("name", ["flow-plane", "flow-trap"])
def test_a_click_sets_the_start(open_widget, name):
    """The mark of the start goes where the pointer was, and the sliders follow."""
    page = open_widget(PAGE)
    figure = page.locator(f"#explore-{name}")
    chart = figure.locator(".icl-chart").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    x, y = box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"]
    page.mouse.click(x, y)
    shape = {"flow-plane": "polygon", "flow-trap": "circle"}[name]
    mark = figure.locator(f".icl-plot {shape}.icl-mark").first.bounding_box()
    below = {"flow-plane": mark["height"], "flow-trap": mark["height"] / 2}[name]
    assert mark["x"] + mark["width"] / 2 == pytest.approx(x, abs=4)
    assert mark["y"] + below == pytest.approx(y, abs=4)
    state = list(figure.evaluate("figure => figure.iclState").values())
    sliders = [float(s.input_value()) for s in figure.get_by_role("slider").all()]
    assert sliders[:2] == pytest.approx(state[:2]) and state[0] < 0


@pytest.mark.parametrize("name", NAMES)
def test_every_slider_moves_by_keyboard(open_widget, name):
    """The picture, the sentence and the slider's own text follow; the other sliders stay."""
    page = open_widget(PAGE)
    figure = page.locator(f"#explore-{name}")
    says, picture = figure.locator(".icl-says"), figure.locator(".icl-pictures")
    assert says.get_attribute("aria-live") == "polite"
    assert len(picture.get_attribute("aria-label")) > 20
    for slider in figure.get_by_role("slider").all():
        control = slider.get_attribute("id").removeprefix(f"explore-{name}-")
        before = figure.evaluate("figure => ({...figure.iclState})")
        told = (says.inner_text(), picture.inner_html(), slider.get_attribute("aria-valuetext"))
        assert figure.locator(f"label[for='{slider.get_attribute('id')}']").inner_text().strip()
        slider.focus()
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        after = figure.evaluate("figure => ({...figure.iclState})")
        if after == before:  # it began at its end
            page.keyboard.press("ArrowLeft")
            after = figure.evaluate("figure => ({...figure.iclState})")
        assert [key for key in after if after[key] != before[key]] == [control]
        text = slider.get_attribute("aria-valuetext")
        now = (says.inner_text(), picture.inner_html(), text)
        assert all(one != other for one, other in zip(now, told, strict=True))
        assert figure.locator(f"output[for='{slider.get_attribute('id')}']").inner_text() == text
    assert says.inner_text() != "" and "NaN" not in figure.inner_html()
    assert page.errors == []


@pytest.mark.parametrize("name", NAMES)
def test_the_frame_is_what_the_script_draws(open_widget, name):
    drawn = explorable_frames.frame(open_widget(PAGE), name)
    stored = (explorable_frames.FRAMES / f"{name}.html").read_text(encoding="utf8")
    assert stored == drawn, "run `python tests/explorable_frames.py`"


def test_without_javascript_the_first_picture_is_there(browser, open_widget):
    context = browser.new_context(java_script_enabled=False)
    try:
        page = open_widget(PAGE, context=context)
        for name in NAMES:
            figure = page.locator(f"#explore-{name}")
            assert figure.locator(".icl-chart").first.bounding_box()["height"] > 150
            assert figure.locator("figcaption").is_visible()
            assert figure.locator(".icl-says").inner_text()
            assert figure.locator("input").count() == 0
    finally:
        context.close()


def test_on_paper_the_picture_stays_and_the_sliders_go(open_widget):
    page = open_widget(PAGE)
    try:
        page.emulate_media(media="print")
        for name in NAMES:
            figure = page.locator(f"#explore-{name}")
            assert figure.locator(".icl-chart").first.is_visible()
            assert not any(e.is_visible() for e in figure.locator("input").all())
    finally:
        page.emulate_media(media="screen")


@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_and_all_can_be_read(open_widget, mode, width):
    page = open_widget(PAGE, mode, width)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("async () => (await axe.run('.icl-explorable')).violations")
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
    # letters of a picture are scaled with it
    smallest = page.evaluate(
        """() => Math.min(...[...document.querySelectorAll(".icl-chart")].map((chart) =>
          12 * chart.getBoundingClientRect().width / chart.viewBox.baseVal.width))"""
    )
    assert smallest >= 10.5
    assert all(e.bounding_box()["height"] >= 24 for e in page.get_by_role("slider").all())


def test_lines_stand_out_from_the_ground(open_widget, mode):
    """Contrast of every series with the page, at least 3 (WCAG 1.4.11)."""
    page = open_widget(PAGE, mode)
    colours = page.evaluate(
        """() => [...document.querySelectorAll(".icl-line, .icl-mark")].map((e) =>
          [getComputedStyle(e).stroke, getComputedStyle(e).fill])"""
    )
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    drawn = {c for pair in colours for c in pair if c.startswith("rgb(") and c != ground}
    assert len(drawn) >= 5
    assert min(contrast(colour, ground) for colour in drawn) >= 3


def contrast(one: str, other: str) -> float:
    def luminance(colour):
        parts = np.array([float(p) for p in re.findall(r"[\d.]+", colour)[:3]]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_only_its_page_loads_a_script(widget_site):
    for path in widget_site.rglob("*.html"):
        loaded = set(re.findall(r"_static/explorables/([\w-]+)\.js", path.read_text("utf8")))
        assert loaded == ({*NAMES, "shared"} if path.stem == PAGE else set()), path


@pytest.mark.parametrize("chapter", ["closed-form", "flow", "how-many", "shift", "random"])
def test_a_page_stays_light(chapter):
    """Scripts and frames of one chapter, without the shared script."""
    static = ROOT / "book" / "_static" / "explorables"
    files = [*static.glob(f"{chapter}-*.js"), *explorable_frames.FRAMES.glob(f"{chapter}-*.html")]
    assert sum(path.stat().st_size for path in files) <= PAGE_LIMIT
