"""A Dask scheduler and its workers as processes of their own, which can be killed."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path


class DaskProcesses:
    """A scheduler and workers as processes of their own, as on a cluster."""

    def __init__(self, folder: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.folder, self.scheduler, self.others = folder, None, []

    def start(self) -> None:
        """Start a scheduler at the same address as before, and two workers."""
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
        self.scheduler = self._process("dask_scheduler", *where)
        for _ in range(2):
            local = ["--local-directory", str(self.folder), "--no-dashboard"]
            self.others.append(
                self._process("dask_worker", self.address, "--nthreads", "1", *local)
            )

    def _process(self, module: str, *arguments: str):
        command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self) -> None:
        """End them all."""
        for process in [*self.others, self.scheduler]:
            process.terminate()
        for process in [*self.others, self.scheduler]:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
