"""The numbers that the choice questions rest on, computed: a right answer must be right.

What a question takes from a measured claim of its chapter is checked there.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from icl_lib.theory import optimum, random_covariance, shifts

EXAMPLE = np.diag([2.0, 1.0, 0.5, 0.25, 0.125])


def test_noisy_least_squares_falls_rises_and_falls():
    """Chapter 1: s^2 d/(M-d-1) above d+1, (d-M) + s^2 M/(d-M-1) below d-1."""
    d, s2 = 5, 0.25
    rng = np.random.default_rng(0)

    def error(m):
        xs, w = rng.standard_normal((20_000, m, d)), rng.standard_normal((20_000, d, 1))
        ys = xs @ w + math.sqrt(s2) * rng.standard_normal((20_000, m, 1))
        return np.median(((np.linalg.pinv(xs) @ ys - w) ** 2).sum((1, 2))) / d

    one, three, five, eighteen = (error(m) for m in (1, 3, 5, 18))
    assert three < one and five > three and eighteen < three  # in the median too
    exact = [(d - m) + s2 * m / (d - m - 1) for m in (1, 3)] + [s2 * d / (18 - d - 1)]
    assert exact[2] < exact[1] < exact[0]


def test_the_best_step_of_the_four():
    d, n = 5, 20
    risks = {
        eta: optimum.preconditioner_risk(eta * np.eye(d), np.eye(d), n)
        for eta in (0.1, 0.77, 1.0, 1.5)
    }
    assert min(risks, key=risks.get) == 0.77
    assert risks[1.0] / d == pytest.approx((d + 1) / n)


def test_the_best_constant_in_one_dimension():
    assert optimum.optimal_preconditioner(np.eye(1), 5)[0, 0] == pytest.approx(5 / 7)


def test_the_wrong_sign_turns():
    """Chapter 4: Euler steps from a = 0.4, u = -0.35; u^2 - a^2 is kept."""
    gamma, a, u = 1 + 2 / 20, 0.4, -0.35
    kept, nearest = u * u - a * a, math.inf
    for _ in range(40_000):
        slope = 1 - gamma * a * u
        a, u = a + 1e-3 * u * slope, u + 1e-3 * a * slope
        nearest = min(nearest, math.hypot(a, u))
    assert a > 0 and u > 0 and a * u == pytest.approx(1 / gamma, rel=1e-6)
    assert u * u - a * a == pytest.approx(kept, abs=2e-3)
    assert nearest < math.hypot(0.4, 0.35) / 2  # it comes near the saddle


def test_the_extra_blocks_grow_nearly_as_fast():
    """Near zero the loss is -tr(Lambda^2 A): rates are singular values of Lambda^2."""
    together, apart = np.linalg.norm(EXAMPLE**2), np.linalg.norm(EXAMPLE**2, 2)
    assert 0.9 < apart / together < 1


def test_the_best_training_length():
    for covariance in (np.eye(5), EXAMPLE):
        risks = {n: optimum.risk(covariance, n, 10).total for n in (5, 10, 40, math.inf)}
        assert min(risks, key=risks.get) == 10


def test_what_a_long_prompt_leaves():
    left = optimum.risk(EXAMPLE, 20, 2000).total / optimum.risk(EXAMPLE, 20, 20).total
    assert 0.25 < left < 0.3


def test_only_the_square_is_worse_than_zero():
    v = np.array([0.5, -0.5, 1.0, 0.5, 1.0])
    lv, rho2 = EXAMPLE @ v, v @ EXAMPLE @ v
    outer, damp = np.outer(lv, lv), np.exp(-rho2 / 2)
    laws = {
        "sign": (np.sqrt(2 / np.pi / rho2) * lv, EXAMPLE, 1.0),
        "relu": (lv / 2, (rho2 * EXAMPLE + 2 * outer) / 2, rho2 / 2),
        "sine": (
            damp * lv,
            (EXAMPLE - damp**4 * (EXAMPLE - 4 * outer)) / 2,
            (1 - damp**4) / 2,
        ),
        "square": (0 * lv, 2 * rho2**2 * EXAMPLE + 8 * rho2 * outer, 2 * rho2**2),
    }
    worse = set()
    for name, (cross, second, power) in laws.items():
        best = power - cross @ np.linalg.solve(EXAMPLE, cross)
        sigma = second - np.outer(cross, cross)
        risk = optimum.arbitrary_label_risk(EXAMPLE, 20, 40, cross, sigma, best).total
        worse |= {name} if risk > power else set()
    assert worse == {"square"}


def test_doubled_inputs_are_wrong_by_four():
    assert shifts.scaling_limit(2) == pytest.approx((4 - 1) ** 2)


def test_the_subspace_costs_as_much_as_zero():
    half = np.diag([2.0] * 4 + [1e-12] * 4)
    a = optimum.optimal_preconditioner(np.eye(8), math.inf)
    risk = optimum.preconditioner_risk(a, half, math.inf)
    assert risk / np.trace(half) == pytest.approx(1)


def test_one_third_and_three():
    assert random_covariance.exponential_alpha(1, math.inf) == pytest.approx(1 / 3)
    assert random_covariance.limit_error(1.0) == pytest.approx(1 / 3)
    assert random_covariance.fixed_model_limit_error(1.0) == pytest.approx(3)
    assert 1 - 2 * random_covariance.exponential_alpha(5, 20) == pytest.approx(0.43, abs=5e-3)
