"""Numbers of the papers that several places compare with: data files with their sources."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import yaml

FOLDER = Path(__file__).resolve().parent / "data"


def published(table: str) -> dict[str, list]:
    """Return the columns of a table such as "losses by position", without its source.

    Raises
    ------
    ValueError
        If there is no such table; the message lists them.

    Examples
    --------
    >>> curves = published("losses by position")
    >>> curves["position"][-1], curves["lsa1"][-1]
    (50, 0.787)
    """
    return {key: list(value) for key, value in _table(table).items() if key != "source"}


def source_of(table: str) -> str:
    """Return where the numbers of a table stand; errors as in :func:`published`."""
    return _table(table)["source"]


def _table(name: str) -> dict:
    if not isinstance(name, str) or name not in _tables():
        raise ValueError(f"table must be one of {sorted(_tables())}, got {name!r}")
    return _tables()[name]


@lru_cache(maxsize=1)
def _tables() -> dict[str, dict]:
    """All tables of all files, read once."""
    tables = {}
    for path in sorted(FOLDER.glob("*.yml")):
        tables |= yaml.safe_load(path.read_text(encoding="utf-8"))
    return tables
