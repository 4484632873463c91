"""Several linear attention layers: the first way out when the covariance changes.

Each layer is linear self-attention on the tokens (x_i, y_i) with the sparse weights of Ahn et al.
2023: it updates the labels by a preconditioned gradient step and, optionally, the inputs by a
polynomial of their own empirical covariance ("GD++" of von Oswald et al. 2022).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from icl_lib._tensor_checks import check_shape, flag, positive_scale, size
from icl_lib.tasks.tokens import check_prompt


class DeepLinear(nn.Module):
    """A stack of linear attention layers; layer l has a matrix A_l, and B_l if ``move_inputs``.

    Layer l maps every token, the query included (attention reads the labelled tokens only):

        y_i <- y_i - x_i^T A_l (1/n) sum_j x_j y_j,
        x_i <- x_i - (1/n) sum_j (x_j . x_i) B_l x_j.

    The query's label starts at 0 and ends at minus the prediction.

    Source: Ahn et al. 2023, Lemma 1 and Theorem 4; von Oswald et al. 2022, Section 3 (GD++).

    Parameters
    ----------
    d : input dimension
    layers : number of layers
    move_inputs : whether the inputs are transformed too
    scale : every A_l starts at scale / layers times the identity, every B_l at zero

    Raises
    ------
    ValueError
        If ``d``, ``layers`` or ``scale`` is not positive.
    """

    def __init__(self, d: int, layers: int, *, move_inputs: bool = True, scale: float = 0.1):
        super().__init__()
        d, layers, scale = size("d", d), size("layers", layers), positive_scale("scale", scale)
        start = torch.eye(d).repeat(layers, 1, 1)
        self.a = nn.Parameter(scale / layers * start)
        self.b = nn.Parameter(torch.zeros_like(start)) if flag("move_inputs", move_inputs) else None

    def forward(self, xs: Tensor, ys: Tensor, x_query: Tensor) -> Tensor:
        """Return predictions (B,) for prompts (B, n, d), (B, n), (B, d)."""
        xs, ys, x_query, _ = check_prompt(xs, ys, x_query, weights=self.a)
        check_shape("xs", xs, "...", "n", self.a.shape[-1])
        n = xs.shape[-2]
        points = torch.cat([xs, x_query.unsqueeze(-2)], dim=-2)  # (B, n+1, d)
        labels = torch.cat([ys, torch.zeros_like(ys[..., :1])], dim=-1)  # (B, n+1)
        for layer, a in enumerate(self.a):
            known, residual = points[..., :n, :], labels[..., :n]
            moment = torch.einsum("...nd,...n->...d", known, residual) / n
            labels = labels - torch.einsum("...nd,de,...e->...n", points, a, moment)
            if self.b is not None:
                covariance = known.transpose(-1, -2) @ known / n  # (B, d, d)
                points = points - points @ covariance @ self.b[layer].T
        return -labels[..., -1]
