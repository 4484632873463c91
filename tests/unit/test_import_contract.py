"""The floors of the library: no module imports from a floor above its own, and what it imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

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


def test_the_contract_covers_the_whole_library():
    """A new module of the library must be given a floor."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    placed = {
        part.strip().strip("()").removeprefix("icl_lib.")
        for layer in layers
        for part in layer.replace(":", "|").split("|")
    }
    library = ROOT / "icl_lib"
    modules = {path.stem for path in library.glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in library.glob("*/__init__.py")}
    assert modules | packages <= placed, sorted((modules | packages) - placed)


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
    assert settings["tool"]["setuptools"]["package-data"]["icl_lib"] == ["py.typed"]


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
