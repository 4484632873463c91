"""Entries of a claims file for the tests, and a folder ``book/claims`` that holds them."""

from __future__ import annotations

import yaml

from icl_lib.claims import files

BASE = {
    "was": "99-two",
    "kind": "bound",
    "statement": "The answer is two.",
    "source": "A paper, eq. (1)",
    "expected": 2.0,
    "mode": "absolute",
    "tolerance": 0.5,
    "verdict": "reproduced",
    "holds": True,
}
NULL = {"says": "the answer of everybody else", "value": 3.0, "source": "A paper, eq. (2)"}
RECORD = {
    "was": "99-two",
    "kind": "record",
    "statement": "The answer is about two.",
    "source": "measured here",
    "band": [1.5, 2.5],
}


def spec(**changes) -> dict:
    """Return the example entry with some keys changed; None takes a key away."""
    entry = {**BASE, **changes}
    return {key: value for key, value in entry.items() if value is not None}


def negative(**changes) -> dict:
    """Return an honest negative that measured 7."""
    found = {"holds": False, "verdict": "differs", "recorded": 7.0, "recorded_tolerance": 0.5}
    return spec(**(found | changes))


def write(folder, entries, strict_null: bool = False) -> None:
    """Write ``entries`` (a mapping, or the file's text) as the chapter "last" of ``folder``."""
    content = {"strict_null": strict_null, "claims": entries}
    text = entries if isinstance(entries, str) else yaml.safe_dump(content)
    target = folder / "book" / "claims" / "last.yml"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    files.every_chapter.cache_clear()
