"""What a link leads to, shown beside the link: sphinx-tippy writes it, this module says what.

sphinx-tippy would preview every link, with all that stands in the target. Here only equations,
theorems and their kin, numbered figures, terms, citations and claims have a preview. It repeats no
id and holds no link, so that it needs no keyboard of its own. Nothing of it is loaded with the page
but ``previews.js``: the two scripts that show previews weigh 46 kB, a chapter's previews 4 to 12.
"""

import posixpath
from html import escape
from pathlib import Path

from bs4 import BeautifulSoup

SHOWN = (
    "div.math[id^=equation-], div.proof[id], figure[id^=fig-], dt[id^=term-], div.citation[id], "
    "div.icl-claim[id], tr[id^=ledger-]"
)
# a claim's own link to the ledger repeats what the reader has just opened, and the other way round
NO_PREVIEW = ".headerlink, .image-reference, .icl-claim a, table[id^=claims-] a"
SCRIPTS = ("_static/hover/popper.min.js", "_static/hover/tippy-bundle.umd.min.js")
FACTS = ("verdict", "measured", "expected")
CACHES = ("tippy_wiki_cache.json", "tippy_doi_cache.json", "tippy_rtd_cache.json")


def choose(app, pagename, templatename, context, doctree):
    """html-page-context, after sphinx-tippy: its data of this page are replaced by our choice."""
    if doctree is None:
        return
    body = BeautifulSoup(context["body"], "html.parser")
    page, name = app.env.tippy_data["pages"][pagename], f"previews/{pagename}.js"
    page["id_to_html"] = previews(body)
    page["element_id_map"] = {target: target for target in page["id_to_html"]}
    wanted = wanted_targets(body)
    found = [ref for ref in page["refs_in_page"] if ref[1] in wanted]
    page["refs_in_page"] = sorted(found, key=lambda ref: (ref[0] or "", ref[1]))
    page["js_path"] = Path(app.outdir, "_static", *name.split("/"))  # its own name is random
    scripts = context["script_files"]
    scripts[:] = [file for file in scripts if "tippy/" not in str(getattr(file, "filename", file))]
    if found:
        up = posixpath.relpath(".", posixpath.dirname(pagename) or ".")
        files = [posixpath.join(up, file) for file in (*SCRIPTS, f"_static/{name}")]
        app.add_js_file("previews.js", loading_method="defer", **{"data-files": " ".join(files)})


def wanted_targets(body):
    """The ids that the page's links lead to, but for links that have no preview."""
    without = {id(link) for link in body.select(NO_PREVIEW)}
    links = [link for link in body.select("a[href*='#']") if id(link) not in without]
    return {link["href"].partition("#")[2] for link in links} - {""}


def previews(body):
    """id -> HTML of all that can be previewed on a page; an old name of a claim has it as well."""
    found = {}
    for tag in body.select(SHOWN):
        html = preview(tag)
        if html:
            found |= dict.fromkeys([tag["id"], *(s["id"] for s in tag.select("span[id]"))], html)
    return found


def preview(tag):
    """The HTML of one preview, an empty text if there is none."""
    if tag.name == "tr":
        return ledger_row(tag)
    if "icl-claim" in tag.get("class", ()):
        return claim(tag)
    if tag.select_one("img[src^='data:']"):  # a slider's frames are too heavy to be repeated
        return ""
    if tag.name == "dt":
        return f"<dl>{bare(tag)}{bare(tag.find_next_sibling('dd'))}</dl>"
    return bare(tag)


def ledger_row(row):
    """A claim by its row in the ledger: the verdict, both numbers, the statement."""
    verdict, measured, expected = (
        escape(", ".join(p.get_text(" ", strip=True) for p in cell.find_all("p")))
        for cell in (row.select_one(f".icl-column-{name}") for name in FACTS)
    )
    numbers = f"measured {measured}; expected {expected}"
    return f"<p><strong>{verdict}</strong>: {numbers}</p>{bare(row.find('p'))}"


def claim(box):
    """A claim by its line in a chapter: that line and the statement."""
    line, statement = box.find("summary"), box.find("dd")
    return f"<p>{bare(line.decode_contents())}</p><p>{bare(statement.decode_contents())}</p>"


def bare(html):
    """A tag, or its HTML, without ids, permalinks and links; what stands in a link stays."""
    copy = BeautifulSoup(str(html), "html.parser")
    for link in copy.select(".headerlink"):
        link.decompose()
    for link in copy.find_all("a"):
        link.unwrap()
    for empty in [span for span in copy.select("span[id]") if not span.contents]:
        empty.decompose()
    for element in copy.find_all(True):
        del element["id"]
        del element["style"]  # a picture with a fixed size would be squeezed
    return str(copy).strip()


def tidy(app, exception):
    """build-finished: sphinx-tippy's caches of other sites, all empty, are no part of the site."""
    for name in CACHES:
        Path(app.outdir, name).unlink(missing_ok=True)


def setup(app):
    app.connect("html-page-context", choose, priority=460)  # sphinx-tippy's: 450
    app.connect("build-finished", tidy, priority=600)  # sphinx-tippy's: 500
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
