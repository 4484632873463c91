"""Laws of the inputs of one prompt: x_1, ..., x_n and x_query.

Every law is a frozen dataclass with a dimension ``d`` and a method
``sample(batch, length, generator, dtype)`` that returns :class:`Inputs`. The first four are the
laws of Zhang et al. 2024; the shifted laws follow Garg et al. 2022 and keep E|x|^2 = d, as they do.

Every ``sample`` raises a ``ValueError`` if ``batch`` or ``length`` is not a positive integer,
``generator`` is no ``torch.Generator`` or ``dtype`` is neither float32 nor float64; every law does
if a dimension is not a positive integer or a factor not positive and finite.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from icl_lib._checks import covariance_matrix, psd_matrix
from icl_lib._tensor_checks import check_draw, described, positive_scale, size
from icl_lib.tasks._matrices import symmetric_root
from icl_lib.tasks.randomness import haar_orthogonal


class Inputs(NamedTuple):
    """Inputs of a batch of prompts: ``xs`` (B, n, d) and ``x_query`` (B, d)."""

    xs: Tensor
    x_query: Tensor


class InputLaw(Protocol):
    """What a task needs of an input law."""

    @property
    def d(self) -> int:
        """Dimension of one input."""
        ...

    def sample(self, batch, length, generator, dtype=torch.float32) -> Inputs:
        """Draw ``xs`` (B, n, d) and ``x_query`` (B, d)."""
        ...


def check_law(inputs) -> None:
    """Check that ``inputs`` has what a task needs of an input law.

    Raises
    ------
    ValueError
        If it has no positive integer ``d`` or no method ``sample``.
    """
    if not callable(getattr(inputs, "sample", None)) or not hasattr(inputs, "d"):
        raise ValueError(f"inputs must be an input law with d and sample, got {described(inputs)}")
    size("inputs.d", inputs.d)


def _normal(shape, generator, dtype) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=dtype)


@dataclass(frozen=True, eq=False)
class GaussianInputs:
    """x_i ~ N(0, Lambda) and x_query ~ N(0, Lambda_q), independent.

    Source: Zhang et al. 2024, Section 3.3; query shift of Section 4.2.

    Parameters
    ----------
    covariance : (d, d) positive definite Lambda
    query_covariance : (d, d) positive semidefinite Lambda_q; Lambda if absent

    Raises
    ------
    ValueError
        If a covariance has the wrong shape or definiteness.
    """

    covariance: np.ndarray
    query_covariance: np.ndarray | None = None
    _root: np.ndarray = field(init=False, repr=False)
    _query_root: np.ndarray = field(init=False, repr=False)

    def __post_init__(self):
        lam = covariance_matrix("covariance", self.covariance)
        query = self.query_covariance
        query = lam if query is None else psd_matrix("query_covariance", query)
        if query.shape != lam.shape:
            raise ValueError(
                f"query_covariance must have shape {lam.shape}, as covariance, got {query.shape}"
            )
        object.__setattr__(self, "_root", symmetric_root(lam))
        object.__setattr__(self, "_query_root", symmetric_root(query))

    @property
    def d(self) -> int:
        """Dimension of one input."""
        return self._root.shape[0]

    def sample(self, batch, length, generator, dtype=torch.float32) -> Inputs:
        """Draw ``xs`` (B, n, d) and ``x_query`` (B, d)."""
        batch, length = check_draw(batch, length, generator, dtype)
        z = _normal((batch, length + 1, self.d), generator, dtype)
        return Inputs(_times(z[:, :length], self._root), _times(z[:, length], self._query_root))


@dataclass(frozen=True)
class RandomDiagonalInputs:
    """A new covariance for every prompt: Lambda = scale * diag(e_1, ..., e_d), e_i ~ Exp(1).

    Source: Zhang et al. 2024, Section 4.3 (Definition 4.4 and the experiment of Figure 1).
    """

    d: int
    scale: float = 1.0

    def __post_init__(self):
        size("d", self.d)
        positive_scale("scale", self.scale)

    def sample(self, batch, length, generator, dtype=torch.float32) -> Inputs:
        """Draw ``xs`` (B, n, d) and ``x_query`` (B, d); both share the prompt's covariance."""
        batch, length = check_draw(batch, length, generator, dtype)
        z = _normal((batch, length + 1, self.d), generator, dtype)
        rate = torch.empty(batch, 1, self.d, dtype=dtype).exponential_(generator=generator)
        x = z * torch.sqrt(self.scale * rate)
        return Inputs(x[:, :length], x[:, length])


@dataclass(frozen=True)
class SkewedInputs:
    """x ~ N(0, Q D Q^T): eigenvalues proportional to 1/i^2, random rotation Q for each prompt.

    Source: Garg et al. 2022, skewed covariance. The trace is d.
    """

    d: int

    def __post_init__(self):
        size("d", self.d)

    def eigenvalues(self) -> np.ndarray:
        """Return the (d,) eigenvalues of the covariance; they sum to d."""
        raw = 1.0 / np.arange(1, self.d + 1) ** 2
        return self.d * raw / raw.sum()

    def sample(self, batch, length, generator, dtype=torch.float32) -> Inputs:
        """Draw ``xs`` (B, n, d) and ``x_query`` (B, d)."""
        batch, length = check_draw(batch, length, generator, dtype)
        root = torch.as_tensor(np.sqrt(self.eigenvalues()), dtype=dtype)
        z = _normal((batch, length + 1, self.d), generator, dtype) * root
        x = z @ haar_orthogonal(batch, self.d, generator, dtype).transpose(-1, -2)
        return Inputs(x[:, :length], x[:, length])


