"""The execution store: what is kept, when it counts, that damage is not taken for a result."""

from __future__ import annotations

import os

import book_store
import nbformat
import pytest
from book_digest import chapter_digest, read_notebook

CODE = ["1 + 1", "open('x')"]


@pytest.fixture
def project(tmp_path):
    """A project with one chapter, its path, and a function that stores an execution of it."""
    path = tmp_path / "book" / "part1" / "01_first.ipynb"
    path.parent.mkdir(parents=True)
    (tmp_path / "requirements.lock").write_text("", encoding="utf8")
    (tmp_path / "data.txt").write_text("data", encoding="utf8")
    write(path, CODE)
    return tmp_path


def write(path, codes, prose="A sentence."):
    cells = [nbformat.v4.new_markdown_cell(prose), *map(nbformat.v4.new_code_cell, codes)]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    path.write_text(nbformat.writes(nbformat.v4.new_notebook(cells=cells)), encoding="utf8")


def chapter(project):
    return project / "book" / "part1" / "01_first.ipynb"


def execute(project, reads=("data.txt",), text="2"):
    """What nbmake leaves: outputs, counts, and times in each cell's metadata."""
    notebook = read_notebook(chapter(project))
    digest = chapter_digest(project, notebook)
    for number, cell in enumerate(c for c in notebook.cells if c.cell_type == "code"):
        cell.execution_count = number + 1
        cell.outputs = [nbformat.v4.new_output("stream", text=text)]
        cell.metadata["execution"] = {"iopub.execute_input": "2026-01-01"}
    return book_store.put(chapter(project), notebook, digest, reads, 1.23, project)


def outputs(notebook):
    return [cell.outputs[0].text for cell in notebook.cells if cell.cell_type == "code"]


def test_kept_and_found(project):
    assert book_store.find(chapter(project), project) is None
    assert book_store.missing(project) == [chapter(project)]
    assert book_store.last_seconds(chapter(project), project) is None
    path = execute(project)
    found = book_store.find(chapter(project), project)
    assert outputs(found) == ["2", "2"]
    assert book_store.missing(project) == []
    assert book_store.last_seconds(chapter(project), project) == 1.2
    assert "execution" not in str(read_notebook(path).cells[1].metadata)


def test_prose_and_captions_are_those_of_today(project):
    execute(project)
    write(chapter(project), CODE, prose="A clearer sentence.")
    found = book_store.find(chapter(project), project)
    assert found.cells[0].source == "A clearer sentence."
    assert outputs(found) == ["2", "2"]


def test_other_code_is_another_chapter(project):
    execute(project)
    write(chapter(project), ["1 + 2", CODE[1]])
    assert book_store.find(chapter(project), project) is None
    write(chapter(project), CODE)
    assert book_store.find(chapter(project), project), "going back is free"


@pytest.mark.parametrize("change", ["edit", "remove"])
def test_what_was_read_counts(project, change):
    execute(project)
    if change == "edit":
        (project / "data.txt").write_text("other data", encoding="utf8")
    else:
        (project / "data.txt").unlink()
    assert book_store.find(chapter(project), project) is None
    (project / "data.txt").write_text("data", encoding="utf8")
    assert book_store.find(chapter(project), project)


def test_what_was_not_read_does_not_count(project):
    execute(project, reads=())
    (project / "data.txt").write_text("other data", encoding="utf8")
    assert book_store.find(chapter(project), project)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "{}",
        lambda text: text.replace('"reads"', '"raeds"'),
        lambda text: text.replace("1 + 1", "1 + 3"),  # outputs of other code under this name
        lambda text: text.replace('"cell_type": "code"', '"cell_type": "raw"', 1),
    ],
)
def test_a_damaged_file_counts_as_none(project, damage):
    path = execute(project)
    path.write_text(damage(path.read_text(encoding="utf8")), encoding="utf8")
    assert book_store.find(chapter(project), project) is None


def test_the_last_three_are_kept(project):
    paths = []
    for number in range(5):
        write(chapter(project), [f"{number}", "2"])
        paths.append(execute(project))
        os.utime(paths[-1], (number, number))
    assert [path.exists() for path in paths] == [False, False, True, True, True]
    assert not list(book_store.folder(project).glob("*.partial"))
