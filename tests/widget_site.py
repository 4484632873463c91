"""A small site with the chapters' questions and explorables, built without the book's chapters.

``python tests/widget_site.py FOLDER`` builds it to be looked at.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
STATIC = ROOT / "book" / "_static"
EXTENSIONS = ["myst_parser", "sphinx.ext.mathjax", "book_widgets"]


def build(folder: Path, pages: dict[str, str], questions: dict[str, str]) -> Path:
    """Build ``pages`` (name -> Markdown) with ``questions`` (file stem -> YAML); the HTML folder.

    Raises what Sphinx raises; a warning counts as an error.
    """
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    source = folder / "source"
    for name, text in pages.items():
        write(source / f"{name}.md", f"---\norphan: true\n---\n{text}")
    for stem, text in questions.items():
        write(source / "book" / "questions" / f"{stem}.yml", text)
    for part in ("explorables", "_static/explorables"):  # where a page looks for their files
        shutil.copytree(ROOT / "book" / part, source / "book" / part, dirs_exist_ok=True)
    warnings = io.StringIO()
    with docutils_namespace(), patch_docutils():
        app = Sphinx(
            str(source),
            None,
            str(folder / "html"),
            str(folder / "doctrees"),
            "html",
            confoverrides=settings(next(iter(pages))),
            status=None,
            warning=warnings,
        )
        app.build()
    if said := warnings.getvalue().strip():
        raise AssertionError(said)
    return folder / "html"


def settings(root: str) -> dict:
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
    sphinx = config["sphinx"]["config"]
    return {
        "extensions": EXTENSIONS,
        "root_doc": root,
        "project": "Widgets",
        "language": "en",
        "myst_enable_extensions": config["parse"]["myst_enable_extensions"],
        "html_theme": "sphinx_book_theme",
        "html_static_path": [str(STATIC)],
        **{name: sphinx[name] for name in ("mathjax_path", "mathjax3_config")},
        **{name: sphinx[name] for name in ("html_css_files", "html_js_files", "html_context")},
    }


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf8")


def ask(name: str, prompt: str) -> str:
    """The admonition with which a chapter asks a question."""
    return (
        f"```{{admonition}} Predict, then reveal\n:class: choice\n:name: {name}\n\n{prompt}\n```\n"
    )


def explore(name: str, title: str = "Explore: a title", caption: str = "How $N$ matters.") -> str:
    """The admonition with which a chapter shows an explorable."""
    return f"```{{admonition}} {title}\n:class: explorable\n:name: {name}\n\n{caption}\n```\n"


def questions_of_the_book() -> dict[str, str]:
    files = sorted((ROOT / "book" / "questions").glob("*.yml"))
    return {path.stem: path.read_text(encoding="utf8") for path in files}


def question_pages() -> dict[str, str]:
    """One page a chapter with all its questions, and one that has none."""
    pages = {"index": "# Widgets\n\nNothing here.\n"}
    for stem, text in questions_of_the_book().items():
        asked = [ask(item["id"], item["prompt"]) for item in yaml.safe_load(text)["questions"]]
        pages[f"book/{stem}"] = f"# {stem}\n\n" + "\n".join(asked)
    return pages


def explorable_page() -> dict[str, str]:
    """One page with every explorable."""
    scripts = sorted((STATIC / "explorables").glob("*.js"))
    shown = [explore(path.stem) for path in scripts if path.stem != "shared"]
    return {"explorables": "# Explorables\n\n" + "\n".join(shown)}


def build_all(folder: Path) -> Path:
    """The whole small site below ``folder``."""
    return build(folder, question_pages() | explorable_page(), questions_of_the_book())


if __name__ == "__main__":
    print(build_all(Path(sys.argv[1])))
