"""Few-shot regression put before a model that was trained to continue sequences.

Source: von Oswald et al. 2023, Figures 8 and 18: labelled pairs y_i = W x_i in a row, with or
without a separator (EOS) after each pair and a prefix in front.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from icl_lib._tensor_checks import (
    check_shape,
    instance,
    nonnegative_scale,
    real_dtype,
    real_tensors,
    size,
)
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

    Raises
    ------
    ValueError
        If ``n`` is not a positive integer or ``noise_std`` is negative.
    """

    n: int = 10
    noise_std: float = 0.01

    def __post_init__(self):
        size("n", self.n)
        nonnegative_scale("noise_std", self.noise_std)

    def sample(
        self, batch: int, pairs: int, generator: Generators | torch.Generator, dtype=torch.float32
    ) -> FewShot:
        """Draw ``batch`` tasks with N = ``pairs`` labelled pairs each, in float32 or float64."""
        shape = (size("batch", batch), size("pairs", pairs), self.n)
        source, dtype = as_generators(generator), real_dtype(dtype)
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
    prefix : (P, n), where P may be 0, or None

    Raises
    ------
    ValueError
        If the shapes or the dtypes do not fit.

    Examples
    --------
    >>> one, two = torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[3.0], [4.0]]])
    >>> few_shot_prompt(one, two, eos=torch.zeros(1)).tokens[0, :, 0].tolist()
    [1.0, 3.0, 0.0, 2.0, 4.0, 0.0]
    """
    xs, ys = real_tensors(xs=xs, ys=ys)
    check_shape("xs", xs, "B", "N", "n")
    batch, _, n = xs.shape
    check_shape("ys", ys, *xs.shape)
    parts = [xs, ys]
    if eos is not None:
        _, eos = real_tensors(xs=xs, eos=eos)
        check_shape("eos", eos, n)
        parts.append(eos.expand_as(xs))
    tokens = torch.stack(parts, dim=2).flatten(1, 2)  # (B, 2N or 3N, n)
    queries = torch.arange(0, tokens.shape[1], len(parts), device=xs.device)
    if prefix is not None:
        _, prefix = real_tensors(xs=xs, prefix=prefix)
        check_shape("prefix", prefix, "P", n, empty=True)
        tokens = torch.cat([prefix.expand(batch, -1, -1), tokens], dim=1)
        queries = queries + len(prefix)
    return Prompted(tokens, queries)


def two_tasks(first: FewShot, second: FewShot) -> tuple[Tensor, Tensor]:
    """Return xs and ys (B, N_1 + N_2, n) of one task followed by another.

    Source: von Oswald et al. 2023, Figure 18, two tasks in a row.

    Raises
    ------
    ValueError
        If an argument is no :class:`FewShot` or the two do not have the same batch and dimension.
    """
    joined = []
    for part in ("xs", "ys"):
        one, two = (
            getattr(instance(name, few, FewShot), part)
            for name, few in (("first", first), ("second", second))
        )
        names = (f"first.{part}", f"second.{part}")
        one, two = real_tensors(**dict(zip(names, (one, two), strict=True)))
        check_shape(names[0], one, "B", "N", "n")
        check_shape(names[1], two, one.shape[0], "N", one.shape[2])
        joined.append(torch.cat([one, two], dim=1))
    return joined[0], joined[1]
