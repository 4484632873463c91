"""Lighter pages that look the same: code without empty colouring, pictures without empty channels.

Both are what a general tool writes for the general case: Pygments wraps every name, bracket and
comma, also in the text's own colour (a third of a chapter's HTML), and matplotlib stores a channel
of opacity in pictures that are opaque.
"""

import re
from io import BytesIO
from pathlib import Path

from PIL import Image
from sphinx.errors import ExtensionError

CODE = re.compile(
    r'(?<=<div class="highlight-python notranslate"><div class="highlight">)<pre>.*?</pre>',
    re.DOTALL,
)
THEME = re.compile(r'html\[data-theme="(\w+)"\] \.highlight *\{[^}]*?(?<!-)color: *(#\w+)')


def lighten(app, exception):
    """build-finished, when the theme has written its colours of the code."""
    if exception is None and app.builder.name == "html":
        lighten_code(Path(app.outdir))
        lighten_pictures(Path(app.outdir))


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
    """Every opaque PNG of the pages, pixel for pixel the same."""
    for path in sorted((out / "_images").glob("*.png")):
        old = path.read_bytes()
        new = without_opacity(old)
        if len(new) < len(old):
            path.write_bytes(new)


def without_opacity(png):
    """The PNG file's bytes as RGB if all its pixels are opaque; as they are if not."""
    picture = Image.open(BytesIO(png))
    if picture.mode != "RGBA" or picture.getchannel("A").getextrema() != (255, 255):
        return png
    small = BytesIO()
    picture.convert("RGB").save(small, "PNG", optimize=True, dpi=picture.info.get("dpi"))
    return small.getvalue()
