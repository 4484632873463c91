"""One sentence a line: the formatter changes the lines and nothing that a reader sees."""

from __future__ import annotations

import re

import book_prose
import nbformat
import pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

PAGES = book_prose.pages()
MARKDOWN = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)
FENCES = re.compile(r"^\s*(:{3,}|`{3,})(\{(?!math|code)[^\n]*)?$", re.MULTILINE)


def shown(text: str) -> str:
    """What Markdown makes of the text, directives opened, without its line ends."""
    return re.sub(r"\s+", " ", MARKDOWN.render(FENCES.sub("", text)))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_page_is_in_order(path):
    text, wanted = book_prose.in_order(path)
    assert text == wanted, "make fmt puts it in order"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_joined_and_put_in_order_again_look_the_same(path):
    """All sentences of a paragraph on one line, as an editor that reflows leaves them."""
    texts = [path.read_text(encoding="utf8")]
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    for text in texts:
        joined = re.sub(r"(?<=[a-z][.!?])\n(?=[A-Z][a-z])", " ", text)
        again = book_prose.one_sentence_a_line(joined)
        assert shown(again) == shown(text) == shown(joined)
        assert book_prose.one_sentence_a_line(again) == again


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("One. Two.", ["One.", "Two."]),
        ("- One. Two\n  goes on. Three.", ["- One.", "  Two goes on.", "  Three."]),
        ("One goes\non\n- Two\n  goes.\n\nThree.", ["One goes on", "- Two goes.", "", "Three."]),
        ("10. One. *Two*.", ["10. One.", "    *Two*."]),
        ("> One. Two.", ["> One.", "> Two."]),
        ('He said "stop." Then (eq. 3) came.', ['He said "stop."', "Then (eq. 3) came."]),
    ],
)
def test_sentences(text, wanted):
    assert book_prose.one_sentence_a_line(text).split("\n") == wanted


@pytest.mark.parametrize(
    "text",
    [
        "Garg et al. This stays, and so does e.g. A or Fig. A.",
        "The formula $a. B$ and `code. More` and [a link. So](x. Y).",
        "$$\na. B\n$$",
        "```python\nx = 1. # One. Two.\n```",
        "```{math}\na. B\n```",
        "# A title. With two sentences.",
        "| a. B | c |",
        "term\n  Its definition",
        "```{glossary}\nterm\nother term\n  One. Two.\n```",
        "A break\\\nand a line",
        "A list follows. - It must not begin here",
        "A number follows. 12 is no word.",
    ],
)
def test_what_stays(text):
    assert book_prose.one_sentence_a_line(text) == text


def test_prose_inside_a_directive_is_prose():
    text = ":::{note}\nOne. Two.\n:::\n````{exercise}\n```python\na. B\n```\nOne. Two.\n````"
    assert book_prose.one_sentence_a_line(text).count("One.\nTwo.") == 2
    assert "a. B" in book_prose.one_sentence_a_line(text)


def test_the_check_names_the_page(tmp_path, monkeypatch, capsys):
    page = tmp_path / "book" / "page.md"
    page.parent.mkdir()
    page.write_text("One. Two.\n", encoding="utf8")
    monkeypatch.setattr(book_prose, "ROOT", tmp_path)
    monkeypatch.setattr(book_prose, "pages", lambda: [page])
    assert book_prose.main(["--check"]) == 1 and "book/page.md: not one" in capsys.readouterr().out
    assert page.read_text(encoding="utf8") == "One. Two.\n"
    assert book_prose.main([]) == 0 and page.read_text(encoding="utf8") == "One.\nTwo.\n"
    assert book_prose.main(["--check"]) == 0


def test_commands_in_a_fence_without_a_language_keep_their_lines():
    page = "Do this:\n\n```\nmake book  # first\nmake test  # then\n```\n"
    assert book_prose.one_sentence_a_line(page) == page
