"""Right and wrong answers to the exercises of Chapter 2, written as students write them.

name -> (right answers, [(wrong answer, words that its hint must contain)]).
"""

from __future__ import annotations

import numpy as np


def balanced(a, left=0.5, right=0.5, norm="fro"):
    """w_pv scaled by norm^left, w_kq divided by norm^right."""
    d, size = len(a), np.linalg.norm(a, norm)
    w_pv = np.zeros((d + 1, d + 1))
    w_kq = np.zeros((d + 1, d + 1))
    w_pv[d, d] = size**left
    w_kq[:d, :d] = a / size**right
    return w_pv, w_kq


def balanced_negative(a):
    """Both signs turned: as right as the other."""
    w_pv, w_kq = balanced(a)
    return -w_pv, -w_kq


def balanced_list(a):
    return list(balanced(a))


def block_at_the_end(a):
    w_pv, _ = balanced(a)
    w_kq = np.zeros_like(w_pv)
    w_kq[1:, 1:] = a / w_pv[-1, -1]
    return w_pv, w_kq


def identity_as_projection(a):
    d = len(a)
    scale = np.sqrt(np.linalg.norm(a) / np.sqrt(d + 1))
    w_kq = np.zeros((d + 1, d + 1))
    w_kq[:-1, :-1] = a / scale
    return scale * np.eye(d + 1), w_kq


BALANCED = (
    [balanced, balanced_negative, balanced_list],
    [
        (lambda a: balanced(a.T), "transposed"),
        (lambda a: balanced(a, 0, 0), "two norms differ"),
        (lambda a: balanced(a, 1, 1), "norms are not equal"),
        (lambda a: balanced(a, -0.5, -0.5), "wrong side"),
        (lambda a: balanced(a, 0.5, -0.5), "both matrices are scaled up"),
        (lambda a: balanced(a, 0.5, 0), "only one of the matrices"),
        (lambda a: balanced(a, norm=2), "Frobenius"),
        (lambda a: (np.eye(len(a)), a), "d + 1 entries"),
        (identity_as_projection, "identity in w_pv"),
        (block_at_the_end, "lower right block"),
        (lambda a: tuple(reversed(balanced(a))), "w_pv first"),
    ],
)


def softmax_answer(xs, ys, x_query, *, scale=1.0):
    weights = np.exp([scale * np.dot(x, x_query) for x in xs])
    weights = weights / weights.sum()
    return sum(w * y for w, y in zip(weights, ys, strict=True))


def softmax_stable(xs, ys, x_query):
    scores = xs @ x_query
    e = np.exp(scores - scores.max())
    return e @ ys / e.sum()


def softmax_of_distances(xs, ys, x_query, *, scale=1.0):
    e = np.exp(-scale * np.linalg.norm(xs - x_query, axis=1) ** 2)
    return e @ ys / e.sum()


def softmax_weights(xs, ys, x_query):
    e = np.exp(xs @ x_query)
    return e / e.sum()


SOFTMAX = (
    [softmax_answer, softmax_stable],
    [
        (lambda xs, ys, q: np.exp(xs @ q) @ ys, "do not sum to one"),
        (lambda xs, ys, q: np.mean(np.exp(xs @ q) * ys), "divide by their sum"),
        (lambda xs, ys, q: np.mean((xs @ q) * ys), "linear answer"),
        (lambda xs, ys, q: np.average(ys, weights=xs @ q), "without the exponential"),
        (lambda xs, ys, q: softmax_answer(xs, ys, q, scale=len(q) ** -0.5), "root of d"),
        (softmax_weights, "these are the weights"),
        (lambda xs, ys, q: softmax_weights(xs, ys, q) @ xs, "mean of the inputs"),
        (lambda xs, ys, q: np.sum(ys * np.exp(ys)) / np.sum(np.exp(ys)), "own scores"),
        (lambda xs, ys, q: ys[(xs @ q).argmax()], "largest score only"),
        (softmax_of_distances, "scores are distances"),
        (lambda xs, ys, q: softmax_of_distances(xs, ys, q, scale=0.5), "scores are distances"),
        (lambda xs, ys, q: np.mean(softmax_weights(xs, ys, q) * ys), "sum to one already"),
    ],
)


def gradient(xs, ys, w):
    """Of the loss (1/2n) sum (y - <w, x>)^2, by finite differences."""
    step, result = 1e-6, np.zeros_like(w)
    for i in range(len(w)):
        e = np.eye(len(w))[i] * step
        up, down = (0.5 * np.mean((ys - xs @ v) ** 2) for v in (w + e, w - e))
        result[i] = (up - down) / (2 * step)
    return result


def gd_step(xs, ys, x_query, eta, w0, *, factor=1.0):
    w1 = w0 - factor * eta * np.mean((xs @ w0 - ys)[:, None] * xs, axis=0)
    return w1 @ x_query


def gd_step_by_differences(xs, ys, x_query, eta, w0):
    return (w0 - eta * gradient(xs, ys, w0)) @ x_query


def gd_two_steps(xs, ys, x_query, eta, w0):
    for _ in range(2):
        w0 = w0 - eta * xs.T @ (xs @ w0 - ys) / len(xs)
    return w0 @ x_query


def gd_from_zero_added(xs, ys, x_query, eta, w0):
    return x_query @ (w0 + eta * np.mean(ys[:, None] * xs, axis=0))


