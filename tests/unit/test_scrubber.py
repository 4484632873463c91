"""Figures with a slider: what the HTML says, that nothing escapes from it, and what is refused."""

from __future__ import annotations

import base64
import io
import json
from html.parser import HTMLParser

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from icl_lib.teaching import scrubber as module
from icl_lib.teaching.scrubber import Scrubber, scrubber

pytestmark = pytest.mark.usefixtures("clean")

ALT = "A bar that grows from left to right"
NASTY = "</script><b>&\"'<!-- $name {x}"


class Parsed(HTMLParser):
    """The tags in order, each with its attributes, and the text inside each kind of tag."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.text, self.open = [], {}, []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.text.setdefault(self.open[-1], []).append(data)

    def only(self, tag: str) -> dict:
        (found,) = [attrs for name, attrs in self.tags if name == tag]
        return found

    @property
    def data(self) -> dict:
        return json.loads(self.text["script"][0])


def draw(index: int):
    figure, ax = plt.subplots(figsize=(3, 2))
    ax.barh([0], [index + 1], color="#0072B2")
    ax.set_xlim(0, 4)
    return figure


def make(count: int = 3, **changes) -> Scrubber:
    arguments = {
        "draw": draw,
        "labels": [f"step {i}" for i in range(count)],
        "alt": ALT,
        "caption": "The bar grows.",
        "name": "fig-bar",
    }
    return scrubber(**(arguments | changes))


def frames_of(page: str) -> list[bytes]:
    return [base64.b64decode(frame) for frame in Parsed(page).data["frames"]]


def chunks(png: bytes) -> set[bytes]:
    """The kinds of chunks in a PNG."""
    kinds, at = set(), 8
    while at < len(png):
        kinds.add(png[at + 4 : at + 8])
        at += 12 + int.from_bytes(png[at : at + 4], "big")
    return kinds


class TestStructure:
    def test_tags(self):
        parsed = Parsed(make().page)
        assert [tag for tag, _ in parsed.tags] == [
            *("figure", "img", "div", "label", "output", "input", "script", "script"),
            "figcaption",
        ]
        assert parsed.open == []
        assert parsed.only("figure")["class"] == "icl-scrubber"
        assert parsed.text["figcaption"] == ["The bar grows."]

    def test_the_first_frame_is_an_ordinary_picture(self):
        parsed = Parsed(make().page)
        image, data = parsed.only("img"), parsed.data
        assert image["src"] == "data:image/png;base64," + data["frames"][0]
        assert image["alt"] == ALT + ": step 0"
        assert (image["width"], image["height"]) == (
            "240",
            "160",
        )  # 3 x 2 inches at 80; twice as sharp
        assert "hidden" in parsed.only("div")  # until the script runs

    def test_slider(self):
        parsed = Parsed(make(4, start=2).page)
        slider = parsed.only("input")
        got = {key: slider[key] for key in ("type", "min", "max", "step", "value")}
        assert got == {"type": "range", "min": "0", "max": "3", "step": "1", "value": "2"}
        assert slider["aria-valuetext"] == "step 2"
        assert parsed.text["output"] == ["step 2"]
        assert parsed.only("img")["alt"].endswith(": step 2")
        assert parsed.only("img")["src"].endswith(parsed.data["frames"][2])
        assert parsed.text["label"][0].strip()
        assert parsed.only("label")["for"] == slider["id"] == parsed.only("output")["for"]
        assert slider["aria-describedby"] == parsed.only("figcaption")["id"]

    def test_ids_come_from_the_name(self):
        ids = [attrs["id"] for _, attrs in Parsed(make(name="fig-a_1").page).tags if "id" in attrs]
        assert ids == ["fig-a_1", "fig-a_1-range", "fig-a_1-caption"]

    def test_without_a_caption(self):
        parsed = Parsed(make(caption="").page)
        assert "figcaption" not in [tag for tag, _ in parsed.tags]
        assert "aria-describedby" not in parsed.only("input")

    def test_the_notebook_sees_html_and_text(self):
        shown = make()
        assert shown._repr_mimebundle_() == {"text/html": shown.page, "text/plain": ALT}

    def test_nothing_is_fetched(self):
        page = make().page
        assert not any(mark in page for mark in ("http:", "https:", "//cdn", "import("))
        assert [a for tag, a in Parsed(page).tags if tag == "script" and "src" in a] == []


class TestFrames:
    def test_they_show_what_was_drawn(self):
        for index, frame in enumerate(frames_of(make(4).page)):
            image = Image.open(io.BytesIO(frame))
            assert image.mode == "P" and image.size == (480, 320)
            assert chunks(frame) <= {b"IHDR", b"PLTE", b"IDAT", b"IEND"}  # no dates, no software
            pixels = np.asarray(image.convert("RGB")).astype(int)
            drawn = np.abs(pixels - [0x00, 0x72, 0xB2]).max(2) <= 3
            assert tuple(pixels[0, 0]) == (255, 255, 255)  # white stays white
            width = drawn.any(0).sum()
            assert width == pytest.approx((index + 1) / 4 * 0.775 * 480, abs=6)

    def test_many_colours_stay_close(self):
        def rainbow(index):
            figure = plt.figure(figsize=(3, 2))
            ax = figure.add_axes((0, 0, 1, 1))
            ax.imshow(np.arange(24).reshape(4, 6) + index, cmap="hsv", vmin=0, vmax=30)
            return figure

        got = frames_of(make(5, draw=rainbow).page)
        for index, frame in enumerate(got):
            wanted = module._picture(rainbow(index), 160).astype(int)
            pixels = np.asarray(Image.open(io.BytesIO(frame)).convert("RGB")).astype(int)
            assert np.percentile(np.abs(pixels - wanted), 99) <= 8

    def test_the_canvas_is_never_cropped_and_always_white(self):
        mpl.rcParams.update({"savefig.bbox": "tight", "savefig.transparent": True})
        mpl.rcParams["savefig.facecolor"] = "black"
        image = Image.open(io.BytesIO(frames_of(make(draw=draw).page)[0]))
        assert image.size == (480, 320)
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)

    def test_dpi(self):
        image = Parsed(make(dpi=40).page).only("img")
        assert (image["width"], image["height"]) == ("120", "80")

    def test_figures_are_closed(self):
        make()
        assert plt.get_fignums() == []

    def test_same_bytes_for_the_same_input(self):
        assert make().page == make().page


class TestEscaping:
    def test_nasty_texts_stay_texts(self):
        parsed = Parsed(
            make(labels=[NASTY, "b"], alt=ALT + NASTY, caption="<i>" + NASTY).page,
        )
        plain = Parsed(make(2).page)
        assert [tag for tag, _ in parsed.tags] == [tag for tag, _ in plain.tags]
        assert parsed.only("img")["alt"] == f"{ALT}{NASTY}: {NASTY}"
        assert parsed.only("input")["aria-valuetext"] == NASTY
        assert "".join(parsed.text["output"]) == NASTY
        assert "".join(parsed.text["figcaption"]) == "<i>" + NASTY
        assert parsed.data["labels"] == [NASTY, "b"]
        assert parsed.data["alt"] == ALT + NASTY

    def test_the_data_cannot_end_its_script(self):
        page = make(labels=["</SCRIPT>", "<!--<script>"]).page
        start = page.index('application/json">') + len('application/json">')
        assert "<" not in page[start : page.index("</script>")]


class TestErrors:
    @pytest.mark.parametrize("labels", [[], ["one"], ["a", " "], ["x"] * 26])
    def test_labels(self, labels):
        with pytest.raises(ValueError, match="labels must be 2 to 25 texts"):
            make(labels=labels)

    @pytest.mark.parametrize("alt", ["", "x" * 19, " " * 30, "x" * 301, "x" * 293])
    def test_alt(self, alt):
        with pytest.raises(ValueError, match="alt must be 20 to 300 characters"):
            make(alt=alt)

    @pytest.mark.parametrize("alt", ["x" * 20, "x" * 292])  # with ": step 0" the latter has 300
    def test_alt_at_the_limits(self, alt):
        assert make(alt=alt).alt == alt

    @pytest.mark.parametrize("name", ["", "bar", "fig-", "fig-a b", 'fig-"', "fig-é", "fig-a\n"])
    def test_name(self, name):
        with pytest.raises(ValueError, match="name must be 'fig-' and letters"):
            make(name=name)

    @pytest.mark.parametrize("start", [-1, 3, 1.5])
    def test_start(self, start):
        with pytest.raises(ValueError, match="start must be an index from 0 to 2, got"):
            make(start=start)

    def test_frames_of_different_sizes(self):
        with pytest.raises(ValueError, match="draw must return figures of one size"):
            make(draw=lambda index: plt.figure(figsize=(3, 2 + 0.1 * index)))

    def test_no_figure(self):
        with pytest.raises(ValueError, match="draw must return a matplotlib Figure, got None"):
            make(draw=lambda index: None)

    def test_too_heavy(self):
        noise = np.random.default_rng(0).random((300, 400))

        def draw_noise(index):
            figure = plt.figure(figsize=(5, 4))
            figure.figimage(np.roll(noise, index))
            return figure

        with pytest.raises(ValueError, match="draw must fit 700000 bytes in all, got"):
            make(12, draw=draw_noise)
