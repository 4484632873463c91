"""What came out of a contest, with standard errors over prompts."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np

from icl_lib._checks import positive_int
from icl_lib.contest._arrays import numbers
from icl_lib.contest.rules import Information


class Estimate(NamedTuple):
    """A value and its standard error: numbers, or arrays of one shape."""

    value: float | np.ndarray
    se: float | np.ndarray


class PositionErrors(NamedTuple):
    """Mean, median and standard error of the mean over prompts, (contestants, T) each."""

    mean: np.ndarray
    median: np.ndarray
    se: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class ContestResult:
    """Errors of all contestants on the same prompts, and under which conditions.

    Positions of one prompt depend on each other, so every standard error is over prompts: the
    errors of a prompt are averaged over positions first.

    ``errors`` (contestants, B, T), read-only; ``information`` what the contest asked for and
    ``declared`` what each contestant declared, ``differences`` where these differ, on purpose;
    ``error`` "risk" or "loss"; ``coordinates`` n, or None for scalar targets; ``tuned`` the chosen
    values by name, ``at_edge`` how many of them lie at an end of their grid; ``n_tuning`` the
    number of tuning prompts; ``over`` what an excess was taken over.
    """

    names: tuple[str, ...]
    errors: np.ndarray
    information: Information
    declared: tuple[Information, ...]
    differences: tuple[str, ...]
    error: str
    coordinates: int | None
    tuned: dict[str, tuple | None]
    at_edge: dict[str, int]
    n_tuning: int | None
    over: str | None = None

    @property
    def by_prompt(self) -> np.ndarray:
        """Each prompt's error, averaged over positions, (contestants, B)."""
        return self.errors.mean(2)

    def by_position(self) -> PositionErrors:
        """Return mean, median and standard error at every position, (contestants, T) each."""
        return PositionErrors(self.errors.mean(1), np.median(self.errors, axis=1), _se(self.errors))

    def overall(self) -> Estimate:
        """Return each contestant's mean error with its standard error, (contestants,) each."""
        return Estimate(self.by_prompt.mean(1), _se(self.by_prompt))

    def difference(self, first: str, second: str, *, by_position: bool = False) -> Estimate:
        """Return mean error of ``first`` minus that of ``second``, paired: () or (T,) each."""
        a, b = self._of("first", first, by_position), self._of("second", second, by_position)
        return _estimate((a - b).mean(0), a - b)

    def ratio(self, first: str, second: str, *, by_position: bool = False) -> Estimate:
        """Return mean error of ``first`` over that of ``second``, paired: () or (T,) each.

        Convention: a ratio of means, not a mean of ratios. Its standard error is the delta
        method's: that of the mean of (a - ratio b) / mean(b) over prompts.

        Raises
        ------
        ValueError
            If a name is unknown or the mean of ``second`` is 0.
        """
        a, b = self._of("first", first, by_position), self._of("second", second, by_position)
        mean = b.mean(0)
        if not np.all(mean):
            raise ValueError(f"second must have errors other than 0, got mean 0 for {second!r}")
        value = a.mean(0) / mean
        return _estimate(value, (a - value * b) / mean)

    def excess(self, over) -> ContestResult:
        """Return the result with ``over`` subtracted from every error: what could be reduced.

        Parameters
        ----------
        over : the name of a contestant, which then leaves, or known errors as a number, (T,) or
            (B, T), in the same convention

        Raises
        ------
        ValueError
            If ``over`` is no contestant, or an array of another shape or not finite.
        """
        if isinstance(over, str):
            floor, keep = self.errors[self._index("over", over)], self.names.index(over)
            kept = [i for i in range(len(self.names)) if i != keep]
            if not kept:
                raise ValueError(f"over must leave a contestant, got the only one, {over!r}")
            label = over
        else:
            floor, kept = numbers("over", over), list(range(len(self.names)))
            if floor.shape not in ((), self.errors.shape[2:], self.errors.shape[1:]):
                raise ValueError(
                    f"over must be a name, a number or have shape {self.errors.shape[2:]} or "
                    f"{self.errors.shape[1:]}, got shape {floor.shape}"
                )
            label = "known errors"
        errors = self.errors[kept] - floor
        errors.setflags(write=False)
        return replace(
            self,
            names=tuple(self.names[i] for i in kept),
            errors=errors,
            declared=tuple(self.declared[i] for i in kept),
            over=label if self.over is None else f"{self.over} and {label}",
        )

    def outlier_share(self, k: int = 5) -> np.ndarray:
        """Return the share of each mean that its ``k`` largest prompts carry, (contestants,).

        Without outliers it is a little above k / B. Raises ``ValueError`` if ``k`` is not between 1
        and B, or a mean is not positive (an excess can be negative: then a share says nothing).
        """
        prompts = np.sort(self.by_prompt, axis=1)
        if positive_int("k", k) > prompts.shape[1]:
            raise ValueError(f"k must be at most the {prompts.shape[1]} prompts, got {k}")
        total = prompts.sum(1)
        for name, value in zip(self.names, total, strict=True):
            if not value > 0:
                raise ValueError(f"contestant {name!r} has mean {value:.3g}: no share of it exists")
        return prompts[:, -k:].sum(1) / total

    def describe(self) -> str:
        """Return in one sentence who was compared, on what, with what information and tuning."""
        count, (_, prompts, positions) = len(self.names), self.errors.shape
        sentence = (
            f"{', '.join(self.names)} ({count} contestant{'s' * (count > 1)}) on the same "
            f"{prompts} prompts of {positions} position{'s' * (positions > 1)}, "
            f"all with {self._shared()}"
        )
        for name in self.differences:
            pairs = zip(self.names, self.declared, strict=True)
            each = ", ".join(f"{who}: {seen.words(name)}" for who, seen in pairs)
            sentence += f", but on purpose not alike in {name} ({each})"
        return f"{sentence}; {self._measure()}; {self._tuning()}."

    def __repr__(self) -> str:
        """The sentence, then a line a contestant; the largest prompts show what carries a mean."""
        lines, k = [self.describe()], min(5, self.errors.shape[1])
        medians, largest = np.median(self.by_prompt, axis=1), np.sort(self.by_prompt, axis=1)
        largest = largest[:, -k:].sum(1) / self.errors.shape[1]
        means, errors = map(np.atleast_1d, self.overall())
        table = zip(self.names, means, errors, medians, largest, strict=True)
        for name, mean, se, median, part in table:
            lines.append(
                f"  {name}: {mean:.4g} ± {se:.2g}, median of prompts {median:.4g}, "
                f"{part:.2g} of the mean from the largest {k}"
            )
        return "\n".join(lines)

    def _shared(self) -> str:
        names = [f.name for f in fields(Information) if f.name not in self.differences]
        return ", ".join(self.information.words(name) for name in names) or "nothing alike"

    def _measure(self) -> str:
        power = "squared error" if self.error == "risk" else "half the squared error"
        summed = "" if self.coordinates is None else f" summed over {self.coordinates} coordinates"
        excess = "" if self.over is None else f", in excess of {self.over}"
        return f"{power}{summed}{' (no 1/2)' if self.error == 'risk' else ''}{excess}"

    def _tuning(self) -> str:
        if not self.tuned:
            return "nothing tuned"
        parts = []
        for name, values in self.tuned.items():
            how = "by its own rule" if values is None else "one value for all positions"
            if values is not None and len(values) > 1:
                how = "a value a position"
            if self.at_edge.get(name):
                how += f", {self.at_edge[name]} at the edge of the grid"
            parts.append(f"{name} ({how})")
        return f"tuned on {self.n_tuning} other prompts: {', '.join(parts)}"

    def _index(self, argument: str, name) -> int:
        if name not in self.names:
            raise ValueError(f"{argument} must be one of {self.names}, got {name!r}")
        return self.names.index(name)

    def _of(self, argument: str, name: str, by_position: bool) -> np.ndarray:
        """Errors (B, T) of one contestant, or (B,) averaged over positions."""
        errors = self.errors[self._index(argument, name)]
        return errors if by_position else errors.mean(1)


def _se(values: np.ndarray) -> np.ndarray:
    """Standard error of the mean over axis 1, the prompts."""
    return values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])


def _estimate(value, terms: np.ndarray) -> Estimate:
    """An estimate whose error is that of the mean of ``terms`` (B,) or (B, T) over prompts."""
    se = _se(terms[None])[0]
    return Estimate(value, se) if terms.ndim == 2 else Estimate(float(value), float(se))
