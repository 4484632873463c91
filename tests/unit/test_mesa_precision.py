"""The mesa-layer's digits: float64 inside, long forgetting, NaN and overflow."""

from __future__ import annotations

import math

import pytest
import torch
from mesa_oracles import by_cho_solve, example, relative_error

from icl_lib.layers.mesa import mesa_attention, recursive_mesa

F64 = torch.float64
forms = pytest.mark.parametrize("form", [recursive_mesa, mesa_attention])


def flat(rate):
    return lambda length: torch.full((length,), rate)


BIASED = 1 - 8235 * 2.0**-24  # its powers in float32 are rounded up nearly every time
ROUNDED_ONCE = {
    "nothing forgotten": (200, 1.0, None),
    "one chunk": (20, 3.0, flat(0.9)),
    "forgetting": (200, 1.0, flat(0.9)),
    "other factors everywhere": (100, 1.0, lambda n: 0.8 + 0.2 * torch.rand(n, generator=seeded())),
    "rounded in float32": (1600, 1.0, flat(BIASED)),
    "long": (1600, 100.0, None),
    "wide ridge": (50, 1e4, None),
}


def seeded():
    return torch.Generator().manual_seed(7)


@pytest.mark.parametrize(("length", "lam", "gamma"), ROUNDED_ONCE.values(), ids=ROUNDED_ONCE)
@pytest.mark.parametrize("chunk", [None, 7])
def test_float32_is_the_float64_result_rounded_once(length, lam, gamma, chunk):
    """No step inside is taken in float32: 99 of 100 outputs are the float64 ones, rounded."""
    inputs = example((2,), length, 4, 3, dtype=torch.float32)[:3]
    decay = () if gamma is None else (gamma(length).expand(2, length).contiguous(),)
    got = mesa_attention(*inputs, lam, *decay, chunk=chunk)
    wide = [part.double() for part in (*inputs, *decay)]
    expected = mesa_attention(*wide[:3], lam, *wide[3:], chunk=chunk)
    assert got.dtype == torch.float32
    assert float((got == expected.float()).double().mean()) > 0.99


@forms
@pytest.mark.parametrize("length", [100, 400])
@pytest.mark.parametrize("gamma", [0.7, 0.9, 0.95])
def test_long_forgetting(form, length, gamma):
    """Rounding errors do not grow with 1/gamma a step: 4e-3 and a failed factorisation once."""
    q, k, v, _ = example((), length, 4, 3, seed=1)
    decay = torch.full((length,), gamma, dtype=F64)
    expected = torch.as_tensor(by_cho_solve(q, k, v, 10.0, decay))
    assert relative_error(form(q, k, v, 10.0, decay), expected) < 1e-9


@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize("gamma", [None, 0.9])
def test_nan_stays_in_its_sequence(part, gamma):
    """From its position on, or its chunk; the other sequence is not touched."""
    inputs = example((2,), 20, 3, 2)[:3]
    decay = None if gamma is None else torch.full((2, 20), gamma, dtype=F64)
    clean = mesa_attention(*inputs, 1.0, decay, chunk=5)
    inputs[part][0, 12] = math.nan
    got = mesa_attention(*inputs, 1.0, decay, chunk=5)
    assert torch.equal(got[1], clean[1]) and torch.equal(got[0, :10], clean[0, :10])
    assert got[0, 12].isnan().all() and got[0, 15:].isnan().all() == (part > 0)


def test_overflow_is_nan():
    """Keys whose squares overflow give no numbers, where the factorisation used to raise."""
    q, k, v, _ = example((2,), 6, 3, 2)
    clean = mesa_attention(q, k, v, 1.0)
    k[0] *= 1e200
    got = mesa_attention(q, k, v, 1.0)
    assert not got[0].isfinite().any() and torch.equal(got[1], clean[1])
