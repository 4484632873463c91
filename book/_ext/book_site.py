"""What the built site was made from: is it up to date, what did the last build complain about.

As a program: ``book_site.py fresh`` (exit 0: the site matches the sources), ``book_site.py
problems`` (what the last build complained about).
"""

import hashlib
import json
import logging
import os
import shutil
import sys
from pathlib import Path

from docutils import nodes
from sphinx.util.logging import get_node_location

import book_cache
import book_store

ROOT = book_store.ROOT
STATE = "site.json"
PROBLEMS = "site-problems.txt"


def site_digest(root):
    """What the pages depend on: texts, settings, library (its API), names of tests, executions."""
    root = Path(root)
    files = [
        p for p in root.glob("book/**/*") if not {"__pycache__", ".ipynb_checkpoints"} & {*p.parts}
    ]
    files += [*root.glob("icl_lib/**/*.py"), *root.glob("tests/**/*.py")]
    files += [root / "_config.yml", root / "_toc.yml", root / "requirements.lock"]
    files += [root / "cluster" / "slurm.yml", root / "checkpoints" / "record.json"]
    total = hashlib.sha256(f"{sys.version_info[:2]} {os.environ.get('ICL_REPOSITORY')}".encode())
    for path in sorted(p for p in files if p.is_file()):
        total.update(f"\n{path.relative_to(root).as_posix()}\n".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    for path in book_store.chapters(root):
        total.update(f"{path.stem} {book_cache.identity(path, root)}\n".encode())
    return total.hexdigest()


def read_state(build):
    """What the last build recorded, {} if there is nothing legible."""
    try:
        return json.loads((build / STATE).read_text(encoding="utf8"))
    except (OSError, ValueError):
        return {}


def write_state(build, state):
    """Record ``state``; the file appears complete or not at all."""
    build.mkdir(parents=True, exist_ok=True)
    partial = build / (STATE + ".partial")
    partial.write_text(json.dumps(state, indent=1), encoding="utf8")
    partial.replace(build / STATE)


class ProblemList(logging.Handler):
    """Keeps the warnings and errors of a build, to repeat them at its end."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        where = getattr(record, "location", None)
        if isinstance(where, nodes.Node):
            where = get_node_location(where)
        elif isinstance(where, tuple):
            where = ":".join(str(part) for part in where if part is not None)
        self.lines.append(f"{where}: {record.getMessage()}" if where else record.getMessage())


def begin(app, config):
    """config-inited: what a build that did not end well has left cannot be trusted."""
    app.icl_problems = ProblemList()
    logging.getLogger("sphinx").addHandler(app.icl_problems)
    build = Path(app.outdir).resolve().parent
    if read_state(build).get("status") != "ok":
        shutil.rmtree(app.doctreedir, ignore_errors=True)
    write_state(build, {"status": "running"})


def outdated_documents(app, env, added, changed, removed):
    """Pages to read again although their text is unchanged: tables, new outputs, new claims."""
    root = Path(app.srcdir)
    now = {
        env.path2doc(str(path)): f"{book_cache.identity(path, root)} {claims_digest(root, path)}"
        for path in book_store.chapters(root)
    }
    before, env.icl_identities = getattr(env, "icl_identities", {}), now
    again = {name for name, identity in now.items() if before.get(name) != identity}
    return [n for n in again | getattr(env, "icl_generated", set()) if n in env.found_docs]


def claims_digest(root, path):
    import book_checks

    file = book_checks.claims_folder(root) / f"{book_checks.slug(path)}.yml"
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def say_first_page(app, pagename, templatename, context, doctree):
    """html-page-context: once the second page begins, the first one lies on the disk."""
    first = getattr(app, "icl_first_page", None)
    if first is None:
        app.icl_first_page = pagename
    elif first:
        print(f"\nthe first page is there: {Path(app.outdir) / first}.html", flush=True)
        app.icl_first_page = ""


def finish(app, exception):
    """build-finished: record how it went and what was said."""
    build = Path(app.outdir).resolve().parent
    good = exception is None and app._warncount == 0
    state = {"status": "ok" if good else "failed"}
    if app.builder.name == "html" and good:
        state["site"] = site_digest(app.srcdir)
    write_state(build, state)
    lines = list(dict.fromkeys(app.icl_problems.lines))  # Sphinx passes some records on twice
    if exception is not None:
        lines.append(f"{type(exception).__name__}: {exception}")
    (build / PROBLEMS).write_text("\n".join(lines), encoding="utf8")
    logging.getLogger("sphinx").removeHandler(app.icl_problems)


def fresh(root=ROOT):
    """Whether the site on disk is the one that a build would make now."""
    build = Path(root) / "_build"
    built = (build / "html" / "index.html").exists()
    return built and read_state(build).get("site") == site_digest(root)


def main(command):
    """The two commands of the module's docstring."""
    if command == "fresh":
        return 0 if fresh() else 1
    path = ROOT / "_build" / PROBLEMS
    text = path.read_text(encoding="utf8").strip() if path.exists() else ""
    if text:
        print("---- what the build complained about ----")
        print(text[-6000:])
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ("fresh", "problems"):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
