"""Mutation test: change the code a little, and the unit tests must notice (`make mutants`).

    python tests/mutants.py [--size 300] [--seed 0] [--only WORD] [--jobs N]   a sample by mutmut
    python tests/mutants.py --hand [--only WORD] [--jobs N] [--check]          the listed mutations

The sample is drawn from every change that mutmut makes in `theory/` and `layers/`: it says how good
the tests are. The list (`mutations.py`) holds mistakes that no tool makes: a transposed matrix, a
swapped product, a dropped term. Both work in a temporary copy.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import mutations_hand
from mutations_copy import copy_project


def main(words: list[str] | None = None) -> int:
    """Run what the command line asks for and return the exit status."""
    arguments = parse(words)
    if arguments.check:
        return mutations_hand.check()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = [Path(folder) / str(i) for i in range(arguments.jobs if arguments.hand else 1)]
        for copy in copies:
            copy_project(copy)
        if arguments.hand:
            return mutations_hand.run(copies, arguments.only)
        import mutations_sample  # mutmut refuses to be imported on Windows

        size, seed, jobs, only = (getattr(arguments, n) for n in ("size", "seed", "jobs", "only"))
        return mutations_sample.run(copies[0], size, seed, jobs, only)


def parse(words: list[str] | None) -> argparse.Namespace:
    jobs = int(os.environ.get("JOBS", "1"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hand", action="store_true", help="the listed mutations, not a sample")
    parser.add_argument("--check", action="store_true", help="only check that the list matches")
    parser.add_argument("--only", default="", help="only the mutations that contain this text")
    parser.add_argument("--jobs", type=int, default=jobs, help="how many to run at once ($JOBS)")
    parser.add_argument("--size", type=int, default=300, help="how many mutants to draw")
    parser.add_argument("--seed", type=int, default=0, help="which sample to draw")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
