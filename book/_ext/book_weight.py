"""Lighter pages that look the same: code without empty colouring, pictures with a palette.

Both are what a general tool writes for the general case: Pygments wraps every name, bracket and
comma, also in the text's own colour (a third of a chapter's HTML), and matplotlib stores three
channels and opacity for plots of a few colours. Sharp pictures (two pixels for each of the page)
get the size at which they are shown, which a page does not know otherwise.
"""

import re
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from sphinx.errors import ExtensionError

CODE = re.compile(
    r'(?<=<div class="highlight-python notranslate"><div class="highlight">)<pre>.*?</pre>',
    re.DOTALL,
)
PICTURE = re.compile(r'<img(?![^>]*\bwidth=)([^>]*?src="[^"]*_images/([^"/]+\.png)"[^>]*?)\s*/?>')
FIXED = re.compile(r' style="width: [\d.]+px; height: [\d.]+px;?"')  # cannot shrink on a telephone
PAGE_DPI = 96  # CSS pixels an inch
WIDE = 640  # CSS pixels: a wider picture has several panels, and scrolls on a telephone
SEEN, RARE = 8, 0.005  # of 255 levels: a smaller difference, or one in fewer pixels, is not seen
THEME = re.compile(r'html\[data-theme="(\w+)"\] \.highlight *\{[^}]*?(?<!-)color: *(#\w+)')


def lighten(app, exception):
    """build-finished, when the theme has written its colours of the code."""
    if exception is None and app.builder.name == "html":
        lighten_code(Path(app.outdir))
        lighten_pictures(Path(app.outdir))
        size_pictures(Path(app.outdir))


def plain_classes(style):
    """The token classes that pygments.css gives the text's own colour, and nothing else."""
    plain = []
    for theme, colour in THEME.findall(style):
        rule = rf'html\[data-theme="{theme}"\] \.highlight \.(\w+) *\{{ *([^}}]*?);? *\}}'
        found = dict(re.findall(rule, style))
        plain.append({name for name, says in found.items() if says == f"color: {colour}"})
    return set.intersection(*plain) if plain else set()


def unwrap(html, plain):
    """``html`` where Python code has no spans of the classes ``plain``: they inherit the colour."""
    span = re.compile(rf'<span class="(?:{"|".join(sorted(plain))})">([^<]*)</span>')
    return CODE.sub(lambda code: span.sub(r"\1", code.group(0)), html)


def lighten_code(out):
    """Every page below ``out``."""
    plain = plain_classes((out / "_static" / "pygments.css").read_text(encoding="utf8"))
    if not plain:
        raise ExtensionError("pygments.css: no token has the colour of the text; its form changed?")
    for page in out.rglob("*.html"):
        old = page.read_text(encoding="utf8")
        new = unwrap(old, plain)
        if new != old:
            page.write_text(new, encoding="utf8")


def lighten_pictures(out):
    """Every opaque PNG of the pages."""
    for path in sorted((out / "_images").glob("*.png")):
        old = path.read_bytes()
        new = with_palette(old)
        if len(new) < len(old):
            path.write_bytes(new)


def with_palette(png):
    """The PNG file's bytes with at most 256 colours where that is not seen, else as RGB.

    A picture that has a palette already, or is transparent somewhere, stays as it is.
    """
    picture = Image.open(BytesIO(png))
    if picture.mode not in ("RGB", "RGBA"):
        return png
    if picture.mode == "RGBA" and picture.getchannel("A").getextrema() != (255, 255):
        return png
    opaque = picture.convert("RGB")
    few = opaque.quantize(256, kmeans=2, dither=Image.Dither.NONE)
    difference = np.asarray(few.convert("RGB")).astype(int) - np.asarray(opaque)
    seen = (np.abs(difference).max(-1) > SEEN).mean() > RARE
    small = BytesIO()
    chosen = opaque if seen else few
    chosen.save(small, "PNG", optimize=True, dpi=picture.info.get("dpi"))
    return small.getvalue()


def size_pictures(out):
    """Tell each page the size of its sharp pictures, so that it shows them at that of the others.

    The page also keeps their place free while they load. Sizes that are fixed by a style go: such
    a picture would be squeezed on a narrow page.
    """
    sizes = {path.name: shown_size(path) for path in (out / "_images").glob("*.png")}

    def sized(found):
        if found[2] not in sizes:
            return found[0]
        width, height = sizes[found[2]]
        wide = ' class="icl-wide-picture"' if width > WIDE and "class=" not in found[0] else ""
        rest = FIXED.sub("", found[1])
        return f'<img{wide} width="{width}" height="{height}"{rest} />'

    for page in out.rglob("*.html"):
        old = page.read_text(encoding="utf8")
        new = PICTURE.sub(sized, old)
        if new != old:
            page.write_text(new, encoding="utf8")


def shown_size(path):
    """(width, height) of a picture in CSS pixels, from its pixels and its resolution."""
    picture = Image.open(path)
    dpi = picture.info.get("dpi", (PAGE_DPI, PAGE_DPI))
    return tuple(
        max(1, round(pixels * PAGE_DPI / resolution))
        for pixels, resolution in zip(picture.size, dpi, strict=True)
    )
