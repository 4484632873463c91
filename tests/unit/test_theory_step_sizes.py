"""The best step sizes of `icl_lib.theory.sequences` against scipy and by their scaling law."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

from icl_lib.theory import sequences


def _states(seed: int, length: int, n: int, batch: tuple[int, ...] = ()) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((*batch, length, n))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), length=st.integers(3, 7), n=st.integers(1, 4))
def test_best_step_sizes_by_line_search(seed, length, n):
    """The closed forms minimise the loss that scipy minimises; position 1 has nothing to learn."""
    states = _states(seed, length, n, (4,))
    inputs, targets = states[:, :-1], states[:, 1:]

    def loss(eta):
        return sequences.position_loss(sequences.gradient_step(inputs, eta), targets)

    one = sequences.best_step_size(states)
    found = minimize_scalar(lambda eta: loss(eta).mean(), tol=1e-12)
    assert_allclose(one, found.x, rtol=1e-4, atol=1e-6)
    each = sequences.best_step_sizes(states)
    assert each.shape == (length - 1,)
    assert each[0] == 0
    for t in range(1, length - 1):
        found = minimize_scalar(lambda eta, t=t: loss(eta)[t], tol=1e-12)
        assert_allclose(loss(each)[t], found.fun, rtol=1e-9)
    assert (loss(each) <= loss(one) + 1e-12).all()


@pytest.mark.parametrize("scale", [2.0**-12, 2.0**12])
def test_best_step_sizes_of_small_and_large_sequences(scale):
    """The step is of third order in the states, the target of first: c s has the step / c^2."""
    states = _states(8, 6, 3, (5,))
    one, each = sequences.best_step_size(states), sequences.best_step_sizes(states)
    assert_allclose(sequences.best_step_size(scale * states), one / scale**2, rtol=1e-13)
    assert_allclose(sequences.best_step_sizes(scale * states), each / scale**2, rtol=1e-13)


def test_best_step_size_of_still_sequences_is_zero():
    """Sequences of zeros have no best step: 0, not a division by zero."""
    assert sequences.best_step_size(np.zeros((2, 4, 3))) == 0
    assert_allclose(sequences.best_step_sizes(np.zeros((4, 3))), np.zeros(3))
