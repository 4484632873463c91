"""The claims ledger and the tables of the papers' checkable statements."""

from math import floor, isfinite, log10

from book_papers import (
    DEFAULT,
    LATER,
    claims_of,
    identifier,
    paper_placeholder,
    papers,
    strangers,
)
from book_payloads import chapter_title, chapters, checked_claims, claims_file, placeholder
from book_tables import code, joined, link, paragraph, table
from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

BOUNDS = {"at_most": "at most ", "at_least": "at least "}


class ClaimsLedger(SphinxDirective):
    """Every claim of the book, chapter by chapter."""

    def run(self):
        return placeholder(self, "claims-ledger")


class PaperStatements(SphinxDirective):
    """A paper's statements that a computer can check, and the claims that do so."""

    optional_arguments = 1

    def run(self):
        return paper_placeholder(self, "paper-statements")


def number(value):
    """Six significant digits at most; of a rounding error two are enough."""
    text = f"{value:.2g}" if abs(value) < 1e-6 else f"{value:.6g}"
    return text.replace("e-0", "e-").replace("-", "\u2212")


def with_error(value, se):
    """A value rounded to two significant digits of its standard error."""
    if not se or not isfinite(se) or not isfinite(value):
        return number(value)
    digits = min(max(1 - floor(log10(abs(se))), 0), 12)
    return f"{value:.{digits}f} \u00b1 {se:.{digits}f}".replace("-", "\u2212")


def anchor(name):
    return nodes.make_id(f"ledger-{name}")


def verdict(claim):
    kind = claim["verdict"]
    parts = [nodes.inline(kind, kind, classes=["icl-verdict", "icl-" + kind.replace(" ", "-")])]
    if claim.get("note"):
        parts.append(paragraph(str(claim["note"])))
    return parts


def source(claim):
    """Where the expected value comes from; says so if it was derived for this book."""
    text = claim["source"].rstrip(".")
    derived = claim.get("origin") == "derived" and "derived" not in text
    return text + " (value derived for this book)" if derived else text


def ledger_nodes(app, docname):
    """One table a chapter, after a line that counts the verdicts."""
    from icl_lib.claims import tolerance_in_words

    known = claims_file(app)
    counts = {}
    for claim in known.values():
        counts[claim["verdict"]] = counts.get(claim["verdict"], 0) + 1
    summary = ", ".join(
        f"{count} {kind}" for kind, count in sorted(counts.items(), key=lambda i: -i[1])
    )
    out = [paragraph(f"{len(known)} claims: {summary}." if known else "No claims yet.")]
    for chapter in chapters(app):
        if not chapter.claims:
            continue
        number_, title = chapter_title(app, chapter.docname)
        rows = []
        for _, payload in chapter.claims:
            name, claim = payload["id"], known[payload["id"]]
            where = nodes.make_id(f"claim-{name}")
            where = link(app, docname, chapter.docname, code(name), where)
            row = [
                [claim["statement"], paragraph(source(claim), ". Cell: ", where)],
                BOUNDS.get(claim["mode"], "") + number(claim["expected"]),
                with_error(payload["measured"], payload.get("se")),
                tolerance_in_words(claim, payload.get("se") is not None),
                verdict(claim),
            ]
            rows.append((row, anchor(name)))
        heading = nodes.rubric("", "", ids=[f"ledger-chapter-{chapter.number}"])
        heading += link(app, docname, chapter.docname, f"Chapter {number_}: {title}")
        heads = ["Claim and source", "Expected", "Measured", "Tolerance", "Verdict"]
        caption = f"Claims of Chapter {number_}, {title}"
        out += [heading, table(caption, f"claims-{chapter.number}", heads, rows)]
    return out


def covering(app, paper):
    """row number -> names of the claims that cover this statement of the paper."""
    rows = {}
    for name, claim in claims_of(claims_file(app), paper).items():
        for row in claim.get("rows") or ():
            rows.setdefault(int(row), []).append(name)
    return rows


def check_statements(app, env):
    """A claim may name only listed statements; in a complete book each statement has a claim.

    Statements that are left to later chapters need none.
    """
    known = papers(app)
    problems = strangers(claims_file(app), known)
    for paper in known.values():
        covered = covering(app, paper)
        problems += [
            f"book/claims.yml: {', '.join(names)}: there is no statement {row} in {paper.file}"
            for row, names in covered.items()
            if row not in paper.statements
        ]
        if app.config.icl_complete:
            problems += [
                f"{paper.file}: statement {row} is checked by no claim"
                for row, statement in paper.statements.items()
                if row not in covered and not statement.later
            ]
    if problems:
        raise ExtensionError("The papers' statements:\n  " + "\n  ".join(problems))


def statement_nodes(app, docname, paper=DEFAULT):
    paper = papers(app)[paper]
    covered, checked, known = covering(app, paper), checked_claims(app), claims_file(app)
    rows = []
    for row, statement in paper.statements.items():
        names = [name for name in covered.get(row, ()) if name in checked]
        where = {checked[name][0].docname: checked[name][0] for name in names}
        verdicts = {known[name]["verdict"]: None for name in names}
        missing = (LATER, "\u2013") if statement.later else ("\u2013", "not checked yet")
        rows.append(
            [
                str(row),
                statement.sentence,
                joined([link(app, docname, doc, chapter_title(app, doc)[0]) for doc in where])
                or [missing[0]],
                joined([link(app, docname, docname, code(name), anchor(name)) for name in names])
                or [missing[1]],
                ", ".join(verdicts) or "\u2013",
            ]
        )
    heads = ["No.", "Statement", "Chapter", "Claims", "Verdict"]
    caption = f"Checkable statements of {paper.name}"
    return [table(caption, identifier("paper-statements", paper), heads, rows)]
