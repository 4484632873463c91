"""The whole way in a small project: a chapter runs once, and claims cannot be silenced."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ["book/_ext", "icl_lib/claims", "icl_lib/__init__.py", "conftest.py", "requirements.lock"]
CODE = [
    "from icl_lib.claims import claim, run_report\nfrom pathlib import Path",
    "root = next(p for p in Path.cwd().parents if (p / 'icl_lib').is_dir())\n"
    "value = float((root / 'data.txt').read_text())",
    'claim("first-value", value)',
    'run_report("01")',
]
ENTRY = {
    "was": "01-value",
    "kind": "identity",
    "statement": "The value that the file holds.",
    "source": "the file",
    "expected": 2,
    "mode": "absolute",
    "tolerance": 0,
    "verdict": "reproduced",
    "holds": True,
}
CHAPTER = "book/part1/01_first.ipynb"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    for name in NEEDED:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, target)
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts = ["--nbmake"]\n')
    (root / "data.txt").write_text("2")
    expect(root, 2)
    write(root, CODE)
    return root


def expect(root, value):
    entry = {"strict_null": False, "claims": {"first-value": ENTRY | {"expected": value}}}
    path = root / "book" / "claims" / "first.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(entry), encoding="utf8")


def write(root, codes):
    cells = [nbformat.v4.new_code_cell(code, id=f"c{n}") for n, code in enumerate(codes)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    path = root / CHAPTER
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(notebook), encoding="utf8")


def run(root, *arguments, **environment):
    """pytest in the project; its exit status and what it printed."""
    own = {"PYTHONPATH": str(root), "COVERAGE_PROCESS_START": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command,
        cwd=root,
        env=os.environ | own | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def starts(root):
    log = root / "_build" / "kernels.log"
    lines = log.read_text(encoding="utf8").splitlines() if log.exists() else []
    return [json.loads(line)["chapter"] for line in lines]


def test_once_and_only_once(project):
    """Executed, kept, and executed again only for what it depends on (in this order)."""
    code, said = run(project, CHAPTER)
    assert code == 0, said
    assert "01_first" in said and "done" in said and "1 of 1" in said
    assert starts(project) == ["01_first"]
    source = (project / CHAPTER).read_text(encoding="utf8")
    assert '"outputs": []' in source, "the source stays without outputs"

    code, said = run(project, CHAPTER)
    assert code == 0 and "kept" in said, said
    assert starts(project) == ["01_first"]

    expect(project, 3)  # an edit of what is expected executes nothing, and fails all the same
    code, said = run(project, CHAPTER)
    assert code == 1 and "claim first-value does not hold as recorded" in said, said
    assert starts(project) == ["01_first"]
    expect(project, 2)

    (project / "data.txt").write_text("2.0")  # data that the chapter reads
    code, said = run(project, CHAPTER)
    assert code == 0, said
    assert starts(project) == ["01_first"] * 2


@pytest.mark.parametrize("value", ["off", "lax", ""])
def test_no_environment_switches_the_claims_off(project, value):
    write(project, [*CODE[:2], f"value = 7.0  # {value}", *CODE[2:]])
    code, said = run(project, CHAPTER, ICL_CLAIMS=value, ICL_SEED_OFFSET="3")
    assert code == 1 and "claim first-value does not hold as recorded" in said, said
    write(project, CODE)


def test_a_claim_that_no_cell_checks(project):
    write(project, [*CODE[:2], CODE[3]])
    code, said = run(project, CHAPTER)
    assert code == 1 and "claim first-value of book/claims/first.yml is checked in no cell" in said
    write(project, CODE)


def test_the_kernel_log_is_judged():
    import book_kernels

    assert book_kernels.problems({"01_first": 1, "02_second": 1}) == []
    assert book_kernels.problems({"01_first": 2}) == ["01_first was started 2 times"]
    assert book_kernels.problems({"unknown": 1}) == ["1 kernels were started for no chapter"]
    assert book_kernels.problems({}, ["01_first"]) == ["01_first has no valid execution"]
