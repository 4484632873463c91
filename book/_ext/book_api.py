"""The API page lists the public modules that are there, so that none is forgotten.

In the page's source a comment line ``% modules: icl_lib.theory icl_lib.claims`` stands for an
autodoc block a module; a package stands for its public modules.
"""

import re
from pathlib import Path

FOREIGN = (
    "torch",
    "numpy",
    "np",
    "scipy",
    "sklearn",
    "matplotlib",
    "plt",
    "pathlib",
    "collections",
)


def public_modules(root, name):
    """The module itself, or a package's own docstring and then its public modules."""
    path = root.joinpath(*name.split("."))
    if path.with_suffix(".py").is_file():
        return [name]
    if not (path / "__init__.py").is_file():
        return []
    inner = sorted(p.stem for p in path.glob("*.py") if not p.stem.startswith("_"))
    return [name, *(f"{name}.{stem}" for stem in inner)]


def block(name):
    title = f"`{name}`"
    return (
        f"### {title}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n"
        "   :show-inheritance:\n```\n"
    )


def fill_module_list(app, docname, source):
    if not docname.endswith("reference/api"):
        return
    root = Path(app.srcdir)

    def blocks(match):
        names = [m for given in match.group(1).split() for m in public_modules(root, given)]
        return "\n".join(block(name) for name in names)

    source[0] = re.sub(r"^% modules: (.+)$", blocks, source[0], flags=re.MULTILINE)


def foreign_type(app, env, node, contnode):
    """A type in a signature that is not ours stays plain text; our own names must resolve."""
    if node.get("refdomain") != "py":
        return None
    target = node.get("reftarget", "")
    root = target.lstrip(".").split(".")[0]
    in_signature = node.get("reftype") in ("class", "exc", "data", "obj") and root != "icl_lib"
    return contnode if in_signature or root in FOREIGN else None


def norms_are_not_substitutions(app, what, name, obj, options, lines):
    """In a docstring |x|^2 is a norm; reStructuredText would take it for a substitution."""
    for number, line in enumerate(lines):
        pieces = line.split("``")  # odd pieces are code
        lines[number] = "``".join(
            piece if at % 2 else piece.replace("|", r"\|") for at, piece in enumerate(pieces)
        )
