"""A chapter has the parts that DESIGN promises a reader, in cells that can be read."""

from __future__ import annotations

import ast
import re
import statistics
from collections import Counter
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).resolve().parents[2]
HARD_LIMIT, SOFT_LIMIT, MEDIAN_LIMIT = 30, 25, 12
WORDS = (1400, 3400)
PLOTS = {"panels", "plotting.panels"} | {
    f"plt.{name}" for name in ("subplots", "figure", "subplot_mosaic", "plot", "show", "imshow")
}
FENCE = r"^(?P<fence>`{3,}|:{3,})\{%s\}(?P<title>[^\n]*)\n(?P<body>.*?)^(?P=fence)[ ]*$"
HEADINGS = ("Exercises", "Takeaways", "Further reading")


def code_lines(cell) -> int:
    return len([line for line in cell.source.splitlines() if line.strip()])


def directives(text: str, name: str) -> list[re.Match]:
    return list(re.finditer(FENCE % name, text, flags=re.MULTILINE | re.DOTALL))


def label(match: re.Match) -> str:
    found = re.search(r"^:label:\s*(\S+)", match["body"], flags=re.MULTILINE)
    return found.group(1) if found else ""


def prose(text: str) -> str:
    """The words of a Markdown text, without formulas, directive options and addresses."""
    for pattern in (
        r"\$\$.*?\$\$",
        r"\\begin\{.*?\\end\{\w+\*?\}",
        r"\$[^$\n]+\$",
        r"^:[\w-]+:[^\n]*$",
        r"\]\([^)]*\)",
        r"^[`:]{3,}[^\n]*$",
    ):
        text = re.sub(pattern, " ", text, flags=re.MULTILINE | re.DOTALL)
    return text


def words(text: str) -> int:
    return len(re.findall(r"[A-Za-z][\w'’-]*", prose(text)))


def calls(source: str) -> list[ast.Call]:
    """The calls that running the cell makes, outside of functions that it only defines."""

    def inside(node):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            return
        if isinstance(node, ast.Call):
            yield node
        for child in ast.iter_child_nodes(node):
            yield from inside(child)

    return list(inside(ast.parse(TransformerManager().transform_cell(source))))


def plots(source: str) -> bool:
    """Whether running the cell opens a figure."""
    return any(ast.unparse(call.func) in PLOTS for call in calls(source))


def scrubbers(source: str) -> list[dict]:
    """The texts given to each figure with a slider; what is no plain text counts as missing."""
    return [
        {
            item.arg: item.value.value
            for item in call.keywords
            if isinstance(item.value, ast.Constant) and isinstance(item.value.value, str)
        }
        for call in calls(source)
        if ast.unparse(call.func).split(".")[-1] == "scrubber"
    ]


def figures(cell) -> list[tuple[str, str, str]]:
    """The description, caption and name of every figure of a code cell.

    The page numbers a figure by its cell's metadata, also one with a slider.
    """
    data = cell.metadata.get("mystnb", {})
    figure = data.get("figure", {})
    found = [
        (item.get("alt", ""), figure.get("caption", ""), figure.get("name", ""))
        for item in scrubbers(cell.source)
    ]
    if not found and ({"figure", "image"} & set(data) or plots(cell.source)):
        alt = data.get("image", {}).get("alt", "")
        found.append((alt, figure.get("caption", ""), figure.get("name", "")))
    return found


def test_plots_are_recognised():
    assert plots("fig, ax = plt.subplots()\nax.plot(x)")
    assert plots("%matplotlib inline\nfor _ in range(2):\n    plt.plot(x)")
    assert plots("fig, ax = panels(1)")
    assert not plots("import matplotlib.pyplot as plt\nplt.rcParams.update({})")
    assert not plots("def draw():\n    fig, ax = plt.subplots()\n    return ax")


