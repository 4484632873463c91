"""Every named run by its name; any seed of a family exists."""

from __future__ import annotations

import re

from icl_lib.experiments.catalogue import elements, frozen, gpt, sequences
from icl_lib.experiments.run import Run

SEED = "0|[1-9][0-9]{0,5}"  # one spelling for one seed, and EVALUATION_SEED is out of reach
FAMILIES = [*gpt.FAMILIES, *sequences.FAMILIES, *elements.FAMILIES, *frozen.FAMILIES]
EXPERIMENTS: dict[str, Run] = {
    run.name: run for first, seeds in FAMILIES for run in map(first.with_seed, range(seeds))
}


def families() -> list[str]:
    """Return the names of all families of runs, seeds left out."""
    return list(dict.fromkeys(run.family for run in EXPERIMENTS.values()))


def get(name: str) -> Run:
    """Return the run called ``name``, such as "lsa2-k20-s0"; any seed of a family exists.

    Raises
    ------
    ValueError
        If there is no such family; the message lists them.
    """
    if not isinstance(name, str):
        raise ValueError(f"name must be a name such as 'lsa1-k20-s0', got {name!r}")
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    family, _, seed = name.rpartition("-s")
    if family not in families() or not re.fullmatch(SEED, seed):
        raise ValueError(f"name must be one of {families()} and a seed, '-s0', got {name!r}")
    first = next(run for run in EXPERIMENTS.values() if run.family == family)
    return first.with_seed(int(seed))
