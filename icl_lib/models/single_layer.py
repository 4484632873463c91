"""The single linear self-attention layer (LSA) of Zhang, Frei and Bartlett.

Three forms of one model: merged matrices on the prompt matrix E, exactly as in the paper; the
factored query, key, value and projection matrices; and a fast form that never builds E and keeps
only the (d+1)^2 numbers which the prediction depends on. Tests prove the three equal.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from icl_lib._checks import positive, positive_int
from icl_lib.tasks.tokens import check_prompt, prompt_matrix


def lsa(tokens: Tensor, w_pv: Tensor, w_kq: Tensor, rho: float) -> Tensor:
    """Return f_LSA(E) = E + W_PV E (E^T W_KQ E) / rho, shape (..., d+1, n+1).

    Source: Zhang et al. 2024, eq. (3.3).
    Convention: columns are tokens; no mask; rho is the number of labelled examples.

    Parameters
    ----------
    tokens : (..., d+1, n+1) prompt matrix E
    w_pv, w_kq : (d+1, d+1) merged matrices W^P W^V and (W^K)^T W^Q
    rho : normaliser

    Raises
    ------
    ValueError
        If rho is not positive or a matrix does not fit.
    """
    positive("rho", rho)
    for name, matrix in (("w_pv", w_pv), ("w_kq", w_kq)):
        if matrix.shape != (tokens.shape[-2], tokens.shape[-2]):
            raise ValueError(
                f"{name} must have shape {(tokens.shape[-2],) * 2}, got {tuple(matrix.shape)}"
            )
    scores = tokens.transpose(-1, -2) @ w_kq @ tokens / rho  # (..., n+1, n+1)
    return tokens + w_pv @ tokens @ scores


def predict(xs: Tensor, ys: Tensor, x_query: Tensor, w_pv: Tensor, w_kq: Tensor) -> Tensor:
    """Return the prediction (...): the bottom right entry of f_LSA(E).

    Source: Zhang et al. 2024, eq. (3.4)-(3.5); rho is the length of this prompt.

    Parameters
    ----------
    xs, ys, x_query : (..., n, d), (..., n), (..., d)
    w_pv, w_kq : (d+1, d+1)
    """
    tokens = prompt_matrix(xs, ys, x_query)
    return lsa(tokens, w_pv, w_kq, float(xs.shape[-2]))[..., -1, -1]


def predict_query(
    xs: Tensor, ys: Tensor, x_query: Tensor, u11: Tensor, u12: Tensor, u21: Tensor, u: Tensor
) -> Tensor:
    """Return the same prediction (...) without building E.

    Source: Zhang et al. 2024, eq. (3.6). With z = U11 x_q, c = u21 . x_q and the value
    v_i = u12 . x_i + u y_i of example i, the prediction is the mean of v_i (x_i . z + y_i c) plus
    the query's own contribution (u12 . x_q)(x_q . z) / n.

    Parameters
    ----------
    xs, ys, x_query : (..., n, d), (..., n), (..., d)
    u11, u12, u21, u : (d, d), (d,), (d,), () blocks W11_KQ, w21_PV, w21_KQ, w22_PV
    """
    check_prompt(xs, ys, x_query)
    z = x_query @ u11.transpose(-1, -2)  # (..., d)
    values = xs @ u12 + u * ys  # (..., n)
    # Summing v_i x_i before the product with z spares training a pass over the prompt.
    moment = (values.unsqueeze(-2) @ xs).squeeze(-2)  # (..., d)
    labels = (x_query @ u21) * (values * ys).sum(-1)
    own = (x_query @ u12) * (x_query * z).sum(-1)
    return ((moment * z).sum(-1) + labels + own) / xs.shape[-2]


def paper_initialisation(d: int, sigma: float, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Return the start (w_pv, w_kq), both (d+1, d+1), of Assumption 3.3.

    Source: Zhang et al. 2024, Assumption 3.3, eq. (3.10).

    Parameters
    ----------
    d : input dimension
    sigma : scale of both layers
    theta : (d, d) with Frobenius norm of theta theta^T equal to 1

    Raises
    ------
    ValueError
        If theta has the wrong shape or norm.
    """
    positive_int("d", d)
    positive("sigma", sigma)
    if tuple(theta.shape) != (d, d):
        raise ValueError(f"theta must have shape {(d, d)}, got {tuple(theta.shape)}")
    gram = theta @ theta.T
    if abs(float(gram.norm()) - 1.0) > 1e-5:
        raise ValueError(f"theta theta^T must have Frobenius norm 1, got {float(gram.norm()):.6g}")
    w_pv, w_kq = torch.zeros(2, d + 1, d + 1, dtype=theta.dtype)
    w_pv[-1, -1] = sigma
    w_kq[:d, :d] = sigma * gram
    return w_pv, w_kq


