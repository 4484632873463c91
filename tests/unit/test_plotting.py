"""Figures: axes in, axes out, and colours that a colour-blind reader can tell apart."""

from __future__ import annotations

from itertools import combinations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from icl_lib.teaching import plotting

pytestmark = pytest.mark.usefixtures("clean")

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


@pytest.fixture
def ax():
    return mpl.figure.Figure().subplots()  # outside pyplot


def linear_rgb(colour):
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(linear):
    """CIELAB coordinates (D65) of a linear sRGB colour."""
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = to_xyz @ np.clip(linear, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_can_be_told_apart(sight):
    """A distance of 2.3 in CIELAB is just visible; lines want several times that."""
    seen = {name: lab(SIGHT[sight] @ linear_rgb(c)) for name, c in plotting.COLOURS.items()}
    for a, b in combinations(seen, 2):
        limit = 10 if "grey" in (a, b) else 15  # grey marks reference lines, which are dashed too
        assert np.linalg.norm(seen[a] - seen[b]) > limit, (a, b)
    for name, colour in seen.items():
        assert np.linalg.norm(colour - [100, 0, 0]) > 30, f"{name} vanishes on white"


def test_the_measure_of_distance():
    white, red = lab(np.ones(3)), lab(linear_rgb("#FF0000"))
    assert white == pytest.approx([100, 0, 0], abs=0.01)
    assert red == pytest.approx([53.24, 80.09, 67.20], abs=0.05)  # published values of sRGB red


def test_lines_differ_in_dash_too():
    assert len(plotting.CYCLE) == len(plotting.DASHES) == len(set(plotting.CYCLE))
    assert set(plotting.CYCLE) <= set(plotting.COLOURS.values())
    plotting.use_style()
    ax = plt.figure().add_subplot()
    lines = [ax.plot([0, 1])[0] for _ in plotting.CYCLE]
    looks = {(line.get_color(), str(line.get_linestyle())) for line in lines}
    assert len(looks) == len(lines)


def test_use_style_changes_settings_only():
    plotting.use_style()
    assert plt.get_fignums() == []
    assert mpl.rcParams["figure.facecolor"] == "white" == mpl.rcParams["savefig.facecolor"]
    assert mpl.rcParams["image.cmap"] == "cividis"
    plotting.use_style()  # twice is fine


class TestPanels:
    def test_shapes_and_sizes(self):
        figure, ax = plotting.panels(1)
        assert tuple(figure.get_size_inches()) == pytest.approx((6.0, 3.4))
        assert hasattr(ax, "plot")
        figure, axes = plotting.panels(3)
        assert axes.shape == (3,) and figure.get_size_inches()[0] == pytest.approx(8.6)
        figure, axes = plotting.panels(2, 2, height=2.0, width=5.0)
        assert axes.shape == (2, 2)
        assert tuple(figure.get_size_inches()) == pytest.approx((5.0, 4.0))

    def test_one_figure_a_call(self):
        plotting.panels(2)
        assert len(plt.get_fignums()) == 1


class TestCurveWithBand:
    def test_mean_and_range(self, ax):
        samples = np.array([[1.0, 5.0, 3.0], [3.0, 1.0, 3.0], [2.0, 3.0, 9.0]])
        got = plotting.curve_with_band(ax, [10, 20, 30], samples, "GPT", "red", linestyle="--")
        assert got is ax
        (line,) = ax.get_lines()
        assert line.get_xdata().tolist() == [10, 20, 30]
        assert line.get_ydata().tolist() == [2.0, 3.0, 5.0]
        assert line.get_color() == plotting.COLOURS["red"] and line.get_linestyle() == "--"
        assert [t.get_text() for t in ax.legend().get_texts()] == ["GPT"]
        (band,) = ax.collections
        x, y = band.get_paths()[0].vertices.T
        for position, low, high in [(10, 1.0, 3.0), (20, 1.0, 5.0), (30, 3.0, 9.0)]:
            assert (y[x == position].min(), y[x == position].max()) == (low, high)

    @pytest.mark.parametrize("samples", [np.ones(3), np.ones((2, 4)), np.ones((1, 2, 3))])
    def test_bad_samples(self, ax, samples):
        with pytest.raises(ValueError, match=r"samples must have shape \(seeds, 3\), got"):
            plotting.curve_with_band(ax, [1, 2, 3], samples, "GPT", "red")

    def test_unknown_colour(self, ax):
        with pytest.raises(ValueError, match="colour must be one of .*'blue'.*, got 'mauve'"):
            plotting.curve_with_band(ax, [1], [[1.0]], "GPT", "mauve")


@pytest.mark.parametrize(("right", "side"), [(True, "right"), (False, "left")])
def test_reference_line(ax, right, side):
    assert plotting.reference_line(ax, 0.25, "limit", right=right) is ax
    (line,), (text,) = ax.get_lines(), ax.texts
    assert set(line.get_ydata()) == {0.25}
    assert text.get_text() == "limit" and text.get_ha() == side and text.xy[1] == 0.25


class TestMatrix:
    def test_colours_are_centred_on_zero(self, ax):
        assert plotting.matrix(ax, [[1.0, -4.0], [0.0, 2.0]], title="A") is ax
        (image,) = ax.get_images()
        assert image.get_clim() == (-4.0, 4.0)
        assert image.get_array().tolist() == [[1.0, -4.0], [0.0, 2.0]]
        assert ax.get_title() == "A" and len(ax.figure.axes) == 2  # with its colour bar
        white = image.cmap(image.norm(0.0))
        assert min(white[:3]) > 0.95

    def test_given_limit(self, ax):
        plotting.matrix(ax, np.eye(2), limit=3.0)
        assert ax.get_images()[0].get_clim() == (-3.0, 3.0)

    def test_zeros_are_white_without_a_warning(self, ax, recwarn):
        plotting.matrix(ax, np.zeros((2, 2)))
        ax.figure.canvas.draw()
        assert ax.get_images()[0].get_clim() != (0.0, 0.0)
        assert not recwarn.list


def test_bars(ax):
    series = {"LSA": [1.0, 2.0], "GPT": [3.0, 4.0], "OLS": [5.0, 6.0]}
    assert plotting.bars(ax, ["a", "b"], series) is ax
    assert [bar.get_height() for bar in ax.patches] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches)
    assert all(b[0] >= a[1] - 1e-12 for a, b in zip(edges, edges[1:], strict=False))  # no overlap
    centres = np.mean([[left, right] for left, right in edges[:3]])
    assert centres == pytest.approx(0.0, abs=1e-12)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]
    assert [text.get_text() for text in ax.legend().get_texts()] == list(series)
    assert len({bar.get_facecolor() for bar in ax.patches}) == 3


def test_no_function_opens_a_figure(ax):
    plotting.use_style()
    plotting.curve_with_band(ax, [1, 2], [[1.0, 2.0]], "a", "blue")
    plotting.reference_line(ax, 1.0, "b")
    plotting.matrix(ax, np.eye(2))
    plotting.bars(ax, ["a"], {"b": [1.0]})
    ax.figure.canvas.draw()
    assert plt.get_fignums() == []
