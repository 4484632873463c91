"""Say whether this machine can run the book, and what to do where it cannot.

``python -m icl_lib.teaching.doctor`` prints one line a check, [OK], [WARN] (the book works,
something optional does not) or [FAIL] with the remedy, and exits with 1 when a check failed. Every
check is a function that returns a `Check`, so that tests can feed it a broken machine.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
NEEDED = (
    *("torch", "numpy", "scipy", "matplotlib", "tqdm"),
    *("safetensors", "filelock", "pyyaml", "psutil"),
)
BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
THREADS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
GIB = 2**30
INSTALL = "run `make book`, or `python -m pip install -r requirements.lock -e .` in the venv"


class Check(NamedTuple):
    """What one check found: its name, "OK", "WARN" or "FAIL", the finding, and what to do."""

    name: str
    status: str
    detail: str
    advice: str = ""

    def line(self) -> str:
        """The line that `main` prints."""
        text = f"{f'[{self.status}]':<7}{self.name}: {self.detail}"
        return f"{text}\n       -> {self.advice}" if self.advice else text


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Check:
    """Python 3.11 is tested, 3.12 and 3.13 are expected to work, older ones cannot.

    >>> check_python((3, 10, 4)).status
    'FAIL'
    """
    text = ".".join(map(str, version))
    if version[:2] < (3, 11):
        return Check("Python", "FAIL", text, "install Python 3.11 and make a new .venv with it")
    if version[:2] > (3, 13):
        return Check("Python", "WARN", f"{text}, not tried", "use 3.11 if something breaks")
    return Check("Python", "OK", text)


def locked_versions(lock: Path) -> dict[str, str]:
    """Read ``name==version`` lines that apply to this machine; {} when there is no such file."""
    from packaging.requirements import Requirement

    if not lock.is_file():
        return {}
    lines = (line.split("#")[0].strip() for line in lock.read_text(encoding="utf8").splitlines())
    wanted = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {
        item.name: next((spec.version for spec in item.specifier if spec.operator == "=="), "")
        for item in wanted
        if item.marker is None or item.marker.evaluate()
    }


def check_packages(
    lock: Path = ROOT / "requirements.lock",
    installed: Callable[[str], str] = metadata.version,
) -> Check:
    """Every package of the lock is there; a version other than the locked one is a warning."""
    wanted = {name: "" for name in NEEDED} | locked_versions(lock)
    missing, other = [], []
    for name, version in wanted.items():
        try:
            found = installed(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if version and found.split("+")[0] != version:
            other.append(f"{name} {found} (locked {version})")
    if missing:
        return Check("packages", "FAIL", f"missing: {', '.join(missing)}", INSTALL)
    if other:
        advice = "run `make book` for the locked versions if something breaks"
        return Check("packages", "WARN", "; ".join(other), advice)
    return Check("packages", "OK", f"{len(wanted)} installed, as locked")


def check_torch(import_module: Callable[[str], Any] = importlib.import_module) -> Check:
    """Torch imports and multiplies two matrices on the CPU."""
    try:
        torch = import_module("torch")
        product = torch.ones(2, 3) @ torch.ones(3, 2)
        right = bool((product == 3).all())
    except Exception as error:  # a broken wheel raises many kinds
        detail = f"{type(error).__name__}: {error}"
        return Check("torch", "FAIL", detail, f"reinstall it: {INSTALL}")
    if not right:
        return Check("torch", "FAIL", "wrong product on the CPU", f"reinstall it: {INSTALL}")
    return Check("torch", "OK", f"{torch.__version__} on the CPU, {torch.get_num_threads()} thread")


def start_kernel(name: str = "python3", timeout: float = 60) -> None:
    """Start the named Jupyter kernel, wait until it answers, and shut it down."""
    from jupyter_client.manager import start_new_kernel

    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    manager, client = start_new_kernel(kernel_name=name, startup_timeout=timeout, **quiet)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def check_kernel(start: Callable[[], None] = start_kernel) -> Check:
    """The kernel named ``python3``, which every notebook of the book asks for, starts."""
    try:
        start()
    except Exception as error:  # NoSuchKernel, a time-out, no jupyter_client
        advice = "run `python -m ipykernel install --sys-prefix` in the venv"
        return Check("kernel", "FAIL", f"python3: {type(error).__name__}: {error}", advice)
    return Check("kernel", "OK", "python3 starts")


def check_threads(environment: dict[str, str] | os._Environ = os.environ) -> Check:
    """One thread a kernel: two spinning threads beside another process are 20 times slower."""
    wrong = [f"{key}={value}" for key, value in THREADS.items() if environment.get(key) != value]
    if wrong:
        advice = f"`export {' '.join(wrong)}` before starting notebooks; make does it by itself"
        return Check("threads", "WARN", "kernels may use more than one thread", advice)
    return Check("threads", "OK", "one thread a kernel")


def check_disk(folder: Path = ROOT, usage: Callable = shutil.disk_usage) -> Check:
    """The .venv takes 1.5 GiB, a build and its cache 0.2 GiB."""
    free = usage(folder).free / GIB
    detail = f"{free:.1f} GiB free"
    if free < 0.5:
        return Check("disk", "FAIL", detail, "free at least 0.5 GiB (2 GiB before an installation)")
    if free < 2:
        return Check("disk", "WARN", detail, "a fresh installation needs 2 GiB")
    return Check("disk", "OK", detail)


def find_browser(
    environment: dict[str, str] | os._Environ = os.environ,
    which: Callable[[str], str | None] = shutil.which,
) -> str | None:
    """The browser that the page tests drive: $CHROMIUM, else one of the usual."""
    named = environment.get("CHROMIUM")
    names = (named,) if named else BROWSERS
    return next((path for path in map(which, names) if path), None)


def check_browser(find: Callable[[], str | None] = find_browser) -> Check:
    """Chromium is there; without it `make test` skips the tests of the built pages."""
    path = find()
    if path is None:
        advice = "run `make browser` (apt, as root) or set CHROMIUM; only the page tests need it"
        return Check("browser", "WARN", "no Chromium found", advice)
    return Check("browser", "OK", path)


def check_checkpoints(folder: Path = ROOT / "checkpoints") -> Check:
    """Every ``checkpoints/*.safetensors`` opens and says where it is from; the record is whole."""
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        advice = "run inside a clone of the book's repository"
        return Check("checkpoints", "WARN", f"none in {folder}", advice)
    found = {path: _damage(path) for path in paths} | {
        path: _damaged_record(path) for path in folder.glob("record.json")
    }
    bad = [f"{path.name} ({reason})" for path, reason in found.items() if reason]
    if bad:
        advice = (
            "`git checkout -- checkpoints` brings them back; "
            "`python -m icl_lib.experiments train NAME` makes one again"
        )
        return Check("checkpoints", "FAIL", "; ".join(bad), advice)
    return Check("checkpoints", "OK", f"{len(paths)} readable")


def _damage(path: Path) -> str:
    """Why the checkpoint cannot be used, or an empty text."""
    try:
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            names = file.keys()
            for name in names:
                file.get_tensor(name)
            return "" if file.metadata() else "no metadata"
    except Exception as error:  # safetensors' own error, OSError, ImportError
        return f"{type(error).__name__}: {error}"


def _damaged_record(path: Path) -> str:
    """Why the record of all runs cannot be read, or an empty text."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return "" if isinstance(entries, dict) else "no JSON object"


CHECKS = (
    check_python,
    check_packages,
    check_torch,
    check_kernel,
    check_threads,
    check_disk,
    check_browser,
    check_checkpoints,
)


def run(checks: tuple[Callable[[], Check], ...] = CHECKS) -> Iterator[Check]:
    """Run the checks one by one; a check that itself breaks counts as failed."""
    for check in checks:
        try:
            yield check()
        except Exception as error:  # report it and go on to the next one
            name = check.__name__.removeprefix("check_")
            yield Check(name, "FAIL", f"{type(error).__name__}: {error}", INSTALL)


def main(checks: tuple[Callable[[], Check], ...] = CHECKS) -> int:
    """Print every check as it ends; 1 when one failed, else 0."""
    failed = 0
    for result in run(checks):
        print(result.line(), flush=True)
        failed += result.status == "FAIL"
    print(f"{failed} of {len(checks)} checks failed." if failed else "Ready.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