GD_STEP = (
    [gd_step, gd_step_by_differences],
    [
        (lambda xs, ys, q, eta, w: gd_step(xs, ys, q, eta, w, factor=-1), "uphill"),
        (lambda xs, ys, q, eta, w: gd_step(xs, ys, q, eta, w, factor=len(xs)), "adds them up"),
        (lambda xs, ys, q, eta, w: gd_step(xs, ys, q, eta, w, factor=2), "twice too long"),
        (lambda xs, ys, q, eta, w: gd_step(xs, ys, q, eta, w, factor=0.5), "half as long"),
        (gd_from_zero_added, "residuals count"),
        (lambda xs, ys, q, eta, w: eta * np.mean(ys * (xs @ q)), "start at w0"),
        (lambda xs, ys, q, eta, w: gd_step(xs, ys, q, eta, w) - w @ q, "change of the prediction"),
        (lambda xs, ys, q, eta, w: np.dot(w, q), "before the step"),
        (
            lambda xs, ys, q, eta, w: w - eta * np.mean((xs @ w - ys)[:, None] * xs, 0),
            "weights after the step",
        ),
        (gd_two_steps, "two steps"),
        (lambda xs, ys, q, eta, w: gd_step(xs, ys, q, eta, w, factor=1 / len(xs)), "once more"),
    ],
)


def layer(xs, ys, x_query, w_pv, w_kq, *, rho=None, label=0.0, row=-1, column=-1, keys=None):
    n, d = xs.shape
    E = np.zeros((d + 1, n + 1))
    E[:d, :n], E[d, :n], E[:d, n], E[d, n] = xs.T, ys, x_query, label
    scores = E.T @ w_kq @ E / (n if rho is None else rho)
    return (E + (w_pv @ E)[:, :keys] @ scores[:keys])[row, column]


def layer_by_sums(xs, ys, x_query, w_pv, w_kq):
    """Token by token: values times scores."""
    tokens = [np.append(x, y) for x, y in zip(xs, ys, strict=True)] + [np.append(x_query, 0.0)]
    query = w_kq @ tokens[-1]
    return sum((w_pv[-1] @ token) * (token @ query) for token in tokens) / len(xs)


def layer_with_softmax(xs, ys, x_query, w_pv, w_kq):
    n, d = xs.shape
    E = np.column_stack([np.vstack([xs.T, ys]), np.append(x_query, 0.0)])
    scores = np.exp(E.T @ w_kq @ E / n)
    return (E + w_pv @ E @ (scores / scores.sum(axis=0)))[-1, -1]


def layer_with_labels_first(xs, ys, x_query, w_pv, w_kq):
    E = np.vstack([np.append(ys, 0.0), np.column_stack([xs.T, x_query])])
    return (E + w_pv @ E @ E.T @ w_kq @ E / len(xs))[-1, -1]


def layer_with_token_rows(xs, ys, x_query, w_pv, w_kq):
    E = np.vstack([np.column_stack([xs, ys]), np.append(x_query, 0.0)])
    return (E + w_pv @ E @ E.T @ w_kq @ E / len(xs))[-1, -1]


def whole_matrix(xs, ys, x_query, w_pv, w_kq):
    E = np.column_stack([np.vstack([xs.T, ys]), np.append(x_query, 0.0)])
    return E + w_pv @ E @ E.T @ w_kq @ E / len(xs)


LAYER = (
    [layer, layer_by_sums],
    [
        (lambda xs, ys, q, pv, kq: layer(xs, ys, q, pv, kq, rho=len(xs) + 1), "does not count"),
        (lambda xs, ys, q, pv, kq: layer(xs, ys, q, pv, kq, rho=1), "not divided by rho"),
        (lambda xs, ys, q, pv, kq: layer(xs, ys, q, pv, kq.T), "w_kq is transposed"),
        (lambda xs, ys, q, pv, kq: layer(xs, ys, q, pv.T, kq), "w_pv is transposed"),
        (lambda xs, ys, q, pv, kq: layer(xs, ys, q, kq, pv), "exchanged"),
        (layer_with_softmax, "softmax is still there"),
        (lambda xs, ys, q, pv, kq: layer(xs, ys, q, pv, kq, keys=-1), "among the keys"),
        (lambda xs, ys, q, pv, kq: layer(xs, ys, q, pv, kq, column=-2), "column of an example"),
        (lambda xs, ys, q, pv, kq: layer(xs, ys, q, pv, kq, row=0), "first row"),
        (lambda xs, ys, q, pv, kq: layer(xs, ys, q, pv, kq, column=0), "first column"),
        (whole_matrix, "whole matrix"),
        (lambda xs, ys, q, pv, kq: layer(xs, ys, q, pv, kq, label=1), "label entry is 1"),
        (
            lambda xs, ys, q, pv, kq: layer(xs, ys, q, pv, kq, label=np.mean(ys)),
            "the mean label",
        ),
        (
            lambda xs, ys, q, pv, kq: layer(xs, ys, q, np.identity(len(pv)), kq),
            "w_pv does not enter",
        ),
        (layer_with_labels_first, "labels are the first row"),
        (layer_with_token_rows, "print the shape of E"),
    ],
)

TABLE = {
    "02-balanced-step": BALANCED,
    "02-softmax": SOFTMAX,
    "02-gd-step": GD_STEP,
    "02-layer": LAYER,
}
