"""Short exercises in the text of Chapter 2."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from icl_lib.exercises import _draws
from icl_lib.exercises._comparison import Case, Comparison, Mistake
from icl_lib.theory import solvers

SOFTMAX = Comparison(
    returns="one number, the answer at the query",
    solution=lambda xs, ys, q: softmax(xs @ q) @ ys,
    draw=_draws.prompt_case,
    mistakes=(
        Mistake(
            lambda xs, ys, q: np.exp(xs @ q) @ ys,
            "the weights do not sum to one: divide by the sum of the exponentials.",
        ),
        Mistake(
            lambda xs, ys, q: np.exp(xs @ q) @ ys / len(ys),
            "the exponentials are divided by the number of examples; divide by their sum.",
        ),
        Mistake(
            lambda xs, ys, q: (xs @ q) @ ys / len(ys),
            "this is the linear answer; the scores must go through the exponential.",
        ),
        Mistake(
            lambda xs, ys, q: (xs @ q) @ ys / (xs @ q).sum(),
            "the scores are normalised without the exponential, so that weights can be negative.",
        ),
        Mistake(
            lambda xs, ys, q: softmax(xs @ q / len(q) ** 0.5) @ ys,
            "the scores are divided by the root of d; the example of this section has no scale.",
        ),
        Mistake(
            lambda xs, ys, q: softmax(xs @ q),
            "these are the weights; the answer is the weighted mean of the labels.",
        ),
        Mistake(
            lambda xs, ys, q: softmax(xs @ q) @ xs,
            "this is the weighted mean of the inputs; the labels are the values.",
        ),
        Mistake(
            lambda xs, ys, q: softmax(ys) @ ys,
            "the labels are their own scores; a score compares an input with the query.",
        ),
        Mistake(
            lambda xs, ys, q: ys[np.argmax(xs @ q)],
            "this takes the largest score only; softmax gives every example some weight.",
        ),
        Mistake(
            lambda xs, ys, q: softmax(-((xs - q) ** 2).sum(1)) @ ys,
            "the scores are distances; here they are inner products.",
        ),
        Mistake(
            lambda xs, ys, q: softmax(-((xs - q) ** 2).sum(1) / 2) @ ys,
            "the scores are distances; inner products give long inputs more weight.",
        ),
        Mistake(
            lambda xs, ys, q: softmax(xs @ q) @ ys / len(ys),
            "the weights sum to one already; do not divide by the number of examples again.",
        ),
    ),
)


def _step_case(rng: np.random.Generator, number: int) -> Case:
    case = _draws.prompt_case(rng, number)
    eta = float(rng.uniform(0.1, 0.9))
    return {**case, "eta": eta, "w0": rng.standard_normal(len(case["x_query"]))}


def _step(xs, ys, q, eta, w0, *, keep=1.0):
    """Return the prediction of one step, with the share ``keep`` of the start."""
    return (keep * w0 + eta * xs.T @ (ys - xs @ w0) / len(ys)) @ q


def _w1(xs, ys, q, eta, w0):
    return w0 + eta * xs.T @ (ys - xs @ w0) / len(ys)


GD_STEP = Comparison(
    returns="one number, the prediction for x_query after the step",
    solution=lambda xs, ys, q, eta, w0: solvers.gradient_descent(xs, ys, q, eta, 1, w0),
    draw=_step_case,
    mistakes=(
        Mistake(
            lambda xs, ys, q, eta, w0: _step(xs, ys, q, -eta, w0),
            "the step goes uphill: descent subtracts the gradient.",
        ),
        Mistake(
            lambda xs, ys, q, eta, w0: _step(xs, ys, q, eta * len(ys), w0),
            "the loss is a mean over the examples; yours adds them up.",
        ),
        Mistake(
            lambda xs, ys, q, eta, w0: _step(xs, ys, q, 2 * eta, w0),
            "the step is twice too long: the 1/2 of the loss cancels the 2 of the square.",
        ),
        Mistake(
            lambda xs, ys, q, eta, w0: _step(xs, ys, q, eta / 2, w0),
            "the step is half as long as it should be: differentiating the square gives a 2.",
        ),
        Mistake(
            lambda xs, ys, q, eta, w0: (w0 + eta * xs.T @ ys / len(ys)) @ q,
            "this takes the gradient at 0 and adds it to w0; at w0 the residuals count.",
        ),
        Mistake(
            lambda xs, ys, q, eta, w0: eta * xs.T @ ys / len(ys) @ q,
            "this is the step from 0; it should start at w0.",
        ),
        Mistake(
            lambda xs, ys, q, eta, w0: _step(xs, ys, q, eta, w0, keep=0),
            "this is the change of the prediction only; add what w0 predicts.",
        ),
        Mistake(
            lambda xs, ys, q, eta, w0: w0 @ q,
            "this is the prediction before the step.",
        ),
        Mistake(_w1, "these are the weights after the step; multiply them by x_query."),
        Mistake(
            lambda xs, ys, q, eta, w0: _step(xs, ys, q, eta, _w1(xs, ys, q, eta, w0)),
            "these are two steps; take one.",
        ),
        Mistake(
            lambda xs, ys, q, eta, w0: _step(xs, ys, q, eta / len(ys), w0),
            "the mean is divided by the number of examples once more.",
        ),
    ),
)

EXERCISES = {
    "02-softmax": SOFTMAX,
    "02-gd-step": GD_STEP,
}
