"""Settings that every test process, and every kernel that nbmake starts, inherits.

One thread a kernel: torch's default threads beside a second process were measured 20 times slower.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ.setdefault("ICL_CLAIMS", "strict")  # a claim that does not hold fails its notebook
os.environ.pop("MPLBACKEND", None)  # "Agg" would drop every inline figure
