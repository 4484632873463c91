"""The copy of the library and its unit tests in which mutants are made, never the checkout."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CONFTEST = """
import pathlib
import icl_lib
from hypothesis import Phase, settings

# the same examples each time, and no shrinking: only whether a test fails counts
phases = [Phase.explicit, Phase.generate]
settings.register_profile("mutants", phases=phases, derandomize=True, deadline=None, database=None)
settings.load_profile("mutants")
here = pathlib.Path(__file__).resolve().parent
if here not in pathlib.Path(icl_lib.__file__).resolve().parents:
    raise RuntimeError(f"the copy is not what is tested: {icl_lib.__file__}")
"""


def copy_project(folder: Path) -> Path:
    """Copy the library and its unit tests; the conftest refuses any other icl_lib."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "icl_lib", folder / "icl_lib", ignore=ignore)
    shutil.copytree(ROOT / "tests" / "unit", folder / "tests" / "unit", ignore=ignore)
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return folder


def environment(**more: str) -> dict[str, str]:
    """The environment of a test run: one thread, and no compiled files.

    An old .pyc of the same size would hide a mutation; mutmut forks, which a thread pool or an
    initialised accelerator would not survive.
    """
    ours = {
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
        "CUDA_VISIBLE_DEVICES": "",
    }
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | ours | more
