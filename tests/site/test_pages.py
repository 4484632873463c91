"""The built HTML as text: links, alternative texts, hidden cells, ledger, buttons."""

from __future__ import annotations

import base64
import functools
import os
import re
from collections import Counter
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image

from icl_lib.claims.files import every_claim

ROOT = Path(__file__).resolve().parents[2]
API_LIMIT = 300_000
SLIDER = '<figure class="icl-scrubber"'
PLUMBING = ('REPOSITORY = "', "run_report(")
# sphinx-proof and sphinx-exercise give these to every block; nothing links to them
REPEATED_IDS = {"proof", "proof-content", "exercise-content", "solution-content"}
SOURCE = {"pre", "code", "script"}
LAUNCH = ("colab.research.google.com", "mybinder.org")


@functools.cache
def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf8"), "html.parser")


@functools.cache
def anchors(path: Path) -> frozenset[str]:
    page = soup(path)
    names = {tag["id"] for tag in page.find_all(id=True)}
    return frozenset(names | {tag["name"] for tag in page.find_all("a", attrs={"name": True})})


def article(path: Path):
    found = soup(path).select_one("main article")
    assert found is not None, f"{path.name} has no article"
    return found


def all_pages(site: Path) -> list[Path]:
    return [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]


def broken_target(site: Path, page: Path, address: str) -> str:
    """Why the address, as written in the page, leads nowhere; an empty text if it is good."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        good = parts.scheme in ("http", "https", "mailto", "data", "javascript")
        return "" if good else f"scheme {parts.scheme}"
    target = page
    if parts.path:
        base = site if parts.path.startswith("/") else page.parent
        target = (base / unquote(parts.path).lstrip("/")).resolve()
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return "no such file"
    if parts.fragment and target.suffix == ".html":
        if unquote(parts.fragment) not in anchors(target):
            return f"no id {parts.fragment!r} in {target.name}"
    return ""


def test_every_page_of_the_contents_is_built(site, page_name):
    assert (site / page_name).is_file()
    assert article(site / page_name).find("h1")


def test_the_start_page_leads_to_the_introduction(site):
    assert "book/intro.html" in (site / "index.html").read_text(encoding="utf8")


def test_every_internal_link_and_fragment_resolves(site):
    broken = [
        f"{page.relative_to(site)}: {address} ({reason})"
        for page in all_pages(site)
        for tag, key in (("a", "href"), ("link", "href"), ("script", "src"), ("img", "src"))
        for address in {item[key] for item in soup(page).find_all(tag, attrs={key: True})}
        if (reason := broken_target(site, page, address))
    ]
    assert not broken, "\n".join(broken)


def test_nothing_is_loaded_from_another_host(site):
    """Also what a browser would load later: the browser test sees only what it asked for."""
    remote = {
        f"{page.relative_to(site)}: {address}"
        for page in all_pages(site)
        for query, key in (
            ("script[src]", "src"),
            ("img[src]", "src"),
            ("iframe[src]", "src"),
            ("link[rel~=stylesheet]", "href"),
            ("link[rel~=preload]", "href"),
        )
        for address in (item[key] for item in soup(page).select(query))
        if urlsplit(address).netloc
    }
    assert not remote, "\n".join(sorted(remote))


def test_every_picture_is_described(site, page_name):
    pictures = article(site / page_name).find_all("img")
    texts = [picture.get("alt", "").strip() for picture in pictures]
    for text in texts:
        assert 20 <= len(text) <= 300, f"{len(text)} characters: {text!r}"
        assert not text.startswith(("Figure size", "<Figure")), text
        assert not re.search(r"\.(png|svg|jpe?g|gif)$", text), text
        assert " " in text, text
    twice = [text for text, count in Counter(texts).items() if count > 1]
    assert not twice


def test_api_pages_are_small(site, api_name):
    """The whole library on one page weighed a megabyte and took a browser half a minute."""
    assert (site / api_name).stat().st_size <= API_LIMIT


def test_part_3_has_sliders(site):
    chapters = sorted((site / "book" / "part3_mesa").glob("*.html"))
    if not chapters:
        pytest.skip("no chapter of part 3 in the built site yet")
    assert sum(page.read_text(encoding="utf8").count(SLIDER) for page in chapters) >= 3


def test_chapters_have_pictures(site, chapter_name):
    assert article(site / chapter_name).find_all("img")


def test_figures_are_sharp_and_have_their_size(site, chapter_name):
    """Two pixels for each of the page, and its size in the page, also that of a slider's frames."""
    pictures = article(site / chapter_name).select(".cell_output img")
    for picture in pictures:
        if picture["src"].startswith("data:"):
            data = BytesIO(base64.b64decode(picture["src"].partition(",")[2]))
        else:
            data = (site / chapter_name).parent / picture["src"]
        width, height = Image.open(data).size
        assert abs(width - 2 * int(picture["width"])) <= 1, picture["alt"]
        assert abs(height - 2 * int(picture["height"])) <= 1, picture["alt"]
    assert pictures


