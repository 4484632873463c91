"""What needs its own load: search, the theme's button, the file system, a start in the dark."""

from __future__ import annotations


def test_search_finds_a_word(address, contexts):
    page = contexts["light"].new_page()
    try:
        page.goto(f"{address}search.html?q=covariance")
        page.wait_for_selector("#search-results li a", timeout=30_000)
        hits = page.locator("#search-results li a").all_inner_texts()
    finally:
        page.close()
    assert len(hits) >= 3, hits


def test_dark_mode_toggles(address, contexts):
    page = contexts["light"].new_page()
    try:
        page.goto(address + "book/intro.html")
        background = "() => getComputedStyle(document.body).backgroundColor"
        before = page.evaluate(background)
        for _ in range(3):  # the button goes through auto, light and dark
            page.locator("button.theme-switch-button").first.click()
            if page.evaluate("() => document.documentElement.dataset.theme") == "dark":
                break
        assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"
        assert page.evaluate(background) != before
    finally:
        page.evaluate("() => localStorage.clear()")
        page.close()


def test_a_page_starts_in_the_dark(address, contexts):
    """Where the system is dark when the page is loaded; the visits turn it dark later."""
    page = contexts["dark"].new_page()
    try:
        page.goto(address + "book/intro.html")
        assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"
    finally:
        page.close()


def test_a_chapter_reads_from_the_file_system(site, contexts):
    """Without any server: formulas, pictures and styles are there."""
    chapter = next((site / "book").glob("part*/*.html"))
    errors, others = [], []
    page = contexts["light"].new_page()
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else others.append(r))
    try:
        page.goto(chapter.as_uri(), wait_until="load")
        page.wait_for_function("() => window.MathJax?.startup?.promise", timeout=30_000)
        page.evaluate("async () => { await MathJax.startup.promise }")
        assert page.locator("main article .math mjx-container").count() >= 3
        assert page.locator("main article h1").count() == 1
    finally:
        page.close()
    assert errors == []
    assert others == []
