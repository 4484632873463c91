"""pytest executes the notebooks through nbmake: each once, on a copy, kept in the execution store.

A chapter whose stored execution still counts (``book_store``) is not executed again; its claims are
judged against today's expectations either way. Loaded by the project's ``conftest.py``.
"""

import os
import re
import shutil
import time
from pathlib import Path

import pytest
from filelock import FileLock

import book_checks
import book_store
from book_digest import chapter_digest, read_notebook

ROOT = book_store.ROOT
BUILD = ROOT / "_build"
PROFILE = BUILD / "ipython"
KERNEL_LOG = BUILD / "kernels.log"
PROPERTY = "icl"


class ClaimProblems(Exception):
    """An executed notebook and the expectations disagree."""


def is_book_notebook(item):
    return getattr(item, "nbmake", False) and Path(item.filename).is_relative_to(ROOT / "book")


def pytest_collection_modifyitems(config, items):
    """Wrap the notebooks, the longest first: two kernels then end at about the same time."""
    notebooks = [item for item in items if is_book_notebook(item)]
    for item in notebooks:
        item.runtest = Chapter(item, item.runtest)
    order = {item: -expected_seconds(Path(item.filename)) for item in notebooks}
    items.sort(key=lambda item: order.get(item, 1.0))


def expected_seconds(source):
    """What the chapter took last time; for a first time its number of code cells must do."""
    known = book_store.last_seconds(source)
    return known if known is not None else 0.5 * source.read_text("utf8").count('"execution_count"')


class Chapter:
    """What ``item.runtest`` becomes."""

    def __init__(self, item, execute):
        self.item, self.execute, self.source = item, execute, Path(item.filename)

    def __call__(self):
        name = self.source.stem
        locks = book_store.folder() / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / name):  # a second `make` at the same time waits, and finds it done
            executed = book_store.find(self.source)
            stored = executed is not None
            if not stored:
                self.run_copy(name)
                executed = book_store.find(self.source)
        if executed is None:
            raise ClaimProblems(f"{name}: it, or what it reads, changed while it was executed")
        self.item.user_properties.append((PROPERTY, "stored" if stored else "executed"))
        if problems := book_checks.notebook_problems(executed, self.source):
            raise ClaimProblems("\n".join(problems))

    def run_copy(self, name):
        """Execute a copy below _build with nbmake, then keep it."""
        copy = BUILD / "run" / self.source.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.source, copy)
        reads = copy.with_suffix(".reads")
        reads.unlink(missing_ok=True)
        digest = chapter_digest(ROOT, read_notebook(copy))
        set_kernel_environment(name, reads)
        option, begin = self.item.config.option, time.monotonic()
        before, option.overwrite = option.overwrite, True
        self.item.filename = str(copy)
        try:
            self.execute()
        finally:
            self.item.filename, option.overwrite = str(self.source), before
        lines = set(reads.read_text(encoding="utf8").split("\n")) if reads.exists() else set()
        seconds = time.monotonic() - begin
        book_store.put(self.source, read_notebook(copy), digest, lines - {""}, seconds)


def set_kernel_environment(name, reads):
    """Kernels inherit this process's environment."""
    startup = PROFILE / "profile_default" / "startup" / "00-book.py"
    startup.parent.mkdir(parents=True, exist_ok=True)
    text = Path(__file__).with_name("kernel_startup.py").read_text(encoding="utf8")
    partial = startup.with_name(f"{os.getpid()}.partial")
    partial.write_text(text, encoding="utf8")
    os.replace(partial, startup)
    os.environ |= {
        "IPYTHONDIR": str(PROFILE),
        "ICL_ROOT": str(ROOT),
        "ICL_CHAPTER": name,
        "ICL_KERNEL_LOG": str(KERNEL_LOG),
        "ICL_READS": str(reads),
        "ICL_CLAIMS": "strict",
    }
    os.environ.pop("ICL_SEED_OFFSET", None)


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Progress(config), "icl-progress")


class Progress:
    """A line a notebook as it ends: name, seconds, how many of all, how long the rest takes."""

    def __init__(self, config):
        self.config, self.done, self.begin = config, 0, time.monotonic()
        self.left = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node, ids):
        self.expect(ids)

    def pytest_collection_finish(self, session):
        self.expect([item.nodeid for item in session.items])

    def expect(self, ids):
        notebooks = [re.sub(r"::.*", "", name) for name in ids if ".ipynb" in name]
        if self.left is None and notebooks:
            paths = [self.config.rootpath / name for name in notebooks]
            self.left = {path.stem: expected_seconds(path) for path in paths}
            self.total = len(self.left)

    def pytest_runtest_logreport(self, report):
        if report.when != "call" or ".ipynb" not in report.nodeid or not self.left:
            return
        name = Path(re.sub(r"::.*", "", report.nodeid)).stem
        expected = self.left.pop(name, 0.0)
        how = dict(report.user_properties).get(PROPERTY, "")
        self.done += 1
        word = "FAILED" if report.failed else {"stored": "kept"}.get(how, "done")
        if how != "stored":
            self.seconds = getattr(self, "seconds", 0.0) + report.duration
            self.expected = getattr(self, "expected", 0.0) + expected
        print_line(
            f"  {name:<28}{word:>7}{report.duration:7.1f} s   "
            f"{self.done:2d} of {self.total}{self.time_left()}"
        )

    def time_left(self):
        """From the pace so far, and what the other chapters took (or should take)."""
        if not self.left or not getattr(self, "expected", 0.0):
            return ""
        pace = self.seconds / self.expected
        jobs = max(1, int(getattr(self.config.option, "numprocesses", 0) or 1))
        return f"   about {pace * sum(self.left.values()) / jobs:.0f} s left"


def print_line(text):
    """Straight to the terminal: pytest captures and decorates what goes through it."""
    os.write(2, f"\n{text}".encode())
