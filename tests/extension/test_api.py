"""The API pages' module lists: every public module is on one page, and what a list may say."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from bs4 import BeautifulSoup
from sphinx.errors import ExtensionError

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "book" / "reference" / "api"


@pytest.fixture
def api(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    return importlib.import_module("book_api")


@pytest.fixture
def project(tmp_path):
    """A library of one module and one package, and a page that shows them."""
    for name, text in (
        ("lib/tool.py", '"""A tool: ``x_1`` times *y* in <z>.\n\nMore."""\n'),
        ("lib/part/__init__.py", '"""A part."""\n'),
        ("lib/part/b.py", "x = 1\n"),
        ("lib/part/a.py", '"""The first."""\n'),
        ("lib/part/_hidden.py", '"""Hidden."""\n'),
        ("book/reference/api/all.md", "# All\n\n% modules: lib.tool lib.part.*\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf8")
    return tmp_path


def public_modules_on_disk() -> set[str]:
    """By walking the library's files, as the import system names them."""
    names = set()
    for path in (ROOT / "icl_lib").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        inner = parts[:-1] if parts[-1] == "__init__" else parts
        if len(inner) > 1 and not any(part.startswith("_") for part in inner):
            names.add(".".join(inner))
    return names


def test_every_public_module_is_on_exactly_one_page(api):
    shown = Counter()
    for page in PAGES.glob("*.md"):
        shown.update(api.modules_of(ROOT, page.read_text(encoding="utf8")))
    assert [name for name, count in shown.items() if count > 1] == []
    # a package whose modules stand one by one on several pages has no page of its own
    without = {"icl_lib.models", "icl_lib.theory"}
    assert public_modules_on_disk() - set(shown) <= without
    assert set(shown) <= public_modules_on_disk()


def test_every_page_is_in_the_contents_and_on_the_overview(api):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
    chapters = [entry for part in toc["parts"] for entry in part["chapters"]]
    overview = next(entry for entry in chapters if entry["file"] == "book/reference/api")
    names = [f"api/{page.stem}" for page in PAGES.glob("*.md")]
    assert sorted(entry["file"] for entry in overview["sections"]) == sorted(
        f"book/reference/{name}" for name in names
    )
    text = PAGES.with_suffix(".md").read_text(encoding="utf8")
    assert sorted(api.SUMMARY.findall(text)) == sorted(names)
    assert [name for name in names if f"<{name}>`" not in text] == []


def test_a_package_with_a_star_stands_for_its_public_modules(api, project):
    text = "% modules: lib.part.* lib.tool"
    assert api.modules_of(project, text) == ["lib.part", "lib.part.a", "lib.part.b", "lib.tool"]
    assert api.modules_of(project, "% modules: lib.part\n% modules: lib.tool") == [
        "lib.part",
        "lib.tool",
    ]


@pytest.mark.parametrize("name", ["lib.absent", "lib.part.absent.*", "lib.tool.*"])
def test_a_list_may_name_only_what_is_there(api, project, name):
    with pytest.raises(ExtensionError, match="% modules: .*" + name.replace("*", r"\*")):
        api.modules_of(project, f"% modules: {name}")


def replaced(api, project, docname: str, text: str) -> tuple[str, list[str]]:
    seen = []
    env = SimpleNamespace(
        doc2path=lambda name: str(project / f"{name}.md"), note_dependency=seen.append
    )
    source = [text]
    api.fill_module_list(SimpleNamespace(srcdir=str(project), env=env), docname, source)
    return source[0], seen


def test_a_page_gets_an_autodoc_block_a_module(api, project):
    text, _ = replaced(api, project, "book/reference/api/all", "Before\n\n% modules: lib.part.*\n")
    package, *modules = text.split("## ")[1:]
    assert text.startswith("Before\n\n## `lib.part`\n\n```{eval-rst}\n.. automodule:: lib.part\n")
    assert ":members:" not in package, "what it imports is described in its modules"
    assert [":members:" in module for module in modules] == [True, True]
    untouched = "% modules: lib.tool\n"
    assert replaced(api, project, "book/intro", untouched)[0] == untouched


def test_the_overview_opens_each_module_with_its_first_line(api, project):
    text, read = replaced(api, project, "book/reference/api", "% summary: api/all\n")
    assert text.splitlines() == [
        r"- {py:mod}`lib.tool`: A tool: `x_1` times \*y\* in \<z>.",
        "- {py:mod}`lib.part`: A part.",
        "- {py:mod}`lib.part.a`: The first.",
        "- {py:mod}`lib.part.b`: ",
    ]
    names = {Path(file).relative_to(project).as_posix() for file in read}
    assert names == {
        "book/reference/api/all.md",
        "lib/tool.py",
        "lib/part/__init__.py",
        "lib/part/a.py",
        "lib/part/b.py",
    }


def test_the_control_that_folds_pages_away_gets_their_name(api):
    tree = (
        "<ul><li><a href='a.html'>The library <code>x</code></a>"
        "<details><summary><i></i></summary><ul><li><a href='b.html'>Tools</a></li></ul></details>"
        "</li><li><details><summary><p>Part</p></summary></details></li></ul>"
    )
    context = {"generate_toctree_html": lambda kind: BeautifulSoup(tree, "html.parser")}
    api.name_toggles(None, "a", "page.html", context, None)
    summaries = context["generate_toctree_html"]("sidebar").find_all("summary")
    assert [item.get("aria-label") for item in summaries] == ["Pages below The library x", None]
    api.name_toggles(None, "search", "search.html", {}, None)
