"""z-tests of sample moments against closed forms."""

from __future__ import annotations

import math

import numpy as np


def assert_mean(samples, expected, limit=4.5):
    """z-test: the mean over axis 0 of ``samples`` is ``expected``, entry by entry."""
    samples = np.asarray(samples, dtype=float)
    standard_error = samples.std(0, ddof=1) / math.sqrt(len(samples))
    gap = np.abs(samples.mean(0) - expected)
    assert (gap <= limit * standard_error + 1e-12).all(), (samples.mean(0), expected, gap)


def outer(a, b):
    return a[:, :, None] * b[:, None, :]
