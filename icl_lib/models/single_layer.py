"""The single linear self-attention layer (LSA) of Zhang, Frei and Bartlett.

Three forms of one model: merged matrices on the prompt matrix E, exactly as in the paper; the
factored query, key, value and projection matrices; and a fast form that never builds E and keeps
only the (d+1)^2 numbers which the prediction depends on. Tests prove the three equal.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from icl_lib._tensor_checks import (
    check_generator,
    check_shape,
    finite_tensors,
    positive_scale,
    real_dtype,
    real_tensors,
    size,
)
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
    positive_scale("rho", rho)
    tokens, w_pv, w_kq = real_tensors(tokens=tokens, w_pv=w_pv, w_kq=w_kq)
    check_shape("tokens", tokens, "...", "d+1", "n+1")
    check_shape("w_pv", w_pv, tokens.shape[-2], tokens.shape[-2])
    check_shape("w_kq", w_kq, tokens.shape[-2], tokens.shape[-2])
    scores = tokens.transpose(-1, -2) @ w_kq @ tokens / rho  # (..., n+1, n+1)
    return tokens + w_pv @ tokens @ scores


def predict(xs: Tensor, ys: Tensor, x_query: Tensor, w_pv: Tensor, w_kq: Tensor) -> Tensor:
    """Return the prediction (...): the bottom right entry of f_LSA(E).

    Source: Zhang et al. 2024, eq. (3.4)-(3.5); rho is the length of this prompt.

    Parameters
    ----------
    xs, ys, x_query : (..., n, d), (..., n), (..., d)
    w_pv, w_kq : (d+1, d+1)

    Raises
    ------
    ValueError
        If the shapes or the dtypes do not fit.
    """
    xs, ys, x_query, w_pv, w_kq = check_prompt(xs, ys, x_query, w_pv=w_pv, w_kq=w_kq)
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

    Raises
    ------
    ValueError
        If the shapes or the dtypes do not fit.
    """
    xs, ys, x_query, u11, u12, u21, u = check_prompt(
        xs, ys, x_query, u11=u11, u12=u12, u21=u21, u=u
    )
    d = xs.shape[-1]
    for name, block, shape in (("u11", u11, (d, d)), ("u12", u12, (d,)), ("u21", u21, (d,))):
        if block.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {tuple(block.shape)}")
    if u.ndim:
        raise ValueError(f"u must have shape (), got {tuple(u.shape)}")
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
    d, sigma = size("d", d), positive_scale("sigma", sigma)
    (theta,) = finite_tensors(theta=theta)
    check_shape("theta", theta, d, d)
    gram = theta @ theta.T
    if abs(float(gram.norm()) - 1.0) > 1e-5:
        raise ValueError(f"theta theta^T must have Frobenius norm 1, got {float(gram.norm()):.9g}")
    w_pv, w_kq = (theta.new_zeros(d + 1, d + 1) for _ in range(2))
    w_pv[-1, -1] = sigma
    w_kq[:d, :d] = sigma * gram
    return w_pv, w_kq


def random_theta(d: int, generator: torch.Generator, dtype=torch.float32) -> Tensor:
    """Return a random theta (d, d) with Frobenius norm of theta theta^T equal to 1.

    Source: Zhang et al. 2024, the remark after Assumption 3.3.

    Raises
    ------
    ValueError
        If d is not a positive integer, ``generator`` no ``torch.Generator`` or ``dtype`` neither
        float32 nor float64.
    """
    d, dtype = size("d", d), real_dtype(dtype)
    check_generator(generator)
    matrix = torch.randn(d, d, generator=generator, dtype=dtype)
    return matrix / (matrix @ matrix.T).norm().sqrt()


class MergedLSA(nn.Module):
    """LSA with the paper's merged matrices ``w_pv`` and ``w_kq``, (d+1, d+1) each."""

    def __init__(self, w_pv: Tensor, w_kq: Tensor):
        super().__init__()
        w_pv, w_kq = _matrices(w_pv=w_pv, w_kq=w_kq)
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
        w_p, w_v, w_k, w_q = _matrices(w_p=w_p, w_v=w_v, w_k=w_k, w_q=w_q)
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
        w_pv, w_kq = _matrices(w_pv=w_pv, w_kq=w_kq)
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
        w_pv, w_kq = self.u11.new_zeros(2, d + 1, d + 1)
        w_pv[-1, :-1], w_pv[-1, -1] = self.u12, self.u
        w_kq[:-1, :-1], w_kq[-1, :-1] = self.u11, self.u21
        return w_pv, w_kq


def _matrices(**matrices: Tensor) -> tuple[Tensor, ...]:
    """Return finite (d+1, d+1) matrices of one size and precision."""
    checked = finite_tensors(**matrices)
    first = checked[0]
    for name, matrix in zip(matrices, checked, strict=True):
        check_shape(name, matrix, "d+1", "d+1")
        check_shape(name, matrix, *first.shape)
    return checked
