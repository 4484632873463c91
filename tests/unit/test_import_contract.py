"""The floors of the library: no module imports from a floor above its own, and what it imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "import sys; from importlinter.cli import lint_imports_command as c; sys.exit(c())"


def test_floors():
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "--no-cache"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, "\n" + done.stdout + done.stderr
    assert " 0 broken" in done.stdout, done.stdout


# the models and their layers are free inside; like everything else they have no circles
FREE = {"icl_lib.models", "icl_lib.layers"}


def test_the_contract_covers_the_whole_library():
    """Every room has a contract that must name each of its modules: a new one is given a floor."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
    covered = {
        container
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract.get("exhaustive") and contract["type"] == "layers"
        for container in contract["containers"]
    }
    inits = (ROOT / "icl_lib").rglob("__init__.py")
    rooms = {".".join(path.parent.relative_to(ROOT).parts) for path in inits}
    assert covered | FREE == rooms and not covered & FREE


def test_no_circles():
    assert circles_of(ROOT / "icl_lib") == []


CIRCLES = [
    {"a": "from lib import b", "b": "import lib.a"},
    {"a": "def f():\n    from lib.b import g", "b": "from lib.c import x", "c": "from . import a"},
    {"a": "import lib.b as b", "b": "class K:\n    def f(self):\n        from .a import y"},
    {"__init__": "from lib import a", "a": "from lib import x"},
]


@pytest.mark.parametrize("modules", CIRCLES)
def test_a_planted_circle_is_found(modules, tmp_path):
    library = tmp_path / "lib"
    library.mkdir()
    for name, source in {"__init__": "", "free": "from lib import a", **modules}.items():
        (library / f"{name}.py").write_text(source, encoding="utf8")
    names = {"lib" if name == "__init__" else f"lib.{name}" for name in modules}
    assert [set(circle) for circle in circles_of(library)] == [names]


def test_no_import_inside_a_function():
    """A late import hides a circle, or a floor that is skipped."""
    late = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "icl_lib").rglob("*.py"))
        for function in ast.walk(ast.parse(path.read_text(encoding="utf8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom) and "icl_lib" in ast.unparse(node)
    ]
    assert late == []


def circles_of(library: Path) -> list[list[str]]:
    """Every circle of imports among the modules of a package, wherever the imports stand."""
    files = {}
    for path in library.rglob("*.py"):
        parts = path.relative_to(library.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph = {name: _imported_modules(name, path, files) for name, path in files.items()}
    leads_to = {name: _reached(graph, name) for name in graph}
    circles = {
        frozenset(other for other in leads_to[name] if name in leads_to[other])
        for name in graph
        if name in leads_to[name]
    }
    return sorted(map(sorted, circles))


def _reached(graph: dict[str, set[str]], start: str) -> set[str]:
    """Every module that ``start`` leads to, itself only by a circle."""
    found, waiting = set(), [start]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _imported_modules(name: str, path: Path, files: dict[str, Path]) -> set[str]:
    """The modules of the package that a file imports; a package stands for its ``__init__``."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) - max(node.level - 1, 0)]
            base = ".".join([*(up if node.level else []), *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in files else base)
    return {module for module in found if module in files} - {name}


def test_theory_may_not_import_torch():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    assert any(
        "icl_lib.theory" in contract.get("source_modules", [])
        and "torch" in contract.get("forbidden_modules", [])
        for contract in contracts
    )


# name of the import: name of the package, where the two differ
PACKAGES = {"PIL": "pillow", "yaml": "pyyaml", "distributed": "dask"}
# of the extra "scale": what is only reached through fsspec or Dask, or from cluster/
THROUGH_OTHERS = {"s3fs", "bokeh", "dask-jobqueue"}
# what only the book's build and its kernels import: it is there when they run
OF_THE_BOOK = {"docutils", "jupyter_client"}


def test_what_the_library_imports_is_declared():
    """An import that happens to come with another package breaks when that package drops it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    extra = project["optional-dependencies"]["scale"]
    declared = {re.split(r"[<>=!~\[ ]", name)[0] for name in [*project["dependencies"], *extra]}
    imported = {
        PACKAGES.get(name, name)
        for path in (ROOT / "icl_lib").rglob("*.py")
        for name in _imported(path) - sys.stdlib_module_names - {"icl_lib"}
    }
    assert imported - OF_THE_BOOK == declared - THROUGH_OTHERS


def _imported(path):
    """The first part of every name that a file imports from outside its own package."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_the_package_is_typed():
    assert (ROOT / "icl_lib" / "py.typed").is_file()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
    assert settings["tool"]["setuptools"]["package-data"]["icl_lib"] == ["py.typed", "data/*.yml"]


def test_requirements_cover_the_package():
    """The book's environment is locked from requirements.in, so it must name every dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    extra = project["optional-dependencies"]["scale"]
    declared = {re.split(r"[<>=!~\[ ]", name)[0] for name in [*project["dependencies"], *extra]}
    lines = (ROOT / "requirements.in").read_text(encoding="utf8").splitlines()
    assert declared <= {re.split(r"[<>=!~\[ ]", line)[0] for line in lines}


def test_only_sweeps_import_the_extra():
    """Without the extra everything but sweeps works."""
    extra = {"joblib", "fsspec", "dask", "distributed", "s3fs", "dask_jobqueue"}
    users = {
        path.parent.name for path in (ROOT / "icl_lib").rglob("*.py") if _imported(path) & extra
    }
    assert users == {"sweeps"}
    code = "import sys, icl_lib.experiments.__main__; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True
    )
    assert not extra & set(done.stdout.split())
