"""Claims and run reports of the executed chapters, read out of the execution store."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from docutils import nodes
from icl_lib.claims import files
from icl_lib.claims.cells import CLAIM_MIME, RUN_MIME
from sphinx.errors import ExtensionError

import book_checks
import book_store


class Generated(nodes.General, nodes.Element):
    """A placeholder; it becomes a table when all documents are read."""


@dataclass
class Chapter:
    """What one executed notebook reported: claims as (cell index, payload)."""

    docname: str
    number: str
    claims: list = field(default_factory=list)
    run: dict | None = None


def placeholder(directive, kind, **attributes):
    """The node a directive returns; its page is read again at every build."""
    env = directive.env
    env.icl_generated = getattr(env, "icl_generated", set()) | {env.docname}
    return [Generated(kind=kind, **attributes)]


def claims_file(app):
    """name -> expectation, over all chapters."""
    folder = Path(app.srcdir) / "book" / "claims"
    return files.every_claim(folder) if folder.is_dir() else {}


def chapters(app):
    """The chapters in the book, in order: every notebook named 01_..., 02_... that is built."""
    cached = getattr(app, "icl_chapters", None)
    if cached is not None:
        return cached
    found = []
    for docname in app.env.found_docs:
        number = re.match(r"(\d\d)_", docname.rsplit("/", 1)[-1])
        if number and str(app.env.doc2path(docname)).endswith(".ipynb"):
            found.append(read_chapter(app, docname, number.group(1)))
    found.sort(key=lambda chapter: chapter.number)
    app.icl_chapters = found
    return found


def executed_notebook(app, docname):
    """The notebook with its outputs."""
    notebook = book_store.find(Path(app.env.doc2path(docname)), app.srcdir)
    if notebook is None:
        raise ExtensionError(f"{docname}: no valid execution in {book_store.folder(app.srcdir)}")
    return notebook


def read_chapter(app, docname, number):
    notebook = executed_notebook(app, docname)
    run = [payload for _, payload in book_checks.payloads(notebook, RUN_MIME)]
    claims = book_checks.payloads(notebook, CLAIM_MIME)
    return Chapter(docname, number, claims, run[-1] if run else None)


def checked_claims(app):
    """id -> (chapter, cell index, payload) over the whole book."""
    return {
        payload["id"]: (chapter, index, payload)
        for chapter in chapters(app)
        for index, payload in chapter.claims
    }


def check_claims(app, env):
    """Expectations and executed notebooks must agree; else the build fails, with or without -W."""
    app.icl_chapters = None
    problems = []
    for chapter in chapters(app):
        source = Path(app.env.doc2path(chapter.docname))
        notebook = executed_notebook(app, chapter.docname)
        problems += book_checks.notebook_problems(notebook, source, app.srcdir)
        if chapter.run and str(chapter.run["chapter"]) != chapter.number:
            problems.append(f"{chapter.docname}: its report says chapter {chapter.run['chapter']}")
    sources = [chapter.docname for chapter in chapters(app)]
    if app.config.icl_complete:
        problems += book_checks.orphans(sources, app.srcdir)
    if problems:
        raise ExtensionError("The claims do not add up:\n  " + "\n  ".join(problems))


def chapter_title(app, docname):
    """("3", "The closed-form optimum"): number in the book and title."""
    number = app.env.toc_secnumbers.get(docname, {}).get("", ())
    return ".".join(map(str, number)), app.env.titles[docname].astext()