def test_scrubbers_are_recognised():
    source = (
        'def f(i):\n    return plt.figure()\n\nscrubber(f, names, alt="a" "b", name=f"{x}", dpi=9)'
    )
    assert scrubbers(source) == [{"alt": "ab"}] and not plots(source)
    assert len(scrubbers("show(scrubber.scrubber(f, names))")) == 1
    source = "from icl_lib.teaching.scrubber import scrubber\ndef g():\n    scrubber(f)"
    assert scrubbers(source) == []


def test_words_leave_formulas_out():
    text = "The loss $L$ falls [here](x.md).\n\n$$\na = b\n$$\n\n```{note}\n:class: x\nOk\n```"
    assert words(text) == 5


def test_the_book_is_there(books, claims):
    assert [item.number for item in books if item.number != "00"][:16] == [
        f"{number:02}" for number in range(1, 17)
    ]
    assert len(claims) >= 100


def test_first_code_cell_prepares_colab(notebook, config):
    cell = notebook.code[0]
    assert {"remove-cell", "colab-setup"} <= set(cell.metadata.get("tags", []))
    address = (config.get("repository") or {}).get("url") or ""
    assert f'REPOSITORY = "{address}"' in cell.source.splitlines()
    assert "google.colab" in cell.source, "the cell must do nothing outside of Colab"


def test_last_code_cell_reports_the_run(notebook):
    cell = notebook.code[-1]
    assert "remove-cell" in cell.metadata.get("tags", [])
    assert f'run_report("{notebook.number}")' in cell.source


def test_code_cells_are_short(notebook):
    shown = [c for c in notebook.code if "hide-input" not in c.metadata.get("tags", [])]
    lengths = {cell.id: code_lines(cell) for cell in shown}
    assert {name: n for name, n in lengths.items() if n > HARD_LIMIT} == {}
    long = {name: n for name, n in lengths.items() if n > SOFT_LIMIT}
    assert len(long) <= 1, f"more than one cell above {SOFT_LIMIT} lines: {long}"
    assert statistics.median(lengths.values()) <= MEDIAN_LIMIT


def test_code_lines_fit_the_page(notebook):
    """84 characters: what the column holds at 1280 px (tests/site measures it)."""
    wide = [
        f"{cell.id}: {line}"
        for cell in notebook.code
        for line in cell.source.splitlines()
        if len(line) > 84
    ]
    assert wide == []


def test_plotting_code_is_folded(notebook):
    """The reader sees the figure; its code opens on demand, and hides nothing that is argued."""
    for cell in notebook.code:
        tags, shown = cell.metadata.get("tags", []), cell.metadata.get("mystnb", {})
        if not figures(cell) and not re.search(r"^(scrubber|def draw)\(", cell.source, re.M):
            assert shown.get("code_prompt_show") is None, cell.id
            continue
        assert "hide-input" in tags, f"{cell.id}: a figure's code is not folded"
        assert shown["code_prompt_show"] == "Show plotting code", cell.id
        assert not re.search(r"\b(claim|check|train)\(", cell.source), f"{cell.id}: hides more"


def test_an_opened_notebook_hides_answers(notebook):
    """JupyterLab collapses a cell whose source is hidden; the solution stands below its starter."""
    for cell in notebook.node.cells:
        if {"solution", "teacher"} & set(cell.metadata.get("tags", [])):
            assert cell.metadata.get("jupyter", {}).get("source_hidden") is True, cell.id


def test_every_figure_is_described(notebook):
    alts = []
    for cell in notebook.code:
        for alt, caption, name in figures(cell):
            assert 20 <= len(alt) <= 300, f"{cell.id}: alt of {len(alt)} characters: {alt!r}"
            assert len(caption) >= 10, f"{cell.id}: no caption"
            assert re.fullmatch(r"fig-[\w-]+", name), f"{cell.id}: no fig-name"
            alts.append(alt)
    assert len(alts) == len(set(alts)), "two figures with one description"


