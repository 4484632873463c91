"""The built site, served on a loopback port, and one Chromium that visits its pages.

Every page is loaded once in each colour mode; what it did (messages, requests, formulas, findings
of axe-core, width on a telephone) is kept in a `Visit`, which the tests then read.
"""

from __future__ import annotations

import functools
import http.server
import os
import threading
from pathlib import Path

import pytest
import yaml
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import sync_playwright

from icl_lib.doctor import find_browser

ROOT = Path(__file__).resolve().parents[2]
collect_ignore = ["conftest.py"]  # it holds no doctests, and two files of one name collide
SITE = ROOT / "_build" / "html"
REQUIRED = os.environ.get("REQUIRE_BROWSER") == "1"
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
SKIPPED: set[str] = set()

INSPECT = (Path(__file__).parent / "inspect_page.js").read_text(encoding="utf8")


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
    if "page_name" in metafunc.fixturenames:
        metafunc.parametrize("page_name", pages)
    if "chapter_name" in metafunc.fixturenames:
        metafunc.parametrize("chapter_name", [name for name in pages if "/part" in name])
    if "mode" in metafunc.fixturenames:
        metafunc.parametrize("mode", MODES)


def unavailable(reason: str):
    """Skip, or fail where REQUIRE_BROWSER=1 says that nothing may be missing."""
    if REQUIRED:
        pytest.fail(f"REQUIRE_BROWSER=1, but {reason}", pytrace=False)
    SKIPPED.add(reason)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter):
    for reason in sorted(SKIPPED):
        terminalreporter.write_line(f"!!! PAGE TESTS SKIPPED: {reason}", red=True, bold=True)


@pytest.fixture(scope="session")
def site() -> Path:
    if not (SITE / "book" / "intro.html").is_file():
        unavailable("the book is not built: run `make book` first")
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
def browser(site):
    path = find_browser()
    if path is None:
        unavailable("no Chromium found: run `make browser`, or set CHROMIUM")
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


class Visit:
    """What one page did when it was loaded."""

    def __init__(self, context, url: str, mode: str):
        self.errors: list[str] = []
        self.requests: set[str] = set()
        page = context.new_page()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.add(request.url))
        page.on("requestfailed", lambda request: self.errors.append(f"failed: {request.url}"))
        try:
            page.goto(url, wait_until="load", timeout=60_000)
            # page.evaluate sends the script as a string: no request, and no page rule blocks it
            page.evaluate(AXE_SCRIPT)
            found = page.evaluate(INSPECT, mode)
            page.set_viewport_size({"width": 390, "height": 844})
            page.evaluate("() => new Promise(done => requestAnimationFrame(() => done()))")
            self.phone_width = page.evaluate("() => document.documentElement.scrollWidth")
            self.too_wide = page.evaluate(
                """() => [...document.querySelectorAll('main *')]
                    .filter(e => e.getBoundingClientRect().right > 391)
                    .slice(0, 5).map(e => e.outerHTML.slice(0, 120))"""
            )
        finally:
            page.close()
        self.requests |= set(found["resources"])
        self.math = found["math"]
        self.axe = found["axe"]
        self.pictures = found["pictures"]
        self.copy = found["copy"]
        self.theme = found["theme"]

    def _console(self, message):
        if message.type == "error":
            self.errors.append(message.text)


@pytest.fixture(scope="session")
def visit(address, contexts):
    """``visit(page_name, mode)``: the page's `Visit`, loaded at the first call only."""

    seen: dict[tuple[str, str], Visit] = {}

    def load(page_name: str, mode: str = "light") -> Visit:
        key = (page_name, mode)
        if key not in seen:
            seen[key] = Visit(contexts[mode], address + page_name, mode)
        return seen[key]

    return load
