"""What the pages load: launch buttons, a repaired script list, a small icon file."""

import os
import re
from pathlib import Path

from sphinx.errors import ConfigError

import book_css

URL = re.compile(r"https://[\w.-]+(/[\w.-]+)+")
BUTTONS = ("use_repository_button", "use_issues_button", "use_edit_page_button")
ICON_RULE = re.compile(r"(?:\.fa-[a-z0-9-]+::?before,?)+\{content:\"[^\"]*\"\}")
SEARCH_SCRIPTS = re.compile(
    r'\s*<script src="[^"]*(?:_static/searchtools|_static/language_data|searchindex)'
    r'\.js[^"]*"></script>'
)
THEBE_CONFIG = re.compile(r'\s*<script type="text/x-thebe-config">.*?</script>', re.DOTALL)
ICON = re.compile(r'"?([a-z0-9-]+)"?:\[\d+,\d+,\[([^\]]*)\],"[0-9a-f]+",(?:"[^"]*"|\[[^\]]*\])\],?')


def configure_repository(app, config):
    """One address switches every button and link; without it there are none."""
    options = config.html_theme_options
    url = (os.environ.get("ICL_REPOSITORY") or options.get("repository_url") or "").rstrip("/")
    if url and not URL.fullmatch(url):
        raise ConfigError(f"repository: url: must be https://HOST/OWNER/NAME, got {url!r}")
    options["repository_url"] = url
    for button in BUTTONS:
        options[button] = bool(url)
    if not url:
        options.pop("launch_buttons", None)


def drop_thebe(app, pagename, templatename, context, doctree):
    """The book offers no in-page kernel: leave out sphinx-thebe's scripts (they name a host)."""
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "THEBE_JS_URL" not in (getattr(script, "attributes", {}).get("body") or "")
        and "sphinx-thebe" not in str(getattr(script, "filename", script))
    ]


def lighten(app, exception):
    """build-finished: what no page uses is not loaded (the theme alone weighs 3 MB a page)."""
    out = Path(app.outdir)
    if exception is not None or app.builder.name != "html":
        return
    for page in out.rglob("*.html"):
        lighten_page(page)
    used = icons_named(out)
    subset_icon_script(out / "_static" / "scripts" / "fontawesome.js", used)
    css = out / "_static" / "styles" / "pydata-sphinx-theme.css"
    subset_icon_rules(css, used)
    purge_styles(out, css)
    for font in sorted((out / "_static" / "vendor" / "fontawesome").rglob("*.ttf")):
        subset_icon_font(font, css)
    for source_map in (out / "_static").rglob("*.map"):
        source_map.unlink()


def lighten_page(path):
    """The search index is loaded by the search page alone; no list role without list items."""
    old = path.read_text(encoding="utf8")
    new = THEBE_CONFIG.sub("", old)
    # docutils calls the bibliography a list, but its entries have roles that are no list items
    new = new.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    if path.name != "search.html":
        new = SEARCH_SCRIPTS.sub("", new)
    if new != old:
        path.write_text(new, encoding="utf8")


def icons_named(out):
    """Every icon name that a page, a script or a small style sheet mentions."""
    static = out / "_static"
    texts = [*out.rglob("*.html"), *static.glob("*.js"), *static.glob("*.css")]
    texts += [p for p in (static / "scripts").glob("*.js") if p.name != "fontawesome.js"]
    names = {"circle-question"}  # what the script shows for an unknown name
    for text in texts:
        names.update(re.findall(r"\bfa-([a-z0-9-]+)", text.read_text(encoding="utf8")))
    return names


def subset_icon_script(path, used):
    def keep(match):
        names = {match.group(1), *re.findall(r'"([a-z0-9-]+)"', match.group(2))}
        return match.group(0) if names & used else ""

    small = ICON.sub(keep, path.read_text(encoding="utf8"))
    path.write_text(small.replace("],}", "]}"), encoding="utf8")


def subset_icon_rules(path, used):
    def keep(match):
        return match.group(0) if set(re.findall(r"fa-([a-z0-9-]+)", match.group(0))) & used else ""

    path.write_text(ICON_RULE.sub(keep, path.read_text(encoding="utf8")), encoding="utf8")


def purge_styles(out, css):
    """Rules for classes that appear in no page and no script."""
    static = out / "_static"
    scripts = [p for p in static.rglob("*.js") if "mathjax" not in p.parts]
    named = book_css.words(p.read_text(encoding="utf8") for p in [*out.rglob("*.html"), *scripts])
    for path in (css, *static.glob("sphinx-design*.css")):
        path.write_text(book_css.purge(path.read_text(encoding="utf8"), named), encoding="utf8")


def subset_icon_font(path, css):
    """Keep the glyphs that the style sheet still mentions (fontTools comes with matplotlib)."""
    from fontTools import subset

    style = css.read_text(encoding="utf8")
    codes = {ord(c) for c in style if 0xE000 <= ord(c) <= 0xF8FF}
    codes |= {int(code, 16) for code in re.findall(r"\\([ef][0-9a-f]{3})", style)}
    options = subset.Options(flavor="woff", notdef_outline=True, recalc_timestamp=False)
    font = subset.load_font(str(path), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=codes)
    subsetter.subset(font)
    subset.save_font(font, str(path.with_suffix(".woff")), options)
    sources = re.compile(
        rf'src:url\(([^)]*{path.stem})\.woff2\) format\("woff2"\),url\([^)]*\) format\("truetype"\)'
    )
    css.write_text(sources.sub(r'src:url(\1.woff) format("woff")', style), encoding="utf8")
    path.unlink()
    path.with_suffix(".woff2").unlink(missing_ok=True)
