"""The SLURM configuration: the job script is printed, and says what the file says."""

from __future__ import annotations

import runpy
import shlex
from pathlib import Path

import pytest
import yaml

pytest.importorskip("dask_jobqueue")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", name="script")
def job_script():
    """What SLURM would get; no cluster is needed for it."""
    module = runpy.run_path(str(ROOT / "cluster" / "slurm.py"))
    with module["slurm_cluster"]() as cluster:
        script = cluster.job_script()
    print(script)
    return script


@pytest.fixture(scope="module", name="settings")
def settings_of_the_file():
    text = (ROOT / "cluster" / "slurm.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["jobqueue"]["slurm"]


def test_what_the_job_asks_for(script, settings):
    asked = {line.removeprefix("#SBATCH ") for line in script.splitlines() if "#SBATCH" in line}
    assert "-J icl-sweep" in asked
    assert f"--cpus-per-task={settings['cores']}" in asked
    assert f"-t {settings['walltime']}" in asked
    assert "--mem=15G" in asked  # 16 GB in units of 2^30 bytes, rounded up
    assert not any(line.startswith(("-p", "-A")) for line in asked)


def test_one_process_a_core_with_one_thread(script, settings):
    command = shlex.split(script.splitlines()[-1] if script.strip() else "")
    command = next(
        shlex.split(line) for line in script.splitlines() if "distributed.cli.dask_worker" in line
    )
    value = {name: command[command.index(name) + 1] for name in command if name.startswith("--n")}
    assert int(value["--nworkers"]) == settings["processes"] == settings["cores"]
    assert value["--nthreads"] == "1"
    assert command[command.index("--death-timeout") + 1] == "300"


def test_the_environment_is_entered_before_the_worker_starts(script):
    lines = script.splitlines()
    worker = next(i for i, line in enumerate(lines) if "distributed.cli.dask_worker" in line)
    assert lines.index("source .venv/bin/activate") < worker
    assert any("OMP_NUM_THREADS=1" in line for line in lines[:worker])


def test_a_worker_leaves_before_its_job_ends(script, settings):
    hours, minutes, _ = map(int, settings["walltime"].split(":"))
    lifetime, stagger = (
        int(shlex.split(script.split(option)[1])[0].removesuffix("m"))
        for option in ("--lifetime ", "--lifetime-stagger ")
    )
    assert lifetime + stagger < 60 * hours + minutes
