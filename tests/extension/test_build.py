"""Start and end of a build: MyST-NB's cache from the store, and what counts as up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import book_cache
import book_site
import nbformat
import pytest
from book_digest import read_notebook
from sphinx.errors import ExtensionError
from test_store import chapter, execute, project, write  # noqa: F401


@pytest.fixture
def app(project):  # noqa: F811
    for name in ("_config.yml", "_toc.yml"):
        (project / name).write_text("", encoding="utf8")
    (project / "book" / "claims").mkdir()
    out = project / "_build" / "html"
    return SimpleNamespace(
        srcdir=str(project),
        outdir=str(out),
        doctreedir=str(project / "_build" / ".doctrees"),
        builder=SimpleNamespace(name="html"),
        _warncount=0,
        env=SimpleNamespace(),
    )


def test_mystnb_finds_the_notebook_as_it_is_today(app, project):  # noqa: F811
    """Tags and captions count in its key; the cells of the store carry those of their run."""
    from jupyter_cache import get_cache

    execute(project)
    today = read_notebook(chapter(project))
    today.cells[1].metadata["tags"] = ["hide-input"]
    chapter(project).write_text(nbformat.writes(today), encoding="utf8")
    config = SimpleNamespace(nb_execution_mode="cache", nb_execution_cache_path="")
    book_cache.provide(app, config)
    cache = get_cache(str(project / "_build" / ".jupyter_cache"))
    record, merged = cache.merge_match_into_notebook(read_notebook(chapter(project)))
    assert merged.cells[1].outputs[0].text == "2"
    assert cache.list_cache_records()[0].data["execution_seconds"] == 1.2


def test_without_the_cache_mode_nothing_is_executed(app):
    book_cache.provide(app, SimpleNamespace(nb_execution_mode="off"))
    assert not (Path(app.srcdir) / "_build").exists()


def test_what_is_missing_is_executed_and_a_failure_ends_the_build(app, monkeypatch):
    called = []
    monkeypatch.setattr(
        book_cache.subprocess,
        "run",
        lambda command, **rest: called.append(command) or SimpleNamespace(returncode=1),
    )
    with pytest.raises(ExtensionError, match="a chapter could not be executed"):
        book_cache.provide(app, SimpleNamespace(nb_execution_mode="cache"))
    assert called[0][-1] == "book/part1/01_first.ipynb" and "-n" not in called[0]


def test_the_command_shows_what_failed(tmp_path):
    """The build's own message only says "see above": there the error must stand."""
    failing = 'def test_it():\n    raise RuntimeError("the cause")\n'
    (tmp_path / "test_it.py").write_text(failing, encoding="utf8")
    command = [sys.executable, *book_cache.COMMAND, "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "RuntimeError" in done.stdout and "the cause" in done.stdout


def test_a_chapter_that_changes_meanwhile(app, project, tmp_path):  # noqa: F811
    with pytest.raises(ExtensionError, match="01_first.ipynb changed while the build began"):
        book_cache.fill(tmp_path / "cache", [chapter(project)], project)


@pytest.mark.parametrize(("given", "jobs"), [("3", 3), ("", None)])
def test_jobs(monkeypatch, given, jobs):
    monkeypatch.setenv("JOBS", given)
    assert 1 <= book_cache.cores() <= 4
    assert jobs is None or book_cache.cores() == jobs


def build(app, exception=None, warnings=0):
    book_site.begin(app, None)
    Path(app.outdir).mkdir(parents=True, exist_ok=True)
    (Path(app.outdir) / "index.html").write_text("")
    app._warncount = warnings
    book_site.finish(app, exception)


def test_fresh_until_something_changes(app, project):  # noqa: F811
    execute(project)
    assert not book_site.fresh(project)
    build(app)
    assert book_site.fresh(project)
    write(chapter(project), ["1 + 1", "open('x')"], prose="A clearer sentence.")
    assert not book_site.fresh(project), "the page shows another text"
    write(chapter(project), ["1 + 1", "open('x')"])
    assert book_site.fresh(project)
    execute(project, text="3")
    assert book_site.fresh(project), "the same digest: the same program"
    (project / "data.txt").write_text("other")
    assert not book_site.fresh(project)


@pytest.mark.parametrize(("exception", "warnings"), [(ValueError("no"), 0), (None, 1)])
def test_a_build_that_did_not_end_well_is_not_fresh(app, project, exception, warnings):  # noqa: F811
    execute(project)
    build(app, exception, warnings)
    assert not book_site.fresh(project)
    Path(app.doctreedir).mkdir()
    book_site.begin(app, None)
    assert not Path(app.doctreedir).exists(), "its doctrees are not trusted"


def test_problems_are_repeated_at_the_end(app, project, capsys, monkeypatch):  # noqa: F811
    import logging

    execute(project)
    book_site.begin(app, None)
    logging.getLogger("sphinx").warning("a link leads nowhere")
    book_site.finish(app, ValueError("stopped"))
    monkeypatch.setattr(book_site, "ROOT", project)
    assert book_site.main("problems") == 0
    said = capsys.readouterr().out
    assert "a link leads nowhere" in said and "ValueError: stopped" in said


def test_pages_are_read_again_for_new_outputs_and_new_claims(app, project):  # noqa: F811
    execute(project)
    env = SimpleNamespace(
        path2doc=lambda path: "book/part1/01_first", found_docs={"book/part1/01_first", "book/map"}
    )
    first = ["book/part1/01_first"]
    assert book_site.outdated_documents(app, env, (), (), ()) == first
    assert book_site.outdated_documents(app, env, (), (), ()) == []
    (project / "book" / "claims" / "first.yml").write_text("strict_null: false\nclaims: {}\n")
    assert book_site.outdated_documents(app, env, (), (), ()) == first
    env.icl_generated = {"book/map", "gone"}
    assert book_site.outdated_documents(app, env, (), (), ()) == ["book/map"]


def test_the_first_page_is_announced_once(app, capsys):
    for name in ("book/intro", "book/second", "book/third"):
        book_site.say_first_page(app, name, "", {}, None)
    assert capsys.readouterr().out.count("book/intro.html") == 1
