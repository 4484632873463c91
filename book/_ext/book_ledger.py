"""The claims ledger and the tables of the papers' checkable statements."""

from collections import Counter

from docutils import nodes
from icl_lib.claims import verdicts, words
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

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


def anchor(name):
    return nodes.make_id(f"ledger-{name}")


def verdict(claim):
    if claim["kind"] == "record":
        return [paragraph("for the record")]
    kind = claim["verdict"]
    mark = "icl-" + kind.replace(" ", "-")
    parts: list[nodes.Node] = [nodes.inline(kind, kind, classes=["icl-verdict", mark])]
    if claim.get("note"):
        parts.append(paragraph(str(claim["note"])))
    return parts


def source(claim):
    """Where the expected value comes from; says so if it was derived for this book."""
    text = claim["source"].rstrip(".")
    derived = claim.get("origin") == "derived" and "derived" not in text
    return text + " (value derived for this book)" if derived else text


def expected(claim, se):
    """The expected value with its tolerance."""
    if claim["kind"] == "record":
        low, high = claim["band"]
        return [paragraph(f"{words.short(low)} to {words.short(high)}")]
    bound = BOUNDS.get(claim["mode"], "") + words.short(claim["expected"])
    return [paragraph(bound), paragraph(words.tolerance_in_words(claim, se is not None))]


def reason(claim):
    """Why this tolerance, beside the claim: there the text has room."""
    return [paragraph("Tolerance: ", claim["reason"])] if claim.get("reason") else []


def null(claim, payload):
    """What the number would be otherwise."""
    if "otherwise" not in claim:
        return "\u2013"
    value = verdicts.null_value(claim, payload.get("null"))
    says = claim["otherwise"]["says"].rstrip(".")
    return says if value is None else [paragraph(words.short(value)), paragraph(says)]


def counted(known):
    """How many claims of each verdict; records are not in the totals."""
    counts = Counter(claim["verdict"] for claim in known.values() if claim["kind"] != "record")
    total = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    records = sum(claim["kind"] == "record" for claim in known.values())
    aside = f" Beside them {records} numbers are kept for the record." if records else ""
    return f"{sum(counts.values())} claims: {total}.{aside}" if counts else "No claims yet."


HEADS = ["Claim and source", "Verdict", "Kind", "Expected", "Measured", "Otherwise", "Margin"]


def ledger_row(app, docname, chapter, payload, claim):
    name, se = payload["id"], payload.get("se")
    where = link(app, docname, chapter.docname, code(name), nodes.make_id(f"claim-{name}"))
    old = [anchor(claim["was"])] if "was" in claim else []  # links with it still work
    formerly = nodes.inline("", "", ids=old)
    row = [
        [
            formerly,
            claim["statement"],
            paragraph(source(claim), ". Cell: ", where),
            *reason(claim),
        ],
        verdict(claim),
        claim["kind"],
        expected(claim, se),
        words.with_error(payload["measured"], se),
        null(claim, payload),
        verdicts.margin(claim, payload["measured"], se, payload.get("null")),
    ]
    return row, [anchor(name)]


def ledger_nodes(app, docname):
    """One table a chapter, after a line that counts the verdicts."""
    known = claims_file(app)
    out = [paragraph(counted(known))]
    for chapter in chapters(app):
        if not chapter.claims:
            continue
        number_, title = chapter_title(app, chapter.docname)
        rows = [
            ledger_row(app, docname, chapter, payload, known[payload["id"]])
            for _, payload in chapter.claims
        ]
        heading = nodes.rubric("", "", ids=[f"ledger-chapter-{chapter.number}"])
        heading += link(app, docname, chapter.docname, f"Chapter {number_}: {title}")
        caption = f"Claims of Chapter {number_}, {title}"
        out += [heading, table(caption, f"claims-{chapter.number}", HEADS, rows)]
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
            f"book/claims: {', '.join(names)}: there is no statement {row} in {paper.file}"
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
        found = {known[name].get("verdict", "for the record"): None for name in names}
        missing = (LATER, "\u2013") if statement.later else ("\u2013", "not checked yet")
        rows.append(
            [
                str(row),
                statement.sentence,
                ", ".join(found) or "\u2013",
                joined([link(app, docname, doc, chapter_title(app, doc)[0]) for doc in where])
                or [missing[0]],
                joined([link(app, docname, docname, code(name), anchor(name)) for name in names])
                or [missing[1]],
            ]
        )
    heads = ["No.", "Statement", "Verdict", "Chapter", "Claims"]
    caption = f"Checkable statements of {paper.name}"
    return [table(caption, identifier("paper-statements", paper), heads, rows)]
