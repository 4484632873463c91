"""Claims and run reports, read out of the notebooks as they were executed for this build."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import yaml
from docutils import nodes
from sphinx.errors import ExtensionError

CLAIM = "application/vnd.icl.claim+json"
RUN = "application/vnd.icl.run+json"


class Generated(nodes.General, nodes.Element):
    """A placeholder; it becomes a table when all documents are read."""


@dataclass
class Chapter:
    """What one executed notebook reported: claims as (cell index, payload)."""

    docname: str
    number: str
    claims: list = field(default_factory=list)
    run: dict | None = None


def accept_payloads():
    """Let myst-nb pass over our two MIME types: they are for this extension, not for the page."""
    from myst_nb.core.render import NbElementRenderer

    original = NbElementRenderer.render_unhandled

    def render_unhandled(self, data):
        return [] if data.mime_type in (CLAIM, RUN) else original(self, data)

    NbElementRenderer.render_unhandled = render_unhandled


def placeholder(directive, kind, **attributes):
    """The node a directive returns; its page is read again at every build."""
    env = directive.env
    env.icl_generated = getattr(env, "icl_generated", set()) | {env.docname}
    return [Generated(kind=kind, **attributes)]


def claims_file(app):
    path = Path(app.srcdir) / "book" / "claims.yml"
    return (yaml.safe_load(path.read_text(encoding="utf8")) or {}) if path.exists() else {}


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
    """The notebook with its outputs.

    myst-nb writes it to _build/jupyter_execute, but without outputs if they came from its cache:
    then the cache is asked, and that file is completed.
    """
    path = Path(app.outdir).resolve().parent / "jupyter_execute" / (docname + ".ipynb")
    cache = app.env.mystnb_config.execution_cache_path
    if app.config.nb_execution_mode == "cache" and Path(cache).is_dir():
        from jupyter_cache import get_cache

        try:
            source = nbformat.read(app.env.doc2path(docname), as_version=4)
            _, notebook = get_cache(str(cache)).merge_match_into_notebook(source)
        except KeyError:
            raise ExtensionError(f"{docname}: not in the execution cache {cache}") from None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(nbformat.writes(notebook), encoding="utf8")
        return notebook
    if not path.exists():
        raise ExtensionError(f"{docname}: no executed notebook at {path}")
    return nbformat.read(path, as_version=4)


def read_chapter(app, docname, number):
    chapter = Chapter(docname, number)
    for index, cell in enumerate(executed_notebook(app, docname)["cells"]):
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if CLAIM in data:
                chapter.claims.append((index, as_dict(data[CLAIM])))
            if RUN in data:
                chapter.run = as_dict(data[RUN])
    return chapter


def as_dict(value):
    if isinstance(value, list):
        value = "".join(value)
    return json.loads(value) if isinstance(value, str) else value


def checked_claims(app):
    """id -> (chapter, cell index, payload) over the whole book."""
    return {
        payload["id"]: (chapter, index, payload)
        for chapter in chapters(app)
        for index, payload in chapter.claims
    }


def check_claims(app, env):
    """Claims file and executed notebooks must agree; else the build fails, with or without -W."""
    app.icl_chapters = None
    problems, seen = [], {}
    known = claims_file(app)
    for chapter in chapters(app):
        if chapter.run is None:
            problems.append(f"{chapter.docname}: its last cell must call icl_lib.claims.run_report")
        elif str(chapter.run.get("chapter")) != chapter.number:
            problems.append(
                f"{chapter.docname}: its run report says chapter {chapter.run.get('chapter')}"
            )
        for index, payload in chapter.claims:
            name = payload["id"]
            if seen.setdefault(name, (chapter.docname, index)) != (chapter.docname, index):
                problems.append(f"{chapter.docname}: claim {name} is checked a second time")
            problems += disagreements(chapter, name, payload, known)
    missing = [name for name in known if name not in seen]
    problems += [f"book/claims.yml: claim {name} is checked in no notebook" for name in missing]
    if problems:
        raise ExtensionError("The claims do not add up:\n  " + "\n  ".join(problems))


def disagreements(chapter, name, payload, known):
    if name not in known:
        return [f"{chapter.docname}: claim {name} is not in book/claims.yml"]
    from icl_lib.claims import outcome  # after the extension has put the project on the path

    claim, problems = known[name], []
    if str(claim.get("chapter")) != chapter.number:
        problems.append(
            f"{chapter.docname}: claim {name} belongs to chapter {claim.get('chapter')}"
        )
    if outcome(claim, payload["measured"], payload.get("se")) != claim["holds"]:
        says = "holds" if claim["holds"] else "does not hold"
        problems.append(
            f"{chapter.docname}: book/claims.yml says that claim {name} {says}, but it measured "
            f"{payload['measured']} against {claim['expected']}"
        )
    return problems


def add_claim_anchors(app, doctree, docname):
    """Give the cell that checks a claim the address #claim-ID, for the ledger's links."""
    chapter = next((c for c in chapters(app) if c.docname == docname), None)
    if chapter is None:
        return
    cells = {
        node["cell_index"]: node
        for node in doctree.findall(nodes.container)
        if node.get("nb_element") == "cell_code"
    }
    for index, payload in chapter.claims:
        anchor = nodes.make_id(f"claim-{payload['id']}")
        if index in cells and anchor not in cells[index]["ids"]:
            cells[index]["ids"].append(anchor)


def chapter_title(app, docname):
    """("3", "The closed-form optimum"): number in the book and title."""
    number = app.env.toc_secnumbers.get(docname, {}).get("", ())
    return ".".join(map(str, number)), app.env.titles[docname].astext()
