"""A choice question on its page: a list and a folded answer; choice.js makes a form of them.

```{admonition} Predict, then reveal
:class: choice
:name: closed-form-factors

The prompt, word for word as in book/questions/03_closed_form.yml.
```
"""

from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError

import book_questions
from book_boxes import box

LETTERS = "ABCDE"
SCRIPTS = ["choice.js"]


def question(directive):
    """The node of the question that the admonition names; its chapter's file must know it."""
    env, name = directive.env, directive.options.get("name", "")
    path = book_questions.file_of(env.app.srcdir, Path(env.docname).name)
    env.note_dependency(str(path))
    known = book_questions.read(path)
    where = f"{env.docname}, line {directive.lineno}"
    if name not in known:
        raise ExtensionError(f"{path}: no question {name!r}, which {where} asks for")
    item = known[name]
    if directive.body() != " ".join(item["prompt"].split()):
        raise ExtensionError(f"{path}: {name}: {where} has another prompt: {directive.body()}")
    used = choices(env).setdefault(env.docname, [])
    if name in used:
        raise ExtensionError(f"{path}: {name}: {where} asks it a second time")
    used.append(name)
    return question_box(directive, name, item, str(path))


def question_box(directive, name, item, path):
    options = item["options"]
    right = next(at for at, option in enumerate(options) if "correct" in option)
    texts, reasons = lettered_list(), lettered_list()
    for at, option in enumerate(options):
        texts += nodes.list_item("", *directive.parsed(option["text"], path))
        if at == right:
            reason, mark = f"**Right.** {item['explanation']}", ["icl-right"]
        else:
            reason, mark = f"*{option['misconception']}.* {option['because']}", []
        reasons += nodes.list_item("", *directive.parsed(reason, path), classes=mark)
    prompt = directive.parsed(item["prompt"], path)
    letter = box("p", f"{LETTERS[right]} is right.")
    return box(
        "div",
        box("p", directive.arguments[0], classes=["icl-widget-title"]),
        box("div", *prompt, classes=["icl-choice-prompt"]),
        texts,
        box("details", box("summary", "Answer"), letter, reasons, classes=["icl-choice-answer"]),
        ids=[f"choice-{name}"],
        classes=["icl-widget", "icl-choice"],
        scripts=SCRIPTS,
    )


def lettered_list():
    """An empty list with letters, as on an examination sheet; the browser writes them."""
    return nodes.enumerated_list("", enumtype="upperalpha")


def choices(env):
    """docname -> the questions asked there."""
    if not hasattr(env, "icl_choices"):
        env.icl_choices = {}
    return env.icl_choices


def forget(app, env, docname):
    """env-purge-doc: the page is read again, or gone."""
    choices(env).pop(docname, None)


def check_all_used(app, env):
    """env-check-consistency: a question that no page asks is an error, or a forgotten directive."""
    asked = {name for names in choices(env).values() for name in names}
    unused = [
        f"{book_questions.file_of(app.srcdir, stem)}: no page asks {name}"
        for stem, questions in book_questions.read_all(app.srcdir).items()
        for name in questions
        if name not in asked
    ]
    if unused:
        raise ExtensionError("\n".join(unused))
