"""The HTML elements that docutils has no node for: a plain box, a disclosure, a figure's parts."""

from docutils import nodes


class Box(nodes.General, nodes.Element):
    """An element ``tag`` with children; ``attributes`` are further HTML attributes of its."""


def box(tag, *children, **attributes):
    """A ``Box`` from nodes and strings; ``ids`` and ``classes`` as for every node."""
    node = Box(tag=tag, **attributes)
    for child in children:
        node += nodes.Text(child) if isinstance(child, str) else child
    return node


def visit_box(self, node):
    self.body.append(self.starttag(node, node["tag"], "", **node.get("attributes", {})))


def depart_box(self, node):
    self.body.append(f"</{node['tag']}>\n")
