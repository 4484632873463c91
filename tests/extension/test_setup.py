"""What the extension sets before a kernel starts, and that each placeholder becomes its table."""

from __future__ import annotations

import importlib
import os
import sys
from types import SimpleNamespace

import book_assets
import book_site
import book_weight
import pytest
from book_payloads import Generated, placeholder
from docutils import nodes
from docutils.utils import new_document

SURROUNDINGS = {
    "ICL_CLAIMS": "off",
    "ICL_SEED_OFFSET": "3",
    "MPLBACKEND": "Agg",
    "GOMP_SPINCOUNT": "7",
}


@pytest.fixture
def icl_book(monkeypatch):
    """The module as a build imports it, in surroundings that would spoil one."""
    before = dict(os.environ)
    os.environ.update(SURROUNDINGS)
    os.environ.pop("OMP_NUM_THREADS", None)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("icl_book", None)
    yield importlib.import_module("icl_book")
    sys.modules.pop("icl_book", None)
    os.environ.clear()
    os.environ.update(before)


def test_kernels_inherit_one_thread_strict_claims_and_the_books_own_draws(icl_book):
    assert os.environ["ICL_CLAIMS"] == "strict", "no environment switches the claims off"
    assert "ICL_SEED_OFFSET" not in os.environ and "MPLBACKEND" not in os.environ
    assert os.environ["OMP_NUM_THREADS"] == "1"
    assert os.environ["GOMP_SPINCOUNT"] == "7", "a choice of the user's stays"


class Recorder:
    """Takes what a Sphinx application is told."""

    def __init__(self):
        self.connected, self.directives = [], {}

    def add_config_value(self, name, default, rebuild, types):
        assert (name, default) == ("icl_complete", True)

    def add_node(self, node):
        assert node is Generated

    def add_directive(self, name, directive):
        self.directives[name] = directive

    def setup_extension(self, name):
        assert name in ("book_widgets", "book_previews")  # they have tests of their own

    def connect(self, event, handler, priority=500):
        self.connected.append((event, priority, handler))

    def order(self, event):
        """The handlers as Sphinx calls them: by priority, then as they were connected."""
        known = sorted((c for c in self.connected if c[0] == event), key=lambda c: c[1])
        return [handler for _, _, handler in known]


def test_a_site_is_finished_only_after_its_pages_are_light(icl_book):
    app = Recorder()
    assert icl_book.setup(app) == {
        "version": "1",
        "parallel_read_safe": False,
        "parallel_write_safe": False,
    }
    assert app.order("build-finished") == [
        book_assets.lighten,
        book_weight.lighten,
        book_site.finish,
    ]
    tables = {"claims-ledger", "paper-statements", "paper-map", "run-times", "reproduced-runs"}
    assert tables == set(app.directives)


def directive(options=()):
    env = SimpleNamespace(docname="page", srcdir="")
    return SimpleNamespace(env=env, arguments=list(options))


def test_every_directive_has_its_table(icl_book, monkeypatch):
    """The placeholder of each is replaced, with the paper where one is named."""
    said = []

    def filler(kind):
        def fill(app, docname, **which):
            said.append((kind, docname, which))
            return [nodes.paragraph("", kind)]

        return fill

    monkeypatch.setattr(icl_book.book_ledger, "ledger_nodes", filler("claims-ledger"))
    monkeypatch.setattr(icl_book.book_ledger, "statement_nodes", filler("paper-statements"))
    monkeypatch.setattr(icl_book.book_map, "map_nodes", filler("paper-map"))
    monkeypatch.setattr(icl_book.book_runs, "run_time_nodes", filler("run-times"))
    document, asked = new_document("page"), directive()
    for kind, which in KINDS.items():
        document += placeholder(asked, kind, **which)
    icl_book.fill_generated(None, document, "page")
    assert said == [(kind, "page", which) for kind, which in KINDS.items()]
    assert [part.astext() for part in document.children] == list(KINDS)
    assert asked.env.icl_generated == {"page"}, "the page is read again at every build"


KINDS = {
    "claims-ledger": {},
    "paper-statements": {"paper": "zhang"},
    "paper-map": {"paper": "zhang"},
    "run-times": {},
}
