"""The floors of the library: no module imports from a floor above its own."""

from __future__ import annotations

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
