"""Plant faults in a copy of the project; the command that is responsible must fail each time.

``make faults``, or ``make faults ARGS='NAME ...'`` for some of them.
The copy uses this environment but its own library (checked first), and this project's execution
store, so that only what a fault touches is executed again. Every command is first run without a
fault, and must then succeed; with the fault it must fail and say why in the words expected here.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults_list import BOOK, PYTEST, ROOT, Fault, faults

FILES = "git ls-files -z --cached --others --exclude-standard".split()
KEPT = ("executed", "site.json", "html")
LIMIT = 900.0  # seconds for one command


class Copy:
    """A copy of the project in a temporary folder, with the execution cache of the original."""

    def __init__(self, folder: Path):
        self.root = folder / "project"
        listed = subprocess.run(FILES, cwd=ROOT, check=True, capture_output=True, text=True)
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                target = self.root / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
        subprocess.run(["git", "init", "-q"], cwd=self.root, check=True)
        self.saved = folder / "saved"
        self._copy(ROOT / "_build", self.root / "_build")
        # REQUIRE_BROWSER: page tests without a site fail instead of being skipped
        own = {"PYTHONPATH": str(self.root), "VENV": sys.prefix, "REQUIRE_BROWSER": "1"}
        self.environment = os.environ | own
        for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "ICL_REPOSITORY", "ICL_CLAIMS"):
            self.environment.pop(name, None)

    def check(self) -> None:
        """The copy's library is the one that is used, and nothing has to be installed."""
        code = "import icl_lib; print(icl_lib.__file__)"
        used = self.run((sys.executable, "-c", code), 60)[1].strip()
        if not used.startswith(str(self.root)):
            sys.exit(f"faults: the copy would use the library at {used}")
        planned = self.run(("make", "-n", "install"), 60)[1]
        if "pip install" in planned:
            sys.exit("faults: the environment is not up to date, run `make install` first")

    def save(self) -> None:
        self._copy(self.root / "_build", self.saved)

    def restore(self) -> None:
        self._copy(self.saved, self.root / "_build")

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        for name in KEPT:
            old, new = source / name, target / name
            if new.is_dir():
                shutil.rmtree(new)
            if old.is_dir():
                shutil.copytree(old, new)
            elif old.is_file():
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy2(old, new)

    def run(self, command: tuple[str, ...], limit: float = LIMIT) -> tuple[int, str]:
        """Exit code and output; 124 when it took longer than ``limit`` seconds."""
        with tempfile.TemporaryFile("w+", encoding="utf8", errors="replace") as log:
            streams = {"stdout": log, "stderr": subprocess.STDOUT, "start_new_session": True}
            process = subprocess.Popen(command, cwd=self.root, env=self.environment, **streams)
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                code = 124
            log.seek(0)
            return code, log.read()

    @contextmanager
    def planted(self, fault: Fault) -> Iterator[None]:
        """The fault is in the copy inside of this context, and gone after it."""
        path = self.root / fault.path
        before = path.read_bytes()
        after = fault.plant(before.decode("utf8")).encode("utf8")
        if after == before:
            sys.exit(f"faults: {fault.name} could not be planted in {fault.path}")
        path.write_bytes(after)
        try:
            yield
        finally:
            path.write_bytes(before)
            if BOOK in fault.commands:
                self.restore()


def baseline(copy: Copy, chosen: list[Fault]) -> list[str]:
    """Run every command without a fault; those that fail already, with the end of their output."""
    commands = {BOOK} | {command for fault in chosen for command in fault.commands}
    bad = []
    for command in sorted(commands, key=lambda item: (item != BOOK, item)):
        start = time.monotonic()
        code, output = copy.run(command)
        seconds, word = time.monotonic() - start, "FAILS" if code else "ok"
        print(f"  {word:<6}{seconds:5.0f} s  {shown(command)}", flush=True)
        if code:
            bad.append(f"{shown(command)}\n{output[-3000:]}")
    copy.save()
    return bad


def shown(command: tuple[str, ...]) -> str:
    return " ".join(command).replace(" ".join(PYTEST), "pytest")


def judge(copy: Copy, fault: Fault) -> tuple[str, str]:
    """("caught", "") or what went wrong instead, with the end of the output."""
    with copy.planted(fault):
        *before, last = fault.commands
        for command in before:
            code, output = copy.run(command)
            if code:
                return "stopped too early", output
        code, output = copy.run(last)
    if code == 0:
        return "NOT NOTICED", output
    if code == 124:
        return "ran out of time", output
    if not re.search(fault.says, output):
        return f"failed without saying {fault.says!r}", output
    return "caught", ""


def main(arguments: list[str] | None = None) -> int:
    """Plant the chosen faults one after the other; 1 if one of them went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="faults to plant (all)")
    options = parser.parse_args(arguments)
    every = faults()
    names = options.names or [fault.name for fault in every]
    if unknown := set(names) - {fault.name for fault in every}:
        parser.error(f"no fault {sorted(unknown)}, only {[fault.name for fault in every]}")
    chosen = [fault for fault in every if fault.name in names]
    with tempfile.TemporaryDirectory(prefix="icl-faults-") as folder:
        copy = Copy(Path(folder))
        copy.check()
        print("without a fault:", flush=True)
        if bad := baseline(copy, chosen):
            print("\n\n".join(bad) + "\nfaults: these commands fail without any fault")
            return 1
        return plant_all(copy, chosen)


def plant_all(copy: Copy, chosen: list[Fault]) -> int:
    print("with a fault:", flush=True)
    unnoticed = 0
    for fault in chosen:
        start = time.monotonic()
        result, output = judge(copy, fault)
        seconds = time.monotonic() - start
        print(
            f"  {fault.name:<20}{result:<14}{seconds:5.0f} s  {shown(fault.commands[-1])}",
            flush=True,
        )
        if result != "caught":
            unnoticed += 1
            print(output[-3000:])
    print(f"faults: {len(chosen) - unnoticed} of {len(chosen)} caught")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
