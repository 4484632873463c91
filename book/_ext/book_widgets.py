"""Admonitions that become more on the page: choice questions and explorables.

In a chapter both are ordinary admonitions of a class of their own, so that JupyterLab, which knows
none of our directives, shows a box with the question or the caption instead of an error.
"""

from docutils import nodes
from docutils.parsers.rst.directives.admonitions import Admonition
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

import book_choice
import book_explorable
from book_boxes import Box, depart_box, visit_box

KINDS = {"choice": book_choice.question, "explorable": book_explorable.explorable}


class WidgetAdmonition(Admonition, SphinxDirective):
    """``{admonition}``; of a class of ours the question or explorable that ``:name:`` names."""

    def run(self):
        for name in self.options.get("class", ()):
            if name in KINDS:
                return [KINDS[name](self)]
        return super().run()

    def parsed(self, text, source):
        """The nodes of a Markdown text that stands in the file ``source``."""
        box = nodes.Element()
        self.state.nested_parse(StringList(text.strip().splitlines(), source), 0, box)
        return box.children

    def body(self):
        """What stands inside of the admonition, as one line."""
        return " ".join(" ".join(self.content).split())


def load_scripts(app, pagename, templatename, context, doctree):
    """html-page-context: only a page that has one of the widgets loads their files."""
    if doctree is None:
        return
    boxes = [box for box in doctree.findall(Box) if box.get("scripts")]
    scripts = dict.fromkeys(name for box in boxes for name in box["scripts"])
    for name in scripts:
        app.add_js_file(name, loading_method="defer")
    if scripts:
        app.add_css_file("widgets.css")


def setup(app):
    app.add_node(Box, html=(visit_box, depart_box))
    app.add_directive("admonition", WidgetAdmonition, override=True)
    app.connect("env-purge-doc", book_choice.forget)
    app.connect("env-check-consistency", book_choice.check_all_used)
    app.connect("html-page-context", load_scripts)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
