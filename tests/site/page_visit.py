"""One visit of one page, in light and dark, at the width of a desk and of a telephone.

The page is loaded once. In light all rules of axe-core measure it, then it becomes as narrow as a
telephone. Then the system's colour scheme turns dark, the theme follows by itself (the reader has
not chosen a mode), and axe-core looks at the colours again. A start in the dark is tested on one
page in test_browser_once.py: the theme's script is the same everywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from pathlib import Path

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import TimeoutError

FOLDER = Path(__file__).parent
INSPECT = (FOLDER / "inspect_page.js").read_text(encoding="utf8")
MEASURE = (FOLDER / "measure_page.js").read_text(encoding="utf8")
FIND = (FOLDER / "axe_findings.js").read_text(encoding="utf8")
SHORT = 300  # characters: a picture inside of a page has an address of 100 000
DESK = {"width": 1280, "height": 900}
TELEPHONE = {"width": 390, "height": 844}
SETTLED = """async () => {
  await new Promise((done) => requestAnimationFrame(() => done()));
  const ends = document.getAnimations().filter((a) => a.effect.getComputedTiming().endTime < 1e5);
  // what lies in a closed <details> is not animated, and never says that it is finished
  const late = new Promise((done) => setTimeout(done, 1000));
  await Promise.race([Promise.allSettled(ends.map((animation) => animation.finished)), late]);
}"""
TOO_WIDE = """() => [...document.querySelectorAll("main *")]
  .filter((e) => e.getBoundingClientRect().right > 391)
  .slice(0, 5).map((e) => e.outerHTML.slice(0, 120))"""
THEME = "() => document.documentElement.dataset.theme"
SLIDER = """box => {
  const [image, range] = [box.querySelector("img"), box.querySelector("input")];
  return { src: image.src, alt: image.alt, at: Number(range.value), last: Number(range.max),
           says: range.getAttribute("aria-valuetext"), output: box.querySelector("output").value };
}"""


def visit_page(context, url: str) -> dict:
    """Everything that the checks of test_browser.py ask about the page at ``url``.

    ``errors`` and ``requests`` are those of the whole visit; ``theme`` and ``axe`` have a value for
    each colour mode.
    """
    page = context.new_page()
    errors: list[str] = []
    requests: set[str] = set()
    page.on("console", lambda m: errors.append(m.text[:SHORT]) if m.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)[:SHORT]))
    page.on("request", lambda request: requests.add(request.url[:SHORT]))
    page.on("requestfailed", lambda request: errors.append(f"failed: {request.url[:SHORT]}"))
    try:
        page.goto(url, wait_until="load", timeout=60_000)
        # page.evaluate sends the script as a string: no request, and no page rule blocks it
        page.evaluate(AXE_SCRIPT)
        found = page.evaluate(INSPECT)
        theme = {"light": page.evaluate(THEME)}
        axe = {"light": page.evaluate(FIND, "light")}
        page.evaluate(SETTLED)
        desk = page.evaluate(MEASURE)
        telephone = at_telephone_width(page)
        theme["dark"] = theme_of_dark_system(page)
        axe["dark"] = page.evaluate(FIND, "dark")
        sliders = [move_slider(box) for box in page.locator("figure.icl-scrubber").all()]
    finally:
        page.close()
    requests |= {url[:SHORT] for url in found.pop("resources")}
    rest = {"theme": theme, "axe": axe, "desk": desk, "telephone": telephone}
    return found | rest | {"errors": errors, "requests": requests, "sliders": sliders}


def at_telephone_width(page) -> dict:
    """How wide the page is there, and what makes it so."""
    page.set_viewport_size(TELEPHONE)
    page.evaluate(SETTLED)
    width = page.evaluate("() => document.documentElement.scrollWidth")
    too_wide = page.evaluate(TOO_WIDE)
    measured = page.evaluate(MEASURE)
    page.set_viewport_size(DESK)
    page.evaluate(SETTLED)
    return {"width": width, "too_wide": too_wide} | measured


def theme_of_dark_system(page) -> str:
    """The theme that the page takes on when the system turns dark: it hears of that as an event."""
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    with contextlib.suppress(TimeoutError):  # then the page stays light, which the tests see
        page.wait_for_function(f"({THEME})() === 'dark'", timeout=10_000)
    page.evaluate(SETTLED)
    return page.evaluate(THEME)


def move_slider(box) -> tuple[dict, dict]:
    """A figure with a slider before and after one press of an arrow key."""
    before = slider_state(box)
    box.locator("input").press("ArrowLeft" if before["at"] else "ArrowRight")
    return before, slider_state(box)


def slider_state(box) -> dict:
    """The picture by a checksum: as text it is too long to be compared in a test's message."""
    state = box.evaluate(SLIDER)
    return state | {"src": hashlib.sha256(state["src"].encode()).hexdigest()}


def group_of(nodeid: str) -> str:
    """The tests that must run in one process: of one page, of the parsed HTML, of one file.

    >>> group_of("tests/site/test_browser.py::test_no_serious_finding[book/intro.html-dark]")
    'book/intro.html'
    >>> group_of("tests/site/test_pages.py::test_no_id_is_given_twice[book/intro.html]")
    'tests/site/test_pages.py'
    """
    file, _, test = nodeid.partition("::")
    page = re.search(r"\[(.*\.html)(-\w+)?\]$", test)
    if file.endswith("test_browser.py") and page:
        return page.group(1)
    return nodeid if file.endswith("test_browser_once.py") else file
