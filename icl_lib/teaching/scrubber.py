"""A figure with a slider: frames drawn once, moved through in the page, no kernel needed.

The frames travel inside the HTML; without JavaScript the start frame is an ordinary picture.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Callable, Sequence
from numbers import Integral
from string import Template

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from icl_lib import _checks

MAX_FRAMES = 25
MAX_BYTES = 700_000
MIN_DPI, MAX_DPI = 10, 600  # too coarse for any letter, too fine for MAX_BYTES
SHARP = 2  # pixels of a picture for each of the page

# data-lm-suppress-shortcuts: JupyterLab leaves the arrow keys to the slider. aria-live off: the
# slider itself says its label. In the JSON < is escaped: a label may say </script>.
PAGE = Template("""\
<figure class="icl-scrubber" id="$name" data-lm-suppress-shortcuts="true">
<img src="data:image/png;base64,$frame" alt="$alt" $size decoding="sync" \
style="max-width: 100%; height: auto">
<div class="icl-scrubber-controls" hidden>
<label for="$name-range">Move the slider or press the arrow keys:</label>
<output for="$name-range" aria-live="off">$label</output>
<input type="range" id="$name-range" min="0" max="$last" step="1" value="$start" \
aria-valuetext="$label"$described autocomplete="off">
</div>
<script type="application/json">$data</script>
<script>
(() => {
  for (const box of document.querySelectorAll("figure.icl-scrubber")) {
    const data = box.querySelector("script[type='application/json']");
    if (!data || box.iclScrubber) continue;
    box.iclScrubber = true;
    const { alt, labels, frames } = JSON.parse(data.textContent);
    const [image, range, output] = ["img", "input", "output"].map((tag) => box.querySelector(tag));
    const show = () => {
      const label = labels[Number(range.value)];
      image.src = "data:image/png;base64," + frames[Number(range.value)];
      image.alt = alt + ": " + label;
      output.textContent = label;
      range.setAttribute("aria-valuetext", label);
    };
    range.addEventListener("input", show);
    box.querySelector("div").hidden = false;
    show();
  }
})();
</script>
$note</figure>
""")


class Scrubber:
    """The figure as HTML for the page; its description is all that a text console shows."""

    def __init__(self, page: str, alt: str):
        self.page, self.alt = page, alt

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {"text/html": self.page, "text/plain": self.alt}


def scrubber(
    draw: Callable[[int], Figure],
    labels: Sequence[str],
    *,
    alt: str,
    caption: str = "",
    name: str,
    start: int | None = None,
    dpi: int = 80,
) -> Scrubber:
    """Draw one frame a label and return a figure whose slider moves through them.

    ``draw(index)`` returns a frame's matplotlib figure, which is closed afterwards; give all
    frames one size and the same axis limits, or the picture jumps. Labels, ``alt`` and ``caption``
    are plain text, no formulas; a frame is described as "alt: label". ``name`` ("fig-...", unique
    in its page) is the figure's id. The frame with index ``start`` (or 0) is shown first. ``dpi``
    counts pixels of the page; the pictures have twice as many, for sharp screens.

    Raises
    ------
    ValueError
        If there are not 2 to 25 labels or one is blank, ``alt`` (also with a label) is not 20 to
        300 characters long, ``name`` or ``start`` is not as above, ``dpi`` is not a whole number
        from 10 to 600, ``draw`` does not return figures of one size, or the HTML would exceed
        700 kB.
    """
    labels, alt, caption, name = _texts(labels, alt, caption, name)
    if not 2 <= len(labels) <= MAX_FRAMES or not all(label.strip() for label in labels):
        raise ValueError(f"labels must be 2 to {MAX_FRAMES} texts, none blank, got {labels}")
    longest = len(f"{alt}: {max(labels, key=len)}")
    if len(alt.strip()) < 20 or longest > 300:
        raise ValueError(f"alt must be 20 to 300 characters with a label, got {longest}: {alt!r}")
    if not re.fullmatch(r"fig-[A-Za-z0-9_-]+", name):
        raise ValueError(f"name must be 'fig-' and letters, digits, - or _, got {name!r}")
    start = 0 if start is None else start
    if type(start) is bool or not isinstance(start, Integral) or not 0 <= start < len(labels):
        raise ValueError(f"start must be an index from 0 to {len(labels) - 1}, got {start!r}")
    if not callable(draw):
        raise ValueError(f"draw must be a function, got {_checks.shown(draw)}")
    if not MIN_DPI <= _checks.positive_int("dpi", dpi) <= MAX_DPI:
        raise ValueError(f"dpi must lie between {MIN_DPI} and {MAX_DPI}, got {dpi}")
    pictures = [_picture(draw(index), SHARP * dpi) for index in range(len(labels))]
    if len(sizes := {picture.shape for picture in pictures}) > 1:
        raise ValueError(f"draw must return figures of one size, got shapes {sorted(sizes)}")
    frames, (height, width, _) = _compressed(pictures), pictures[0].shape
    data = json.dumps({"alt": alt, "labels": labels, "frames": frames}).replace("<", "\\u003c")
    note = f'<figcaption id="{name}-caption">{html.escape(caption)}</figcaption>\n'
    page = PAGE.substitute(
        name=name,
        frame=frames[start],
        alt=html.escape(f"{alt}: {labels[start]}"),
        size=f'width="{width // SHARP}" height="{height // SHARP}"',
        label=html.escape(labels[start]),
        last=len(labels) - 1,
        start=start,
        described=f' aria-describedby="{name}-caption"' if caption else "",
        data=data,
        note=note if caption else "",
    )
    if (size := len(page.encode())) > MAX_BYTES:
        raise ValueError(f"draw must fit {MAX_BYTES} bytes in all, got {size}: use less dpi")
    return Scrubber(page, alt)


def _texts(labels, alt, caption, name) -> tuple[list[str], str, str, str]:
    return (
        _checks.texts("labels", labels),
        _checks.text("alt", alt),
        _checks.text("caption", caption),
        _checks.text("name", name),
    )


def _picture(figure: Figure, dpi: int) -> np.ndarray:  # (height, width, 3)
    if not isinstance(figure, Figure):
        raise ValueError(f"draw must return a matplotlib Figure, got {figure!r}")
    buffer = io.BytesIO()
    with mpl.rc_context({"savefig.bbox": "standard", "savefig.transparent": False}):
        figure.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    plt.close(figure)
    return np.asarray(Image.open(buffer).convert("RGB"))


def _compressed(pictures: list[np.ndarray]) -> list[str]:
    """Return the frames as base64 PNGs; one palette for all, so that no colour flickers."""
    height, width, _ = pictures[0].shape
    sheet = Image.fromarray(np.vstack(pictures)).quantize(256, kmeans=1, dither=Image.Dither.NONE)
    frames = []
    for top in range(0, sheet.height, height):
        buffer = io.BytesIO()
        sheet.crop((0, top, width, top + height)).save(buffer, format="png", optimize=True)
        frames.append(base64.b64encode(buffer.getvalue()).decode())
    return frames
