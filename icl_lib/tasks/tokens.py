"""From prompts to tokens: the matrix E of Zhang et al., and separate x and y tokens."""

from __future__ import annotations

import torch
from torch import Tensor


def prompt_matrix(xs: Tensor, ys: Tensor, x_query: Tensor) -> Tensor:
    """Return E (..., d+1, n+1): one column a token, the query's label replaced by 0.

    Source: Zhang et al. 2024, eq. (3.4).
    Convention: columns are tokens, as in the paper; most code has tokens in rows.

    Parameters
    ----------
    xs : (..., n, d) inputs of the examples
    ys : (..., n) labels
    x_query : (..., d)

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> prompt_matrix(torch.tensor([[1.0], [2.0]]), torch.tensor([3.0, 4.0]), torch.tensor([5.0]))
    tensor([[1., 2., 5.],
            [3., 4., 0.]])
    """
    check_prompt(xs, ys, x_query)
    top = torch.cat([xs, x_query.unsqueeze(-2)], dim=-2).transpose(-1, -2)  # (..., d, n+1)
    bottom = torch.cat([ys, torch.zeros_like(ys[..., :1])], dim=-1)  # (..., n+1)
    return torch.cat([top, bottom.unsqueeze(-2)], dim=-2)


def interleave(xs: Tensor, ys: Tensor) -> Tensor:
    """Return tokens (..., 2n-1, d): x_1, y_1, x_2, ..., y_{n-1}, x_n; y padded with zeros.

    Source: Garg et al. 2022, Section 2 (x and y as separate tokens, y in the first coordinate).

    Parameters
    ----------
    xs : (..., n, d); the last one is the query
    ys : (..., n-1) labels of all but the last; further labels are not used

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    n = xs.shape[-2]
    if ys.shape[:-1] != xs.shape[:-2] or ys.shape[-1] not in (n - 1, n):
        raise ValueError(
            f"ys must have shape {tuple(xs.shape[:-2]) + (n - 1,)} for xs of shape "
            f"{tuple(xs.shape)}, got {tuple(ys.shape)}"
        )
    tokens = xs.new_zeros(*xs.shape[:-2], 2 * n - 1, xs.shape[-1])
    tokens[..., 0::2, :] = xs
    tokens[..., 1::2, 0] = ys[..., : n - 1]
    return tokens


def check_prompt(xs: Tensor, ys: Tensor, x_query: Tensor) -> None:
    """Check that ``xs`` (..., n, d), ``ys`` (..., n) and ``x_query`` (..., d) belong together.

    Raises
    ------
    ValueError
        Naming the argument whose shape does not fit, or ``xs`` if there is no example.
    """
    if xs.ndim < 2 or xs.shape[-2] < 1:
        raise ValueError(f"xs must have shape (..., n, d) with n >= 1, got {tuple(xs.shape)}")
    if ys.shape != xs.shape[:-1]:
        raise ValueError(f"ys must have shape {tuple(xs.shape[:-1])}, got {tuple(ys.shape)}")
    expected = (*xs.shape[:-2], xs.shape[-1])
    if tuple(x_query.shape) != expected:
        raise ValueError(f"x_query must have shape {expected}, got {tuple(x_query.shape)}")
