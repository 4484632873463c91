"""Few-shot regression put before a model that was trained to continue sequences.

Source: von Oswald et al. 2023, Figures 8 and 18: labelled pairs y_i = W x_i in a row, with or
without a separator (EOS) after each pair and a prefix in front.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from icl_lib._checks import nonnegative, positive_int
from icl_lib.tasks.randomness import Generators, as_generators, haar_orthogonal


class FewShot(NamedTuple):
    """Pairs of one task a sequence: ``xs``, ``ys`` (B, N, n) and ``w_star`` (B, n, n)."""

    xs: Tensor
    ys: Tensor
    w_star: Tensor


class Prompted(NamedTuple):
    """A prompt ``tokens`` (B, T, n) and the positions (N,) of x_1, ..., x_N in it."""

    tokens: Tensor
    queries: Tensor


@dataclass(frozen=True)
class FewShotRegression:
    """y_i = W x_i + noise with W Haar-orthogonal and x_i uniform on [-1, 1]^n.

    Source: von Oswald et al. 2023, few-shot regression. Convention: uniform inputs and label noise
    of standard deviation 0.01 as in the released code; the text has N(0, I) and no noise.
    """

    n: int = 10
    noise_std: float = 0.01

    def __post_init__(self):
        positive_int("n", self.n)
        nonnegative("noise_std", self.noise_std)

    def sample(
        self, batch: int, pairs: int, generator: Generators | torch.Generator, dtype=torch.float32
    ) -> FewShot:
        """Draw ``batch`` tasks with N = ``pairs`` labelled pairs each."""
        shape = (positive_int("batch", batch), positive_int("pairs", pairs), self.n)
        source = as_generators(generator)
        w_star = haar_orthogonal(batch, self.n, source.task, dtype)
        xs = 2 * torch.rand(shape, generator=source.data, dtype=dtype) - 1
        noise = torch.randn(shape, generator=source.noise, dtype=dtype)
        return FewShot(xs, xs @ w_star.transpose(-1, -2) + self.noise_std * noise, w_star)


def few_shot_prompt(
    xs: Tensor, ys: Tensor, *, eos: Tensor | None = None, prefix: Tensor | None = None
) -> Prompted:
    """Return [prefix, x_1, y_1, eos, x_2, y_2, eos, ..., x_N, y_N, eos]; eos and prefix may miss.

    Source: von Oswald et al. 2023, few-shot regression with an EOS token and prefix tuning.

    Parameters
    ----------
    xs, ys : (B, N, n)
    eos : (n,) or None for no separator
    prefix : (P, n) or None

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> one, two = torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[3.0], [4.0]]])
    >>> few_shot_prompt(one, two, eos=torch.zeros(1)).tokens[0, :, 0].tolist()
    [1.0, 3.0, 0.0, 2.0, 4.0, 0.0]
    """
    if xs.ndim != 3 or xs.shape != ys.shape:
        raise ValueError(f"ys must have the shape (B, N, n) of xs, {xs.shape}, got {ys.shape}")
    batch, _, n = xs.shape
    parts = [xs, ys]
    if eos is not None:
        if tuple(eos.shape) != (n,):
            raise ValueError(f"eos must have shape {(n,)}, got {tuple(eos.shape)}")
        parts.append(eos.expand_as(xs))
    tokens = torch.stack(parts, dim=2).flatten(1, 2)  # (B, 2N or 3N, n)
    queries = torch.arange(0, tokens.shape[1], len(parts))
    if prefix is not None:
        if prefix.ndim != 2 or prefix.shape[1] != n:
            raise ValueError(f"prefix must have shape (P, {n}), got {tuple(prefix.shape)}")
        tokens = torch.cat([prefix.expand(batch, -1, -1), tokens], dim=1)
        queries = queries + len(prefix)
    return Prompted(tokens, queries)


def two_tasks(first: FewShot, second: FewShot) -> tuple[Tensor, Tensor]:
    """Return xs and ys (B, N_1 + N_2, n) of one task followed by another.

    Source: von Oswald et al. 2023, Figure 18, two tasks in a row.
    """
    return torch.cat([first.xs, second.xs], dim=1), torch.cat([first.ys, second.ys], dim=1)