def test_nothing_long_is_printed(site, chapter_name):
    """What has more than six lines is read as a table or a figure."""
    long = {
        output.text[:60]: output.text.strip().count("\n") + 1
        for output in article(site / chapter_name).select(".cell_output pre")
        if output.text.strip().count("\n") >= 6
    }
    assert long == {}


def test_sliders_are_numbered_figures(site, chapter_name):
    for slider in article(site / chapter_name).select("figure.icl-scrubber"):
        figure = slider.find_parent("figure")
        assert figure["id"].startswith("fig-")
        assert re.match(r"Fig\. \d+\.\d+", figure.select_one(".caption-number").text)


def test_no_id_is_given_twice(site, page_name):
    ids = Counter(tag["id"] for tag in article(site / page_name).find_all(id=True))
    assert {name for name, count in ids.items() if count > 1} <= REPEATED_IDS


def test_no_error_in_any_page(site):
    bad = [
        str(page.relative_to(site))
        for page in all_pages(site)
        if "_modules" not in page.parts
        and "Traceback (most recent call last)" in article_text(page)
    ]
    assert not bad


def article_text(page: Path) -> str:
    found = soup(page).select_one("main article")
    return found.get_text() if found else ""


def test_plumbing_is_hidden(site, chapter_name):
    text = article(site / chapter_name).get_text()
    assert [mark for mark in PLUMBING if mark in text] == []


def test_no_unresolved_markup(site, page_name):
    """A misspelt directive or role shows its source."""
    shown = "".join(
        text
        for text in article(site / page_name).strings
        if not any(tag.name in SOURCE or "math" in tag.get("class", ()) for tag in text.parents)
    )
    assert re.findall(r"\{(?:ref|eq|numref|cite|term|doc|prf)[^}]*\}`|:::|```", shown) == []


def test_the_ledger_shows_every_claim(site):
    claims = every_claim(ROOT / "book" / "claims")
    text = (site / "book/reference/claims.html").read_text(encoding="utf8")
    missing = [name for name in claims if not re.search(rf"{re.escape(name)}(?![\w-])", text)]
    assert not missing


def test_every_claim_line_agrees(site, chapter_name):
    assert "DIFFERS" not in article(site / chapter_name).get_text()


def test_the_run_times_show_every_chapter(site, chapter_name):
    title = article(site / chapter_name).find("h1").get_text().split(".")[-1].strip(" #\n")
    page = article(site / "book/reference/runtimes.html")
    row = next((row for row in page.find_all("tr") if title in row.get_text()), None)
    assert row, f"no row for {title!r}"
    figures = [cell.get_text().strip() for cell in row.find_all(["th", "td"])[1:]]
    assert len(figures) == 3 and all(float(figure) > 0 for figure in figures), figures


def configured_address() -> str:
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
    return os.environ.get("ICL_REPOSITORY") or config.get("repository", {}).get("url") or ""


def test_launch_buttons_follow_the_address(site, chapter_name):
    address = configured_address()
    links = [a["href"] for a in soup(site / chapter_name).find_all("a", href=True)]
    for host in LAUNCH:
        shown = [link for link in links if host in link]
        assert bool(shown) == bool(address), shown
        owner = address.removeprefix("https://github.com/")
        assert all(owner in link for link in shown)


@pytest.mark.parametrize("name", ["genindex.html", "search.html"])
def test_theme_pages_are_there(site, name):
    assert (site / name).is_file()
