"""Every explorable in a browser: its formula is icl_lib's, and everybody can move and read it."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.base import AXE_SCRIPT

from icl_lib.theory import optimum, random_covariance, shifts
from tests import explorable_frames

ROOT = Path(__file__).resolve().parents[2]
NAMES = explorable_frames.names()
PAGE = "explorables"
D = 5
PAGE_LIMIT = 25_000


def closed_form_loss(state):
    eye, n, d = np.eye(state["d"]), state["N"], state["d"]
    return {
        "error": optimum.preconditioner_risk(state["a"] * eye, eye, n) / d,
        "best": optimum.optimal_preconditioner(eye, n)[0, 0],
        "least": 2 * optimum.minimum_loss(eye, n) / d,
        "first": optimum.preconditioner_risk(eye, eye, n) / d,
    }


def how_many_lengths(state):
    raw = np.geomspace(1, 1 / state["kappa"], D)
    covariance = np.diag(raw / raw.mean())

    def risk(n):
        return optimum.risk(covariance, n, state["M"], noise_var=state["s2"])

    best = min(range(1, 1001), key=lambda n: risk(n).total)
    now = risk(state["N"])
    parts = {**now._asdict(), "total": now.total}
    scaled = {name: value / D for name, value in parts.items()}
    return scaled | {"bestN": best, "least": risk(best).total / D}


def random_scales(state):
    c, n, m = state["c"], state["N"], state["M"]
    alpha = random_covariance.exponential_alpha(D, n)
    fixed = optimum.optimal_preconditioner(np.eye(D), n)[0, 0]

    def error(a):
        return random_covariance.exponential_risk(a, D, m, scale=c) / c

    return {
        "layer": error(alpha),
        "fixed": error(fixed),
        "retrained": error(alpha / c),
        "whitened": (1 - fixed) ** 2,  # the layer of the covariance I times least squares
    }


def shift_ellipses(state):
    trained, turn = np.diag([1.6, 0.4]), math.radians(state["angle"])
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    test = state["scale"] ** 2 * rotation @ trained @ rotation.T
    law = shifts.query_shift_risk if state["who"] == "query" else shifts.covariate_shift_risk
    error = law(trained, test, 20, 40) / np.trace(test)
    return {"error": error, "xx": test[0, 0], "xy": test[0, 1], "yy": test[1, 1]}


FORMULAS = {
    "closed-form-loss": (
        closed_form_loss,
        {"N": [5, 1, 20, 200, 3], "d": [1, 2, 5, 20], "a": [1.0, 0.3, 0.71, 1.5]},
    ),
    "how-many-lengths": (
        how_many_lengths,
        {"N": [100, 1, 20, 1000], "M": [10, 1, 40, 700, 5], "kappa": [1, 16, 1000], "s2": [0, 1.3]},
    ),
    "random-scales": (
        random_scales,
        {"c": [4, 1, 9, 0.1, 2.5], "N": [20, 5, 1000], "M": [40, 5, 1000, 18]},
    ),
    "shift-ellipses": (
        shift_ellipses,
        {"angle": [45, 0, 90, 13], "scale": [1, 0.1, 2.2], "who": ["prompt", "query"]},
    ),
}


def states(choices: dict, count: int = 10) -> list[dict]:
    """``count`` states: each list of values is run through, at a pace of its own."""
    return [
        {
            name: values[(at + pace * (at // len(values))) % len(values)]
            for pace, (name, values) in enumerate(choices.items())
        }
        for at in range(count)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_formula_is_the_librarys(open_widget, name):
    page = open_widget(PAGE)
    figure = page.locator(f"#explore-{name}")
    formula, choices = FORMULAS[name]
    for state in states(choices):
        shown = figure.evaluate("(figure, state) => figure.iclValues(state)", state)
        assert shown == pytest.approx(formula(state), rel=1e-6, abs=1e-9), state
    assert page.errors == []


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
        assert picture.inner_html() != told[1] and text != told[2]
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
