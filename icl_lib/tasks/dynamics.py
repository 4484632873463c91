"""Sequences of states of random dynamical systems: what the autoregressive models read.

Every task is a frozen dataclass with ``sample(batch, length, generator, dtype)`` that returns a
:class:`Sequences`: a new system for every sequence. Source of all of them: von Oswald et al. 2023,
methods and appendix, with the released code's choices where text and code differ (the errata
page lists them).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from icl_lib._tensor_checks import (
    check_draw,
    check_shape,
    nonnegative_scale,
    one_of,
    positive_scale,
    real_dtype,
    real_tensors,
    seed,
    size,
)
from icl_lib.tasks.randomness import Generators, as_generators, haar_orthogonal

INITIAL_LAWS = ("uniform", "normal")


class Sequences(NamedTuple):
    """A batch of sequences: ``states`` s_1..s_{T+1} (B, T+1, n_s) and the systems behind them.

    ``w_star`` (B, n_h, n_h) are the transition matrices, ``hidden`` (B, T+1, n_h) the hidden
    states h_t (the same tensor as ``states`` where everything is observed).
    """

    states: Tensor
    w_star: Tensor
    hidden: Tensor

    @property
    def inputs(self) -> Tensor:
        """The first T states (B, T, n_s): what a model reads."""
        return self.states[:, :-1]

    @property
    def targets(self) -> Tensor:
        """The last T states (B, T, n_s): what it must predict."""
        return self.states[:, 1:]


def linear_rollout(w_star: Tensor, drive: Tensor) -> Tensor:
    """Return h_1..h_T (B, T, n) with h_1 = drive_1 and h_{t+1} = W h_t + drive_{t+1}.

    A prefix sum by doubling: after the pass with stride m, entry t holds what the last 2m drives
    contribute, so log2(T) batched products replace T small ones.

    Parameters
    ----------
    w_star : (B, n, n)
    drive : (B, T, n); its first entry is the initial state

    Raises
    ------
    ValueError
        If the shapes or the dtypes do not fit.
    """
    w_star, drive = _checked_drive(w_star, drive)
    states, power, stride = drive.clone(), w_star.transpose(-1, -2), 1
    while stride < drive.shape[1]:
        power = power if stride == 1 else power @ power
        # no +=, which would write the sum once more through the index
        states[:, stride:].add_(states[:, :-stride] @ power)
        stride *= 2
    return states


@dataclass(frozen=True)
class LinearDynamics:
    """h_{t+1} = W h_t + noise, fully observed, W a new Haar-random orthogonal matrix a sequence.

    Source: von Oswald et al. 2023, fully observed linear systems (n = 10, T = 50, noise 0.01).
    Convention: the first state is uniform on [-1, 1]^n as in the released code; the text says
    N(0, I), here ``initial="normal"``. ``noise_std`` is a standard deviation.

    Raises
    ------
    ValueError
        If a size is not positive, ``noise_std`` is negative or ``initial`` is unknown.
    """

    n: int = 10
    noise_std: float = 0.01
    initial: str = "uniform"

    first_scale = 1.0  # half the width of the uniform law, or the standard deviation

    def __post_init__(self):
        size("n", self.n)
        nonnegative_scale("noise_std", self.noise_std)
        one_of("initial", self.initial, INITIAL_LAWS)

    @property
    def n_observed(self) -> int:
        """Dimension of one element of the sequence."""
        return self.n

    def draw_systems(self, batch: int, generator: torch.Generator, dtype) -> Tensor:
        """Return the transition matrices (B, n, n)."""
        batch, _ = check_draw(batch, 1, generator, dtype)
        return haar_orthogonal(batch, self.n, generator, dtype)

    def roll_out(self, w_star: Tensor, drive: Tensor) -> Tensor:
        """Return the states (B, T, n) of systems (B, n, n) driven by ``drive`` (B, T, n).

        The first entry of ``drive`` is the initial state, the others are the noise of each step.
        """
        return linear_rollout(w_star, drive)

    def sample(
        self, batch: int, length: int, generator: Generators | torch.Generator, dtype=torch.float32
    ) -> Sequences:
        """Draw ``batch`` sequences s_1..s_{T+1} with T = ``length``, in float32 or float64."""
        batch, length = size("batch", batch), size("length", length)
        source, dtype = as_generators(generator), real_dtype(dtype)
        w_star = self.draw_systems(batch, source.task, dtype)
        shape = (batch, length, self.n)
        noise = torch.randn(shape, generator=source.noise, dtype=dtype).mul_(self.noise_std)
        first = self._first((batch, 1, self.n), source.data, dtype)
        hidden = self.roll_out(w_star, torch.cat([first, noise], dim=1))
        return Sequences(hidden, w_star, hidden)

    def _first(self, shape, generator: torch.Generator, dtype) -> Tensor:
        """Return initial states of the given shape, (B, 1, n)."""
        if self.initial == "normal":
            return self.first_scale * torch.randn(shape, generator=generator, dtype=dtype)
        return self.first_scale * (2 * torch.rand(shape, generator=generator, dtype=dtype) - 1)


@dataclass(frozen=True)
class FixedTeacher(LinearDynamics):
    """The same orthogonal W for all sequences: what a model can learn by heart.

    Source: von Oswald et al. 2023, Figure 12, the negative control. ``teacher_seed`` draws W.
    """

    teacher_seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        seed("teacher_seed", self.teacher_seed)

    @cached_property
    def teacher(self) -> Tensor:
        """The one transition matrix (n, n), float64."""
        # no offset: the checkpoints were trained on this teacher
        generator = torch.Generator().manual_seed(self.teacher_seed)
        return haar_orthogonal(1, self.n, generator, torch.float64)[0]

    def draw_systems(self, batch: int, generator: torch.Generator, dtype) -> Tensor:
        """Return ``batch`` copies of the one transition matrix (B, n, n)."""
        batch, _ = check_draw(batch, 1, generator, dtype)
        return self.teacher.to(dtype).expand(batch, -1, -1)


@dataclass(frozen=True)
class ContractingDynamics(LinearDynamics):
    """W = M D M^-1: M Gaussian, D diagonal with entries U(0.3, 0.9) and one equal to 0.9.

    Source: von Oswald et al. 2023, Figure 11, contracting linear systems. M is far from
    orthogonal, so states can grow for a while before they shrink; ``clip`` bounds every
    coordinate, since about one sequence in fifty would leave every bound.
    """

    clip: float = 2.0

    def __post_init__(self):
        super().__post_init__()
        positive_scale("clip", self.clip)

    def draw_systems(self, batch: int, generator: torch.Generator, dtype) -> Tensor:
        """Return the transition matrices (B, n, n)."""
        batch, _ = check_draw(batch, 1, generator, dtype)
        basis = torch.randn(batch, self.n, self.n, generator=generator, dtype=dtype)
        rates = 0.3 + 0.6 * torch.rand(batch, self.n, generator=generator, dtype=dtype)
        slow = torch.randint(self.n, (batch, 1), generator=generator)
        rates = rates.scatter(1, slow, 0.9)
        # W = (M D) M^-1, solved from the right
        return torch.linalg.solve(basis, basis * rates.unsqueeze(-2), left=False)

    def roll_out(self, w_star: Tensor, drive: Tensor) -> Tensor:
        """Return the clipped states (B, T, n); the clipping is nonlinear: no prefix sum."""
        w_star, drive = _checked_drive(w_star, drive)
        states = [drive[:, 0].clamp(-self.clip, self.clip)]
        for noise in drive[:, 1:].unbind(1):
            moved = (w_star @ states[-1].unsqueeze(-1)).squeeze(-1) + noise
            states.append(moved.clamp(-self.clip, self.clip))
        return torch.stack(states, dim=1)


@dataclass(frozen=True)
class PartiallyObserved:
    """s_t = C h_t + noise with hidden orthogonal dynamics; C and W are new for every sequence.

    Source: von Oswald et al. 2023, partially observed linear systems (n_h = 15, n_s = 5).
    Convention: entries of C are N(0, ``observation_std``^2) with 0.5, the released code's choice;
    the text's N(0, 0.5) is ``observation_std=0.5**0.5``.
    """

    n_hidden: int = 15
    n_observed: int = 5
    noise_std: float = 0.01
    observation_noise_std: float = 0.01
    observation_std: float = 0.5
    initial: str = "uniform"

    def __post_init__(self):
        size("n_hidden", self.n_hidden)
        size("n_observed", self.n_observed)
        nonnegative_scale("noise_std", self.noise_std)
        nonnegative_scale("observation_noise_std", self.observation_noise_std)
        positive_scale("observation_std", self.observation_std)
        one_of("initial", self.initial, INITIAL_LAWS)

    def sample(self, batch, length, generator, dtype=torch.float32) -> Sequences:
        """Draw ``batch`` sequences s_1..s_{T+1} with T = ``length``, in float32 or float64."""
        source = as_generators(generator)
        inner = LinearDynamics(self.n_hidden, self.noise_std, self.initial)
        _, w_star, hidden = inner.sample(batch, length, source, dtype)
        shape = (batch, self.n_observed, self.n_hidden)
        observe = self.observation_std * torch.randn(shape, generator=source.task, dtype=dtype)
        noise = torch.randn(batch, length + 1, self.n_observed, generator=source.noise, dtype=dtype)
        states = hidden @ observe.transpose(-1, -2) + self.observation_noise_std * noise
        return Sequences(states, w_star, hidden)


@dataclass(frozen=True)
class NonlinearDynamics(LinearDynamics):
    """h_{t+1} = W f(h_t) + noise with f(h) = MLP(h)/|MLP(h)|; only W is new for every sequence.

    Source: von Oswald et al. 2023, nonlinear systems. MLP(h) = B GELU(A h), A (4n, n), B (n, 4n),
    entries N(0, 1.1^2), drawn once from ``feature_seed``; GELU is its tanh approximation.
    Convention: the normalisation is the released code's, the text leaves it out.
    """

    feature_seed: int = 0

    first_scale = 0.25

    def __post_init__(self):
        super().__post_init__()
        seed("feature_seed", self.feature_seed)

    @cached_property
    def weights(self) -> tuple[Tensor, Tensor]:
        """The fixed weights A (4n, n) and B (n, 4n), float64."""
        # no offset: the checkpoints were trained on these features
        generator = torch.Generator().manual_seed(self.feature_seed)
        a = torch.randn(4 * self.n, self.n, generator=generator, dtype=torch.float64)
        b = torch.randn(self.n, 4 * self.n, generator=generator, dtype=torch.float64)
        return 1.1 * a, 1.1 * b

    def features(self, states: Tensor) -> Tensor:
        """Return f(h) (..., n) for states (..., n): unit vectors."""
        (states,) = real_tensors(states=states)
        check_shape("states", states, "...", self.n)
        a, b = (weight.to(states.dtype) for weight in self.weights)
        hidden = torch.nn.functional.gelu(states @ a.T, approximate="tanh")
        return torch.nn.functional.normalize(hidden @ b.T, dim=-1)

    def roll_out(self, w_star: Tensor, drive: Tensor) -> Tensor:
        """Return the states (B, T, n), one step after the other."""
        w_star, drive = _checked_drive(w_star, drive)
        states = [drive[:, 0]]
        for noise in drive[:, 1:].unbind(1):
            moved = (w_star @ self.features(states[-1]).unsqueeze(-1)).squeeze(-1)
            states.append(moved + noise)
        return torch.stack(states, dim=1)


def _checked_drive(w_star: Tensor, drive: Tensor) -> tuple[Tensor, Tensor]:
    w_star, drive = real_tensors(w_star=w_star, drive=drive)
    check_shape("drive", drive, "B", "T", "n")
    check_shape("w_star", w_star, drive.shape[0], drive.shape[2], drive.shape[2])
    return w_star, drive
