"""The choice questions of the chapters: ``book/questions/03_closed_form.yml`` for that chapter.

A file holds ``questions``, a list. A question has an ``id`` that begins with the chapter's slug, a
``prompt``, ``options`` and an ``explanation`` of the right one; texts are Markdown, a paragraph
each. An option has a ``text`` and either ``correct: true`` or the ``misconception`` that it names
and a sentence ``because`` it is wrong. Whoever uses the questions outside of the pages (a question
bank) reads them here.
"""

import re
from pathlib import Path

import yaml
from sphinx.errors import ExtensionError

import book_checks

QUESTION = {"id", "prompt", "options", "explanation"}
RIGHT = {"text", "correct"}
WRONG = {"text", "misconception", "because"}
FEWEST, MOST = 3, 5  # two options are a coin, more than five nobody weighs


def folder(root):
    return Path(root) / "book" / "questions"


def file_of(root, stem):
    """Where the questions of the chapter with this file name are."""
    return folder(root) / f"{stem}.yml"


def read(path):
    """id -> question of one file; an ``ExtensionError`` names the file and everything wrong."""
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf8"))
    except (OSError, yaml.YAMLError) as error:
        raise ExtensionError(f"{path}: {error}") from error
    if wrong := problems(data, book_checks.slug(path)):
        raise ExtensionError(f"{path}:\n  " + "\n  ".join(wrong))
    return {question["id"]: question for question in data["questions"]}


def read_all(root):
    """stem -> (id -> question), over all files."""
    return {path.stem: read(path) for path in sorted(folder(root).glob("*.yml"))}


def problems(data, slug):
    """What is wrong with the content of a chapter's file, a line each."""
    if not isinstance(data, dict) or set(data) != {"questions"}:
        return ["the file must hold one key, questions"]
    questions = data["questions"]
    if not isinstance(questions, list) or not questions:
        return ["questions must be a list with at least one question"]
    wrong, seen = [], set()
    for number, question in enumerate(questions, 1):
        name = question.get("id") if isinstance(question, dict) else None
        wrong += [f"{name or number}: {line}" for line in question_problems(question, slug)]
        if name in seen:
            wrong.append(f"{name}: this id is given twice")
        seen.add(name)
    return wrong


def question_problems(question, slug):
    if not isinstance(question, dict) or set(question) != QUESTION:
        return [f"a question has the keys {sorted(QUESTION)}, got {keys(question)}"]
    wrong = []
    if not re.fullmatch(rf"{slug}-[a-z0-9-]*[a-z0-9]", str(question["id"])):
        wrong.append(f"id must be {slug}- and words of a-z, 0-9 joined by -")
    wrong += text_problems(question, ("prompt", "explanation"))
    options = question["options"]
    if not isinstance(options, list) or not FEWEST <= len(options) <= MOST:
        return [*wrong, f"options must be a list of {FEWEST} to {MOST}"]
    for letter, option in zip("ABCDE", options, strict=False):
        wrong += [f"option {letter}: {line}" for line in option_problems(option)]
    return wrong or together_problems(options)


def option_problems(option):
    if not isinstance(option, dict) or set(option) not in (RIGHT, WRONG):
        return [f"it has the keys {sorted(RIGHT)} or {sorted(WRONG)}, got {keys(option)}"]
    wrong = text_problems(option, set(option) - {"correct"})
    if option.get("correct", True) is not True:
        wrong.append(f"correct must be true or left out, got {option['correct']!r}")
    return wrong


def together_problems(options):
    """One right answer, and no two options or misconceptions that are the same."""
    right = sum("correct" in option for option in options)
    wrong = [] if right == 1 else [f"exactly one option must be correct, got {right}"]
    for key in ("text", "misconception"):
        texts = [option[key] for option in options if key in option]
        if len(set(texts)) < len(texts):
            wrong.append(f"two options have the same {key}")
    return wrong


def text_problems(item, names):
    """Texts are paragraphs; all but options and names of misconceptions end as sentences do."""
    wrong = []
    for name in sorted(names):
        text = item[name]
        if not isinstance(text, str) or not text.strip() or "\n\n" in text.strip():
            wrong.append(f"{name} must be a paragraph of text, got {text!r}")
        elif name not in ("text", "misconception") and text.strip()[-1] not in ".?":
            wrong.append(f"{name} must end with a full stop or a question mark")
    return wrong


def keys(item):
    return sorted(map(str, item)) if isinstance(item, dict) else repr(item)
