"""Admonitions that become explorables, and admonitions that stay what they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sphinx.errors import ExtensionError

from tests import explorable_frames, widget_site

ROOT = Path(__file__).resolve().parents[2]
NAMES = explorable_frames.names()


def shown(name: str) -> str:
    return f"# Page\n\n{widget_site.explore(name)}"


def test_every_script_has_a_frame_and_every_frame_a_script():
    frames = {path.stem for path in explorable_frames.FRAMES.glob("*.html")}
    assert frames == set(NAMES) and len(NAMES) >= 6


def test_the_page_holds_the_frame_the_caption_and_the_scripts(tmp_path):
    from bs4 import BeautifulSoup

    html = widget_site.build(tmp_path, {"page": shown("closed-form-loss")}, {}) / "page.html"
    page = BeautifulSoup(html.read_text(encoding="utf8"), "html.parser")
    figure = page.select_one("figure#explore-closed-form-loss")
    assert figure["data-explorable"] == "closed-form-loss"
    assert figure.select_one(".icl-widget-title").get_text() == "Explore: a title"
    assert figure.figcaption.get_text(strip=True).startswith("How")
    assert len(figure.select("figcaption .math")) == 1
    frame = (explorable_frames.FRAMES / "closed-form-loss.html").read_text(encoding="utf8")
    assert figure.select_one(".icl-explorable-stage svg.icl-chart")
    assert frame in html.read_text(encoding="utf8")
    loaded = [re.sub(r"[?].*", "", script["src"]) for script in page.select("script[src]")]
    ours = [src.removeprefix("_static/explorables/") for src in loaded if "explorables" in src]
    assert ours == ["shared.js", "closed-form-loss.js"], "the shared script comes first"


@pytest.mark.parametrize("name", ["no-such", "shared", ""])
def test_an_unknown_name_stops_the_build(name, tmp_path):
    with pytest.raises(ExtensionError, match=r"there is no such file, but page, line \d+ needs"):
        widget_site.build(tmp_path, {"page": shown(name)}, {})


def test_other_admonitions_stay_what_they_are(tmp_path):
    text = "# Page\n\n```{admonition} Card\n:class: chapter-card\n\nText.\n```\n"
    html = widget_site.build(tmp_path, {"page": text}, {}) / "page.html"
    assert '<div class="chapter-card admonition">' in html.read_text(encoding="utf8")
