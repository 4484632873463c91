"""Small builders for docutils nodes: accessible tables, links inside the book."""

import re

from docutils import nodes


def link(app, fromdoc, todoc, text, anchor="", classes=()):
    """A link to another page of the book, resolved here and now."""
    uri = app.builder.get_relative_uri(fromdoc, todoc) + (f"#{anchor}" if anchor else "")
    node = nodes.reference("", "", internal=True, refuri=uri, classes=list(classes))
    node += text if isinstance(text, nodes.Node) else nodes.Text(text)
    return node


def outside_link(uri, text):
    node = nodes.reference("", "", internal=False, refuri=uri)
    node += text if isinstance(text, nodes.Node) else nodes.Text(text)
    return node


def code(text):
    return nodes.literal(text, text)


def joined(parts, separator=", "):
    """Nodes with text between them."""
    out = []
    for part in parts:
        if out:
            out.append(nodes.Text(separator))
        out.append(part)
    return out


def paragraph(*children):
    node = nodes.paragraph()
    for child in children:
        node += nodes.Text(child) if isinstance(child, str) else child
    return node


def cell(content):
    """A table cell from a string, a node, or a list of nodes and strings."""
    parts = content if isinstance(content, list) else [content]
    blocks, line = [], nodes.paragraph()
    for part in parts:
        if isinstance(part, nodes.paragraph | nodes.bullet_list):
            if line.children:
                blocks.append(line)
                line = nodes.paragraph()
            blocks.append(part)
        else:
            line += nodes.Text(part) if isinstance(part, str) else part
    if line.children:
        blocks.append(line)
    entry = nodes.entry()
    entry.extend(blocks)
    return entry


def column_class(header):
    """The class of a column's cells; on a narrow screen custom.css writes the name above each."""
    return "icl-column-" + "-".join(re.findall(r"[a-z]+", header.lower()))


def table(caption, identifier, headers, rows, widths=None):
    """A captioned table whose first row and first column are header cells.

    ``rows`` holds lists of cell contents; a row may be a pair (list, row ids).
    The theme puts every table into a box of its own that scrolls and takes the keyboard's focus.
    """
    widths = widths or [1] * len(headers)
    node = nodes.table(ids=[identifier], classes=["icl-table", "colwidths-auto"])
    node += nodes.title("", "", nodes.Text(caption))
    group = nodes.tgroup(cols=len(headers))
    node += group
    for number, width in enumerate(widths):
        group += nodes.colspec("", colwidth=width, **({"stub": 1} if number == 0 else {}))
    head = nodes.row()
    head.extend(cell(text) for text in headers)
    group += nodes.thead("", head)
    body = nodes.tbody()
    for item in rows:
        content, ids = item if isinstance(item, tuple) else (item, [])
        row = nodes.row(ids=ids)
        entries = [cell(part) for part in content]
        for entry, header in zip(entries[1:], headers[1:], strict=True):
            entry["classes"].append(column_class(header))
        row.extend(entries)
        body += row
    group += body
    return node
