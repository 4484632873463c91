"""Settings that every test process, and every kernel that nbmake starts, inherits.

One thread a kernel: torch's default threads beside a second process were measured 20 times slower.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
# a claim that does not hold fails its notebook; nothing in the environment switches that off
os.environ["ICL_CLAIMS"] = "strict"
os.environ.pop("ICL_SEED_OFFSET", None)
os.environ.pop("MPLBACKEND", None)  # "Agg" would drop every inline figure

sys.path.insert(0, str(Path(__file__).resolve().parent / "book" / "_ext"))
pytest_plugins = ["book_pytest"]  # executes the notebooks, each once
