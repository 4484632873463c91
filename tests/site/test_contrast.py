"""In dark only one text of each look is measured: is every bad one still found?"""

from __future__ import annotations

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from page_visit import FIND

GROUND = "<style>body { background: #121212; color: #ced6dd }</style>"
GOOD = "<p>Prose with <b>strong</b> and <code style='color: #fff'>code</code>.</p>" * 20
HIDDEN = "<p style='visibility: hidden; color: #444'>Seen by nobody</p>"


@pytest.fixture
def findings(contexts):
    """``findings(body)``: the texts that axe-core complains about in such a page."""
    opened = []

    def find(body: str) -> list[str]:
        page = contexts["dark"].new_page()
        opened.append(page)
        page.set_content(f"<html><head>{GROUND}</head><body><main>{body}</main></body></html>")
        page.evaluate(AXE_SCRIPT)
        return [item["html"] for item in page.evaluate(FIND, "dark")]

    yield find
    for page in opened:
        page.close()


def test_a_readable_page_has_none(findings):
    assert findings(GOOD + HIDDEN) == []


@pytest.mark.parametrize(
    "bad",
    [
        "<p style='color: #444'>bad</p>",
        "<div style='background: #999'><p>bad</p></div>",
        "<div style='opacity: 0.4'><p>bad</p></div>",
        "<div style='opacity: 0.7'><div style='opacity: 0.7'><p>bad</p></div></div>",
        "<p style='color: #777; font-size: 40px'>good</p><p style='color: #777'>bad</p>",
        "<p style='color: #444; visibility: hidden'>good</p><p style='color: #444'>bad</p>",
        "<input aria-label='Word' value='bad' style='color: #444; background: #121212'>",
    ],
)
def test_one_bad_text_among_many_is_found(findings, bad):
    found = findings(GOOD + bad + GOOD)
    assert len(found) == 1 and "bad" in found[0]
