"""What the explorables must compute, by icl_lib: a function of a state for each, and ten states."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from scipy.integrate import solve_ivp

from icl_lib.theory import gradient_flow, optimum, random_covariance, shifts
from icl_lib.theory.landscape import population_loss

D = 5


def states(choices: dict, count: int = 10) -> list[dict]:
    """``count`` states: each list of values is run through, at a pace of its own."""
    return [
        {
            name: values[(at + pace * (at // len(values))) % len(values)]
            for pace, (name, values) in enumerate(choices.items())
        }
        for at in range(count)
    ]


def closed_form_loss(state):
    eye, n, d = np.eye(state["d"]), state["N"], state["d"]
    return {
        "error": optimum.preconditioner_risk(state["a"] * eye, eye, n) / d,
        "best": optimum.optimal_preconditioner(eye, n)[0, 0],
        "least": 2 * optimum.minimum_loss(eye, n) / d,
        "first": optimum.preconditioner_risk(eye, eye, n) / d,
    }


def how_many_lengths(state):
    raw = np.geomspace(1, 1 / state["kappa"], D)
    covariance = np.diag(raw / raw.mean())

    def risk(n):
        return optimum.risk(covariance, n, state["M"], noise_var=state["s2"])

    best = min(range(1, 1001), key=lambda n: risk(n).total)
    now = risk(state["N"])
    parts = {**now._asdict(), "total": now.total}
    scaled = {name: value / D for name, value in parts.items()}
    return scaled | {"bestN": best, "least": risk(best).total / D}


def random_scales(state):
    c, n, m = state["c"], state["N"], state["M"]
    alpha = random_covariance.exponential_alpha(D, n)
    fixed = optimum.optimal_preconditioner(np.eye(D), n)[0, 0]

    def error(a):
        return random_covariance.exponential_risk(a, D, m, scale=c) / c

    return {
        "layer": error(alpha),
        "fixed": error(fixed),
        "retrained": error(alpha / c),
        "whitened": (1 - fixed) ** 2,  # the layer of the covariance I times least squares
    }


def shift_ellipses(state):
    trained, turn = np.diag([1.6, 0.4]), math.radians(state["angle"])
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    test = state["scale"] ** 2 * rotation @ trained @ rotation.T
    law = shifts.query_shift_risk if state["who"] == "query" else shifts.covariate_shift_risk
    error = law(trained, test, 20, 40) / np.trace(test)
    return {"error": error, "xx": test[0, 0], "xy": test[0, 1], "yy": test[1, 1]}


def flow_plane(state):
    """The same flow by scipy, with the library's gradient for one dimension."""
    eye, n = np.eye(1), 20

    def slope(_, point):
        on_a, on_u = gradient_flow.gradient(point[:1, None], point[1], eye, n)
        return -np.array([on_a[0, 0], on_u])

    def at(t):
        start = (state["a"], state["u"])
        return solve_ivp(slope, (0, t), start, rtol=1e-11, atol=1e-13).y[:, -1]

    (a, u), (end_a, end_u) = at(state["t"]), at(60)
    loss = gradient_flow.shifted_loss(np.array([[a]]), u, eye, n)
    excess = loss - gradient_flow.minimum_shifted_loss(eye, n)
    return {"a": a, "u": u, "excess": excess, "endA": end_a, "endU": end_u}


TRAP_STARTS = {"alpha": [0.6, -0.45, 0.2, 0.95], "beta": [0.5, -0.3, 0.1]}


@functools.cache
def trap_descents() -> list[dict]:
    """All 36 weights from all starts at once, by autograd on the library's loss."""
    covariance = torch.diag(torch.tensor([2, 1, 0.5, 0.25, 0.125], dtype=torch.float64))
    starts = states(TRAP_STARTS)
    weights = torch.zeros(len(starts), 6, 6, dtype=torch.float64)
    weights[:, :5, :5] = 0.3 * torch.eye(5, dtype=torch.float64) / 5**0.5
    weights[:, 5, 5] = 0.3
    weights[:, 0, 5] = torch.tensor([state["alpha"] for state in starts])
    weights[:, 5, 0] = torch.tensor([state["beta"] for state in starts])

    def loss(w):
        blocks = w[:, :5, :5], w[:, :5, 5], w[:, 5, :5], w[:, 5, 5]
        return population_loss(*blocks, covariance, 20, check=False)

    for step in range(3000):
        weights.requires_grad_(True)
        now = loss(weights)
        if step == 500:
            early = now.detach()
        (gradient,) = torch.autograd.grad(now.sum(), weights)
        weights = (weights - 0.005 * gradient).detach()
    product = weights[:, 5, 5, None, None] * weights[:, :5, :5]
    product = product + weights[:, :5, 5, None] * weights[:, 5, None, :5]
    columns = (loss(weights), early, product[:, 0, 0], product[:, 1, 1])
    names = ("loss", "early", "first", "secondAxis")
    return [dict(zip(names, row, strict=True)) for row in torch.stack(columns, 1).tolist()]


def flow_trap(state):
    return trap_descents()[states(TRAP_STARTS).index(state)]


FORMULAS = {
    "flow-plane": (
        flow_plane,
        {"a": [0.4, 0.02, -1.7, 0.9], "u": [-0.35, 0.9, 1.1], "t": [8, 0.5, 12, 3]},
    ),
    "flow-trap": (
        flow_trap,
        TRAP_STARTS,
    ),
    "closed-form-loss": (
        closed_form_loss,
        {"N": [5, 1, 20, 200, 3], "d": [1, 2, 5, 20], "a": [1.0, 0.3, 0.71, 1.5]},
    ),
    "how-many-lengths": (
        how_many_lengths,
        {"N": [100, 1, 20, 1000], "M": [10, 1, 40, 700, 5], "kappa": [1, 16, 1000], "s2": [0, 1.3]},
    ),
    "random-scales": (
        random_scales,
        {"c": [4, 1, 9, 0.1, 2.5], "N": [20, 5, 1000], "M": [40, 5, 1000, 18]},
    ),
    "shift-ellipses": (
        shift_ellipses,
        {"angle": [45, 0, 90, 13], "scale": [1, 0.1, 2.2], "who": ["prompt", "query"]},
    ),
}
