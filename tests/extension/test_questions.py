"""The files of choice questions: what is refused, and that those of the book are complete."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import book_questions
import pytest
import yaml
from sphinx.errors import ExtensionError

from tests import widget_site

ROOT = Path(__file__).resolve().parents[2]
STEMS = [f"{number:02}" for number in range(1, 9)]
GOOD = {
    "id": "trial-sum",
    "prompt": "What is $1+1$?",
    "options": [
        {"text": "$1$", "misconception": "Nothing is added", "because": "One comes on top."},
        {"text": "$2$", "correct": True},
        {"text": "$11$", "misconception": "Signs are joined", "because": "Numbers are no words."},
    ],
    "explanation": "Count your thumbs.",
}


def changed(*path, to=None):
    """GOOD with one value replaced, or taken out."""
    question = deepcopy(GOOD)
    inner = question
    for key in path[:-1]:
        inner = inner[key]
    if to is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return question


RIGHT_TOO = {"text": "two", "correct": True}
BAD = {
    "no id": (changed("id"), "a question has the keys"),
    "another key": ({**GOOD, "level": 2}, "a question has the keys"),
    "id of another chapter": (changed("id", to="other-sum"), "id must be trial- and words"),
    "id with capitals": (changed("id", to="trial-Sum"), "id must be trial- and words"),
    "no prompt": (changed("prompt", to=" "), "prompt must be a paragraph"),
    "two paragraphs": (changed("prompt", to="One.\n\nTwo?"), "prompt must be a paragraph"),
    "no sentence": (changed("explanation", to="Because"), "explanation must end with a full stop"),
    "two options": (changed("options", 0), "options must be a list of 3 to 5"),
    "no misconception": (changed("options", 0, "misconception"), "option A: it has the keys"),
    "empty misconception": (changed("options", 0, "misconception", to=""), "must be a paragraph"),
    "no reason": (changed("options", 2, "because", to="No"), "option C: because must end"),
    "correct: false": (changed("options", 1, "correct", to=False), "correct must be true"),
    "none is right": (changed("options", 1, to=GOOD["options"][0]), "exactly one option must be"),
    "two are right": (changed("options", 0, to=RIGHT_TOO), "must be correct, got 2"),
    "the same text": (changed("options", 0, "text", to="$2$"), "two options have the same text"),
    "the same name": (
        changed("options", 0, "misconception", to="Signs are joined"),
        "two options have the same misconception",
    ),
}


def test_a_good_file_is_read(tmp_path):
    path = tmp_path / "01_trial.yml"
    path.write_text(yaml.safe_dump({"questions": [GOOD]}), encoding="utf8")
    assert book_questions.read(path) == {"trial-sum": GOOD}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_question_is_named(name, tmp_path):
    question, message = BAD[name]
    path = tmp_path / "01_trial.yml"
    path.write_text(yaml.safe_dump({"questions": [question]}), encoding="utf8")
    with pytest.raises(ExtensionError, match="01_trial.yml") as raised:
        book_questions.read(path)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("questions: []", "at least one question"),
        ("- id: x", "must hold one key"),
        ("questions: [1, 2, 3]", "1: a question has the keys"),
        ("questions: {", "01_trial.yml"),
        (yaml.safe_dump({"questions": [GOOD, GOOD]}), "trial-sum: this id is given twice"),
    ],
)
def test_a_bad_file_is_named(text, message, tmp_path):
    path = tmp_path / "01_trial.yml"
    path.write_text(text, encoding="utf8")
    with pytest.raises(ExtensionError, match="01_trial.yml") as raised:
        book_questions.read(path)
    assert message in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ExtensionError, match="02_none.yml"):
        book_questions.read(tmp_path / "02_none.yml")


def test_the_chapters_have_their_questions(chapters_of_the_book):
    known = book_questions.read_all(ROOT)
    assert set(known) <= {path.stem for path in chapters_of_the_book}
    counts = {stem[:2]: len(questions) for stem, questions in known.items()}
    assert all(counts.get(number, 0) >= 2 for number in STEMS), counts


def test_the_right_letter_cannot_be_guessed():
    """No letter is right in more than half of the questions, none of the first four never."""
    asked = [q for questions in book_questions.read_all(ROOT).values() for q in questions.values()]
    right = [next(i for i, o in enumerate(q["options"]) if "correct" in o) for q in asked]
    counts = [right.count(letter) for letter in range(4)]
    assert min(counts) > 0 and max(counts) <= len(asked) / 2, counts


def trial(*bodies):
    """The Markdown of a page that asks GOOD, or whatever is given."""
    return "# Trial\n\n" + "\n".join(bodies)


def build(tmp_path, page, question=GOOD):
    text = yaml.safe_dump({"questions": [question]})
    return widget_site.build(tmp_path, {"01_trial": page}, {"01_trial": text})


def test_a_question_is_a_list_with_a_folded_answer(tmp_path):
    from bs4 import BeautifulSoup

    asked = widget_site.ask(GOOD["id"], GOOD["prompt"])
    other = "```{admonition} Note\nOne more.\n```\n"
    html = (build(tmp_path, trial(asked, other)) / "01_trial.html").read_text(encoding="utf8")
    page = BeautifulSoup(html, "html.parser")
    box = page.select_one("#choice-trial-sum")
    given, reasons = box.find_all("ol")
    assert [item.get_text() for item in given.find_all("li")] == [r"\(1\)", r"\(2\)", r"\(11\)"]
    assert len(box.select(".icl-choice-prompt .math")) == 1
    answer = box.select_one("details")
    assert not answer.has_attr("open") and reasons.parent is answer
    assert answer.p.get_text() == "B is right."
    right = [item.has_attr("class") for item in reasons.find_all("li")]
    assert right == [False, True, False]
    assert reasons.find_all("li")[0].em.get_text() == "Nothing is added."
    assert page.select_one(".admonition").get_text(" ", strip=True) == "Note One more."
    assert [Path(s["src"]).name.split("?")[0] for s in page.select("script[src*=choice]")] == [
        "choice.js"
    ]


@pytest.mark.parametrize(
    ("bodies", "message"),
    [
        ([widget_site.ask("trial-product", GOOD["prompt"])], "no question 'trial-product'"),
        ([widget_site.ask("trial-sum", "What is $1+2$?")], "another prompt: What is $1+2$?"),
        ([widget_site.ask("trial-sum", GOOD["prompt"])] * 2, "a second time"),
        ([], "no page asks trial-sum"),
    ],
)
def test_a_page_that_does_not_fit_the_file(bodies, message, tmp_path):
    with pytest.raises(ExtensionError, match="01_trial.yml") as raised:
        build(tmp_path, trial(*bodies))
    assert message in str(raised.value)


def test_no_correct_option_stops_the_build(tmp_path):
    question, message = BAD["none is right"]
    with pytest.raises(ExtensionError, match=message):
        build(tmp_path, trial(widget_site.ask("trial-sum", GOOD["prompt"])), question)


def test_a_page_without_widgets_loads_nothing_of_them(tmp_path):
    html = widget_site.build(tmp_path, {"index": "# Plain\n\nText.\n"}, {}) / "index.html"
    assert not any(name in html.read_text(encoding="utf8") for name in ("choice.js", "widgets.css"))
