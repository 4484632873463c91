"""How a gradient flow is solved, and when its numerical solution is not to be trusted."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from icl_lib import _checks
from icl_lib.theory import _inputs

MAX_EVALUATIONS = 200_000  # of the gradient: some fifty times what a flow to its limit takes
LOOSEST = 1e-3  # a looser rtol or atol solves another equation


def integrate(slope: Callable, d, theta, sigma, t_max, n_times, rtol, atol):
    """Follow minus ``slope`` from Assumption 3.3; return t (T,), u11 (T, d, d), u (T,)."""
    theta = _inputs.normalised_theta("theta", theta, d)
    sigma, t_max = _checks.positive("sigma", sigma), _checks.positive("t_max", t_max)
    rtol, atol = _tolerance("rtol", rtol), _tolerance("atol", atol)
    if atol > sigma:
        raise ValueError(f"atol must be at most sigma = {sigma:g}, where u starts, got {atol:g}")
    times = np.linspace(0.0, t_max, _checks.positive_int("n_times", n_times, minimum=2))
    evaluations = itertools.count()

    def velocity(_, state):
        if next(evaluations) == MAX_EVALUATIONS:  # LSODA would go on for ever
            raise ValueError(
                f"t_max = {t_max:g} was not reached from sigma = {sigma:g} within "
                f"{MAX_EVALUATIONS} evaluations of the gradient, rtol = {rtol:g}, atol = {atol:g}"
            )
        g11, g = slope(state[:-1].reshape(d, d), state[-1])
        return -np.append(g11, g)

    from scipy.integrate import solve_ivp  # here: 0.4 s to import, and few chapters integrate

    start = sigma * np.append(theta @ theta.T, 1.0)
    solved = solve_ivp(
        velocity, (0.0, t_max), start, method="LSODA", t_eval=times, rtol=rtol, atol=atol
    )
    if not solved.success or not _keeps_balance(solved.y):
        raise ValueError(
            f"t_max = {t_max:g} could not be reached from sigma = {sigma:g} with rtol = {rtol:g}, "
            f"atol = {atol:g}: {solved.message if not solved.success else 'balance lost'}"
        )
    return times, solved.y[:-1].T.reshape(-1, d, d), solved.y[-1]


def _keeps_balance(states) -> bool:
    """Whether u^2 - ||U_11||_F^2 stays what it was, to 1% of the size; states (d*d + 1, T)."""
    outer, inner = states[-1] ** 2, np.sum(states[:-1] ** 2, axis=0)
    drift = np.abs(outer - inner - (outer - inner)[0])
    return bool((drift <= 0.01 * (outer + inner)).all())  # false for NaN


def _tolerance(name: str, value) -> float:
    """A tolerance above 0: LSODA reads NaN as none at all, and memory beyond a short array."""
    number = _checks.positive(name, value)
    if number > LOOSEST:
        raise ValueError(f"{name} must be at most {LOOSEST:g}, got {number:g}")
    return number
