"""An explorable: a figure over a closed formula, with sliders once its script runs.

    ```{admonition} Explore: the loss of one number
    :class: explorable
    :name: closed-form-loss

    The caption.
    ```

``book/_static/explorables/closed-form-loss.js`` computes and draws. Without JavaScript, on paper
and until the script runs, the page shows ``book/explorables/closed-form-loss.html``: the first
picture as the script draws it, written by ``python tests/explorable_frames.py``.
"""

from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError

from book_boxes import box

FOLDER = "explorables"
SHARED = f"{FOLDER}/shared.js"


def explorable(directive):
    """The figure that the admonition names."""
    env, name = directive.env, directive.options.get("name", "")
    root = Path(env.app.srcdir) / "book"
    script = f"{FOLDER}/{name}.js"
    frame = root / FOLDER / f"{name}.html"
    for path in (root / "_static" / script, frame):
        if not name or not path.is_file():
            where = f"{env.docname}, line {directive.lineno}"
            raise ExtensionError(f"{path}: there is no such file, but {where} needs it")
    env.note_dependency(str(frame))
    caption = box("figcaption")
    directive.state.nested_parse(directive.content, directive.content_offset, caption)
    drawn = nodes.raw("", frame.read_text(encoding="utf8"), format="html")
    return box(
        "figure",
        box("p", directive.arguments[0], classes=["icl-widget-title"]),
        box("div", drawn, classes=["icl-explorable-stage"]),
        caption,
        ids=[f"explore-{name}"],
        classes=["icl-widget", "icl-explorable"],
        attributes={"data-explorable": name},
        scripts=[SHARED, script],
    )
