"""Every name of the library that the book's text mentions exists, down to the argument.

In Markdown, `` `icl_lib.theory.optimum.gamma` `` names a function and
`` `icl_lib.theory.optimum.gamma(n_train)` `` an argument of it.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"`(icl_lib(?:\.\w+)+)(?:\(([^`()]*)\))?`")
NOTATION = ROOT / "book" / "reference" / "notation.md"
TEXTS = [
    *sorted((ROOT / "book").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md") if (ROOT / name).is_file()),
]


def resolve(dotted: str):
    """The object behind a dotted name; AttributeError if a part of it does not exist."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        module = ".".join(parts[:cut])
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not module.startswith(error.name or module):
                raise
            continue
        for part in parts[cut:]:
            fields = getattr(found, "__dataclass_fields__", {})
            found = fields[part] if part in fields else getattr(found, part)
        return found
    raise AttributeError(dotted)


def problem(dotted: str, arguments: str) -> str:
    """Why the name is wrong, or an empty text."""
    try:
        found = resolve(dotted)
    except (AttributeError, ModuleNotFoundError) as error:
        return f"{dotted}: {error}"
    known = inspect.signature(found).parameters if arguments.strip() else {}
    for argument in filter(None, (part.split("=")[0].strip(" *") for part in arguments.split(","))):
        if argument not in known:
            return f"{dotted} has no argument {argument!r}, only {list(known)}"
    return ""


def wrong_names(text: str) -> list[str]:
    found = {match.groups(default="") for match in NAME.finditer(text)}
    return [reason for name in sorted(found) if (reason := problem(*name))]


def test_the_finder_finds_and_the_checker_refuses():
    text = (
        "`icl_lib.teaching.doctor.main`, `icl_lib.teaching.doctor.check_disk(folder)` "
        "and `icl_lib.claims`"
    )
    assert len(NAME.findall(text)) == 3
    assert wrong_names(text) == []
    assert wrong_names("`icl_lib.teaching.doctor.mian`")
    assert wrong_names("`icl_lib.absent.thing`")
    assert "no argument 'size'" in wrong_names("`icl_lib.teaching.doctor.check_disk(size)`")[0]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_names_in_the_pages(path):
    assert wrong_names(path.read_text(encoding="utf8")) == []


def test_names_in_the_notebooks(notebook):
    assert wrong_names(notebook.markdown) == []


def test_the_notation_page_names_code():
    assert len(set(NAME.findall(NOTATION.read_text(encoding="utf8")))) >= 20
