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


@pytest.mark.parametrize("number", [f"{n:02d}" for n in range(1, 9)])
def test_the_chapter_shows_its_drawing(number):
    (chapter,) = BOOK.glob(f"part*/{number}_*.ipynb")
    text = "\n".join(cell.source for cell in nbformat.read(chapter, 4).cells)
    shown = re.findall(rf"figure\}} \.\./_static/schematics/({number}-[a-z0-9-]+\.svg)", text)
    assert len(shown) == 1
    assert (BOOK / "_static" / "schematics" / shown[0]).is_file()
    assert f":name: fig-{number}-schematic" in text


@pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.stem)
def test_a_drawing_is_small_named_and_legible(path):
    assert path.stat().st_size <= LARGEST
    root = ET.parse(path).getroot()
    for part in ("title", "desc"):
        assert (root.findtext(f"{SVG}{part}") or "").strip()
    width = float(root.attrib["viewBox"].split()[2])
    sizes = [float(e.attrib["font-size"]) for e in root.iter(f"{SVG}text")]
    assert sizes
    assert min(sizes) * PHONE / width >= 11


def test_no_drawing_is_forgotten():
    assert [path.stem[:2] for path in DRAWINGS] == [f"{n:02d}" for n in range(1, 9)]
