"""One repetition of a trial (tests/scale/trials.py); `make trials` does all of them 20 times."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TRIALS = Path(__file__).resolve().parents[1] / "scale" / "trials.py"


def test_a_killed_worker():
    done = subprocess.run(
        [sys.executable, str(TRIALS), "--times", "1", "loky_worker_killed"],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].split()[:4] == ["loky_worker_killed", "1", "of", "1"]
