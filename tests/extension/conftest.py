"""The book's Sphinx extension as modules, which the conftest puts on the path."""

from __future__ import annotations

from pathlib import Path

import pytest

collect_ignore = ["conftest.py"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def chapters_of_the_book() -> list[Path]:
    return sorted((ROOT / "book").glob("part*/[0-9][0-9]_*.ipynb"))
