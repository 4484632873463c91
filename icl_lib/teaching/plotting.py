"""One look for every figure: colour-blind-safe and legible in dark mode; functions return axes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.rcsetup import cycler
from matplotlib.ticker import MaxNLocator

from icl_lib import _checks

# Okabe and Ito's palette; yellow is left out, it vanishes on white.
COLOURS = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "blue": "#0072B2",
    "red": "#D55E00",
    "pink": "#CC79A7",
    "grey": "#767676",
}
CYCLE = [COLOURS[name] for name in ("blue", "red", "green", "orange", "pink", "sky", "black")]
DASHES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), "-"]


def use_style() -> None:
    """Set the book's style: white ground, open axes, lines that differ in colour and dash.

    In a notebook pictures get two pixels for each of the page, so that sharp screens show them
    sharp.
    """
    mpl.rcParams.update(
        {
            "figure.figsize": (6.0, 3.7),
            "figure.dpi": 96,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#E0E0E0",
            "grid.linewidth": 0.6,
            "legend.frameon": True,  # a ground without an edge: no line runs through the words
            "legend.edgecolor": "none",
            "legend.framealpha": 0.85,
            "legend.fontsize": 9.5,
            "lines.linewidth": 1.8,
            "image.cmap": "cividis",
            "axes.prop_cycle": cycler(color=CYCLE) + cycler(linestyle=DASHES),
        }
    )
    if "inline" in mpl.get_backend():
        shell = sys.modules["IPython"].get_ipython()
        shell.run_line_magic("config", "InlineBackend.figure_format = 'retina'")


def panels(columns: int, rows: int = 1, *, height: float = 3.4, width: float | None = None):
    """Return (figure, axes) with ``columns`` x ``rows`` panels at the book's width.

    ``height`` is the height of one row and ``width`` that of the figure, both in inches.

    Raises
    ------
    ValueError
        If an argument is not a number above 0, or ``columns`` or ``rows`` not a whole one.
    """
    columns = _checks.positive_int("columns", columns)
    rows, height = _checks.positive_int("rows", rows), _checks.positive("height", height)
    width = None if width is None else _checks.positive("width", width)
    width = (6.0 if columns == 1 else 8.6) if width is None else width
    return plt.subplots(rows, columns, figsize=(width, height * rows))


def curve_with_band(ax: Axes, x, samples, label: str, colour: str, linestyle="-") -> Axes:
    """Draw the mean over axis 0 of ``samples`` (seeds, len(x)) and the range over seeds.

    Raises
    ------
    ValueError
        If ``samples`` is not of shape (seeds, len(x)) or not finite, ``colour`` is not a name in
        ``COLOURS``, or ``linestyle`` is unknown to matplotlib.
    """
    length, samples = len(_checks.finite_array("x", x, 1)), _checks.finite_array("samples", samples)
    if samples.ndim != 2 or samples.shape[1] != length or not len(samples):
        raise ValueError(f"samples must have shape (seeds, {length}), got {samples.shape}")
    if _checks.text("colour", colour) not in COLOURS:
        raise ValueError(f"colour must be one of {list(COLOURS)}, got {colour!r}")
    shade, label = COLOURS[colour], _checks.text("label", label)
    _check_linestyle(linestyle)
    ax.plot(x, samples.mean(0), color=shade, linestyle=linestyle, label=label)
    ax.fill_between(x, samples.min(0), samples.max(0), color=shade, alpha=0.2, linewidth=0)
    return ax


def reference_line(ax: Axes, y: float, text: str, *, right: bool = True) -> Axes:
    """Draw a thin horizontal line at ``y`` with its name written on it.

    Raises
    ------
    ValueError
        If ``y`` is not one finite number or ``text`` no string.
    """
    y = float(_checks.finite_array("y", y, ndim=0))
    text, right = _checks.text("text", text), _checks.flag("right", right)
    ax.axhline(y, color=COLOURS["grey"], linewidth=1.0, linestyle=(0, (4, 2)))
    ax.annotate(
        text,
        xy=(0.99 if right else 0.01, y),
        xycoords=("axes fraction", "data"),
        ha="right" if right else "left",
        va="bottom",
        fontsize=9,
        color="#505050",
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
        zorder=3,  # above the curves, as a legend
    )
    return ax


def matrix(ax: Axes, values, *, title: str = "", limit: float | None = None) -> Axes:
    """Draw a matrix (rows, columns) in blue and red around zero, with a colour bar.

    Raises
    ------
    ValueError
        If ``values`` is not a finite matrix, ``limit`` is negative or ``title`` no string.
    """
    values = _checks.finite_array("values", values, ndim=2)
    if not values.size:
        raise ValueError(f"values must have entries, got shape {values.shape}")
    limit = float(np.abs(values).max()) if limit is None else _checks.nonnegative("limit", limit)
    title = _checks.text("title", title)
    image = ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set_title(title, fontsize=10.5)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, ticks=MaxNLocator(4, steps=[1, 2, 5, 10]))
    return ax


def bars(ax: Axes, names: Sequence[str], series: dict[str, Sequence[float]]) -> Axes:
    """Draw grouped bars: one group a name, one bar a series (at most seven).

    Raises
    ------
    ValueError
        If ``names`` is not a list of strings, or ``series`` does not give each a finite number.
    """
    names = _checks.texts("names", names)
    if not isinstance(series, dict) or not 1 <= len(series) <= len(CYCLE):
        raise ValueError(
            f"series must be a dictionary of 1 to {len(CYCLE)} rows, got {_checks.shown(series)}"
        )
    for heights in series.values():
        if len(_checks.finite_array("series", heights, ndim=1)) != len(names):
            raise ValueError(f"series must hold {len(names)} numbers each, got {len(heights)}")
    _checks.texts("series", series)
    width = 0.8 / len(series)
    for index, (label, heights) in enumerate(series.items()):
        offset = (index - (len(series) - 1) / 2) * width
        ax.bar(np.arange(len(names)) + offset, heights, width, label=label, color=CYCLE[index])
    ax.set_xticks(np.arange(len(names)), names)
    return ax


def _check_linestyle(linestyle) -> None:
    try:
        Line2D([], [], linestyle=linestyle)
    except (TypeError, ValueError) as error:
        raise ValueError(f"linestyle must be one that matplotlib knows: {error}") from error
