"""The faults that ``make faults`` plants: what is broken, and which command must say so."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "tests/faults_library.yml"
THEORY = "icl_lib/theory/optimum.py"
CLAIMS = "book/claims/closed-form.yml"
PAGE = "book/intro.md"
BUILT = "_build/html/book/part2_one_layer/03_closed_form.html"

BOOK = ("make", "book")
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
FIGURES = (*PYTEST, "tests/notebooks/test_structure.py", "-k", "figure_is_described")
PICTURES = (*PYTEST, "tests/site/test_pages.py", "-k", "picture_is_described and 03")
CLEAN = (*PYTEST, "tests/notebooks/test_clean.py")
SEEDS = (*PYTEST, "tests/notebooks/test_seeds.py")
LINKS = (*PYTEST, "tests/site/test_pages.py", "-k", "link_and_fragment")
FLOORS = (*PYTEST, "tests/unit/test_import_contract.py")
FORMULAS = (*PYTEST, "-x", "tests/unit/test_theory_optimum.py")


class Fault(NamedTuple):
    """A fault, the file it changes, and the commands: all but the last must still succeed."""

    name: str
    path: str
    plant: Callable[[str], str]
    commands: tuple[tuple[str, ...], ...]
    says: str


def chapter_03(root: Path = ROOT) -> str:
    return next(root.glob("book/part*/03_*.ipynb")).relative_to(root).as_posix()


def edit_notebook(change: Callable[[list[dict]], None]) -> Callable[[str], str]:
    """A text edit out of an edit of the notebook's cells."""

    def edit(text: str) -> str:
        notebook = json.loads(text)
        change(notebook["cells"])
        return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"

    return edit


def raise_in_the_middle(cells: list[dict]) -> None:
    source = 'raise RuntimeError("planted")'
    cell = {"cell_type": "code", "execution_count": None, "id": "planted", "metadata": {}}
    cells.insert(len(cells) // 2, cell | {"outputs": [], "source": source})


def forget_alt_text(cells: list[dict]) -> None:
    cell = next(c for c in cells if "image" in c["metadata"].get("mystnb", {}))
    del cell["metadata"]["mystnb"]["image"]


def keep_an_output(cells: list[dict]) -> None:
    cell = [c for c in cells if c["cell_type"] == "code"][2]
    cell["id"], cell["execution_count"] = "planted-output", 1
    cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": "planted"}]


def in_claim(name: str, old: str, new: str) -> Callable[[str], str]:
    """A text edit inside the entry of one claim."""

    def edit(text: str) -> str:
        start = text.index(f"  {name}:\n")
        return text[:start] + text[start:].replace(old, new, 1)

    return edit


def add_a_claim(text: str) -> str:
    claims = yaml.safe_load(text)["claims"]
    entry = {"closed-form-planted": claims["closed-form-quadratic-form"] | {"was": "03-planted"}}
    lines = yaml.safe_dump(entry, sort_keys=False).splitlines(keepends=True)
    return f"{text.rstrip()}\n\n" + "".join(f"  {line}" for line in lines)


def swap(old: str, new: str) -> Callable[[str], str]:
    """A text edit that replaces ``old`` where it stands first."""
    return lambda text: text.replace(old, new, 1)


def add_text(line: str) -> Callable[[str], str]:
    return lambda text: f"{text.rstrip()}\n\n{line}\n"


def change_gamma(text: str) -> str:
    return text.replace("(1 + per_n) *", "(1 + 2 * per_n) *", 1)


def empty_alt_text(text: str) -> str:
    """In the built page: a picture whose description got lost on the way."""
    start = text.index("<article")
    return text[:start] + re.sub(r'(<img\b[^>]*?\balt=")[^"]*', r"\1", text[start:], count=1)


def draw_past_the_generators(cells: list[dict]) -> None:
    cell = [c for c in cells if c["cell_type"] == "code"][1]
    cell["source"] = ["noise = np.random.default_rng(3).normal(size=3)  # planted\n"]


def library_faults() -> list[Fault]:
    """Faults of training, of what it stores, of contests and of the checks of arguments."""
    listed = yaml.safe_load(LIBRARY.read_text(encoding="utf8"))
    found = []
    for name, fault in listed.items():
        chosen = ("-k", fault["key"]) if fault["key"] else ()
        tests = (*PYTEST, "-x", f"tests/unit/{fault['tests']}", *chosen)
        edit = swap(fault["old"], fault["new"])
        found.append(Fault(name, f"icl_lib/{fault['file']}", edit, (tests,), fault["says"]))
    return found


def faults() -> list[Fault]:
    """Every fault, the cheap ones of the library at the end."""
    chapter = chapter_03()
    nbmake = (*PYTEST, chapter)
    raising = edit_notebook(raise_in_the_middle)
    missing = "{ref}`nowhere-planted`"
    seed = edit_notebook(draw_past_the_generators)
    dead = '<a href="nowhere-planted.html">gone</a>'
    upward = add_text("from icl_lib import models")
    wrong_value = in_claim("closed-form-trained-loss", "expected: 0.002", "expected: 0.0002")
    wide = in_claim("closed-form-optimum", "tolerance: 4", "tolerance: 400")
    nameless = in_claim("closed-form-trained-product", "otherwise:", "note: x\n    unlabelled:")
    return [
        Fault("raising-cell-book", chapter, raising, (BOOK,), "RuntimeError.*planted"),
        Fault("raising-cell-test", chapter, raising, (nbmake,), "RuntimeError.*planted"),
        Fault("false-claim", CLAIMS, wrong_value, (BOOK,), "does not hold as recorded"),
        Fault("false-claim-test", CLAIMS, wrong_value, (nbmake,), "does not hold as recorded"),
        Fault("null-passes", CLAIMS, wide, (BOOK,), "would accept its null"),
        Fault("no-null", CLAIMS, nameless, (BOOK,), "names no null"),
        Fault("unchecked-claim", CLAIMS, add_a_claim, (BOOK,), "planted .* is checked in no cell"),
        Fault("missing-alt", chapter, edit_notebook(forget_alt_text), (FIGURES,), "alt of 0 ch"),
        Fault("missing-alt-page", BUILT, empty_alt_text, (PICTURES,), "0 characters"),
        Fault("broken-reference", PAGE, add_text(missing), (BOOK,), "nowhere-planted"),
        Fault("dead-link", PAGE, add_text(dead), (BOOK, LINKS), "nowhere-planted.html"),
        Fault("bare-seed", chapter, seed, (SEEDS,), "default_rng"),
        Fault("outputs", chapter, edit_notebook(keep_an_output), (CLEAN,), "planted-output"),
        Fault("upward-import", THEORY, upward, (FLOORS,), "icl_lib.theory.optimum -> icl_lib.mod"),
        Fault("changed-formula", THEORY, change_gamma, (FORMULAS,), r"\d+ failed"),
        Fault("stale-store", THEORY, change_gamma, (BOOK,), "does not hold|AssertionError"),
        *library_faults(),
    ]
