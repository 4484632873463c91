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
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
ACTIONS = sorted((GITHUB / "actions").glob("*/action.yml"))
CALLERS = [*WORKFLOWS, *ACTIONS, ROOT / ".ci" / "run", ROOT / "CONTRIBUTING.md", ROOT / "README.md"]
PINNED = re.compile(r"[\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
MIB = 2**20


def read(path):
    return path.read_text(encoding="utf8")


def steps(path):
    """Every step of a workflow or of an action, as a dict."""
    flow = yaml.safe_load(read(path))
    jobs = flow["jobs"].values() if "jobs" in flow else [flow["runs"]]
    return [step for job in jobs for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow(path):
    flow = yaml.safe_load(read(path))
    assert flow["name"] == path.stem
    assert flow[True], "no trigger"  # YAML reads the key `on` as true
    assert flow["permissions"] == {"contents": "read"}, "more than that belongs to one job"
    assert flow["concurrency"]["group"]
    for job in flow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        assert all("uses" in step or "run" in step for step in job["steps"])


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: path.stem)
def test_actions_are_pinned(path):
    """A tag can be moved to other code after we have read it, a commit hash cannot."""
    used = re.findall(r"^\s*(?:- )?uses: *(.+?) *$", read(path), flags=re.MULTILINE)
    assert len(used) == sum("uses" in step for step in steps(path)) > 0
    for reference in used:
        if reference.startswith("./"):
            assert (ROOT / reference / "action.yml") in ACTIONS, reference
        else:
            assert PINNED.fullmatch(reference), f"{path.name}: {reference}"


def test_actions_have_one_version_each():
    pairs = {
        tuple(step["uses"].split("@"))
        for path in [*WORKFLOWS, *ACTIONS]
        for step in steps(path)
        if "@" in step.get("uses", "")
    }
    assert len(pairs) == len({action for action, _ in pairs}), sorted(pairs)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_checkouts_keep_no_credentials(path):
    checkouts = [s for s in steps(path) if s.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_workflows_and_texts_call_targets_that_exist():
    makefile = read(ROOT / "Makefile")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    phony = makefile.split(".PHONY:")[1].split("\n\n")[0].replace("\\", " ").split()
    assert set(phony) == targets, "a target that is not .PHONY, or the reverse"
    called = {
        (path.name, name)
        for path in CALLERS
        if path.is_file()
        for line in read(path).splitlines()
        for name in _targets_called(line)
    }
    assert {name for file, name in called if file == "ci.yml"} >= {"lint", "test-unit", "test-book"}
    assert {name for file, name in called if file == "weekly.yml"} >= {
        "newest",
        "faults",
        "mutants",
    }
    assert {pair for pair in called if pair[1] not in targets} == set()


def _targets_called(line):
    """The targets of `make` in a line: a command of a script, of a step, or set as code."""
    commands = re.findall(r"(?:^\s*|run: |`|\|\| |&& |[A-Z_]+=1 |sudo )make ([^`|;&#]*)", line)
    words = [word for command in commands for word in command.split()]
    return [word for word in words if re.fullmatch(r"[a-z]+(-[a-z]+)*", word)]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_our_settings_in_a_workflow_are_read(path):
    readers = [ROOT / "Makefile", *ROOT.glob("book/_ext/*.py"), *ROOT.glob("icl_lib/**/*.py")]
    source = "".join(read(reader) for reader in readers)
    settings = set(re.findall(r"\bICL_[A-Z_]+", read(path)))
    assert {name for name in settings if name not in source} == set()


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