def random_theta(d: int, generator: torch.Generator, dtype=torch.float32) -> Tensor:
    """Return a random theta (d, d) with Frobenius norm of theta theta^T equal to 1.

    Source: Zhang et al. 2024, the remark after Assumption 3.3.
    """
    matrix = torch.randn(d, d, generator=generator, dtype=dtype)
    return matrix / (matrix @ matrix.T).norm().sqrt()


class MergedLSA(nn.Module):
    """LSA with the paper's merged matrices ``w_pv`` and ``w_kq``, (d+1, d+1) each."""

    def __init__(self, w_pv: Tensor, w_kq: Tensor):
        super().__init__()
        self.w_pv = nn.Parameter(w_pv.clone())
        self.w_kq = nn.Parameter(w_kq.clone())

    def forward(self, xs: Tensor, ys: Tensor, x_query: Tensor) -> Tensor:
        """Return predictions (...) for prompts (..., n, d), (..., n), (..., d)."""
        return predict(xs, ys, x_query, self.w_pv, self.w_kq)


class FactoredLSA(nn.Module):
    """LSA with separate matrices W^P, W^V, W^K, W^Q, (d+1, d+1) each.

    Source: Zhang et al. 2024, Section 3.2 before the matrices are merged.
    """

    def __init__(self, w_p: Tensor, w_v: Tensor, w_k: Tensor, w_q: Tensor):
        super().__init__()
        self.w_p, self.w_v = nn.Parameter(w_p.clone()), nn.Parameter(w_v.clone())
        self.w_k, self.w_q = nn.Parameter(w_k.clone()), nn.Parameter(w_q.clone())

    def merged(self) -> tuple[Tensor, Tensor]:
        """Return (w_pv, w_kq) = (W^P W^V, (W^K)^T W^Q)."""
        return self.w_p @ self.w_v, self.w_k.T @ self.w_q

    def forward(self, xs: Tensor, ys: Tensor, x_query: Tensor) -> Tensor:
        """Return predictions (...) for prompts (..., n, d), (..., n), (..., d)."""
        return predict(xs, ys, x_query, *self.merged())


class QueryLSA(nn.Module):
    """LSA in its (d+1)^2 effective numbers; the form to train, ten times faster.

    ``u11`` (d, d), ``u12`` (d,), ``u21`` (d,) and ``u`` () are the blocks of Lemma 5.1.
    """

    def __init__(self, w_pv: Tensor, w_kq: Tensor):
        super().__init__()
        self.u11 = nn.Parameter(w_kq[:-1, :-1].clone())
        self.u12 = nn.Parameter(w_pv[-1, :-1].clone())
        self.u21 = nn.Parameter(w_kq[-1, :-1].clone())
        self.u = nn.Parameter(w_pv[-1, -1].clone())

    def forward(self, xs: Tensor, ys: Tensor, x_query: Tensor) -> Tensor:
        """Return predictions (...) for prompts (..., n, d), (..., n), (..., d)."""
        return predict_query(xs, ys, x_query, self.u11, self.u12, self.u21, self.u)

    @torch.no_grad()
    def preconditioner(self) -> Tensor:
        """Return A = u U11 + u12 u21^T, (d, d): all that matters for the part linear in w."""
        return self.u * self.u11 + torch.outer(self.u12, self.u21)

    @torch.no_grad()
    def full_matrices(self) -> tuple[Tensor, Tensor]:
        """Return (w_pv, w_kq), (d+1, d+1) each, with zeros where the prediction does not look."""
        d = self.u12.shape[0]
        w_pv, w_kq = torch.zeros(2, d + 1, d + 1, dtype=self.u11.dtype)
        w_pv[-1, :-1], w_pv[-1, -1] = self.u12, self.u
        w_kq[:-1, :-1], w_kq[-1, :-1] = self.u11, self.u21
        return w_pv, w_kq
