"""One sentence a line in Markdown, so that a diff shows the sentence that changed.

``python book/_ext/book_prose.py`` puts pages and chapters in order (part of ``make fmt``), with
``--check`` it only names what is not (part of ``make lint``). What a page shows stays the same:
inside a paragraph Markdown reads a line's end as a space.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
END = re.compile(r"""(?<=[.!?])(?P<close>["')\]*_]*)\ +(?=[A-Z$`*\\({"\[])""", re.VERBOSE)
SHORT = r"e\.g|i\.e|et al|cf|vs|[Ee]qs?|Figs?|Sec|Def|Thm|Prop|No|[A-Z]"
ABBREVIATION = re.compile(rf"\b({SHORT})\.$")
ATOM = re.compile(r"\$[^$]+\$|`+[^`]+`+|\[[^\]]+\]\([^)]*\)")
FENCE = re.compile(r"^\s*(?P<mark>`{3,}|~{3,}|:{3,})\s*(?P<info>.*)$")
LITERAL = re.compile(
    r"\{(math|code-block|code|list-table|csv-table|glossary|bibliography|eval-rst|raw)\}"
)
# headings, tables, HTML, targets, comments, options of directives, rulers, front matter
WHOLE = re.compile(r"^\s*(#|\||<|\(\S+\)=|%|:[\w-]+:|-{3,}|\+{3,}|\[\^?[^\]]+\]:)")
LEAD = re.compile(r"^(?P<lead>\s*(?:>\s?)*(?:(?:[-*+]|\d+[.)])\s+|:\s+)*)")
BLOCK = re.compile(r"^([-*+>#|:]\s|\d+[.)]\s|\(\S+\)=|\[[^\]]+\]:|\$\$|```)")


def one_sentence_a_line(text: str) -> str:
    """Return Markdown ``text`` with a line's end after each sentence of a paragraph, only there.

    Code, display formulas, tables and headings stay as they are.

    >>> print(one_sentence_a_line("See eq. (3). It is $a.\\ B$. *So* what?"))
    See eq. (3).
    It is $a.\\ B$.
    *So* what?
    """
    out, paragraph, literal, formula = [], "", None, False
    directives: list[str] = []  # the fences of open ones, whose content is prose
    for line in text.split("\n"):
        fence = FENCE.match(line)
        prose = not (literal or fence or formula or "$$" in line or WHOLE.match(line))
        if prose and goes_on(paragraph, line):
            paragraph += f" {line.strip()}"
            continue
        out += sentences(paragraph) if paragraph else []
        paragraph = line if prose and line.strip() else ""
        if paragraph:
            continue
        out.append(line)
        if literal:
            literal = None if fence and fence["mark"] == literal and not fence["info"] else literal
        elif fence and not fence["info"] and directives[-1:] == [fence["mark"]]:
            directives.pop()
        elif fence and is_literal(fence["info"]):
            literal = fence["mark"]
        elif fence:
            directives.append(fence["mark"])
        else:
            formula ^= line.count("$$") % 2 == 1
    return "\n".join(out + (sentences(paragraph) if paragraph else []))


def goes_on(paragraph: str, line: str) -> bool:
    """Whether ``line`` continues the paragraph: indented as it is, no list item of its own."""
    lead, own = lead_of(paragraph), lead_of(line)
    broken = paragraph.endswith(("  ", "\\"))
    return bool(paragraph and line.strip()) and not broken and following(lead) == own


def lead_of(line: str) -> str:
    """What stands before a line's text: indentation, marks of quotations and list items."""
    found = LEAD.match(line)
    return found["lead"] if found else ""


def following(lead: str) -> str:
    """What stands before the later lines of a paragraph that begins with ``lead``."""
    return re.sub(r"[^>\s]", " ", lead)


def is_literal(info: str) -> bool:
    """Whether a fence opens code, or a directive whose content is not prose."""
    return not info.startswith("{") or bool(LITERAL.match(info))


def sentences(line: str) -> list[str]:
    """A paragraph as its sentences; those after the first continue the list item."""
    lead = lead_of(line)
    rest = line[len(lead) :]
    masked = ATOM.sub(lambda atom: atom[0][0] + "x" * (len(atom[0]) - 1), rest)
    parts, start = [], 0
    for end in END.finditer(masked):
        before = masked[: end.start()] + end["close"]
        if ABBREVIATION.search(masked[: end.start()]) or BLOCK.match(rest[end.end() :]):
            continue
        parts.append(rest[start : len(before)])
        start = end.end()
    parts.append(rest[start:])
    return [lead + parts[0], *(following(lead) + part for part in parts[1:])]


def pages(root: Path = ROOT) -> list[Path]:
    """Every Markdown page and every notebook of the book."""
    return sorted([*(root / "book").rglob("*.md"), *(root / "book").rglob("*.ipynb")])


def in_order(path: Path) -> tuple[str, str]:
    """The file's text, and what it should be."""
    text = path.read_text(encoding="utf8")
    if path.suffix == ".md":
        return text, one_sentence_a_line(text)
    notebook = nbformat.reads(text, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = one_sentence_a_line(cell.source)
    return text, nbformat.writes(notebook).rstrip("\n") + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing, name what would be")
    check = parser.parse_args(arguments).check
    changed = 0
    for path in pages():
        text, wanted = in_order(path)
        if text == wanted:
            continue
        changed += 1
        print(f"{path.relative_to(ROOT)}: {'not ' if check else ''}one sentence a line")
        if not check:
            path.write_text(wanted, encoding="utf8")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
