"""Short exercises in the text of Chapter 1."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises import _draws
from icl_lib.exercises._comparison import Case, Comparison, Mistake
from icl_lib.theory import solvers


def _nearest_case(rng: np.random.Generator, number: int) -> Case:
    d = _draws.dimension(rng, 2, 4)
    xs, ys, x_query = _draws.prompt(rng, _draws.length(rng, 6, 12), d)
    return {"xs": xs, "ys": ys, "x_query": x_query}


def _distances(xs, q):
    return np.linalg.norm(xs - q, axis=1)


NEAREST = Comparison(
    returns="one number, the label of the closest input",
    solution=lambda xs, ys, q: solvers.nearest_neighbours(xs, ys, q, k=1),
    draw=_nearest_case,
    mistakes=(
        Mistake(
            lambda xs, ys, q: ys[np.argmax(xs @ q)],
            "this is the input with the largest inner product; a long input wins it from afar.",
        ),
        Mistake(
            lambda xs, ys, q: ys[np.argmax(xs @ q / np.linalg.norm(xs, axis=1))],
            "this is the input with the most similar direction; how long it is counts too.",
        ),
        Mistake(
            lambda xs, ys, q: ys[np.argmin(np.abs(xs @ q))],
            "this is the input most orthogonal to the query.",
        ),
        Mistake(
            lambda xs, ys, q: ys[np.argmax(_distances(xs, q))],
            "this is the farthest input; look for the smallest distance.",
        ),
        Mistake(
            lambda xs, ys, q: np.argmin(_distances(xs, q)),
            "this is the number of the closest example; return its label.",
        ),
        Mistake(
            lambda xs, ys, q: xs[np.argmin(_distances(xs, q))],
            "this is the closest input itself; return its label.",
        ),
        Mistake(
            lambda xs, ys, q: _distances(xs, q).min(),
            "this is the distance to the closest input; return the label of that input.",
        ),
        Mistake(
            lambda xs, ys, q: ys[np.argmin(np.abs(xs - q).sum(1))],
            "the distances are sums of absolute differences; "
            "Euclid squares the differences before adding.",
        ),
        Mistake(
            lambda xs, ys, q: ys[np.argmin((xs - q).sum(1))],
            "the differences are added with their signs, so that they cancel; square them first.",
        ),
        Mistake(
            lambda xs, ys, q: ys[np.argmin(((xs - q) ** 2).sum(0))],
            "the squares are added over the examples; add them over the coordinates (axis 1).",
        ),
        Mistake(
            lambda xs, ys, q: ys[np.argmin(np.abs(np.linalg.norm(xs, axis=1) - np.linalg.norm(q)))],
            "this compares lengths; two inputs of the same length may be far apart.",
        ),
        Mistake(
            lambda xs, ys, q: solvers.nearest_neighbours(xs, ys, q, k=3),
            "this is the mean label of the three closest inputs; here one is asked for.",
        ),
    ),
)


def _enough_case(rng: np.random.Generator, number: int) -> Case:
    """Return a curve that falls below the level, rises again, and in the end stays below."""
    n = _draws.length(rng, 12, 18)
    eta, epsilon = float(rng.uniform(0.2, 0.5)), float(rng.uniform(0.05, 0.15))
    level, start = eta + epsilon, int(rng.integers(6, 10))
    curve = rng.uniform(level * 1.01, 1.5, n)
    curve[[start - 5, start - 3]] = rng.uniform(eta, level, 2)  # below twice, and above again
    curve[start:] = rng.uniform(0.3 * eta, level, n - start)
    curve[-1] = rng.uniform(0.3 * eta, eta - epsilon) if number % 2 else 0.9 * eta
    if number % 3 == 0:
        curve[start] = level  # "at most" and not "less than"
    return {"curve": curve, "eta": eta, "epsilon": epsilon}


def _first_after_last(above):
    """Return the position after the last True."""
    return np.flatnonzero(above)[-1] + 1 if above.any() else 0


ENOUGH = Comparison(
    returns="one whole number, a number of examples",
    solution=lambda curve, eta, eps: _first_after_last(curve > eta + eps),
    draw=_enough_case,
    mistakes=(
        Mistake(
            lambda curve, eta, eps: np.argmax(curve <= eta + eps),
            "this is the first M at which the error is small enough; the definition asks for "
            "all lengths from M on, and a curve may rise again.",
        ),
        Mistake(
            lambda curve, eta, eps: _first_after_last(curve > eta + eps) - 1,
            "at this M the error is still too large: it is the last bad length, one too early.",
        ),
        Mistake(
            lambda curve, eta, eps: _first_after_last(curve > eta + eps) + 1,
            "one too late: entry 0 of the curve is the error after no example.",
        ),
        Mistake(
            lambda curve, eta, eps: _first_after_last(curve >= eta + eps),
            "the error may be equal to the level: at most, and not less than.",
        ),
        Mistake(
            lambda curve, eta, eps: _first_after_last(curve > eps),
            "you compare with epsilon alone; the level is eta + epsilon.",
        ),
        Mistake(
            lambda curve, eta, eps: _first_after_last(curve > eta),
            "you compare with eta alone; epsilon is the slack that makes M finite.",
        ),
        Mistake(
            lambda curve, eta, eps: _first_after_last(np.abs(curve - eta) > eps),
            "an error below eta - epsilon is good enough too: no absolute value.",
        ),
        Mistake(
            lambda curve, eta, eps: np.sum(curve <= eta + eps),
            "you count the lengths that are good enough; the answer is where they begin for good.",
        ),
        Mistake(
            lambda curve, eta, eps: np.sum(curve > eta + eps),
            "you count the bad lengths; that is the answer only for a curve that never rises.",
        ),
        Mistake(
            lambda curve, eta, eps: curve[_first_after_last(curve > eta + eps)],
            "this is the error there; return the number of examples.",
        ),
    ),
)

EXERCISES = {
    "01-nearest": NEAREST,
    "01-enough": ENOUGH,
}
