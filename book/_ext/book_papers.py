"""The papers that the book reproduces: one file ``book/paper_map*.yml`` each.

``paper`` is the name by which claims call the paper, ``name`` the one that readers see. ``items``
are what the paper numbers, ``statements`` what a computer can check. An item or a statement with
``later: true`` waits for a later chapter: nothing has to treat it yet.
"""

from pathlib import Path
from typing import NamedTuple

import yaml
from sphinx.errors import ExtensionError

from book_payloads import placeholder

DEFAULT = "zhang2024"  # the paper of a claim or a table that names none
LATER = "a later chapter"


class Statement(NamedTuple):
    """One sentence that a computer can check."""

    sentence: str
    later: bool = False


class Paper(NamedTuple):
    """One paper: its key, its name, its file and what is in it."""

    key: str
    name: str
    file: str
    items: list
    statements: dict


def papers(app):
    """key -> Paper, the default one first."""
    found = {}
    for path in sorted((Path(app.srcdir) / "book").glob("paper_map*.yml")):
        paper = read_paper(path)
        if paper.key in found:
            raise ExtensionError(f"{found[paper.key].file} and {paper.file} are one paper's")
        found[paper.key] = paper
    return dict(sorted(found.items(), key=lambda pair: pair[0] != DEFAULT))


def read_paper(path):
    file, content = f"book/{path.name}", yaml.safe_load(path.read_text(encoding="utf8")) or {}
    missing = {"paper", "name", "items", "statements"} - content.keys()
    if missing:
        raise ExtensionError(f"{file} must have the keys {', '.join(sorted(missing))}")
    rows = {int(row): read_statement(value) for row, value in content["statements"].items()}
    return Paper(content["paper"], content["name"], file, content["items"], rows)


def read_statement(value):
    """A sentence, or a mapping of ``statement`` and ``later``."""
    if isinstance(value, str):
        return Statement(value)
    return Statement(value["statement"], bool(value.get("later", False)))


def paper_of(claim):
    return claim.get("paper", DEFAULT)


def claims_of(claims, paper):
    """Those of the claims (name -> entry) that belong to the paper."""
    return {name: claim for name, claim in claims.items() if paper_of(claim) == paper.key}


def strangers(claims, known):
    """A complaint for every claim that names a paper without a file."""
    return [
        f"book/claims: claim {name}: there is no paper {paper_of(claim)}, only {', '.join(known)}"
        for name, claim in claims.items()
        if paper_of(claim) not in known
    ]


def identifier(base, paper):
    """An id for the paper's table; the default paper's has no suffix."""
    return base if paper.key == DEFAULT else f"{base}-{paper.key}"


def paper_placeholder(directive, kind):
    """The node of a directive whose argument is a paper."""
    key = directive.arguments[0] if directive.arguments else DEFAULT
    known = papers(directive.env.app)
    if key not in known:
        raise directive.error(f"there is no paper {key}, only {', '.join(known)}")
    return placeholder(directive, kind, paper=key)
