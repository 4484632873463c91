"""Chapters as the pages see them: what ran, what it reported and cost, and whether it adds up."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import book_kernels
import book_ledger
import book_payloads
import book_runs
import book_store
import nbformat
import pytest
import yaml
from book_digest import chapter_digest, read_notebook
from docutils import nodes
from sphinx.errors import ExtensionError
from test_execution import ENTRY as CLAIM
from test_store import write

from icl_lib.claims.cells import CLAIM_MIME, RUN_MIME

NAMES = ["01_first", "02_second"]
SECONDS = {"01_first": (50.0, 60.0, 400.0), "02_second": (3.25, 4.0, 900.0)}


@pytest.fixture
def project(tmp_path):
    """Two chapters, executed, each with a claim whose value is 2, and a page that is no chapter."""
    (tmp_path / "requirements.lock").write_text("", encoding="utf8")
    (tmp_path / "book" / "part1").mkdir(parents=True)
    (tmp_path / "book" / "claims").mkdir()
    for name in NAMES:
        write(path_of(tmp_path, name), [f"# {name}"])
        claims = {f"{name[3:]}-value": {**CLAIM, "was": f"{name[:2]}-value"}}
        entry = {"strict_null": False, "claims": claims}
        (tmp_path / "book" / "claims" / f"{name[3:]}.yml").write_text(yaml.safe_dump(entry))
        execute(tmp_path, name, chapter=name[:2])
    return tmp_path


def path_of(project, name) -> Path:
    return project / "book" / "part1" / f"{name}.ipynb"


def execute(project, name, chapter, measured=2.0):
    """The store gets what the chapter's cell reports."""
    notebook = read_notebook(path_of(project, name))
    digest = chapter_digest(project, notebook)
    cpu, wall, peak = SECONDS[name]
    run = {"chapter": chapter, "cpu_seconds": cpu, "wall_seconds": wall, "peak_mb": peak}
    claim = {"id": f"{name[3:]}-value", "measured": measured, "se": None, "null": None}
    notebook.cells[1].outputs = [
        nbformat.v4.new_output("display_data", data={mime: payload})
        for mime, payload in ((CLAIM_MIME, claim), (RUN_MIME, run))
    ]
    book_store.put(path_of(project, name), notebook, digest, (), 1.0, project)


@pytest.fixture
def app(project):
    docs = ["book/part1/02_second", "book/part1/01_first", "book/intro"]
    env = SimpleNamespace(
        found_docs=docs,
        doc2path=lambda doc: str(project / doc) + (".md" if "intro" in doc else ".ipynb"),
        toc_secnumbers={doc: {"": (number,)} for number, doc in enumerate(docs[1::-1], 1)},
        titles={doc: nodes.title("", Path(doc).name[3:].capitalize()) for doc in docs},
    )
    return SimpleNamespace(
        srcdir=str(project),
        env=env,
        config=SimpleNamespace(icl_complete=True),
        builder=SimpleNamespace(get_relative_uri=lambda here, there: f"{there}.html"),
    )


def test_chapters_in_the_books_order_with_what_they_reported(app):
    found = book_payloads.chapters(app)
    assert [chapter.number for chapter in found] == ["01", "02"]
    assert found[0].docname == "book/part1/01_first"
    assert found[0].run["peak_mb"] == 400.0
    where, cell, payload = book_payloads.checked_claims(app)["second-value"]
    assert (where.number, cell, payload["measured"]) == ("02", 1, 2.0)
    assert book_payloads.chapter_title(app, "book/part1/02_second") == ("2", "Second")
    assert book_payloads.chapters(app) is found, "read once a build"


def test_a_book_without_claims_files(app, project):
    for path in (project / "book" / "claims").glob("*"):
        path.unlink()
    (project / "book" / "claims").rmdir()
    assert book_payloads.claims_file(app) == {}


def test_a_chapter_without_an_execution_ends_the_build(app, project):
    write(path_of(project, "01_first"), ["1 + 1"])
    with pytest.raises(ExtensionError, match="book/part1/01_first: no valid execution in"):
        book_payloads.chapters(app)


def test_claims_that_add_up(app):
    book_payloads.check_claims(app, app.env)


