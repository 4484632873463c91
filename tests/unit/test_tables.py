"""Tables of results: what a page and a console show, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup

from icl_lib.teaching.tables import table

COLUMNS = ["model", "loss", "seeds"]


def cells(shown) -> list[list[str]]:
    page = BeautifulSoup(shown._repr_html_(), "html.parser")
    return [[cell.text for cell in row.find_all(["th", "td"])] for row in page.find_all("tr")]


def test_the_page_has_the_entries_and_says_which_are_headings():
    shown = table(COLUMNS, [["a < b", 0.12345, 3], ["c", None, 10]])
    assert cells(shown) == [COLUMNS, ["a < b", "0.123", "3"], ["c", "", "10"]]
    page = BeautifulSoup(shown._repr_html_(), "html.parser")
    assert [cell["scope"] for cell in page.find_all("th")] == ["col"] * 3 + ["row"] * 2
    assert page.table["class"] == ["dataframe", "icl-results"]


def test_the_console_has_aligned_columns():
    lines = repr(table(COLUMNS, [["a long name", 1.0, 3], ["b", 12.5, 10]])).splitlines()
    assert lines == [
        "model          loss  seeds",
        "a long name   1.000      3",
        "b            12.500     10",
    ]


@pytest.mark.parametrize("digits", [2, (2, 0)])
def test_digits(digits):
    shown = cells(table(COLUMNS, [["a", 2 / 3, 4.4]], digits=digits))[1]
    assert shown == ["a", "0.67", "4.40" if digits == 2 else "4"]


@pytest.mark.parametrize("number", [np.float64(0.5), np.float32(0.5), torch.tensor(0.5)])
def test_numbers_of_other_libraries(number):
    assert cells(table(COLUMNS, [["a", number, np.int64(7)]]))[1] == ["a", "0.500", "7"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"columns": []}, "columns must name at least one"),
        ({"columns": "abc"}, "columns must be"),
        ({"rows": [["a", 1.0]]}, "rows must have 3 entries each"),
        ({"rows": ["abc"]}, "rows must have 3 entries each"),
        ({"rows": [["a", [1], 2]]}, "rows must hold numbers, texts or None"),
        ({"rows": [["a", True, 2]]}, "rows must hold numbers, texts or None"),
        ({"digits": -1}, "digits must be"),
        ({"digits": 13}, "digits must be"),
        ({"digits": True}, "digits must be"),
        ({"digits": (1,)}, "digits must be"),
        ({"digits": (1, 0.5)}, "digits must be"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        table(**({"columns": COLUMNS, "rows": [["a", 1.0, 2]]} | arguments))