def test_figure_names_are_unique_in_the_book(books):
    names = Counter(name for item in books for cell in item.code for _, _, name in figures(cell))
    assert [name for name, count in names.items() if count > 1] == []


def test_chapters_have_figures(chapter):
    assert [figure for cell in chapter.code for figure in figures(cell)]


def test_title_and_headings(notebook):
    titles = re.findall(r"^# (.+)$", notebook.markdown, flags=re.MULTILINE)
    assert len(titles) == 1
    assert re.match(r"(\([\w-]+\)=\n)?# ", notebook.node.cells[0].source)
    headings = re.findall(r"^## (.+)$", notebook.markdown, flags=re.MULTILINE)
    assert [name for name in HEADINGS if name not in headings] == []


def test_card(notebook):
    """Near the top: what you will be able to do, what you need, how long it takes."""
    top = "\n".join(cell.source for cell in notebook.node.cells[:4])
    assert re.search(r"\{(card|admonition|grid|note)\}", top), "no card in the first four cells"
    assert "chapter-card" in top
    assert re.search(r"\d+ minutes", top)
    assert re.search(r"\d+ seconds", top)
    assert re.search(r"you will", top, flags=re.IGNORECASE)
    assert re.search(r"\*\*before", top, flags=re.IGNORECASE)


def test_length_of_the_text(chapter):
    count = words(chapter.markdown)
    assert WORDS[0] <= count <= WORDS[1], f"{count} words"


def test_exercises(chapter):
    def exercises(text):
        return directives(text, "exercise") + directives(text, "exercise-start")

    found = exercises(chapter.markdown)
    at_the_end = exercises(chapter.markdown.split("\n## Exercises\n")[1])
    assert 4 <= len(at_the_end) <= 6, f"{len(at_the_end)} exercises at the end"
    assert len(found) - len(at_the_end) <= 4, "more than four exercises in the text"
    labels = [label(item) for item in found]
    assert all(re.fullmatch(rf"ex-{chapter.number}-[\w-]+", name) for name in labels), labels
    assert len(labels) == len(set(labels))
    timeless = [label(item) for item in found if not re.search(r"\d+\s*min", item.group())]
    assert timeless == [], "an exercise says how many minutes it takes"


def test_every_exercise_has_a_solution_and_a_hint(chapter):
    text = chapter.markdown
    labels = re.findall(rf"^:label:\s*(ex-{chapter.number}-\S+)", text, flags=re.MULTILINE)
    solved = re.findall(r"\{solution(?:-start)?\}\s*(\S+)", text)
    assert set(solved) <= set(labels)
    in_code = [cell for cell in chapter.tagged("solution") if cell.cell_type == "code"]
    unsolved = set(labels) - set(solved)
    assert len(unsolved) <= len(in_code), unsolved
    assert len(re.findall(r"\bhint\b", text, flags=re.IGNORECASE)) >= len(labels)


def test_one_code_exercise_has_starter_check_and_solution(chapter):
    for tag in ("starter", "check", "solution"):
        cells = [cell for cell in chapter.tagged(tag) if cell.cell_type == "code"]
        assert cells, f"no code cell is tagged {tag!r}"
    name = re.compile(rf'check\("{chapter.number}-[\w-]+", \w+\)')
    assert all(name.search(cell.source) for cell in chapter.tagged("check"))
    assert any(name.search(cell.source) for cell in chapter.tagged("solution"))


def test_claims_are_made(chapter):
    calls = [cell for cell in chapter.code if re.search(r"\bclaim\(", cell.source)]
    assert calls


def test_contents_list_exactly_the_notebooks_on_disk(toc, books):
    """In the order of their numbers, each once; the template is no part of the book."""
    listed = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    on_disk = [item.name for item in books if item.name != "book/template"]
    assert [name for name in listed if name in on_disk] == sorted(on_disk)
    texts = [name for name in listed if name not in on_disk]
    assert [name for name in texts if not (ROOT / f"{name}.md").is_file()] == []
