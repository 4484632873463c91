"""Weights written by hand: one step of gradient descent in one linear attention layer."""

from __future__ import annotations

import torch
from torch import Tensor

from icl_lib._checks import positive, positive_int


def preconditioned_step(preconditioner: Tensor) -> tuple[Tensor, Tensor]:
    """Return (w_pv, w_kq), (d+1, d+1) each, that predict (mean of y_i x_i)^T A x_query.

    Source: Zhang et al. 2024, eq. (4.2)-(4.3), for any matrix A in place of the inverse of Gamma.

    Parameters
    ----------
    preconditioner : (d, d) matrix A

    Raises
    ------
    ValueError
        If A is not square.
    """
    if preconditioner.ndim != 2 or preconditioner.shape[0] != preconditioner.shape[1]:
        raise ValueError(
            f"preconditioner must have shape (d, d), got {tuple(preconditioner.shape)}"
        )
    d = preconditioner.shape[0]
    w_pv, w_kq = torch.zeros(2, d + 1, d + 1, dtype=preconditioner.dtype)
    w_pv[-1, -1] = 1.0
    w_kq[:d, :d] = preconditioner
    return w_pv, w_kq


def one_gd_step(d: int, step_size: float, dtype=torch.float64) -> tuple[Tensor, Tensor]:
    """Return (w_pv, w_kq) of one gradient step from w = 0 on least squares.

    Source: von Oswald et al. 2022, Proposition 1; Zhang et al. 2024, remark after Theorem 4.1.
    Convention: the gradient of 1/(2n) sum (y_i - <w, x_i>)^2, an average, so that the prediction
    is step_size * <mean of y_i x_i, x_query>.

    Raises
    ------
    ValueError
        If d or step_size is not positive.

    Examples
    --------
    >>> one_gd_step(1, 0.5)[1]
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]], dtype=torch.float64)
    """
    positive("step_size", step_size)
    return preconditioned_step(step_size * torch.eye(positive_int("d", d), dtype=dtype))
