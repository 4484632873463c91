"""The paper maps: item of a paper -> chapter -> function -> test, everything checked to exist."""

import ast
import importlib
from pathlib import Path

from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from book_ledger import anchor
from book_papers import DEFAULT, LATER, claims_of, identifier, paper_placeholder, papers
from book_payloads import chapter_title, chapters, claims_file
from book_tables import code, joined, link, outside_link, paragraph, table


class PaperMap(SphinxDirective):
    """A paper's table itself."""

    optional_arguments = 1

    def run(self):
        return paper_placeholder(self, "paper-map")


def function_exists(name):
    """Is ``icl_lib.theory.optimum.gamma`` (or a class, or Class.method) there?"""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_exists(root, name):
    """Is ``tests/unit/test_x.py::TestGroup::test_y`` (or the file alone) there?"""
    path, *inner = name.split("::")
    if not (root / path).is_file():
        return False
    body = ast.parse((root / path).read_text(encoding="utf8")).body
    for part in inner:
        node = next((n for n in body if getattr(n, "name", None) == part), None)
        if node is None:
            return False
        body = node.body
    return True


def documented(app, name):
    """(page, anchor) in the API reference, or None."""
    entry = app.env.get_domain("py").objects.get(name)
    return (entry.docname, entry.node_id) if entry else None


def check_map(app, env):
    """In a complete book every name on the maps must lead somewhere."""
    if not app.config.icl_complete:
        return
    numbers = {chapter.number for chapter in chapters(app)}
    problems = []
    for paper in papers(app).values():
        wrong = [
            f"{item['item']}: there is no {thing}"
            for item in paper.items
            for thing in missing_things(app, numbers, item)
        ]
        known_items = {item["item"] for item in paper.items}
        for name, claim in claims_of(claims_file(app), paper).items():
            if claim.get("item") and claim["item"] not in known_items:
                wrong.append(f"claim {name}: there is no item {claim['item']}")
        problems += [f"{paper.file}: {line}" for line in wrong]
    if problems:
        raise ExtensionError("The paper maps:\n  " + "\n  ".join(problems))


def missing_things(app, numbers, item):
    """What an item names that does not exist, or does not name although it is treated."""
    wrong = [f"chapter {c}" for c in item.get("chapters", ()) if c not in numbers]
    for name in item.get("functions", ()):
        if not function_exists(name):
            wrong.append(f"function {name}")
        elif documented(app, name) is None:
            wrong.append(f"API entry of {name}")
    root = Path(app.srcdir)
    wrong += [f"test {t}" for t in item.get("tests", ()) if not test_exists(root, t)]
    if not item.get("later"):
        needed = ("chapter", "function", "test")
        wrong += [f"{key} named" for key in needed if not item.get(key + "s")]
    return wrong


def function_link(app, docname, name):
    place = documented(app, name)
    short = code(name.removeprefix("icl_lib."))
    return link(app, docname, place[0], short, place[1]) if place else short


def test_link(app, name):
    url = app.config.html_theme_options.get("repository_url")
    short = code(name.removeprefix("tests/unit/"))
    if not url:
        return short
    branch = app.config.html_theme_options.get("repository_branch") or "main"
    return outside_link(f"{url}/blob/{branch}/{name.split('::')[0]}", short)


def lines(parts):
    """One line each in a table cell, a dash for none."""
    return [paragraph(part) for part in parts] or ["\u2013"]


def map_nodes(app, docname, paper=DEFAULT):
    paper = papers(app)[paper]
    by_number = {c.number: c.docname for c in chapters(app)}
    claims = {}
    for name, claim in claims_of(claims_file(app), paper).items():
        claims.setdefault(claim.get("item"), []).append(name)
    ledger = next(
        (d for d in sorted(app.env.found_docs) if d.endswith("reference/claims")), docname
    )
    rows = []
    for item in paper.items:
        places = []
        for number in item.get("chapters", ()):
            doc = by_number.get(number)
            places.append(
                link(app, docname, doc, chapter_title(app, doc)[0]) if doc else code(number)
            )
        functions = [function_link(app, docname, name) for name in item.get("functions", ())]
        tests = [test_link(app, name) for name in item.get("tests", ())]
        named = [
            link(app, docname, ledger, code(c), anchor(c)) for c in claims.get(item["item"], ())
        ]
        rows.append(
            [
                item["item"],
                item["title"],
                joined(places) or [LATER if item.get("later") else "\u2013"],
                lines(functions),
                lines(tests),
                lines(named),
            ]
        )
    heads = ["Item", "What it says", "Chapter", "Code", "Tests", "Claims"]
    caption = f"Where each item of {paper.name} is"
    return [table(caption, identifier("paper-map-table", paper), heads, rows)]
