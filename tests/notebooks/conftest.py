"""The notebooks of the book as data: ``notebook`` is each of them, ``chapter`` each in the book."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat
import pytest
import yaml

from icl_lib.claims import files

ROOT = Path(__file__).resolve().parents[2]
collect_ignore = ["conftest.py"]  # it holds no doctests, and two files of one name collide
BOOK = ROOT / "book"
TEMPLATE = BOOK / "template.ipynb"


@dataclass
class Notebook:
    """One notebook file and what is in it."""

    path: Path

    @property
    def number(self) -> str:
        """The chapter number as its file name and its claims write it; the template's is 00."""
        return self.path.name[:2] if self.path != TEMPLATE else "00"

    @property
    def slug(self) -> str:
        """The chapter's name in its claims: closed-form."""
        return self.path.stem.removeprefix(f"{self.number}_").replace("_", "-")

    @property
    def name(self) -> str:
        """As _toc.yml names it: book/part2_one_layer/03_closed_form."""
        return self.path.relative_to(ROOT).with_suffix("").as_posix()

    @cached_property
    def raw(self) -> dict:
        return json.loads(self.path.read_text(encoding="utf8"))

    @cached_property
    def node(self) -> nbformat.NotebookNode:
        return nbformat.reads(self.path.read_text(encoding="utf8"), as_version=4)

    @cached_property
    def code(self) -> list:
        return [cell for cell in self.node.cells if cell.cell_type == "code"]

    @cached_property
    def markdown(self) -> str:
        cells = (cell.source for cell in self.node.cells if cell.cell_type == "markdown")
        return "\n\n".join(cells)

    def tagged(self, tag: str) -> list:
        return [cell for cell in self.node.cells if tag in cell.metadata.get("tags", [])]


def all_notebooks() -> list[Notebook]:
    paths = sorted(BOOK.rglob("*.ipynb"))
    return [Notebook(path) for path in paths if ".ipynb_checkpoints" not in path.parts]


def pytest_generate_tests(metafunc):
    books = all_notebooks()
    chapters = [item for item in books if item.path != TEMPLATE]
    for name, items in (("notebook", books), ("chapter", chapters)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, items, ids=[item.path.stem for item in items])
    if "claim_name" in metafunc.fixturenames:
        metafunc.parametrize("claim_name", sorted(read_claims()))


def read_claims() -> dict:
    return files.every_claim(BOOK / "claims")


@pytest.fixture(scope="session")
def books() -> list[Notebook]:
    return all_notebooks()


@pytest.fixture(scope="session")
def claims() -> dict:
    return read_claims()


@pytest.fixture(scope="session")
def claim_files() -> dict:
    return files.every_chapter(str(BOOK / "claims"))


@pytest.fixture(scope="session")
def toc() -> dict:
    return yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))


@pytest.fixture(scope="session")
def config() -> dict:
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
