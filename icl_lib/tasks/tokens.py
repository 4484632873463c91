"""From prompts and sequences to tokens.

The matrix E of Zhang et al., separate x and y tokens, the four channels of von Oswald et al., and
stacked observations. Tensors follow the rule on precision of :mod:`icl_lib.tasks`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from icl_lib._tensor_checks import check_shape, real_tensors, size


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
    xs, ys, x_query = check_prompt(xs, ys, x_query)
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
    xs, ys = real_tensors(xs=xs, ys=ys)
    check_shape("xs", xs, "...", "n", "d")
    n = xs.shape[-2]
    if ys.ndim == 0 or ys.shape[:-1] != xs.shape[:-2] or ys.shape[-1] not in (n - 1, n):
        raise ValueError(
            f"ys must have shape {tuple(xs.shape[:-2]) + (n - 1,)} for xs of shape "
            f"{tuple(xs.shape)}, got {tuple(ys.shape)}"
        )
    tokens = xs.new_zeros(*xs.shape[:-2], 2 * n - 1, xs.shape[-1])
    tokens[..., 0::2, :] = xs
    tokens[..., 1::2, 0] = ys[..., : n - 1]
    return tokens


def previous_states(states: Tensor) -> Tensor:
    """Return s_0..s_{T-1}, (..., T, n), for states s_1..s_T (..., T, n); s_0 = 0.

    Raises
    ------
    ValueError
        If ``states`` has fewer than two axes.

    Examples
    --------
    >>> previous_states(torch.tensor([[5.0], [6.0]]))
    tensor([[0.],
            [5.]])
    """
    states = _check_states(states)
    return torch.nn.functional.pad(states[..., :-1, :], (0, 0, 1, 0))


def constructed_tokens(states: Tensor) -> Tensor:
    """Return e_t = (0, s_t, s_t, s_{t-1}), (..., T, 4n), for states s_1..s_T (..., T, n); s_0 = 0.

    Source: von Oswald et al. 2023, Figure 9: the first channel collects the prediction, two
    copies of s_t let one be changed while the other is kept.
    Convention: the paper's propositions use three channels (0, s_t, s_{t-1}).

    Raises
    ------
    ValueError
        If ``states`` has fewer than two axes.

    Examples
    --------
    >>> constructed_tokens(torch.tensor([[5.0], [6.0]]))
    tensor([[0., 5., 5., 0.],
            [0., 6., 6., 5.]])
    """
    states = _check_states(states)
    return torch.cat([torch.zeros_like(states), states, states, previous_states(states)], dim=-1)


def proposition_tokens(states: Tensor, phi_0: Tensor) -> Tensor:
    """Return e_t = (Phi_0 s_t, s_t, s_{t-1}), (..., T, 3n), for states (..., T, n); s_0 = 0.

    Source: von Oswald et al. 2023, Proposition 1. ``phi_0`` is (n, n).

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    states, phi_0 = real_tensors(states=states, phi_0=phi_0)
    states = _check_states(states)
    check_shape("phi_0", phi_0, states.shape[-1], states.shape[-1])
    return torch.cat([states @ phi_0.T, states, previous_states(states)], dim=-1)


def stacked_observations(states: Tensor, k: int) -> Tensor:
    """Return z_t = (s_t, s_{t-1}, ..., s_{t-k+1}), (..., T, k n), for states (..., T, n).

    Source: von Oswald et al. 2023, Section on partially observed systems; s_t = 0 for t < 1.

    Raises
    ------
    ValueError
        If ``k`` is not a positive integer or ``states`` has fewer than two axes.

    Examples
    --------
    >>> stacked_observations(torch.tensor([[5.0], [6.0], [7.0]]), 2)
    tensor([[5., 0.],
            [6., 5.],
            [7., 6.]])
    """
    states, k = _check_states(states), size("k", k)
    length = states.shape[-2]
    delayed = [
        torch.nn.functional.pad(states, (0, 0, lag, 0))[..., :length, :]
        for lag in range(min(k, length))
    ]
    beyond = states.new_zeros(*states.shape[:-1], max(0, k - length) * states.shape[-1])
    return torch.cat([*delayed, beyond], dim=-1)


def _check_states(states: Tensor) -> Tensor:
    (states,) = real_tensors(states=states)
    check_shape("states", states, "...", "T", "n")
    return states


def check_prompt(xs: Tensor, ys: Tensor, x_query: Tensor, **others: Tensor) -> tuple[Tensor, ...]:
    """Return ``xs`` (..., n, d), ``ys`` (..., n), ``x_query`` (..., d) if they belong together.

    ``others``, a model's weights say, come after them, in the same precision.

    Raises
    ------
    ValueError
        Naming the argument whose shape or dtype does not fit, or ``xs`` if there is no example.
    """
    xs, ys, x_query, *rest = real_tensors(xs=xs, ys=ys, x_query=x_query, **others)
    check_shape("xs", xs, "...", "n", "d")
    if ys.shape != xs.shape[:-1]:
        raise ValueError(f"ys must have shape {tuple(xs.shape[:-1])}, got {tuple(ys.shape)}")
    expected = (*xs.shape[:-2], xs.shape[-1])
    if tuple(x_query.shape) != expected:
        raise ValueError(f"x_query must have shape {expected}, got {tuple(x_query.shape)}")
    return xs, ys, x_query, *rest
