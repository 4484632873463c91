"""Exercises of Chapter 2: attention, the linear layer, and one gradient step."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from icl_lib.exercises import _chapter02_short, _draws
from icl_lib.exercises._comparison import Case, Comparison, Mistake
from icl_lib.theory import optimum


def _matrix_case(rng: np.random.Generator, number: int) -> Case:
    d = _draws.dimension(rng)
    return {"A": rng.uniform(0.3, 3) * rng.standard_normal((d, d))}


def _weights(corner, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return w_pv with ``corner`` as its last entry, and w_kq with ``block`` on its upper left."""
    d = len(block)
    w_pv, w_kq = np.zeros((2, d + 1, d + 1))
    w_pv[-1, -1], w_kq[:d, :d] = corner, block
    return w_pv, w_kq


def _lower_right(A):
    w_pv, w_kq = _weights(np.linalg.norm(A) ** 0.5, A)
    w_kq = np.zeros_like(w_kq)
    w_kq[1:, 1:] = A / np.linalg.norm(A) ** 0.5
    return w_pv, w_kq


def _identity_values(A):
    d = len(A)
    scale = (np.linalg.norm(A) / (d + 1) ** 0.5) ** 0.5
    return scale * np.eye(d + 1), _weights(1.0, A / scale)[1]


def _same_sign(output):
    """Change both signs together, which changes no prediction, so that w_pv's entry is positive."""
    if len(output) != 2 or output[0].ndim != 2:
        return output
    sign = -1.0 if output[0][-1, -1] < 0 else 1.0
    return tuple(sign * part for part in output)


BALANCED = Comparison(
    returns="the two matrices (w_pv, w_kq), each of shape (d+1, d+1)",
    solution=optimum.balanced_weights,
    draw=_matrix_case,
    canonical=_same_sign,
    mistakes=(
        Mistake(
            lambda A: optimum.balanced_weights(A.T),
            "A is transposed; the prediction reads b-hat' on the left of A and x_q on its right.",
        ),
        Mistake(
            lambda A: _weights(1.0, A),
            "the layer predicts the right thing, but the two norms differ: "
            "use the scaling symmetry to make them equal.",
        ),
        Mistake(
            lambda A: _weights(np.linalg.norm(A), A / np.linalg.norm(A)),
            "the product is right and the norms are not equal: "
            "if one has norm c and the other |A|/c, which c makes them equal?",
        ),
        Mistake(
            lambda A: _weights(np.linalg.norm(A) ** -0.5, A * np.linalg.norm(A) ** 0.5),
            "the scale goes to the wrong side: which matrix was too large?",
        ),
        Mistake(
            lambda A: _weights(np.linalg.norm(A) ** 0.5, A * np.linalg.norm(A) ** 0.5),
            "both matrices are scaled up; multiply one by c and divide the other by c.",
        ),
        Mistake(
            lambda A: _weights(np.linalg.norm(A) ** 0.5, A),
            "only one of the matrices is scaled, so the prediction is too large; "
            "divide the other by the same number.",
        ),
        Mistake(
            lambda A: _weights(np.linalg.norm(A, 2) ** 0.5, A / np.linalg.norm(A, 2) ** 0.5),
            "the norm is the largest singular value; here the Frobenius norm is meant, "
            "the root of the sum of all squares.",
        ),
        Mistake(
            lambda A: (np.eye(len(A)), A),
            "the tokens have d + 1 entries, so both matrices have a row and a column more than A.",
        ),
        Mistake(
            _identity_values,
            "the identity in w_pv has weights that the prediction never sees, and they count in "
            "the norm; only its last entry is needed.",
        ),
        Mistake(
            _lower_right,
            "A stands in the lower right block; the inputs are the first d entries of a token.",
        ),
        Mistake(
            lambda A: optimum.balanced_weights(A)[::-1],
            "the two matrices are exchanged: return w_pv first.",
        ),
    ),
)


def _layer_case(rng: np.random.Generator, number: int) -> Case:
    case = _draws.prompt_case(rng, number)
    d = len(case["x_query"])
    w_pv, w_kq = rng.standard_normal((2, d + 1, d + 1))
    return {**case, "w_pv": w_pv, "w_kq": w_kq}


