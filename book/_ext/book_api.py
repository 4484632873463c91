"""The API pages list the public modules that are there, so that none is forgotten.

Two comment lines in the Markdown of a page are replaced before it is parsed:

* ``% modules: icl_lib.training icl_lib.tasks.*`` by an autodoc block a module; ``.*`` stands for a
  package and its public modules. A package too large for one page is named module by module.
* ``% summary: api/theory_regression`` (the overview) by a list of that page's modules, each with
  the first line of its docstring and a link to it.
"""

import ast
import re
from pathlib import Path

from sphinx.errors import ExtensionError

MODULES = re.compile(r"^% modules: (.+)$", re.MULTILINE)
SUMMARY = re.compile(r"^% summary: (.+)$", re.MULTILINE)
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


def module_file(root, name):
    """The file of the module or package ``icl_lib.theory``, or None."""
    path = root.joinpath(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def named_modules(root, name):
    """The module itself; for ``icl_lib.tasks.*`` the package and its public modules."""
    bare = name.removesuffix(".*")
    file = module_file(root, bare)
    if file is None:
        raise ExtensionError(f"% modules: must name modules of the project, got {name!r}")
    if bare != name and file.name != "__init__.py":
        raise ExtensionError(f"% modules: .* stands behind packages only, got {name!r}")
    if bare == name:
        return [name]
    inner = sorted(path.stem for path in file.parent.glob("*.py") if path.stem[0] != "_")
    return [bare, *(f"{bare}.{stem}" for stem in inner)]


def modules_of(root, text):
    """Every module that a page with this source shows, in its order."""
    given = [name for line in MODULES.findall(text) for name in line.split()]
    return [module for name in given for module in named_modules(root, name)]


def first_line(file):
    """The sentence that opens a module's docstring, in Markdown."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf8"))) or ""
    line = text.split("\n")[0].replace("``", "`")
    pieces = line.split("`")  # odd pieces are code
    return "`".join(
        piece if at % 2 else re.sub(r"([*_$|<\[\]])", r"\\\1", piece)
        for at, piece in enumerate(pieces)
    )


def block(root, name):
    """One module's section on its page.

    A package shows its docstring alone: what it hands on is described where it is defined.
    """
    members = ""
    file = module_file(root, name)
    if file is None or file.name != "__init__.py":
        members = "   :members:\n   :show-inheritance:\n"
    return f"## `{name}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n{members}```\n"


def summary_line(root, name):
    """One module's line on the overview."""
    return f"- {{py:mod}}`{name}`: {first_line(module_file(root, name))}"


def fill_module_list(app, docname, source):
    """source-read: replace the two comment lines."""
    if "reference/api" not in docname:
        return
    root = Path(app.srcdir)

    def blocks(match):
        return "\n".join(block(root, name) for name in modules_of(root, match.group(0)))

    def summary(match):
        page = Path(app.env.doc2path(docname)).parent / f"{match.group(1)}.md"
        names = modules_of(root, page.read_text(encoding="utf8"))
        for file in (page, *(module_file(root, name) for name in names)):
            app.env.note_dependency(str(file))
        return "\n".join(summary_line(root, name) for name in names)

    source[0] = SUMMARY.sub(summary, MODULES.sub(blocks, source[0]))


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


def name_toggles(app, pagename, templatename, context, doctree):
    """html-page-context: the side bar folds the API pages away, by a control without a name."""
    theme_tree = context.get("generate_toctree_html")
    if theme_tree is None:
        return

    def named_tree(*args, **kwargs):
        tree = theme_tree(*args, **kwargs)
        for summary in tree.select("li > details > summary") if tree else ():
            link = summary.parent.parent.find("a", recursive=False)
            if link is not None:  # else the summary holds the heading itself
                summary["aria-label"] = f"Pages below {' '.join(link.get_text().split())}"
        return tree

    context["generate_toctree_html"] = named_tree
