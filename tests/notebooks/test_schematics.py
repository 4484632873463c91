"""Each of the first eight chapters shows its object as a drawing that is legible on a telephone."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat
import pytest

BOOK = Path(__file__).resolve().parents[2] / "book"
DRAWINGS = sorted((BOOK / "_static" / "schematics").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"
PHONE = 350  # CSS pixels that a figure has on a telephone of 390
LARGEST = 12_000  # bytes
SMALLEST = 11  # CSS pixels
CONTRAST = 4.5  # WCAG 2, small text
FIGURE = r"```\{figure\} \.\./_static/schematics/(?P<file>\S+)\n(?P<options>(?::.*\n)+)\n(?P<text>"


def texts(element: ET.Element, size: float = 16.0, fill: str = "#000000"):
    """Every piece of text below ``element``: its words, its font size and its colour.

    Both are inherited, so that a subscript counts with its own size and a word in a group with
    the group's.
    """
    size = float(element.get("font-size", size))
    fill = element.get("fill", fill)
    if element.tag in (f"{SVG}text", f"{SVG}tspan") and (element.text or "").strip():
        yield element.text, size, fill
    for child in element:
        yield from texts(child, size, fill)
        if element.tag in (f"{SVG}text", f"{SVG}tspan") and (child.tail or "").strip():
            yield child.tail, size, fill


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb``, WCAG 2."""
    parts = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_what_is_measured():
    """Against numbers known beforehand: inherited sizes, and the contrast of two greys."""
    root = ET.fromstring(
        f'<g xmlns="{SVG[1:-1]}" font-size="15"><text>a<tspan font-size="9" fill="#767676">b'
        '</tspan>c</text><text font-size="20">d</text></g>'
    )
    assert [(word, size) for word, size, _ in texts(root)] == [
        *(("a", 15.0), ("b", 9.0), ("c", 15.0), ("d", 20.0))
    ]
    assert [fill for _, _, fill in texts(root)] == ["#000000", "#767676", "#000000", "#000000"]
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#ffffff", "#767676") == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize("number", [f"{n:02d}" for n in range(1, 9)])
def test_the_chapter_shows_its_drawing(number):
    (chapter,) = BOOK.glob(f"part*/{number}_*.ipynb")
    cells = nbformat.read(chapter, 4).cells
    found = [
        match for cell in cells for match in re.finditer(FIGURE + r".*?)\n```", cell.source, re.S)
    ]
    assert len(found) == 1
    (figure,) = found
    assert re.fullmatch(rf"{number}-[a-z0-9-]+\.svg", figure["file"])
    assert (BOOK / "_static" / "schematics" / figure["file"]).is_file()
    assert f":name: fig-{number}-schematic\n" in figure["options"]
    alt = re.search(r"^:alt: (.*)$", figure["options"], re.M)[1]
    assert 20 <= len(alt) <= 300, len(alt)
    assert len(figure["text"].splitlines()) == 2, "a caption of two sentences"


@pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.stem)
def test_a_drawing_is_small_and_named(path):
    assert path.stat().st_size <= LARGEST
    root = ET.parse(path).getroot()
    assert root.get("role") == "img"
    named = {child.get("id"): (child.text or "").strip() for child in root if child.get("id")}
    assert [named[key] != "" for key in root.get("aria-labelledby").split()] == [True, True]
    assert [child.tag for child in root][:2] == [f"{SVG}title", f"{SVG}desc"]


@pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.stem)
def test_a_drawing_is_legible(path):
    """On a telephone, and on a dark page, where it brings a light ground of its own."""
    root = ET.parse(path).getroot()
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    ground = root.find(f"{SVG}rect").attrib
    assert (left, top) == (0, 0) and "x" not in ground and "y" not in ground
    assert (float(ground["width"]), float(ground["height"])) == (width, height)
    grounds = {
        fill
        for shape in ("rect", "path")
        for element in root.iter(f"{SVG}{shape}")
        if luminance(fill := element.get("fill", "#000000").replace("none", "#ffffff")) > 0.5
    }
    assert "#ffffff" in grounds
    words = list(texts(root))
    assert words
    for word, size, fill in words:
        assert size * PHONE / width >= SMALLEST, word
        assert min(contrast(fill, ground) for ground in grounds) >= CONTRAST, (word, fill)


def test_no_drawing_is_forgotten():
    assert [path.stem[:2] for path in DRAWINGS] == [f"{n:02d}" for n in range(1, 9)]
