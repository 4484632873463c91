"""The built site, and for the tests that need one a Chromium with a server of its own.

A page is visited once (`page_visit`); what it did is kept as data that all checks of the page read.
Under pytest-xdist (``make test-site``) the tests of one page go to one worker, which makes the
visit; each worker has a browser of its own. Without a site everything is skipped, without a browser
only what needs one; REQUIRE_BROWSER=1 turns both into failures.
"""

from __future__ import annotations

import functools
import http.server
import os
import threading
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
collect_ignore = ["conftest.py"]  # it holds no doctests, and two files of one name collide
SITE = ROOT / "_build" / "html"
NO_SITE = "the book is not built: run `make book` first"
NO_BROWSER = "no Chromium found: run `make browser`, or set CHROMIUM"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
MODES = ("light", "dark")


def toc_pages() -> list[str]:
    """Every page of _toc.yml as its address in the site, ``book/intro.html`` first."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))

    def files(node):
        if isinstance(node, dict):
            for key in ("root", "file"):
                if key in node:
                    yield node[key]
            node = [value for value in node.values() if isinstance(value, list)]
        if isinstance(node, list):
            for child in node:
                yield from files(child)

    return [f"{name.removesuffix('.md').removesuffix('.ipynb')}.html" for name in files(toc)]


def pytest_generate_tests(metafunc):
    pages = toc_pages()
    values = {
        "page_name": pages,
        "chapter_name": [name for name in pages if "/part" in name],
        "api_name": [name for name in pages if "reference/api" in name],
        "mode": MODES,
    }
    for name, choices in values.items():  # in one order everywhere: the workers compare their lists
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, choices)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With ``-n 2``: what shares a visit, or the parsed pages, goes to one worker.

    pytest-xdist 3.8 has groups (``--dist loadgroup``), but with pytest 9.2 it forgets them: it
    writes them into the tests' names, where that version of pytest no longer looks.
    """
    started = config.invocation_params.dir
    paths = [(started / name.split("::")[0]).resolve() for name in config.args]
    if config.getvalue("dist") != "load" or not all(FOLDER in (p, *p.parents) for p in paths):
        return None
    from page_visit import group_of
    from xdist.scheduler import LoadScopeScheduling

    class PageScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return PageScheduling(config, log)


def unavailable(reason: str):
    """Skip, or fail where REQUIRE_BROWSER=1 says that nothing may be missing."""
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(f"REQUIRE_BROWSER=1, but {reason}", pytrace=False)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter):
    """Say it once more and in red, for all workers."""
    said = {str(report.longrepr) for report in terminalreporter.stats.get("skipped", ())}
    for reason in (NO_SITE, NO_BROWSER):
        if any(reason in text for text in said):
            terminalreporter.write_line(f"!!! PAGE TESTS SKIPPED: {reason}", red=True, bold=True)


@pytest.fixture(scope="session")
def site() -> Path:
    if not (SITE / "book" / "intro.html").is_file():
        unavailable(NO_SITE)
    return SITE


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        """Say nothing: the tests report what matters."""


@pytest.fixture(scope="session")
def address(site):
    handler = functools.partial(_Quiet, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    from icl_lib.teaching.doctor import find_browser

    path = find_browser()
    if path is None:
        unavailable(NO_BROWSER)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def contexts(browser):
    """One window a colour mode, shared by all tests."""
    opened = {
        mode: browser.new_context(
            color_scheme=mode, viewport={"width": 1280, "height": 900}, reduced_motion="reduce"
        )
        for mode in MODES
    }
    yield opened
    for context in opened.values():
        context.close()


@pytest.fixture(scope="session")
def widget_site(tmp_path_factory) -> Path:
    """The pages of `tests/widget_site.py`; they need no chapter to be executed."""
    from tests import widget_site

    return widget_site.build_all(tmp_path_factory.mktemp("widgets"))


@pytest.fixture
def open_widget(widget_site, contexts):
    """``open_widget("book/03_closed_form", mode, width)``: the page, with what it complained of."""
    opened = []

    def load(name: str, mode: str = "light", width: int = 1280, context=None):
        page = (context or contexts[mode]).new_page()
        opened.append(page)
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
        page.set_viewport_size({"width": width, "height": 900})
        page.goto((widget_site / f"{name}.html").as_uri(), wait_until="load")
        if context is None:
            page.evaluate("async () => { await window.MathJax?.startup?.promise }")
        return page

    yield load
    for page in opened:
        page.close()


@pytest.fixture(scope="session")
def visit(address, contexts):
    """``visit(page_name)``: what `page_visit.visit_page` saw there, at the first call only."""
    from page_visit import visit_page
    from playwright.sync_api import Error

    seen: dict[str, dict | str] = {}

    def load(page_name: str) -> dict:
        if page_name not in seen:
            try:
                seen[page_name] = visit_page(contexts["light"], address + page_name)
            except Error as error:  # the page's other checks need not wait for it again
                seen[page_name] = f"{page_name} could not be visited: {error}"
        if isinstance(seen[page_name], str):
            pytest.fail(seen[page_name], pytrace=False)
        return seen[page_name]

    return load
