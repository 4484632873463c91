"""What is taken out of the pages is what nobody sees: rules, scripts, icons, spans, opacity."""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace

import book_assets
import book_css
import book_weight
import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image
from sphinx.errors import ExtensionError

PYGMENTS = "\n".join(
    f'html[data-theme="{theme}"] .highlight {{ background: {ground}; color: {text} }}\n'
    f'html[data-theme="{theme}"] .highlight .n {{ color: {text} }} /* Name */\n'
    f'html[data-theme="{theme}"] .highlight .p {{ color: {other} }} /* Punctuation */\n'
    f'html[data-theme="{theme}"] .highlight .gs {{ color: {text}; font-weight: bold }}\n'
    f'html[data-theme="{theme}"] .highlight .k {{ color: #6730C5 }} /* Keyword */'
    for theme, ground, text, other in (
        ("light", "#fefefe", "#080808", "#080808"),
        ("dark", "#2b2b2b", "#F8F8F2", "#ABE338"),
    )
)
BLOCK = '<div class="highlight-{}"><div class="highlight"><pre>{}</pre>\n</div></div>'
CODE = '<span class="k">def</span> <span class="n">f</span><span class="p">(</span>\n'


def test_plain_is_what_has_the_colour_of_the_text_in_every_theme():
    assert book_weight.plain_classes(PYGMENTS) == {"n"}
    assert book_weight.plain_classes("") == set()


def test_code_loses_its_plain_spans_and_no_text():
    page = BLOCK.format("python notranslate", CODE) + '<p><span class="n">5</span></p>'
    page += BLOCK.format("bash notranslate", CODE)
    light = book_weight.unwrap(page, {"n"})
    assert light.count('<span class="n">') == 2, "outside Python code the colour is another"
    assert 'def</span> f<span class="p">' in light
    assert BeautifulSoup(light, "html.parser").text == BeautifulSoup(page, "html.parser").text


