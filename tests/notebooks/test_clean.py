"""Notebooks are kept without outputs, with one kernel name and names of their own for the cells."""

from __future__ import annotations

import re

import nbformat

EXECUTION = {"execution", "ExecuteTime", "collapsed", "scrolled", "papermill"}
RANDOM_ID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){0,3}(-?[0-9a-f]{12})?")


def test_format(notebook):
    nbformat.validate(notebook.node)
    assert (notebook.raw["nbformat"], notebook.raw["nbformat_minor"]) >= (4, 5)


def test_no_outputs(notebook):
    dirty = [cell.id for cell in notebook.code if cell.outputs or cell.execution_count is not None]
    assert dirty == []


def test_no_traces_of_a_machine(notebook):
    metadata = notebook.node.metadata
    assert metadata.kernelspec.name == "python3"
    assert set(metadata) <= {"kernelspec", "language_info"}
    assert "version" not in metadata.get("language_info", {})
    marked = [cell.id for cell in notebook.node.cells if EXECUTION & set(cell.metadata)]
    assert marked == []


def test_cell_ids_are_given_by_hand(notebook):
    """Random ids change whenever a tool rewrites the file; named ones keep the history readable."""
    ids = [cell.get("id", "") for cell in notebook.raw["cells"]]
    assert len(ids) == len(set(ids))
    assert [name for name in ids if not name or RANDOM_ID.fullmatch(name)] == []


def test_random_ids_are_recognised():
    assert RANDOM_ID.fullmatch("3f2a9c01")
    assert RANDOM_ID.fullmatch("3f2a9c01-12ab-4cde-8f00-0123456789ab")
    assert not RANDOM_ID.fullmatch("gamma-claim")
    assert not RANDOM_ID.fullmatch("deadline")


def test_no_empty_cells(notebook):
    assert [cell.id for cell in notebook.node.cells if not cell.source.strip()] == []


def test_files_end_with_one_newline(notebook):
    text = notebook.path.read_bytes()
    assert text.endswith(b"}\n")
    assert b"\r" not in text
