"""Small tables of results: a row a model, a column a quantity; more readable than printed lines."""

from __future__ import annotations

import html
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from icl_lib import _checks

CELL = Real | str | None


class Table:
    """A table as HTML for a page and as aligned text for a console."""

    def __init__(self, columns: list[str], rows: list[list[str]]):
        self.columns, self.rows = columns, rows

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in self.columns)
        body = "".join(
            f'<tr><th scope="row">{html.escape(first)}</th>'
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in rest)
            + "</tr>\n"
            for first, *rest in self.rows
        )
        return (
            f'<table class="dataframe icl-results"><thead><tr>{head}</tr></thead>\n'
            f"<tbody>{body}</tbody></table>"
        )

    def __repr__(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]).rstrip()
            for first, *rest in lines
        )


def table(
    columns: Sequence[str], rows: Sequence[Sequence[CELL]], *, digits: int | Sequence[int] = 3
) -> Table:
    """Return a table that a notebook shows when it stands last in a cell.

    The first entry of a row names it. Numbers get ``digits`` decimals (one for all columns, or
    one for each after the first), whole numbers none; texts stay; None is an empty cell.

    Raises
    ------
    ValueError
        If a row has another length than ``columns``, an entry is no number, text or None, or
        ``digits`` is not one whole number from 0 to 12 or one for each column after the first.

    Examples
    --------
    >>> table(["layers", "loss", "seeds"], [["one", 0.89442, 5], ["two", 0.43, 3]])
    layers   loss  seeds
    one     0.894      5
    two     0.430      3
    """
    columns = _checks.texts("columns", columns)
    if not columns:
        raise ValueError("columns must name at least one column, got none")
    decimals = [digits] * (len(columns) - 1) if isinstance(digits, int) else list(digits)
    if len(decimals) != len(columns) - 1 or not all(_is_count(number) for number in decimals):
        raise ValueError(
            f"digits must be a whole number from 0 to 12, or {len(columns) - 1} of them, "
            f"got {digits!r}"
        )
    written = []
    for row in rows:
        if isinstance(row, str) or len(row) != len(columns):
            raise ValueError(f"rows must have {len(columns)} entries each, got {row!r}")
        written.append(
            [_written(cell, number) for cell, number in zip(row, [0, *decimals], strict=True)]
        )
    return Table(columns, written)


def _is_count(number) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= 12


def _written(cell: CELL, digits: int) -> str:
    if cell is None or isinstance(cell, str):
        return cell or ""
    value: Any = cell
    if getattr(value, "ndim", None) == 0:  # of numpy or torch
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"rows must hold numbers, texts or None, got {_checks.shown(cell)}")
    return str(value) if isinstance(value, Integral) else f"{value:.{digits}f}"
