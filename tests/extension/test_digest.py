"""What makes a chapter run again, and what does not: each rule by a planted edit."""

from __future__ import annotations

import nbformat
import pytest
from book_digest import chapter_digest, imported_names, python_of, read_notebook

LIBRARY = {
    "icl_lib/__init__.py": "",
    "icl_lib/_checks.py": "",
    "icl_lib/theory/__init__.py": "",
    "icl_lib/theory/optimum.py": "from icl_lib import _checks\n",
    "icl_lib/theory/shifts.py": "def f():\n    from icl_lib.theory.late import g\n",
    "icl_lib/theory/late.py": "from . import optimum\n",
    "icl_lib/theory/solvers.py": "",
    "icl_lib/tasks/__init__.py": "",
    "icl_lib/tasks/tokens.py": "",
    "requirements.lock": "torch==2.13.0\n",
    "book/claims/first.yml": "strict_null: false\nclaims: {}\n",
    "book/_ext/book_ledger.py": "",
    "checkpoints/one.safetensors": "",
}


def notebook(code: str, prose: str = "A sentence.", metadata: dict | None = None):
    cells = [
        nbformat.v4.new_markdown_cell(prose),
        nbformat.v4.new_code_cell(code, metadata=metadata or {}),
    ]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture
def project(tmp_path):
    for name, text in LIBRARY.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf8")
    return tmp_path


CODE = "import numpy as np\nfrom icl_lib.theory import shifts\n!pip list\n%timeit 1\nshifts.f()"


@pytest.mark.parametrize(
    ("name", "runs_again"),
    [
        ("icl_lib/theory/shifts.py", True),  # imported
        ("icl_lib/theory/late.py", True),  # by an import inside of a function
        ("icl_lib/theory/optimum.py", True),  # by a relative import of an imported module
        ("icl_lib/_checks.py", True),  # at the end of the chain
        ("icl_lib/theory/__init__.py", True),  # runs when anything below it is imported
        ("icl_lib/__init__.py", True),
        ("requirements.lock", True),
        ("icl_lib/theory/solvers.py", False),  # a neighbour that nobody imports
        ("icl_lib/tasks/tokens.py", False),
        ("icl_lib/tasks/__init__.py", False),
        ("book/claims/first.yml", False),  # what is expected
        ("book/_ext/book_ledger.py", False),  # how it is shown
        ("checkpoints/one.safetensors", False),  # data count when they are read: test_store
    ],
)
def test_an_edit_of_a_file(project, name, runs_again):
    before = chapter_digest(project, notebook(CODE))
    (project / name).write_text(LIBRARY[name] + "# edited\n", encoding="utf8")
    assert (chapter_digest(project, notebook(CODE)) != before) is runs_again


def test_an_edit_of_the_notebook(project):
    before = chapter_digest(project, notebook(CODE))
    assert chapter_digest(project, notebook(CODE, prose="Another sentence.")) == before
    caption = {"mystnb": {"figure": {"caption": "Clearer."}}, "tags": ["hide-input"]}
    assert chapter_digest(project, notebook(CODE, metadata=caption)) == before
    assert chapter_digest(project, notebook(CODE + "\n")) != before
    assert chapter_digest(project, notebook(CODE.replace("shifts.f()", "shifts.f(1)"))) != before


def test_a_module_that_appears_where_a_name_was(project):
    """`from icl_lib.theory import new` may mean a function today and a module tomorrow."""
    code = "from icl_lib.theory import new"
    before = chapter_digest(project, notebook(code))
    (project / "icl_lib/theory/new.py").write_text("", encoding="utf8")
    assert chapter_digest(project, notebook(code)) != before


def test_cells_in_another_order_are_another_program(project):
    cells = [nbformat.v4.new_code_cell(source) for source in ("a = 1", "a = 2")]
    book = nbformat.v4.new_notebook(cells=cells)
    before = chapter_digest(project, book)
    book.cells.reverse()
    assert chapter_digest(project, book) != before


def test_lines_for_ipython_are_no_python():
    assert python_of("if x:\n    !ls\n%cd y\nz = 1") == "if x:\n    pass\npass\nz = 1"


def test_imported_names():
    source = "import a.b as c\nfrom d import e, f\nfrom . import g\nfrom ..h import i"
    assert imported_names(source, "p.q") == {
        *("a.b", "d", "d.e", "d.f", "p.q", "p.q.g", "p.h", "p.h.i")
    }


def test_every_chapter_reaches_less_than_the_library(chapters_of_the_book):
    """A package that imports its modules would make every digest that of the whole library."""
    from book_digest import chapter_modules
    from book_store import ROOT

    library = {p for p in (ROOT / "icl_lib").rglob("*.py") if "__pycache__" not in p.parts}
    for path in chapters_of_the_book:
        reached = set(chapter_modules(ROOT, read_notebook(path)).values())
        assert reached < library, path.name
        assert ROOT / "icl_lib" / "teaching" / "doctor.py" not in reached, path.name
        assert ROOT / "icl_lib" / "claims" / "page.py" not in reached, path.name
    one_layer = [path for path in chapters_of_the_book if path.name.startswith("03")]
    (closed_form,) = (chapter_modules(ROOT, read_notebook(path)) for path in one_layer)
    assert not [name for name in closed_form if name.startswith("icl_lib.experiments")]
