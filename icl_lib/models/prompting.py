"""Prompt tuning: a few learned tokens in front of a model that stays as it is.

Source: von Oswald et al. 2023, few-shot regression (an EOS vector, then a prefix); Lester et al.
2021 and Li & Liang 2021 for prompts as parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from icl_lib._tensor_checks import (
    check_generator,
    check_shape,
    described,
    finite_tensors,
    instance,
    size,
)
from icl_lib.tasks.few_shot import few_shot_prompt


class Prompt(nn.Module):
    """The learned part: ``eos`` (n,) after each pair and ``prefix`` (P, n), or none for P = 0.

    A given ``eos`` is kept fixed; otherwise it starts as N(0, I) from ``generator``, where None is
    torch's global one, and is learned.

    Raises
    ------
    ValueError
        If ``n`` is not a positive or ``prefix`` a negative integer, ``eos`` is not (n,) and finite,
        or ``generator`` neither None nor a ``torch.Generator``.
    """

    def __init__(
        self,
        n: int,
        prefix: int = 0,
        eos: Tensor | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        n, prefix = size("n", n), size("prefix", prefix, minimum=0)
        check_generator(generator, optional=True)
        learned = eos is None
        if eos is None:
            start = torch.randn(n, generator=generator)
        else:
            (eos,) = finite_tensors(eos=eos)
            check_shape("eos", eos, n)
            start = eos.detach().clone()
        self.eos = nn.Parameter(start, requires_grad=learned)
        drawn = torch.randn(prefix, n, generator=generator)
        self.prefix = nn.Parameter(drawn) if prefix else None

    def forward(self, model: nn.Module, xs: Tensor, ys: Tensor) -> Tensor:
        """Return the model's predictions (B, N, n) of y_i at the positions of x_i."""
        return few_shot_predictions(model, xs, ys, eos=self.eos, prefix=self.prefix)


def few_shot_predictions(
    model: nn.Module,
    xs: Tensor,
    ys: Tensor,
    *,
    eos: Tensor | None = None,
    prefix: Tensor | None = None,
) -> Tensor:
    """Return the predictions (B, N, n) that a sequence model makes right after each x_i.

    Parameters
    ----------
    model : maps (B, T, n) to (B, T, n)
    xs, ys : (B, N, n)
    eos, prefix : as in :func:`icl_lib.tasks.few_shot.few_shot_prompt`

    Raises
    ------
    ValueError
        If ``model`` cannot be called, or the shapes or the dtypes do not fit.
    """
    if not callable(model):
        raise ValueError(f"model must be callable, got {described(model)}")
    prompt = few_shot_prompt(xs, ys, eos=eos, prefix=prefix)
    return model(prompt.tokens)[:, prompt.queries]


def freeze(model: nn.Module) -> nn.Module:
    """Return the model itself, none of whose parameters takes a gradient any more.

    Raises
    ------
    ValueError
        If ``model`` is no ``torch.nn.Module``.
    """
    return instance("model", model, nn.Module).eval().requires_grad_(False)
