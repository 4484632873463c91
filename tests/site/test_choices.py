"""Every choice question of the book in a browser: a form by keyboard, a list without the script."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from axe_playwright_python.base import AXE_SCRIPT

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "book" / "questions").glob("*.yml"))
STEMS = [path.stem for path in FILES]
PAGE = "book/03_closed_form"
FIRST = "#choice-closed-form-one-dimension"


def questions(stem: str) -> list[dict]:
    path = ROOT / "book" / "questions" / f"{stem}.yml"
    return yaml.safe_load(path.read_text(encoding="utf8"))["questions"]


@pytest.mark.parametrize("stem", STEMS)
def test_every_option_gets_its_answer(open_widget, stem):
    """Each is chosen and checked; what is said names its misconception, or that it is right."""
    page = open_widget(f"book/{stem}")
    for question in questions(stem):
        box = page.locator(f"#choice-{question['id']}")
        says = box.locator("[role=status]")
        assert box.locator("legend").inner_text().strip()
        assert box.get_by_role("radio").count() == len(question["options"])
        for at, option in enumerate(question["options"]):
            box.get_by_role("radio").nth(at).check()
            assert says.inner_text() == ""
            box.get_by_role("button").click()
            page.wait_for_function("box => box.childNodes.length", arg=says.element_handle())
            said = says.inner_text()
            if "correct" in option:
                assert said.startswith("\u2713 Right.")
            else:
                assert said.startswith(f"\u2717 Not {'ABCDE'[at]}. {option['misconception']}.")
            assert "\\(" not in said and "$" not in said
            formulas = says.locator("mjx-container").count()
            text = option.get("because", question["explanation"])
            assert formulas == text.count("$") // 2
    assert page.locator("span.math:not(:has(mjx-container))").count() == 0
    assert page.locator("[data-mjx-error]").count() == 0
    assert page.locator("mjx-container [style*='color: red']").count() == 0, "an unknown macro"
    assert page.errors == []


def test_by_keyboard_alone(open_widget):
    page = open_widget(PAGE)
    box = page.locator(FIRST)
    box.get_by_role("radio").first.focus()
    page.keyboard.press("ArrowDown")
    assert box.get_by_role("radio").nth(1).is_checked()
    assert box.locator("[role=status]").inner_text() == "", "moving through it reveals nothing"
    ring = "e => [getComputedStyle(e).outlineStyle, getComputedStyle(e).outlineWidth]"
    assert box.get_by_role("radio").nth(1).evaluate(ring) == ["solid", "3px"]
    page.keyboard.press("Tab")
    assert box.get_by_role("button").evaluate("e => e === document.activeElement")
    page.keyboard.press("Enter")
    box.get_by_text("Right.").first.wait_for()
    assert box.locator("[role=status]").get_attribute("aria-live") == "polite"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert box.locator("details").evaluate("e => e.open")


def test_questions_do_not_disturb_each_other(open_widget):
    page = open_widget(PAGE)
    other = page.locator("#choice-closed-form-factors")
    page.locator(FIRST).get_by_role("radio").first.check()
    other.get_by_role("radio").nth(1).check()
    assert page.locator(FIRST).get_by_role("radio").first.is_checked()
    other.get_by_role("button").click()
    assert page.locator(FIRST).locator("[role=status]").inner_text() == ""


def test_an_answer_waits_until_its_formulas_are_typeset(open_widget):
    page = open_widget(PAGE)
    box = page.locator(FIRST)
    late = "() => { MathJax = { startup: { promise: new Promise((go) => { window.go = go; }) } }; }"
    page.evaluate(late)
    box.get_by_role("radio").first.check()
    box.get_by_role("button").click()
    assert box.locator("[role=status]").inner_text() == ""
    page.evaluate("() => window.go()")
    box.get_by_text("Not A.").wait_for()


def test_without_a_choice_it_asks_for_one(open_widget):
    box = open_widget(PAGE).locator(FIRST)
    box.get_by_role("button").click()
    assert box.locator("[role=status]").inner_text() == "Choose an option first."


def test_without_javascript_the_answer_is_folded(browser, open_widget):
    context = browser.new_context(java_script_enabled=False)
    try:
        box = open_widget(PAGE, context=context).locator(FIRST)
        assert box.locator("input, button").count() == 0
        assert box.locator(":scope > ol > li").count() == 4
        assert not box.get_by_text("is right.").is_visible()
        box.locator("summary").click()
        assert box.get_by_text("B is right.").is_visible()
    finally:
        context.close()


def test_on_paper_it_is_a_list_with_a_folded_answer(open_widget):
    page = open_widget(PAGE)
    box = page.locator(FIRST)
    box.get_by_role("radio").first.check()
    box.get_by_role("button").click()
    box.get_by_text("Not A.").wait_for()
    try:
        page.emulate_media(media="print")
        assert not any(e.is_visible() for e in box.locator("input, button").all())
        assert not box.get_by_text("Not A.").is_visible()
        assert not box.get_by_text("is right.").is_visible()
        items = box.locator("form ol > li")
        assert items.count() == 4 and all(item.is_visible() for item in items.all())
    finally:
        page.emulate_media(media="screen")


@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_and_nothing_is_too_wide(open_widget, mode, width):
    page = open_widget(PAGE, mode, width)
    box = page.locator(FIRST)
    box.get_by_role("radio").first.check()
    box.get_by_role("button").click()
    box.get_by_text("Not A.").wait_for()
    box.locator("summary").click()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("async () => (await axe.run('.icl-choice')).violations")
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
    assert box.locator("label").first.bounding_box()["height"] >= 24


def test_only_pages_with_questions_load_the_script(widget_site):
    pages = {path.stem: path.read_text(encoding="utf8") for path in widget_site.rglob("*.html")}
    with_script = {name for name, text in pages.items() if "choice.js" in text}
    assert with_script == set(STEMS)
    assert "widgets.css" not in pages["index"]
