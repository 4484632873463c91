"""The doctor, fed with broken machines: each check says what is wrong and what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from icl_lib.teaching import doctor

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ((3, 10, 9), "FAIL"),
        ((2, 7, 18), "FAIL"),
        ((3, 11, 0), "OK"),
        ((3, 13, 2), "OK"),
        ((3, 14, 0), "WARN"),
        ((4, 0, 0), "WARN"),
    ],
)
def test_python(version, status):
    found = doctor.check_python(version)
    assert found.status == status
    assert found.detail.startswith(".".join(map(str, version)))
    assert bool(found.advice) == (status != "OK")


def test_lock_is_read_with_markers_and_comments(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "# a comment\n--extra\nnumpy==2.4.6\n\nfoo-bar==1.0  # why\n"
        'never==1.0 ; python_version < "3"\nopen-ended>=3\n'
    )
    assert doctor.locked_versions(lock) == {"numpy": "2.4.6", "foo-bar": "1.0", "open-ended": ""}
    assert doctor.locked_versions(tmp_path / "absent") == {}


def _lock(tmp_path: Path) -> Path:
    lock = tmp_path / "requirements.lock"
    lock.write_text("torch==2.13.0\nextra==1.0\n")
    return lock


def _installed(**versions):
    def version(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    return version


def test_packages_as_locked(tmp_path):
    versions = dict.fromkeys(doctor.NEEDED, "9") | {"torch": "2.13.0+cpu", "extra": "1.0"}
    found = doctor.check_packages(_lock(tmp_path), _installed(**versions))
    assert (found.status, found.advice) == ("OK", "")
    assert found.detail.startswith(str(len(doctor.NEEDED) + 1))


def test_another_version_is_a_warning(tmp_path):
    versions = dict.fromkeys(doctor.NEEDED, "2.13.0") | {"extra": "1.1"}
    found = doctor.check_packages(_lock(tmp_path), _installed(**versions))
    assert found.status == "WARN"
    assert found.detail == "extra 1.1 (locked 1.0)"


@pytest.mark.parametrize("absent", ["extra", "numpy"])
def test_missing_package_fails(tmp_path, absent):
    versions = dict.fromkeys(doctor.NEEDED, "2.13.0") | {"extra": "1.1"}
    del versions[absent]
    found = doctor.check_packages(_lock(tmp_path), _installed(**versions))
    assert found.status == "FAIL"
    assert found.detail == f"missing: {absent}"
    assert "pip install" in found.advice


def test_without_a_lock_the_needed_packages_count(tmp_path):
    found = doctor.check_packages(tmp_path / "absent", _installed(numpy="1"))
    assert found.status == "FAIL"
    assert "scipy" in found.detail
    assert "numpy" not in found.detail


def test_torch_on_this_machine():
    found = doctor.check_torch()
    assert found.status == "OK", found
    assert "on the CPU" in found.detail


def test_torch_that_does_not_import():
    def broken(name):
        raise OSError("libtorch.so: cannot open shared object file")

    found = doctor.check_torch(broken)
    assert found.status == "FAIL"
    assert "OSError: libtorch.so" in found.detail


def test_torch_that_computes_wrongly():
    fake = SimpleNamespace(ones=lambda *shape: np.full(shape, 2.0))
    found = doctor.check_torch(lambda name: fake)
    assert (found.status, found.detail) == ("FAIL", "wrong product on the CPU")


def test_kernel_starts_and_a_missing_one_is_named():
    assert doctor.check_kernel().status == "OK"
    found = doctor.check_kernel(lambda: doctor.start_kernel("no-such-kernel"))
    assert found.status == "FAIL"
    assert "no-such-kernel" in found.detail
    assert "ipykernel install" in found.advice


def test_threads():
    assert doctor.check_threads(dict(doctor.THREADS)).status == "OK"
    found = doctor.check_threads({"OMP_NUM_THREADS": "4", "GOMP_SPINCOUNT": "0"})
    assert found.status == "WARN"
    assert "export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE`" in found.advice


@pytest.mark.parametrize(("gib", "status"), [(0.4, "FAIL"), (1.0, "WARN"), (2.0, "OK")])
def test_disk(gib, status):
    found = doctor.check_disk(Path("."), lambda folder: Usage(0, 0, gib * doctor.GIB))
    assert (found.status, found.detail) == (status, f"{gib:.1f} GiB free")


def test_the_browser_named_by_the_environment_wins():
    def which(name):
        return {"chromium": "/bin/chromium", "/opt/c": "/opt/c"}.get(name)

    assert doctor.find_browser({}, which) == "/bin/chromium"
    assert doctor.find_browser({"CHROMIUM": "/opt/c"}, which) == "/opt/c"
    assert doctor.find_browser({"CHROMIUM": ""}, which) == "/bin/chromium"
    assert doctor.find_browser({"CHROMIUM": "/absent"}, which) is None
    assert doctor.find_browser({}, lambda name: None) is None


def test_browser():
    assert doctor.check_browser(lambda: "/bin/chromium") == doctor.Check(
        "browser", "OK", "/bin/chromium"
    )
    found = doctor.check_browser(lambda: None)
    assert found.status == "WARN"
    assert "make browser" in found.advice


def _checkpoint(folder: Path, name: str, meta=None) -> Path:
    path = folder / name
    save_file({"w": np.ones(4, dtype=np.float32)}, path, metadata=meta)
    return path


def test_checkpoints(tmp_path):
    assert doctor.check_checkpoints(tmp_path).status == "WARN"
    _checkpoint(tmp_path, "good.safetensors", {"config": json.dumps({"seed": 0})})
    assert doctor.check_checkpoints(tmp_path) == doctor.Check("checkpoints", "OK", "1 readable")


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "no metadata"])
def test_damaged_checkpoint_is_refused_by_name(tmp_path, damage):
    path = _checkpoint(tmp_path, "bad.safetensors", {"config": "{}"})
    whole = path.read_bytes()
    if damage == "no metadata":
        _checkpoint(tmp_path, "bad.safetensors")
    else:
        path.write_bytes({"cut": whole[:-5], "empty": b"", "foreign": b"PK\x03\x04" * 40}[damage])
    found = doctor.check_checkpoints(tmp_path)
    assert found.status == "FAIL"
    assert "bad.safetensors (" in found.detail
    assert "git checkout" in found.advice


@pytest.mark.parametrize("content", ["{", "", "[]", "\udcff"])
def test_damaged_record_is_refused_by_name(tmp_path, content):
    _checkpoint(tmp_path, "good.safetensors", {"config": "{}"})
    record = tmp_path / "record.json"
    record.write_text("{}", encoding="utf-8")
    assert doctor.check_checkpoints(tmp_path).status == "OK"
    record.write_bytes(content.encode("utf-8", "surrogateescape"))
    found = doctor.check_checkpoints(tmp_path)
    assert found.status == "FAIL" and found.detail.startswith("record.json (")


def test_line():
    assert doctor.Check("disk", "OK", "fine").line() == "[OK]   disk: fine"
    assert doctor.Check("disk", "FAIL", "full", "free some").line() == (
        "[FAIL] disk: full\n       -> free some"
    )


def test_main_reports_a_check_that_breaks_and_goes_on(capsys):
    def check_odd():
        raise RuntimeError("odd machine")

    good = doctor.Check("disk", "OK", "fine")
    assert doctor.main((check_odd, lambda: good)) == 1
    out = capsys.readouterr().out
    assert "[FAIL] odd: RuntimeError: odd machine" in out
    assert "[OK]   disk: fine" in out
    assert "1 of 2 checks failed." in out


def test_a_warning_is_not_a_failure(capsys):
    assert doctor.main((lambda: doctor.Check("browser", "WARN", "none", "x"),)) == 0
    assert capsys.readouterr().out.endswith("Ready.\n")


def test_every_check_is_run_by_default():
    functions = {name for name in vars(doctor) if name.startswith("check_")}
    assert {check.__name__ for check in doctor.CHECKS} == functions


def test_as_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "icl_lib.teaching.doctor"],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=doctor.ROOT,
    )
    assert " torch: " in done.stdout, done.stdout + done.stderr
    assert done.returncode == (1 if "[FAIL]" in done.stdout else 0)
    assert done.stdout.count("\n[") == len(doctor.CHECKS) - 1
