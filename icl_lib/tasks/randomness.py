"""Separate random streams for inputs, tasks and noise.

A prompt has three sources of randomness: its inputs, the function that labels them and the label
noise. Each has a generator of its own, so that changing one (say, switching the noise on) leaves
the draws of the others as they were, and evaluation never uses up training randomness.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from icl_lib._checks import positive_int


class Generators(NamedTuple):
    """One ``torch.Generator`` for the inputs, one for the tasks, one for the label noise."""

    data: torch.Generator
    task: torch.Generator
    noise: torch.Generator


def generators(seed: int, step: int = 0) -> Generators:
    """Return fresh generators, a pure function of ``seed`` and ``step``.

    Training asks for the batch of step ``step``; a run that is resumed at that step draws the
    same batch without any generator state on disk.

    Raises
    ------
    ValueError
        If ``seed`` or ``step`` is not an integer of at least 0.

    Examples
    --------
    >>> a, b = generators(0, step=3), generators(0, step=3)
    >>> torch.equal(torch.randn(2, generator=a.data), torch.randn(2, generator=b.data))
    True
    """
    seed = positive_int("seed", seed, minimum=0)
    step = positive_int("step", step, minimum=0)
    words = np.random.SeedSequence([seed, step]).generate_state(3, dtype=np.uint64)
    return Generators(*(torch.Generator().manual_seed(int(word >> 1)) for word in words))


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
