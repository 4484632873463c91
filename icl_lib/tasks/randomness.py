"""Separate random streams for inputs, tasks and noise.

A prompt has three sources of randomness: its inputs, the function that labels them and the label
noise. Each has a generator of its own, so that changing one (say, switching the noise on) leaves
the draws of the others as they were, and evaluation never uses up training randomness.

Every draw of the book goes through this module, so that all of them can be repeated with other
seeds: ``ICL_SEED_OFFSET=3`` in the environment gives every seed another stream, and 0, the default,
the book's own. A claim that is true only for the book's seeds shows itself that way.
"""

from __future__ import annotations

import os
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from icl_lib._checks import positive_int

OFFSET_VARIABLE = "ICL_SEED_OFFSET"


class Domain(IntEnum):
    """What a stream is for: one seed gives unrelated draws in different domains."""

    NUMPY = 0
    TORCH = 1
    PROMPTS = 2
    WEIGHTS = 3


class Generators(NamedTuple):
    """One ``torch.Generator`` for the inputs, one for the tasks, one for the label noise."""

    data: torch.Generator
    task: torch.Generator
    noise: torch.Generator


def seed_offset() -> int:
    """Return the offset of all seeds: ``ICL_SEED_OFFSET`` of the environment, 0 if it is not set.

    Raises
    ------
    ValueError
        If it is not an integer of at least 0.
    """
    text = os.environ.get(OFFSET_VARIABLE, "0")
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{OFFSET_VARIABLE} must be an integer of at least 0, got {text!r}")
    return int(text)


def numpy_generator(seed: int) -> np.random.Generator:
    """Return a fresh NumPy generator: ``np.random.default_rng(seed)`` at offset 0.

    Raises
    ------
    ValueError
        If ``seed`` or the offset is not an integer of at least 0.
    """
    return np.random.default_rng(_sequence([_checked_seed(seed)], Domain.NUMPY))


def torch_generator(seed: int) -> torch.Generator:
    """Return a fresh torch generator: ``torch.Generator().manual_seed(seed)`` at offset 0.

    Raises
    ------
    ValueError
        If ``seed`` or the offset is not an integer of at least 0.
    """
    seed = _checked_seed(seed)
    if seed_offset() == 0:
        return torch.Generator().manual_seed(seed)
    return _seeded(_sequence([seed], Domain.TORCH), 1)[0]


def weights_generator(seed: int) -> torch.Generator:
    """Return the generator of the initial weights of the run with this ``seed``.

    Raises
    ------
    ValueError
        If ``seed`` or the offset is not an integer of at least 0.
    """
    # the 1 keeps these draws apart from those of the batches, whose words are (seed, step)
    return _seeded(_sequence([_checked_seed(seed), 0, 1], Domain.WEIGHTS), 1)[0]


def generators(seed: int, step: int = 0) -> Generators:
    """Return fresh generators, a pure function of ``seed``, ``step`` and the offset.

    Training asks for the batch of step ``step``; a run that is resumed at that step draws the
    same batch without any generator state on disk.

    Raises
    ------
    ValueError
        If ``seed``, ``step`` or the offset is not an integer of at least 0.

    Examples
    --------
    >>> a, b = generators(0, step=3), generators(0, step=3)
    >>> torch.equal(torch.randn(2, generator=a.data), torch.randn(2, generator=b.data))
    True
    """
    words = [_checked_seed(seed), positive_int("step", step, minimum=0)]
    return Generators(*_seeded(_sequence(words, Domain.PROMPTS), 3))


def _checked_seed(seed: int) -> int:
    return positive_int("seed", seed, minimum=0)


def _sequence(words: list[int], domain: Domain) -> np.random.SeedSequence:
    """Return what the integers ``words`` seed, at the offset of the environment.

    NumPy pads the words to 128 bits and appends the spawn key, so that the streams of an offset
    are none of the book's own, whatever the seed (below 2^128).
    """
    offset = seed_offset()
    return np.random.SeedSequence(words, spawn_key=(domain, offset) if offset else ())


def _seeded(sequence: np.random.SeedSequence, count: int) -> list[torch.Generator]:
    """Return ``count`` torch generators; their seeds must fit into 63 bits."""
    words = sequence.generate_state(count, dtype=np.uint64)
    return [torch.Generator().manual_seed(int(word >> 1)) for word in words]


def as_generators(source: Generators | torch.Generator) -> Generators:
    """Return ``source`` itself, or three times the same generator if it is a single one.

    Raises
    ------
    ValueError
        If ``source`` is neither a :class:`Generators` nor a ``torch.Generator``.
    """
    if isinstance(source, Generators):
        return source
    if isinstance(source, torch.Generator):
        return Generators(source, source, source)
    raise ValueError(
        f"generator must be a torch.Generator or Generators(data, task, noise), got {source!r}"
    )


def haar_orthogonal(batch: int, n: int, generator: torch.Generator, dtype=torch.float32) -> Tensor:
    """Return (B, n, n) random orthogonal matrices, uniform (Haar) over the orthogonal group.

    Equals ``scipy.stats.ortho_group`` in law. The signs of R's diagonal are moved into Q: without
    that the law is not uniform, and LAPACK's Q always has the same determinant.
    """
    q, r = torch.linalg.qr(torch.randn(batch, n, n, generator=generator, dtype=dtype))
    return q * torch.sign(torch.diagonal(r, dim1=-2, dim2=-1)).unsqueeze(-2)