@dataclass(frozen=True)
class SubspaceInputs:
    """Inputs in a random k-dimensional subspace, a new one for each prompt, with E|x|^2 = d.

    Source: Garg et al. 2022, d/2-dimensional subspace.
    """

    d: int
    k: int

    def __post_init__(self):
        size("d", self.d)
        if size("k", self.k) > self.d:
            raise ValueError(f"k must be at most d = {self.d}, got {self.k}")

    def sample(self, batch, length, generator, dtype=torch.float32) -> Inputs:
        """Draw ``xs`` (B, n, d) and ``x_query`` (B, d)."""
        batch, length = check_draw(batch, length, generator, dtype)
        basis = haar_orthogonal(batch, self.d, generator, dtype)[:, :, : self.k]
        z = _normal((batch, length + 1, self.k), generator, dtype)
        x = z @ basis.transpose(-1, -2) * (self.d / self.k) ** 0.5
        return Inputs(x[:, :length], x[:, length])


@dataclass(frozen=True)
class OrthantInputs:
    """Prompt inputs in one random orthant; the query is N(0, I).

    Source: Garg et al. 2022, prompt and query from different orthants.
    """

    d: int

    def __post_init__(self):
        size("d", self.d)

    def sample(self, batch, length, generator, dtype=torch.float32) -> Inputs:
        """Draw ``xs`` (B, n, d) with the signs of one orthant, and a free ``x_query`` (B, d)."""
        batch, length = check_draw(batch, length, generator, dtype)
        z = _normal((batch, length + 1, self.d), generator, dtype)
        signs = torch.sign(_normal((batch, 1, self.d), generator, dtype))
        return Inputs(z[:, :length].abs() * signs, z[:, length])


@dataclass(frozen=True)
class OrthogonalQuery:
    """x_i ~ N(0, I); the query is orthogonal to every x_i (needs length < d), |x_query|^2 = d.

    Source: Garg et al. 2022; Zhang et al. 2024, Section 4.2.
    """

    d: int

    def __post_init__(self):
        size("d", self.d)

    def sample(self, batch, length, generator, dtype=torch.float32) -> Inputs:
        """Draw ``xs`` (B, n, d) and ``x_query`` (B, d) in their orthogonal complement."""
        batch, length = check_draw(batch, length, generator, dtype)
        if length >= self.d:
            raise ValueError(
                f"length must be below d = {self.d} for a query orthogonal to the prompt, "
                f"got {length}"
            )
        z = _normal((batch, length + 1, self.d), generator, dtype)
        xs, query = z[:, :length], z[:, length]
        basis, _ = torch.linalg.qr(xs.transpose(-1, -2))  # (B, d, n), orthonormal columns
        # Twice: one projection leaves rounding errors that grow with the conditioning.
        for _ in range(2):
            coefficients = basis.transpose(-1, -2) @ query.unsqueeze(-1)
            query = query - (basis @ coefficients).squeeze(-1)
        return Inputs(xs, query * (self.d**0.5 / query.norm(dim=-1, keepdim=True)))


@dataclass(frozen=True)
class RepeatedQuery:
    """x_i ~ N(0, I); the query equals one of the prompt's inputs, chosen at random.

    Source: Garg et al. 2022, query matching an in-context example.
    """

    d: int

    def __post_init__(self):
        size("d", self.d)

    def sample(self, batch, length, generator, dtype=torch.float32) -> Inputs:
        """Draw ``xs`` (B, n, d) and ``x_query`` (B, d), one of the rows of ``xs``."""
        batch, length = check_draw(batch, length, generator, dtype)
        xs = _normal((batch, length, self.d), generator, dtype)
        index = torch.randint(length, (batch,), generator=generator)
        return Inputs(xs, xs[torch.arange(batch), index])


@dataclass(frozen=True, eq=False)
class ScaledInputs:
    """Another law with every input multiplied by ``scale``.

    Source: Garg et al. 2022, prompt scale; Zhang et al. 2024, covariate shift in Section 4.2.
    """

    inputs: InputLaw
    scale: float

    def __post_init__(self):
        check_law(self.inputs)
        positive_scale("scale", self.scale)

    @property
    def d(self) -> int:
        """Dimension of one input."""
        return self.inputs.d

    def sample(self, batch, length, generator, dtype=torch.float32) -> Inputs:
        """Draw from the inner law and scale ``xs`` (B, n, d) and ``x_query`` (B, d)."""
        batch, length = check_draw(batch, length, generator, dtype)
        xs, x_query = self.inputs.sample(batch, length, generator, dtype)
        return Inputs(self.scale * xs, self.scale * x_query)


def _times(z: Tensor, root: np.ndarray) -> Tensor:
    """Return z (..., d) times root (d, d); a diagonal root scales: faster, bit for bit equal."""
    diagonal = np.diagonal(root)
    if np.array_equal(root, np.diag(diagonal)):
        return z * torch.as_tensor(diagonal.copy(), dtype=z.dtype)
    return z @ torch.as_tensor(root, dtype=z.dtype)
