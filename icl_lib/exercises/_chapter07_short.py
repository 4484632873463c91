"""Short exercises in the text of Chapter 7."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises import _draws
from icl_lib.exercises._comparison import Case, Comparison, Mistake
from icl_lib.theory import optimum


def _limit(cov, new, *, product=None, query=None, scale=None):
    """Return the relative error for long prompts, with one part exchanged."""
    query = new if query is None else query
    product = np.linalg.inv(cov) @ new if product is None else product
    gap = product - np.eye(len(cov))
    return np.trace(gap.T @ query @ gap) / (np.trace(query) if scale is None else scale)


LIMIT = Comparison(
    returns="one number, the relative error",
    solution=lambda cov, new: (
        optimum.preconditioner_risk(np.linalg.inv(cov), new, np.inf) / np.trace(new)
    ),
    draw=_draws.two_covariances,
    mistakes=(
        Mistake(
            lambda cov, new: _limit(cov, new, scale=1.0),
            "this is the risk; divide it by that of predicting zero.",
        ),
        Mistake(
            lambda cov, new: _limit(cov, new, scale=np.trace(cov)),
            "predicting zero is scored on the shifted prompts: its risk is the trace of the new "
            "covariance.",
        ),
        Mistake(
            lambda cov, new: _limit(cov, new, query=cov),
            "the query still has the covariance of training; in a covariate shift it moves too.",
        ),
        Mistake(
            lambda cov, new: _limit(cov, new, query=np.eye(len(cov))),
            "your query has covariance I: weight the deviation with the new covariance.",
        ),
        Mistake(
            lambda cov, new: _limit(cov, new, product=new @ np.linalg.inv(cov)),
            "the two matrices are in the wrong order: Lambda^-1 Lambda' acts on w, "
            "and Lambda' stands on its right.",
        ),
        Mistake(
            lambda cov, new: _limit(cov, new, product=np.linalg.inv(new) @ cov),
            "the wrong covariance is inverted: the layer has stored that of training.",
        ),
        Mistake(
            lambda cov, new: _limit(cov, new, product=new / cov),
            "`/` divides entry by entry; matrices are inverted.",
        ),
        Mistake(
            lambda cov, new: (np.trace(new) / np.trace(cov) - 1) ** 2,
            "this uses the two traces only; directions count one by one.",
        ),
        Mistake(
            lambda cov, new: (np.trace(np.linalg.inv(cov) @ new) / len(cov) - 1) ** 2,
            "this squares a mean; average the squares over the directions.",
        ),
        Mistake(
            lambda cov, new: _limit(_draws.diagonal(cov), _draws.diagonal(new)),
            "the entries beside the diagonals are lost; the axes may be turned.",
        ),
        Mistake(
            lambda cov, new: _limit(cov, new) ** 0.5,
            "this is the root of the relative error.",
        ),
    ),
)


def _orthogonal_case(rng: np.random.Generator, number: int) -> Case:
    d = _draws.dimension(rng, 4, 6)
    xs, _, x_query = _draws.prompt(rng, _draws.length(rng, 2, d - 2), d)
    return {"xs": xs, "x_query": x_query}


def _one_by_one(xs, q):
    for x in xs:
        q = q - (x @ q) / (x @ x) * x
    return q


ORTHOGONAL = Comparison(
    returns="a vector of shape (d,)",
    solution=lambda xs, q: q - np.linalg.pinv(xs) @ (xs @ q),
    draw=_orthogonal_case,
    mistakes=(
        Mistake(
            lambda xs, q: np.linalg.pinv(xs) @ (xs @ q),
            "this is the part in the span of the examples; subtract it from the query.",
        ),
        Mistake(
            _one_by_one,
            "the parts along the examples are subtracted one after another; "
            "examples that are not orthogonal bring the earlier parts back.",
        ),
        Mistake(
            lambda xs, q: q - ((xs @ q) / (xs**2).sum(1)) @ xs,
            "you treat the examples as if they were orthogonal to each other.",
        ),
        Mistake(
            lambda xs, q: q - xs.T @ (xs @ q),
            "you treat the examples as if they were orthonormal; a projection has the inverse of "
            "their inner products in the middle.",
        ),
        Mistake(
            lambda xs, q: q - xs.T @ (xs @ q) / len(xs),
            "this subtracts the empirical covariance times the query, not a projection.",
        ),
        Mistake(
            lambda xs, q: q - (xs[-1] @ q) / (xs[-1] @ xs[-1]) * xs[-1],
            "the result is orthogonal to the last example only.",
        ),
        Mistake(
            lambda xs, q: q - (xs[0] @ q) / (xs[0] @ xs[0]) * xs[0],
            "the result is orthogonal to the first example only.",
        ),
        Mistake(
            lambda xs, q: q - (xs.mean(0) @ q) / (xs.mean(0) @ xs.mean(0)) * xs.mean(0),
            "the result is orthogonal to the mean of the examples, not to each of them.",
        ),
        Mistake(
            lambda xs, q: np.zeros_like(q),
            "the zero vector is orthogonal to everything; keep the rest of the query.",
        ),
        Mistake(
            lambda xs, q: (r := q - np.linalg.pinv(xs) @ (xs @ q)) / np.linalg.norm(r),
            "the direction is right; do not change the length.",
        ),
        Mistake(
            lambda xs, q: (
                (r := q - np.linalg.pinv(xs) @ (xs @ q)) / np.linalg.norm(r) * np.linalg.norm(q)
            ),
            "the direction is right; do not scale it back to the length of the query.",
        ),
    ),
    raises={
        np.linalg.LinAlgError: "X'X is singular here, as there are fewer examples than "
        "dimensions; XX' (n, n) is not, or use `np.linalg.pinv`."
    },
)

EXERCISES = {
    "07-limit": LIMIT,
    "07-orthogonal": ORTHOGONAL,
}
