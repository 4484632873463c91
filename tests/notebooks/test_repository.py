"""The files around the book: they parse, they agree with each other, they stay small."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MIB = 2**20


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow(path):
    flow = yaml.safe_load(path.read_text(encoding="utf8"))
    assert flow["name"] == path.stem
    assert flow[True], "no trigger"  # YAML reads the key `on` as true
    for job in flow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        assert all("uses" in step or "run" in step for step in job["steps"])


def test_workflows_call_targets_that_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    assert {"browser", "test", "book", "newest", "faults"} <= targets
    callers = [*WORKFLOWS, ROOT / ".ci" / "run", ROOT / "CONTRIBUTING.md", ROOT / "README.md"]
    for path in callers:
        text = path.read_text(encoding="utf8") if path.is_file() else ""
        called = re.findall(r"(?:^\s*(?:sudo )?|`|run: |then sudo )make ([a-z-]+)", text, re.M)
        assert set(called) <= targets, path.name


def test_ci_script():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


def test_citation_and_package_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    assert citation["version"] == project["version"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"] == [{"name": f"The contributors of {citation['title']}"}]
    for licence in ("LICENSE", "LICENSE-TEXT"):
        text = (ROOT / licence).read_text(encoding="utf8")
        assert citation["authors"][0]["name"] in " ".join(text.split())


def test_the_licence_of_the_text_is_whole():
    text = (ROOT / "LICENSE-TEXT").read_text(encoding="utf8")
    assert [n for n in range(1, 9) if f"Section {n} –" not in text] == []


def test_checkpoints_are_small():
    sizes = {path.name: path.stat().st_size for path in (ROOT / "checkpoints").glob("*")}
    assert {name: size for name, size in sizes.items() if size > 3 * MIB} == {}


def test_lock_pins_every_requirement():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf8").split()
    pinned = {line.split("==")[0].lower() for line in lock if "==" in line}
    assert all("==" in line and "+" not in line for line in lock), "exact, and without +cpu"
    wanted = (ROOT / "requirements.in").read_text(encoding="utf8").splitlines()
    names = {re.split(r"[<>=!~\[ ]", line)[0].lower() for line in wanted if line[:1] not in "#"}
    assert names - {""} <= pinned