def png(mode: str, opacity: int = 255, colours: int = 0, dpi: int = 96) -> bytes:
    """A picture of noise or, with ``colours``, of that many levels of blue."""
    rng = np.random.default_rng(1)
    if colours:
        grey = np.arange(300 * 200).reshape(200, 300) % colours
        pixels = np.stack([grey * 0, grey * 0, grey * (255 // colours)], -1).astype(np.uint8)
        pixels = np.concatenate([pixels, 255 + 0 * pixels[..., :1]], -1)[..., : len(mode)]
    else:
        pixels = rng.integers(0, 256, (200, 300, len(mode)), dtype=np.uint8)
    if mode == "RGBA":
        pixels[..., 3] = 255
        pixels[3, 4, 3] = opacity
    file = BytesIO()
    Image.fromarray(pixels, mode).save(file, "PNG", dpi=(dpi, dpi))
    return file.getvalue()


def pixels_of(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(file)).convert("RGB")).astype(int)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_plot_of_few_colours_is_the_same_pixel_for_pixel(mode):
    old = png(mode, colours=60)
    new = book_weight.with_palette(old)
    assert Image.open(BytesIO(new)).mode == "P"
    assert Image.open(BytesIO(new)).info["dpi"] == Image.open(BytesIO(old)).info["dpi"]
    assert np.array_equal(pixels_of(new), pixels_of(old))
    assert book_weight.with_palette(new) == new


def test_a_picture_that_a_palette_would_spoil_keeps_its_colours():
    """Noise has 60 000 colours; 256 of them are far from most."""
    new = book_weight.with_palette(png("RGBA"))
    assert Image.open(BytesIO(new)).mode == "RGB"
    assert np.array_equal(pixels_of(new), pixels_of(png("RGBA")))


def test_a_transparent_picture_is_left_alone():
    picture = png("RGBA", opacity=254)
    assert book_weight.with_palette(picture) == picture


def test_a_sharp_picture_is_shown_at_half_its_pixels(tmp_path):
    (tmp_path / "_images").mkdir()
    for name, dpi in (("sharp.png", 192), ("plain.png", 96)):
        (tmp_path / "_images" / name).write_bytes(png("RGB", colours=5, dpi=dpi))
    style = ' style="width: 150px; height: 100px;"'
    page = f'<img alt="a &gt; b" src="../_images/{{}}"{style} /><img src="_images/{{}}"/>'
    (tmp_path / "page.html").write_text(
        page.format("sharp.png", "plain.png")
        + '<img width="7" src="_images/sharp.png" /><img src="_static/logo.png" />'
    )
    book_weight.size_pictures(tmp_path)
    shown = BeautifulSoup((tmp_path / "page.html").read_text(), "html.parser").find_all("img")
    assert [(image.get("width"), image.get("height")) for image in shown] == [
        ("150", "100"),
        ("300", "200"),
        ("7", None),
        (None, None),
    ]
    assert shown[0]["alt"] == "a > b" and "style" not in shown[0].attrs


def test_a_wide_picture_is_marked(tmp_path):
    (tmp_path / "_images").mkdir()
    for name, width in (("wide.png", 700), ("narrow.png", 600)):
        Image.new("RGB", (width, 10)).save(tmp_path / "_images" / name)
    (tmp_path / "page.html").write_text(
        '<img src="_images/wide.png" /><img src="_images/narrow.png" />'
    )
    book_weight.size_pictures(tmp_path)
    wide, narrow = BeautifulSoup((tmp_path / "page.html").read_text(), "html.parser")("img")
    assert wide["class"] == ["icl-wide-picture"] and "class" not in narrow.attrs


@pytest.fixture
def site(tmp_path):
    """A site of two pages, with what the theme brings: styles, icon script, icon font."""
    for folder in ("_images", "_static/styles", "_static/scripts", "_static/vendor/fontawesome"):
        (tmp_path / folder).mkdir(parents=True)
    search = '\n<script src="_static/searchtools.js?v=1"></script>'
    page = f'<i class="fa-solid fa-bars"></i><div class="used">{search}</div>'
    config = '\n<script type="text/x-thebe-config">{"a": 1}</script>'
    (tmp_path / "page.html").write_text(page + config + BLOCK.format("python notranslate", CODE))
    (tmp_path / "search.html").write_text(search)
    static = tmp_path / "_static"
    (static / "pygments.css").write_text(PYGMENTS)
    (static / "scripts" / "theme.js").write_text("el.classList.add('scripted')")
    (static / "scripts" / "theme.js.map").write_text("{}")
    (static / "scripts" / "fontawesome.js").write_text(ICONS)
    (static / "styles" / "pydata-sphinx-theme.css").write_text(STYLES)
    (tmp_path / "_images" / "figure.png").write_bytes(png("RGBA", colours=9))
    return tmp_path


ICONS = (
    'var s={bars:[448,512,["navicon"],"f0c9","M1"],ghost:[384,512,[128123],"f6e2","M2"],'
    '"circle-question":[512,512,[],"f059","M3"],}'
)
STYLES = (
    '.fa-bars:before{content:"\\f0c9"}.fa-ghost:before{content:"\\f6e2"}'
    ".used{color:red}.unused{color:red}.scripted{color:red}"
)


def app(out, name="html"):
    return SimpleNamespace(outdir=str(out), builder=SimpleNamespace(name=name))


def contents(folder) -> dict:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lighten(app, exception=None):
    book_assets.lighten(app, exception)
    book_weight.lighten(app, exception)


def test_a_site_keeps_what_its_pages_use(site):
    lighten(app(site))
    page = (site / "page.html").read_text()
    assert "thebe" not in page and "searchtools" not in page
    assert "def</span> f<span" in page
    assert "searchtools" in (site / "search.html").read_text(), "the page that searches"
    icons = (site / "_static" / "scripts" / "fontawesome.js").read_text()
    assert "M1" in icons and "M3" in icons and "M2" not in icons
    styles = (site / "_static" / "styles" / "pydata-sphinx-theme.css").read_text()
    assert ".used{" in styles and ".scripted{" in styles and "fa-bars" in styles
    assert ".unused" not in styles and "ghost" not in styles
    assert not list(site.rglob("*.map"))
    assert Image.open(site / "_images" / "figure.png").mode == "P"


def test_a_second_time_changes_nothing(site):
    lighten(app(site))
    once = contents(site)
    lighten(app(site))
    assert contents(site) == once


@pytest.mark.parametrize(("name", "exception"), [("html", ValueError("no")), ("latex", None)])
def test_only_pages_of_a_build_that_went_well(site, name, exception):
    before = contents(site)
    lighten(app(site, name), exception)
    assert contents(site) == before


def test_colours_that_are_written_otherwise_are_noticed(site):
    (site / "_static" / "pygments.css").write_text(".highlight .n { color: #080808 }")
    with pytest.raises(ExtensionError, match="pygments.css: no token has the colour of the text"):
        book_weight.lighten(app(site), None)


def test_the_icon_font_keeps_the_glyphs_of_the_style_sheet(tmp_path):
    """Built from a font that is there: a glyph is kept where the style sheet names its number."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.ttLib import TTFont
    from fontTools.ttLib.tables._g_l_y_f import Glyph

    names = [".notdef", "kept", "dropped"]
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({0xF0C9: "kept", 0xF6E2: "dropped"})
    font.setupGlyf({name: Glyph() for name in names})
    font.setupHorizontalMetrics({name: (500, 0) for name in names})
    font.setupHorizontalHeader()
    font.setupPost()
    font.setupMaxp()
    path, css = tmp_path / "fa-solid.ttf", tmp_path / "theme.css"
    font.save(path)
    css.write_text(
        '@font-face{src:url(fa-solid.woff2) format("woff2"),url(fa-solid.ttf) format("truetype")}'
        '.fa-bars:before{content:"\\f0c9"}'
    )
    book_assets.subset_icon_font(path, css)
    assert list(TTFont(tmp_path / "fa-solid.woff").getBestCmap()) == [0xF0C9]
    assert '{src:url(fa-solid.woff) format("woff")}' in css.read_text()
    assert not path.exists()


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        (".a{x:y}", ".a{x:y}"),
        (".b{x:y}", ""),
        (".a.b{x:y}", ""),
        (".b,.a:hover{x:y}", ".a:hover{x:y}"),
        ("p,[data-b]{x:y}", "p,[data-b]{x:y}"),
        (".a:not(.b){x:y}", ".a:not(.b){x:y}"),
        (":is(.b,.a){x:y}", ":is(.b,.a){x:y}"),
        (r".a\:b{x:y}", ""),
        ("@media print{.b{x:y}}", ""),
        ("@media print{.b{x:y}.a{x:y}}", "@media print{.a{x:y}}"),
        ("@font-face{font-family:b}", "@font-face{font-family:b}"),
    ],
)
def test_a_rule_stays_unless_it_needs_an_unknown_class(rule, kept):
    assert book_css.purge(rule, book_css.words(['<p class="a">'])) == kept


def test_the_kernel_scripts_of_the_theme_are_not_loaded():
    ours = SimpleNamespace(attributes={}, filename="_static/formulas.js")
    host = SimpleNamespace(attributes={"body": "const THEBE_JS_URL = 'x'"}, filename=None)
    thebe = SimpleNamespace(attributes={}, filename="_static/sphinx-thebe.js")
    context = {"script_files": [ours, host, thebe, "_static/sphinx-thebe.js"]}
    book_assets.drop_thebe(None, "page", "page.html", context, None)
    assert context["script_files"] == [ours]
