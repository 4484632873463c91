"""The papers' numbers as data: every table has a source, and columns that fit each other."""

from __future__ import annotations

import ast
import json
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from book_digest import python_of

from icl_lib.published import FOLDER, published, source_of
from icl_lib.theory.linear_systems import AUTHORS_COEFFICIENTS

ROOT = Path(__file__).resolve().parents[2]
TABLES = {
    name: table
    for path in FOLDER.glob("*.yml")
    for name, table in yaml.safe_load(path.read_text(encoding="utf8")).items()
}


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_a_source_and_numbers(name):
    assert len(source_of(name)) > 20
    columns = published(name)
    assert columns == {k: v for k, v in TABLES[name].items() if k != "source"} and columns
    json.dumps(columns, allow_nan=False)


def test_positions():
    curves = published("losses by position")
    positions = curves.pop("position")
    assert all(low < high for low, high in pairwise(positions)) and positions[-1] == 50
    assert {len(curve) for curve in curves.values()} == {len(positions)}
    # before anything is seen, everybody has the loss of predicting zero: n sigma^2 / 2 = 10/6
    assert all(curve[0] == pytest.approx(10 / 6, abs=0.02) for curve in curves.values())
    deeper = [curves[f"lsa{layers}"][4:] for layers in (1, 2, 4, 6)]
    assert all(b < a for one, two in pairwise(deeper) for a, b in zip(one, two, strict=True))


def test_a_caller_cannot_change_them():
    published("losses by position")["lsa1"].append(0.0)
    assert len(published("losses by position")["lsa1"]) == 13


def test_coefficients_are_pairs():
    for name, (alphas, betas) in AUTHORS_COEFFICIENTS.items():
        assert len(alphas) == len(betas) == int(name.rsplit("-")[-1]) and betas[0] == 0.0


@pytest.mark.parametrize("name", ["losses", None, 3, ["losses by position"]])
def test_unknown_tables(name):
    for function in (published, source_of):
        with pytest.raises(ValueError, match="table must be one of .'few-shot losses'"):
            function(name)


def test_no_chapter_types_them_again():
    """A list of a data file, literally in a chapter's code, would be a second copy of it."""
    known = {
        tuple(column)
        for name in TABLES
        for column in published(name).values()
        if len(column) > 4 and not isinstance(column[0], list)
    }
    for path in (ROOT / "book").rglob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf8"))["cells"]
        for cell in (cell for cell in cells if cell["cell_type"] == "code"):
            tree = ast.parse(python_of("".join(cell["source"])))
            for node in ast.walk(tree):
                if isinstance(node, ast.List) and all(
                    isinstance(item, ast.Constant) for item in node.elts
                ):
                    typed = tuple(item.value for item in node.elts)
                    assert typed not in known, (path.name, cell["id"], typed)