def _tokens(xs, ys, q, label=0.0):
    return np.vstack([np.column_stack([xs, ys]), np.append(q, label)]).T


def _layer(xs, ys, q, w_pv, w_kq, *, label=0.0, n=None, place=(-1, -1), keys=slice(None)):
    """Return an entry of f_LSA(E), with one step of the right solution exchanged."""
    E = _tokens(xs, ys, q, label)
    scores = E[:, keys].T @ w_kq @ E / (n or len(xs))
    return (E + w_pv @ E[:, keys] @ scores)[place]


def _softmax_layer(xs, ys, q, w_pv, w_kq):
    E = _tokens(xs, ys, q)
    return (E + w_pv @ E @ softmax(E.T @ w_kq @ E / len(xs), axis=0))[-1, -1]


def _layer_without_values(xs, ys, q, w_pv, w_kq):
    return _layer(xs, ys, q, np.eye(len(w_pv)), w_kq)


def _label_first(xs, ys, q, w_pv, w_kq):
    E = np.roll(_tokens(xs, ys, q), 1, axis=0)
    return (E + w_pv @ E @ (E.T @ w_kq @ E) / len(xs))[-1, -1]


LAYER = Comparison(
    returns="one number, the bottom right entry of f_LSA(E)",
    solution=_layer,
    draw=_layer_case,
    mistakes=(
        Mistake(
            lambda xs, ys, q, pv, kq: _layer(xs, ys, q, pv, kq, n=len(xs) + 1),
            "rho is the number of labelled examples; the query does not count.",
        ),
        Mistake(
            lambda xs, ys, q, pv, kq: _layer(xs, ys, q, pv, kq, n=1),
            "the scores are not divided by rho, the number of examples.",
        ),
        Mistake(
            lambda xs, ys, q, pv, kq: _layer(xs, ys, q, pv, kq.T),
            "w_kq is transposed: keys stand on its left, the query on its right.",
        ),
        Mistake(
            lambda xs, ys, q, pv, kq: _layer(xs, ys, q, pv.T, kq),
            "w_pv is transposed: it multiplies E from the left.",
        ),
        Mistake(
            lambda xs, ys, q, pv, kq: _layer(xs, ys, q, kq, pv),
            "w_pv and w_kq are exchanged: the scores need w_kq.",
        ),
        Mistake(_softmax_layer, "the softmax is still there; linear attention drops it."),
        Mistake(
            lambda xs, ys, q, pv, kq: _layer(xs, ys, q, pv, kq, keys=slice(0, -1)),
            "the query is missing among the keys; in this layer it attends to itself too.",
        ),
        Mistake(
            lambda xs, ys, q, pv, kq: _layer(xs, ys, q, pv, kq, place=(-1, -2)),
            "you read the column of an example; the query is the last column of E.",
        ),
        Mistake(
            lambda xs, ys, q, pv, kq: _layer(xs, ys, q, pv, kq, place=(0, -1)),
            "you read the first row; the label is in the last one.",
        ),
        Mistake(
            lambda xs, ys, q, pv, kq: _layer(xs, ys, q, pv, kq, place=(-1, 0)),
            "you read the first column; the query's column is the last one.",
        ),
        Mistake(
            lambda xs, ys, q, pv, kq: _layer(xs, ys, q, pv, kq, place=...),
            "this is the whole matrix; the prediction is its bottom right entry.",
        ),
        Mistake(
            lambda xs, ys, q, pv, kq: _layer(xs, ys, q, pv, kq, label=1.0),
            "the query's label entry is 1; it must be 0, since the layer does not know the label.",
        ),
        Mistake(
            lambda xs, ys, q, pv, kq: _layer(xs, ys, q, pv, kq, label=ys.mean()),
            "the query's label entry is the mean label; it must be 0.",
        ),
        Mistake(_layer_without_values, "w_pv does not enter your prediction."),
        Mistake(_label_first, "the labels are the first row; they belong below the inputs."),
    ),
    raises={
        ValueError: "print the shape of E: with one column a token it is (d+1, n+1), and E.T "
        "stands on the left of w_kq."
    },
)

EXERCISES = {
    "02-balanced-step": BALANCED,
    "02-layer": LAYER,
} | _chapter02_short.EXERCISES
