"""The optimal preconditioner for priors of low rank, of rank 0 and of one that is nearly low."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from icl_lib.theory import optimum


@pytest.mark.parametrize("noise_var", [0.0, 0.5])
@pytest.mark.parametrize("n", [1, 7, math.inf])
def test_optimal_preconditioner_for_few_directions(n, noise_var):
    """w = c r: A = c r r^T / (...), by Sherman and Morrison; w = 0 is answered by 0 for every N."""
    covariance = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 3.0]])
    r, per_n = np.array([1.0, -2.0, 0.5]), 1 / n
    held = r @ covariance @ r
    expected = np.outer(r, r) / ((1 + per_n) * held + per_n * (held + noise_var))
    options = {"noise_var": noise_var}
    value = optimum.optimal_preconditioner(covariance, n, prior=np.outer(r, r), **options)
    assert_allclose(value, expected, rtol=1e-12)
    nothing = optimum.optimal_preconditioner(covariance, n, prior=np.zeros((3, 3)), **options)
    assert_allclose(nothing, np.zeros((3, 3)), atol=0)


def test_optimal_preconditioner_at_infinite_length_is_the_inverse_for_every_full_prior():
    """Lambda^{-1} to the last digits, where the prior alone would cost ten of them."""
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    prior = turn @ np.diag([1.0, 1e-10]) @ turn.T
    covariance, inverse = np.array([[2.0, 1.0], [1.0, 1.0]]), np.array([[1.0, -1.0], [-1.0, 2.0]])
    value = optimum.optimal_preconditioner(covariance, math.inf, prior=prior)
    assert_allclose(value, inverse, rtol=1e-13)
