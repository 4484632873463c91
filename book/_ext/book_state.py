"""No stale output: drop execution results when what they were made from has changed.

The execution cache is keyed on a notebook's own code. It knows nothing of ``icl_lib``, of the
checkpoints or of ``book/claims.yml``; this module compares their contents (not their dates, so that
a fresh checkout counts as it should) with what the last build recorded.

As a program: ``book_state.py fresh`` (exit 0: the site matches the sources) and
``book_state.py problems`` (what the last build complained about).
"""

import hashlib
import json
import logging
import shutil
import sqlite3
import sys
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.util.logging import get_node_location

ROOT = Path(__file__).resolve().parents[2]
STATE = "icl_state.json"
PROBLEMS = "icl_problems.txt"


def digest(paths, base):
    """One checksum of the names and contents of ``paths``."""
    total = hashlib.sha256(f"python {sys.version_info[:2]}".encode())
    for path in sorted(p for p in paths if p.is_file() and "__pycache__" not in p.parts):
        total.update(f"\n{path.relative_to(base).as_posix()}\n".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def library_digest(root):
    """What every notebook's output depends on: the library, the checkpoints, the lock."""
    files = [*root.glob("icl_lib/**/*.py"), *root.glob("checkpoints/**/*")]
    return digest([*files, root / "requirements.lock"], root)


def site_digest(root):
    """What the pages depend on: the above, the prose, the configuration, the names of the tests."""
    book = [p for p in root.glob("book/**/*") if ".ipynb_checkpoints" not in p.parts]
    rest = [root / "_config.yml", root / "_toc.yml", *root.glob("tests/unit/**/*.py")]
    return hashlib.sha256(
        (library_digest(root) + digest([*book, *rest], root)).encode()
    ).hexdigest()


def claims_digests(root):
    """A checksum of each chapter's claims: editing one claim runs one chapter again, not eight."""
    path = root / "book" / "claims.yml"
    claims = (yaml.safe_load(path.read_text(encoding="utf8")) or {}) if path.exists() else {}
    chapters = {}
    for name, claim in sorted(claims.items()):
        chapter = str((claim or {}).get("chapter", name[:2]))
        chapters.setdefault(chapter, []).append([name, claim])
    return {
        chapter: hashlib.sha256(
            json.dumps(entries, sort_keys=True, default=str).encode()
        ).hexdigest()
        for chapter, entries in chapters.items()
    }


def read_state(build):
    """What the last build recorded, {} if there is nothing legible."""
    try:
        return json.loads((build / STATE).read_text(encoding="utf8"))
    except (OSError, ValueError):
        return {}


def write_state(build, state):
    """Record ``state``; the file appears complete or not at all."""
    build.mkdir(parents=True, exist_ok=True)
    temporary = build / (STATE + ".new")
    temporary.write_text(json.dumps(state, indent=1), encoding="utf8")
    temporary.replace(build / STATE)


def cache_is_whole(cache):
    """False if a file of the cache is cut off or its index is damaged."""
    try:
        for path in cache.glob("executed/*/base.ipynb"):
            json.loads(path.read_text(encoding="utf8"))
        with sqlite3.connect(f"file:{cache / 'global.db'}?mode=ro", uri=True) as index:
            return index.execute("pragma quick_check").fetchone() == ("ok",)
    except (OSError, ValueError, sqlite3.Error):
        return False


def drop_chapters(cache, chapters):
    """Forget the executed notebooks whose file name starts with one of ``chapters`` ("03")."""
    from jupyter_cache import get_cache

    store = get_cache(str(cache))
    for record in store.list_cache_records():
        if Path(record.uri).name.split("_")[0] in chapters:
            store.remove_cache(record.pk)


def reason_to_drop(old, new, cache):
    """Why the whole cache must go, or None."""
    if old.get("status") == "running":
        return "the last build was interrupted"
    if not old:
        return "nothing says what it was made from"
    if old.get("library") != new["library"]:
        return "icl_lib, a checkpoint or requirements.lock changed"
    if not cache_is_whole(cache):
        return "it is damaged"
    return None


def drop_stale_results(app, config):
    """config-inited: compare with the last build; drop what no longer counts."""
    root, build = Path(app.srcdir), Path(app.outdir).resolve().parent
    cache = Path(config.nb_execution_cache_path or build / ".jupyter_cache")
    old = read_state(build)
    new = {
        "library": library_digest(root),
        "claims": claims_digests(root),
        "site": site_digest(root),
        "status": "failed",
    }
    app.icl_state, app.icl_read_all = new, old.get("status") != "ok"
    if cache.exists():
        reason = reason_to_drop(old, new, cache)
        before = old.get("claims", {})
        changed = {
            c for c in before.keys() | new["claims"].keys() if before.get(c) != new["claims"].get(c)
        }
        if reason:
            print(f"execution cache dropped: {reason}", flush=True)
            shutil.rmtree(cache)
        elif changed:
            print(
                f"claims changed, these chapters run again: {', '.join(sorted(changed))}",
                flush=True,
            )
            drop_chapters(cache, changed)
        app.icl_read_all |= bool(reason or changed)
    else:
        app.icl_read_all = True
    write_state(build, new)


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


def collect_problems(app):
    """builder-inited: listen to Sphinx's warnings from here on."""
    app.icl_problems = ProblemList()
    logging.getLogger("sphinx").addHandler(app.icl_problems)


def mark_running(app, env, docnames):
    """A build that is killed leaves this mark, and the next one trusts nothing it finds."""
    app.icl_state["status"] = "running"
    write_state(Path(app.outdir).resolve().parent, app.icl_state)


def outdated_documents(app, env, added, changed, removed):
    """Pages to read again although their own text is unchanged."""
    if app.icl_read_all:
        return list(env.found_docs)
    return [name for name in getattr(env, "icl_generated", ()) if name in env.found_docs]


def finish(app, exception):
    """build-finished: record how it went and what was said."""
    build = Path(app.outdir).resolve().parent
    good = exception is None and app._warncount == 0
    app.icl_state["status"] = "ok" if good else "failed"
    if app.builder.name != "html" or not good:
        app.icl_state["site"] = ""
    write_state(build, app.icl_state)
    lines = list(dict.fromkeys(app.icl_problems.lines))  # Sphinx passes some records on twice
    if exception is not None:
        lines.append(f"{type(exception).__name__}: {exception}")
    (build / PROBLEMS).write_text("\n".join(lines), encoding="utf8")
    logging.getLogger("sphinx").removeHandler(app.icl_problems)


def main(command):
    """The two commands of the module's docstring."""
    build = ROOT / "_build"
    if command == "fresh":
        built = (build / "html" / "index.html").exists()
        return 0 if built and read_state(build).get("site") == site_digest(ROOT) else 1
    path = build / PROBLEMS
    text = path.read_text(encoding="utf8").strip() if path.exists() else ""
    if text:
        print("---- what the build complained about ----")
        print(text[-6000:])
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ("fresh", "problems"):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
