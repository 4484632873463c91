"""A small contest that several tests take apart."""

from __future__ import annotations

import numpy as np

from icl_lib.contest import Contestant, Information, contest, tune_grid

SEEN = Information(newest_pair=True, query_token="masked", clip=None)
ARRAY = np.random.default_rng(0).standard_normal((3, 12, 4))
X, Y = ARRAY[0], ARRAY[1]  # prompts and targets (12, 4)
OTHER = (ARRAY[2], ARRAY[2] + 1)


def entry(name="zero", predict=np.zeros_like, seen=SEEN, **options):
    return Contestant(name, predict, seen, **options)


def tunable(name="scale", grid=(0.0, 1.0, 2.0), **options):
    return entry(name, None, tune=tune_grid(lambda v: lambda p: v * p, grid, **options))


def run(*entries, prompts=X, targets=Y, information=SEEN, **options):
    return contest(entries, prompts, targets, information=information, **options)
