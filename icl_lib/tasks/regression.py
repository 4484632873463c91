"""In-context regression: a prompt is a small data set and one query.

Source: Zhang et al. 2024, Sections 3.1 and 3.3 (linear labels), Theorem 4.2 (any labels).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from icl_lib._checks import finite_array, psd_matrix
from icl_lib._tensor_checks import (
    check_draw,
    described,
    flag,
    nonnegative_scale,
    positive_scale,
    real_dtype,
    size,
)
from icl_lib.tasks._matrices import symmetric_root
from icl_lib.tasks.inputs import GaussianInputs, InputLaw, check_law
from icl_lib.tasks.randomness import Generators, as_generators


class Prompts(NamedTuple):
    """A batch of prompts.

    ``xs`` (B, n, d) and ``ys`` (B, n) are the labelled examples, ``x_query`` (B, d) the query and
    ``y_query`` (B,) its target. ``w_star`` (B, d) holds the weights that made the labels, or None
    if the labels are not linear.
    """

    xs: Tensor
    ys: Tensor
    x_query: Tensor
    y_query: Tensor
    w_star: Tensor | None = None


@dataclass(frozen=True, eq=False)
class LinearRegression:
    """y_i = <w, x_i> + noise, with new weights w for every prompt.

    Source: Zhang et al. 2024, Section 3.3.
    Convention: the target ``y_query`` is clean, <w, x_query>, unless ``noisy_query`` is set.

    Parameters
    ----------
    inputs : law of the inputs, see :mod:`icl_lib.tasks.inputs`
    prior : (d, d) positive semidefinite covariance Psi of w ~ N(0, Psi); the identity if absent
    w_star : (d,) fixed weights, used instead of the prior
    weight_scale : factor on w
    noise_std : standard deviation s of the label noise, in units of y
    noisy_query : whether the target carries noise too

    Raises
    ------
    ValueError
        If an argument has the wrong shape, sign or definiteness.

    Examples
    --------
    >>> task = gaussian_task(np.eye(3), noise_std=0.5)
    >>> prompts = task.sample(4, 10, torch.Generator().manual_seed(0))
    >>> prompts.xs.shape, prompts.ys.shape, prompts.x_query.shape, prompts.y_query.shape
    (torch.Size([4, 10, 3]), torch.Size([4, 10]), torch.Size([4, 3]), torch.Size([4]))
    """

    inputs: InputLaw
    prior: np.ndarray | None = None
    w_star: np.ndarray | None = None
    weight_scale: float = 1.0
    noise_std: float = 0.0
    noisy_query: bool = False

    def __post_init__(self):
        check_law(self.inputs)
        d = self.inputs.d
        nonnegative_scale("noise_std", self.noise_std)
        positive_scale("weight_scale", self.weight_scale)
        flag("noisy_query", self.noisy_query)
        if self.prior is not None and self.w_star is not None:
            raise ValueError("prior and w_star exclude each other, got both")
        if self.prior is not None and psd_matrix("prior", self.prior).shape != (d, d):
            raise ValueError(f"prior must have shape {(d, d)}, got {np.shape(self.prior)}")
        if self.w_star is not None and finite_array("w_star", self.w_star, ndim=1).shape != (d,):
            raise ValueError(f"w_star must have shape {(d,)}, got {np.shape(self.w_star)}")

    def sample_weights(self, batch: int, generator: torch.Generator, dtype) -> Tensor:
        """Draw the weights (B, d) of a batch of tasks."""
        check_draw(batch, 1, generator, dtype)
        if self.w_star is not None:
            w_star = torch.as_tensor(np.asarray(self.w_star), dtype=dtype).expand(batch, -1)
            return self.weight_scale * w_star
        z = torch.randn(batch, self.inputs.d, generator=generator, dtype=dtype)
        if self.prior is not None:
            z = z @ torch.as_tensor(
                symmetric_root(np.asarray(self.prior, dtype=float)), dtype=dtype
            )
        return self.weight_scale * z

    def sample(
        self, batch: int, length: int, generator: Generators | torch.Generator, dtype=torch.float32
    ) -> Prompts:
        """Draw ``batch`` prompts with ``length`` labelled examples each, in float32 or float64."""
        batch, length = size("batch", batch), size("length", length)
        streams, dtype = as_generators(generator), real_dtype(dtype)
        xs, x_query = self.inputs.sample(batch, length, streams.data, dtype)
        w_star = self.sample_weights(batch, streams.task, dtype)
        ys = torch.einsum("bnd,bd->bn", xs, w_star)
        y_query = (x_query * w_star).sum(-1)
        ys, y_query = _add_noise(ys, y_query, self.noise_std, self.noisy_query, streams.noise)
        return Prompts(xs, ys, x_query, y_query, w_star)


@dataclass(frozen=True, eq=False)
class NonlinearRegression:
    """y_i = function(x_i) + noise: the arbitrary labels of Theorem 4.2.

    Source: Zhang et al. 2024, Theorem 4.2: (x, y) ~ D with x ~ N(0, Lambda), anything for y.
    Convention: Theorem 4.2 draws (x_query, y_query) from D too, so the target is noisy by default.

    Parameters
    ----------
    inputs : law of the inputs
    function : maps inputs (..., d) to labels (...)
    noise_std : standard deviation of the label noise, in units of y
    """

    inputs: InputLaw
    function: Callable[[Tensor], Tensor]
    noise_std: float = 0.0
    noisy_query: bool = True

    def __post_init__(self):
        check_law(self.inputs)
        nonnegative_scale("noise_std", self.noise_std)
        flag("noisy_query", self.noisy_query)
        if not callable(self.function):
            raise ValueError(f"function must be callable, got {described(self.function)}")

    def sample(
        self, batch: int, length: int, generator: Generators | torch.Generator, dtype=torch.float32
    ) -> Prompts:
        """Draw ``batch`` prompts with ``length`` labelled examples each, in float32 or float64."""
        batch, length = size("batch", batch), size("length", length)
        streams, dtype = as_generators(generator), real_dtype(dtype)
        xs, x_query = self.inputs.sample(batch, length, streams.data, dtype)
        ys, y_query = self.function(xs), self.function(x_query)
        if ys.shape != xs.shape[:-1]:
            raise ValueError(
                f"function must map shape (..., d) to (...), got {tuple(ys.shape)} "
                f"from {tuple(xs.shape)}"
            )
        ys, y_query = _add_noise(ys, y_query, self.noise_std, self.noisy_query, streams.noise)
        return Prompts(xs, ys, x_query, y_query)


def gaussian_task(covariance, **options) -> LinearRegression:
    """Return the training task of Zhang et al. 2024: x ~ N(0, Lambda), w ~ N(0, I), no noise.

    ``options`` are those of :class:`LinearRegression`.

    Raises
    ------
    ValueError
        As :class:`GaussianInputs` and :class:`LinearRegression` do.
    """
    return LinearRegression(GaussianInputs(finite_array("covariance", covariance)), **options)


def _add_noise(ys, y_query, noise_std, noisy_query, generator):
    if noise_std == 0:
        return ys, y_query
    noise = noise_std * torch.randn(
        ys.shape[0], ys.shape[1] + 1, generator=generator, dtype=ys.dtype
    )
    return ys + noise[:, :-1], y_query + noise[:, -1] if noisy_query else y_query
