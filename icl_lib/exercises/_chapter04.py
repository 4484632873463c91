"""Exercises of Chapter 4: the loss, its flow, and where and when the paths end."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises import _chapter04_short, _draws
from icl_lib.exercises._comparison import Case, Comparison, Mistake
from icl_lib.theory import gradient_flow, optimum


def _state_case(rng: np.random.Generator, number: int) -> Case:
    """Return a U11 that does not commute with the covariance, and u of either sign."""
    d = _draws.dimension(rng, 2, 4)
    return {
        "u11": rng.standard_normal((d, d)),
        "u": float(rng.choice([-1, 1]) * rng.uniform(0.4, 2.0)),
        "covariance": _draws.covariance(rng, d),
        "n_train": _draws.length(rng),
    }


def _loss(u11, u, cov, n, *, gam=None, quad=0.5, signal=None, power=2, lin=1.0, trace=np.trace):
    """Return the shifted loss, with one part of it exchanged."""
    gam = optimum.gamma(cov, n) if gam is None else gam
    signal = cov @ cov if signal is None else signal
    return trace(quad * u**power * gam @ cov @ u11 @ cov @ u11.T - lin * u * signal @ u11.T)


def _loss_without_transpose(u11, u, cov, n):
    gam = optimum.gamma(cov, n)
    return np.trace(u**2 / 2 * gam @ cov @ u11 @ cov @ u11 - u * cov @ cov @ u11)


def _loss_with_last_factor(u11, u, cov, n, *, left, right):
    gam = optimum.gamma(cov, n)
    return np.trace(u**2 / 2 * gam @ left @ u11 @ right @ u11.T - u * cov @ cov @ u11.T)


def _loss_elementwise(u11, u, cov, n):
    gam = optimum.gamma(cov, n)
    return np.trace(u**2 / 2 * gam * cov * u11 * cov * u11.T - u * cov * cov * u11.T)


SHIFTED_LOSS = Comparison(
    returns="one number",
    solution=gradient_flow.shifted_loss,
    draw=_state_case,
    mistakes=(
        Mistake(
            lambda U, u, cov, n: _loss(U, u, cov, n, trace=np.asarray),
            "this is the matrix under the trace; the loss is its trace.",
        ),
        Mistake(
            lambda U, u, cov, n: _loss(U, u, cov, n) + np.trace(cov) / 2,
            "this is L itself; the shifted loss leaves out the constant tr(Lambda)/2.",
        ),
        Mistake(
            lambda U, u, cov, n: _loss(U, u, cov, n, quad=1.0),
            "the factor 1/2 of the quadratic term is missing.",
        ),
        Mistake(
            lambda U, u, cov, n: _loss(U, u, cov, n, lin=0.5),
            "the factor 1/2 stands in front of the quadratic term only.",
        ),
        Mistake(
            lambda U, u, cov, n: _loss(U, u, cov, n, quad=1.0, lin=2.0),
            "this is twice the loss: the loss has the factor 1/2, the risk does not.",
        ),
        Mistake(
            lambda U, u, cov, n: _loss(U, u, cov, n, lin=-1.0),
            "a sign: the second term is subtracted, or nothing would be won by learning.",
        ),
        Mistake(
            lambda U, u, cov, n: -_loss(U, u, cov, n),
            "the sign of the whole loss is reversed.",
        ),
        Mistake(
            lambda U, u, cov, n: _loss(U, u, cov, n, gam=cov),
            "Gamma is replaced by Lambda; the prompts are finite.",
        ),
        Mistake(
            lambda U, u, cov, n: _loss(U, u, cov, n, gam=np.linalg.inv(optimum.gamma(cov, n))),
            "Gamma is inverted here; its inverse is the minimum, not the curvature.",
        ),
        Mistake(
            lambda U, u, cov, n: _loss_with_last_factor(
                U, u, cov, n, left=cov, right=np.eye(len(U))
            ),
            "a Lambda is missing between U11 and its transpose.",
        ),
        Mistake(
            lambda U, u, cov, n: _loss_with_last_factor(
                U, u, cov, n, left=np.eye(len(U)), right=cov
            ),
            "a Lambda is missing between Gamma and U11.",
        ),
        Mistake(
            lambda U, u, cov, n: _loss(U, u, cov, n, signal=cov),
            "the linear term has Lambda squared: one from b-hat, one from the query.",
        ),
        Mistake(
            lambda U, u, cov, n: _loss(U, u, cov, n, power=1),
            "u enters the quadratic term squared, as U11 does.",
        ),
        Mistake(
            lambda U, u, cov, n: _loss(U, u, cov, n, power=0),
            "u is missing in the quadratic term, where it is squared.",
        ),
        Mistake(
            lambda U, u, cov, n: _loss(U, u, cov, n, lin=1 / u),
            "u is missing in the linear term.",
        ),
        Mistake(
            _loss_without_transpose,
            "the last U11 of each term is transposed; without it the loss is no square.",
        ),
        Mistake(
            lambda U, u, cov, n: _loss(U.T, u, cov, n),
            "U11 and its transpose are exchanged: the first one is not transposed.",
        ),
        Mistake(
            _loss_elementwise,
            "`*` multiplies entry by entry; matrices are multiplied with `@`.",
        ),
    ),
)


def _euler_case(rng: np.random.Generator, number: int) -> Case:
    return {**_state_case(rng, number), "step": float(rng.uniform(0.02, 0.4))}


def _euler(
    u11, u, cov, n, step, *, gam=None, power=2, lin=1.0, signal=None, right=None, with_u=None
):
    """Return the state after one step, with one part of the slope exchanged."""
    gam = optimum.gamma(cov, n) if gam is None else gam
    signal = cov @ cov if signal is None else signal
    pull = gam @ cov @ u11 @ (cov if right is None else right)
    new = u11 + step * (-(u**power) * pull + lin * u * signal)
    at = u11 if with_u is None else with_u(u11, new)
    pull = gam @ cov @ at @ (cov if right is None else right)
    return new, u - step * np.trace(u * pull @ at.T - lin * signal @ at.T)


def _slope(u11, u, cov, n, step):
    g11, g = gradient_flow.gradient(u11, u, cov, n)
    return -g11, -g


def _euler_by_gradient(u11, u, cov, n, step):
    g11, g = gradient_flow.gradient(u11, u, cov, n)
    return u11 - step * g11, u - step * g


def _wrong_order(u11, u, cov, n, step):
    gam = optimum.gamma(cov, n)
    pull, signal = cov @ u11 @ cov @ gam, cov @ cov
    return u11 - step * (u**2 * pull - u * signal), u - step * np.sum((u * pull - signal) * u11)


def _trace_without_transpose(u11, u, cov, n, step):
    pull, signal = optimum.gamma(cov, n) @ cov @ u11 @ cov, cov @ cov
    return u11 - step * (u**2 * pull - u * signal), u - step * np.trace((u * pull - signal) @ u11)


def _half_in_the_gradient(u11, u, cov, n, step):
    pull, signal = optimum.gamma(cov, n) @ cov @ u11 @ cov, cov @ cov
    return u11 - step * (u**2 / 2 * pull - u * signal), u - step * np.sum(
        (u / 2 * pull - signal) * u11
    )


EULER = Comparison(
    returns="the new (u11, u), a matrix and a number",
    solution=_euler_by_gradient,
    draw=_euler_case,
    mistakes=(
        Mistake(
            lambda U, u, cov, n, h: _euler_by_gradient(U, u, cov, n, -h),
            "the step goes uphill: the flow follows minus the gradient.",
        ),
        Mistake(
            _slope,
            "these are the derivatives; a step adds them, times the step size, to the weights.",
        ),
        Mistake(
            lambda U, u, cov, n, h: _euler_by_gradient(U, u, cov, n, 1.0),
            "the step size does not enter your result.",
        ),
        Mistake(
            lambda U, u, cov, n, h: _euler(U, u, cov, n, h, with_u=lambda old, new: new),
            "u is updated with the new U11; both derivatives are taken at the old weights.",
        ),
        Mistake(
            lambda U, u, cov, n, h: (_euler(U, u, cov, n, h)[0], u),
            "u has not moved; it has an equation of its own.",
        ),
        Mistake(
            lambda U, u, cov, n, h: _euler(U, u, cov, n, h, gam=cov),
            "Gamma is replaced by Lambda; the prompts are finite.",
        ),
        Mistake(
            lambda U, u, cov, n, h: _euler(U, u, cov, n, h, power=1),
            "u enters the first term of the equation for U11 squared.",
        ),
        Mistake(
            lambda U, u, cov, n, h: _euler(U, u, cov, n, h, lin=-1.0),
            "a sign: the term with Lambda squared makes the weights grow.",
        ),
        Mistake(
            lambda U, u, cov, n, h: _euler(U, u, cov, n, h, signal=cov),
            "the second term has Lambda squared, in both equations.",
        ),
        Mistake(
            lambda U, u, cov, n, h: _euler(U, u, cov, n, h, right=np.eye(len(U))),
            "the Lambda on the right of U11 is missing.",
        ),
        Mistake(
            _wrong_order,
            "Gamma stands on the left of U11, not on the right; they do not commute with it.",
        ),
        Mistake(
            _trace_without_transpose,
            "in the equation for u the trace contains the transpose of U11.",
        ),
        Mistake(
            _half_in_the_gradient,
            "the 1/2 of the loss is gone after differentiating the square.",
        ),
    ),
)

EXERCISES = {
    "04-shifted-loss": SHIFTED_LOSS,
    "04-euler": EULER,
} | _chapter04_short.EXERCISES
