"""A claim on the page: one quiet line, and what stands behind it on demand.

The line is a ``summary`` (keyboard and screen reader come with it): a mark, the verdict in words,
the number and what it is compared with. Opened, it says the statement, tolerance, null, source and
leads to the ledger. Claims that follow each other directly share one block.
"""

from html import escape

from docutils import nodes
from icl_lib.claims.verdicts import margin, null_value
from icl_lib.claims.words import describe, short, tolerance_in_words

from book_ledger import anchor
from book_payloads import chapters, claims_file

MARKS = {
    "reproduced": "\u2713",
    "reproduced in part": "\u25d0",
    "not at this scale": "\u25cb",
    "differs": "\u2260",
    "for the record": "\u2022",
}


def fill_claims(app, doctree, docname):
    """doctree-resolved: fill the containers that ``icl_lib.claims.page`` left."""
    known = claims_file(app)
    for node in list(doctree.findall(is_claim)):
        spec = known[node["icl_claim"]["id"]]
        node["ids"] += addresses(node["icl_claim"]["id"], spec)
        node += nodes.raw("", details(app, docname, node["icl_claim"], spec), format="html")
        node += nodes.inline("", "")  # a container without visible text counts as empty
    mark_neighbours(doctree)


def is_claim(node):
    return isinstance(node, nodes.container) and "icl_claim" in node


def addresses(name, spec):
    """#claim-ID, and the address of an old claim when it carried the chapter's number."""
    return [nodes.make_id(f"claim-{given}") for given in (name, spec.get("was")) if given]


def mark_neighbours(doctree):
    """Directly consecutive claims of one output join into a block."""
    for node in doctree.findall(is_claim):
        siblings = list(node.parent.children)
        after = siblings.index(node) + 1
        if after < len(siblings) and is_claim(siblings[after]):
            node["classes"].append("icl-claim-joined")


def verdict_of(spec):
    return spec.get("verdict", "for the record")


def details(app, docname, payload, spec):
    """The HTML of one claim."""
    verdict, se = verdict_of(spec), payload.get("se")
    mark = f'<span class="icl-mark" aria-hidden="true">{MARKS[verdict]}</span>'
    word = f'<span class="icl-verdict-word">{escape(verdict)}</span>'
    line = escape(describe(spec, payload["measured"], se))
    rows = "".join(
        f"<dt>{escape(head)}</dt><dd>{text}</dd>"
        for head, text in facts(app, docname, payload, spec)
    )
    kind = verdict.replace(" ", "-")
    return (
        f'<details class="icl-verdict-line icl-{kind}"><summary>{mark} {word}: {line}</summary>'
        f"<dl>{rows}</dl></details>"
    )


def facts(app, docname, payload, spec):
    """(heading, HTML) of what stands behind the line."""
    out = [("Statement", escape(spec["statement"]))]
    if spec.get("note"):
        out.append(("Note", escape(str(spec["note"]))))
    if spec["kind"] != "record":
        out.append(("Tolerance", escape(tolerance_text(spec, payload.get("se")))))
    if "otherwise" in spec:
        value = null_value(spec, payload.get("null"))
        out.append(("It would be otherwise", escape(null_text(spec, value))))
        room = margin(spec, payload["measured"], payload.get("se"), payload.get("null"))
        out.append(("Margin", escape(room)))
    out.append(("Source", escape(spec["source"])))
    ledger = app.builder.get_relative_uri(docname, "book/reference/claims")
    name = payload["id"]
    link = f'<a class="reference internal" href="{ledger}#{anchor(name)}">{escape(name)}</a>'
    out.append(("In the ledger", link))
    return out


def tolerance_text(spec, se):
    text = tolerance_in_words(spec, se is not None)
    return f"{text}: {spec['reason']}" if spec.get("reason") else text


def null_text(spec, value):
    says = spec["otherwise"]["says"].rstrip(".")
    return says if value is None else f"{says}: {short(value)}"


def add_cell_anchors(app, doctree, docname):
    """doctree-resolved: the cell that checks a claim is marked when its claim is the target."""
    chapter = next((c for c in chapters(app) if c.docname == docname), None)
    if chapter is None:
        return
    shown = {node["icl_claim"]["id"] for node in doctree.findall(is_claim)}
    cells = {
        node["cell_index"]: node
        for node in doctree.findall(nodes.container)
        if node.get("nb_element") == "cell_code"
    }
    for index, payload in chapter.claims:  # a cell whose output is hidden keeps the address itself
        if payload["id"] not in shown and index in cells:
            cells[index]["ids"] += addresses(payload["id"], claims_file(app)[payload["id"]])