def test_every_claim_that_does_not_hold_is_named(app, project):
    execute(project, "01_first", chapter="03")
    execute(project, "02_second", chapter="02", measured=2.5)
    with pytest.raises(ExtensionError, match="The claims do not add up") as raised:
        book_payloads.check_claims(app, app.env)
    assert "book/part1/01_first: its report says chapter 03" in str(raised.value)
    assert "second-value" in str(raised.value)


@pytest.mark.parametrize("complete", [True, False])
def test_a_claims_file_without_its_chapter(app, complete):
    """Refused in the book; a build of single chapters leaves the others' files alone."""
    app.env.found_docs = app.env.found_docs[1:]
    app.config.icl_complete = complete
    if not complete:
        book_payloads.check_claims(app, app.env)
        return
    with pytest.raises(ExtensionError, match="second"):
        book_payloads.check_claims(app, app.env)


def rows(table) -> list[list[str]]:
    return [[cell.astext() for cell in row.children] for row in table.findall(nodes.row)]


def test_the_table_of_run_times_adds_seconds_but_not_peaks(app):
    (table,) = book_runs.run_time_nodes(app, "book/reference/run_times")
    assert rows(table) == [
        book_runs.HEADS,
        ["1. First", "50.0", "60.0", "400"],
        ["2. Second", "3.2", "4.0", "900"],
        ["All chapters (the largest peak)", "53.2", "64.0", "900"],
    ]


@pytest.fixture
def stored(project, monkeypatch):
    """The programs look into the project that book_store's functions take by default."""
    for function in (book_store.find, book_store.missing, book_store.chapters):
        monkeypatch.setattr(function, "__defaults__", (project,))
    return project


def test_the_printed_table_marks_what_is_over_budget(stored, capsys):
    assert book_runs.main() == 0
    head, first, second, total = capsys.readouterr().out.rstrip("\n").split("\n")
    assert head.split() == ["notebook", "CPU", "s", "wall", "s", "peak", "MB"]
    assert first.split()[:4] == ["01_first", "50.0", "60.0", "400"]
    assert first.endswith("over 45 s") and "over" not in second
    assert total.split() == ["all", "53.2"]


def test_the_printed_table_names_what_did_not_run(stored, capsys, monkeypatch):
    write(path_of(stored, "02_second"), ["1 + 1"])
    monkeypatch.setattr(book_runs, "TOTAL_BUDGET", 49)
    book_runs.main()
    said = capsys.readouterr().out
    assert "02_second" in said and "has no valid execution" in said
    assert said.rstrip().endswith("50.0  over 49 s")


@pytest.fixture
def log(stored, monkeypatch):
    path = stored / "_build" / "kernels.log"
    monkeypatch.setattr(book_kernels, "LOG", path)
    monkeypatch.setattr(book_kernels.starts, "__defaults__", (path,))
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"chapter": name}) + "\n" for name in NAMES))
    return path


def test_the_kernel_log_of_a_good_run(log, capsys):
    assert book_kernels.main([]) == 0
    assert capsys.readouterr().out == "kernel log: 2 kernels for 2 notebooks\n"


def test_the_kernel_log_of_a_bad_run(log, stored, capsys):
    log.write_text(log.read_text() + '{"chapter": "01_first"}\n')
    write(path_of(stored, "02_second"), ["1 + 1"])
    assert book_kernels.main([]) == 1
    said = capsys.readouterr().out
    assert "FAILED: 01_first was started 2 times" in said
    assert "FAILED: 02_second has no valid execution" in said


def test_the_kernel_log_is_emptied(log, capsys):
    assert book_kernels.main(["clear"]) == 0
    assert not log.exists()
    assert book_kernels.main([]) == 0
    assert "0 kernels for 0 notebooks" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="book_kernels.py clear"):
        book_kernels.main(["empty"])


def test_the_ledger_has_a_table_a_chapter(app):
    """After the line that counts; each row leads to the claim's cell."""
    count, *parts = book_ledger.ledger_nodes(app, "book/reference/claims")
    assert count.astext() == "2 claims: 2 reproduced."
    assert [part.astext() for part in parts[::2]] == ["Chapter 1: First", "Chapter 2: Second"]
    (first,) = (row for row in rows(parts[1])[1:])
    assert "The value that the file holds." in first[0] and "Cell: first-value" in first[0]
    links = [link["refuri"] for link in parts[1].findall(nodes.reference)]
    assert links == ["book/part1/01_first.html#claim-first-value"]
