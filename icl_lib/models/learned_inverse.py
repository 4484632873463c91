"""A few steps towards H^-1 with learned coefficients: the paper's control for "Proposition 2"."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from icl_lib._tensor_checks import check_shape, flag, positive_scale, real_tensors, size
from icl_lib.tasks.tokens import previous_states


class LearnedInverse(nn.Module):
    """Predict s_{t+1} by least squares whose inverse is k steps with learned coefficients.

    Source: von Oswald et al. 2023, "Proposition 2" curves of Figures 4, 6, 7 (released code). With
    A = S S^T + ridge I and its Frobenius norm |A|, the steps y <- y - alpha_j A y/|A| and
    x <- x + y + beta_j (x - x_previous) start at s_t and end in an approximation of A^-1 s_t |A|.

    Convention: trained *lagged*, as the authors do: the newest pair (s_{t-1}, s_t) is left out.
    ``forward(states, lagged=False)`` includes it, as a transformer does.

    Raises
    ------
    ValueError
        If ``steps`` or ``ridge`` is not positive.
    """

    def __init__(self, steps: int, ridge: float = 1e-3):
        super().__init__()
        steps = size("steps", steps)
        self.ridge = positive_scale("ridge", ridge)
        self.alpha = nn.Parameter(torch.ones(steps))
        self.beta = nn.Parameter(torch.zeros(steps))

    def forward(self, states: Tensor, lagged: bool = True) -> Tensor:
        """Return predictions (B, T, n) of s_2..s_{T+1} for states s_1..s_T (B, T, n)."""
        _, states = real_tensors(weights=self.alpha, states=states)
        check_shape("states", states, "B", "T", "n")
        gram, cross = prefix_sums(states)
        if flag("lagged", lagged):
            gram, cross = (
                torch.cat([torch.zeros_like(part[:, :1]), part[:, :-1]], dim=1)
                for part in (gram, cross)
            )
        preconditioned = self.apply_inverse(gram, states)
        return (cross @ preconditioned.unsqueeze(-1)).squeeze(-1)

    def apply_inverse(self, gram: Tensor, states: Tensor) -> Tensor:
        """Return the approximation of (gram + ridge I)^-1 s, (..., n), for gram (..., n, n)."""
        _, gram, states = real_tensors(weights=self.alpha, gram=gram, states=states)
        check_shape("states", states, "...", "n")
        check_shape("gram", gram, *states.shape, states.shape[-1])
        identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        system = gram + self.ridge * identity
        norm = torch.linalg.matrix_norm(system, keepdim=True)
        system, norm = system / norm, norm.squeeze(-1)
        x = y = before = states
        for alpha, beta in zip(self.alpha, self.beta, strict=True):
            y = y - alpha * (system @ y.unsqueeze(-1)).squeeze(-1)
            x, before = x + y + beta * (x - before), x
        return x / norm


def prefix_sums(states: Tensor) -> tuple[Tensor, Tensor]:
    """Return sum_{t'<t} s_t' s_t'^T and sum_{t'<=t} s_t' s_{t'-1}^T, (B, T, n, n) each; s_0 = 0."""
    (states,) = real_tensors(states=states)
    check_shape("states", states, "B", "T", "n")
    previous = previous_states(states).unsqueeze(-2)
    gram = (previous.transpose(-1, -2) * previous).cumsum(1)
    return gram, (states.unsqueeze(-1) * previous).cumsum(1)
