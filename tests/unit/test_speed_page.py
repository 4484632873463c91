"""The page "How fast, and why" shows the figures of benchmarks/results.json."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load(name):
    """Return a module of benchmarks/ by its path: the folder is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


page = load("_page")
RESULTS = json.loads((ROOT / "benchmarks" / "results.json").read_text())
TEXT = page.PAGE.read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_results():
    assert page.filled(TEXT, RESULTS) == TEXT


def test_a_changed_figure_is_noticed():
    changed = json.loads(json.dumps(RESULTS))
    changed["mesa_layer"]["times"][0]["ours"] *= 2
    assert page.filled(TEXT, changed) != TEXT


def test_every_table_is_filled():
    assert set(re.findall(r"<!-- begin (\S+) -->", TEXT)) == set(page.tables(RESULTS))
    for begin, content, end in re.findall(
        r"<!-- begin (\S+) -->(.*?)<!-- end (\S+) -->", TEXT, re.S
    ):
        assert begin == end and content.strip()


def test_a_missing_place_is_an_error():
    with pytest.raises(ValueError, match="the page has no place for 'mesa-times'"):
        page.filled("", RESULTS)


def test_the_verdicts_are_those_of_the_figures():
    """What the page calls kept follows from value and bound."""
    for results in RESULTS.values():
        for bar in results["bars"]:
            value, bound = bar["value"], bar["bound"]
            assert bar["passed"] == (value <= bound if bar["kind"] == "at most" else value >= bound)
