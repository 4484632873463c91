"""An exercise that is checked on random inputs, against the right answer and known mistakes.

The reader's function is run on a few random inputs. If its outputs are not the right ones, they are
compared with those of the mistakes that we know; the one that fits gives its hint. Where none fits,
the message says which input failed and how far off the output was, and guesses nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from icl_lib.exercises import _outputs
from icl_lib.exercises.checker import Result

Case = dict[str, Any]  # the names of the arguments and their values, in order


@dataclass(frozen=True)
class Mistake:
    """A wrong answer as a reader might write it, and the hint that fits it."""

    answer: Callable
    hint: str


@dataclass(frozen=True)
class Comparison:
    """What a function must return on random inputs, and the mistakes that we can name.

    ``draw(rng, number)`` returns the arguments of one input; ``returns`` says in words what comes
    back. ``raises`` has hints for exceptions. ``canonical`` maps outputs that are equally right to
    one. ``tolerance`` is relative to the largest entry.
    """

    returns: str
    solution: Callable
    draw: Callable[[np.random.Generator, int], Case]
    mistakes: tuple[Mistake, ...]
    raises: dict[type[Exception], str] = field(default_factory=dict)
    canonical: Callable = _outputs.unchanged
    tolerance: float = 1e-6
    inputs: int = 12
    seed: int = 0

    def case(self, number: int) -> Case:
        """Return the arguments of the input with this number, from 1; each time new copies."""
        return self.draw(np.random.default_rng([self.seed, number]), number)

    def cases(self) -> list[Case]:
        """Return all inputs, the same every time."""
        return [self.case(number) for number in range(1, self.inputs + 1)]

    def value_of(self, function: Callable, case: Case) -> _outputs.Output:
        """Return what one of our own functions gives on an input."""
        with np.errstate(all="ignore"):
            return self.canonical(_outputs.read(function(*case.values())))

    def run(self, answer: Callable) -> Result:
        """Check ``answer``: a pass, or the first thing that is wrong and a hint."""
        right, got = [self.value_of(self.solution, case) for case in self.cases()], []
        for number, case in enumerate(self.cases(), start=1):
            given = copy.deepcopy(case)
            try:
                value = answer(*given.values())
            except Exception as error:  # the reader's code may fail in any way; say how, and go on
                return self._raised(error, number, case)
            trouble = _outputs.unreadable(value, self.returns) or _outputs.changed(case, given)
            if trouble:
                return Result(False, f"Not yet. On input {number}, {described(case)}, {trouble}")
            got.append(self.canonical(_outputs.read(value, len(right[0]))))
        return self._judged(got, right)

    def _judged(self, got: list[_outputs.Output], right: list[_outputs.Output]) -> Result:
        """Compare the outputs with the right ones, then with every mistake, then in general."""
        fits = [_outputs.same(g, r, self.tolerance) for g, r in zip(got, right, strict=True)]
        if all(fits):
            return Result(True, f"Right: it agrees on all {self.inputs} random inputs.")
        first = fits.index(False)
        start = f"Not yet. {self._where(fits, got, right)} "
        for mistake in self.mistakes:
            if self._fits(mistake, got):
                return Result(False, f"{start}Hint: {mistake.hint}")
        fact = _outputs.relation(got, right, self.returns, self.tolerance)
        hint = fact or (
            "no mistake that we know gives these values. "
            f"Work input {first + 1} out by hand: `case(NAME, {first + 1})` from the module that "
            "`check` comes from returns its arguments."
        )
        return Result(False, f"{start}Hint: {hint}")

    def _fits(self, mistake: Mistake, got: list[_outputs.Output]) -> bool:
        """Return whether the mistake gives these outputs; the first other one ends the search."""
        return all(
            _outputs.same(output, self.value_of(mistake.answer, case), self.tolerance)
            for output, case in zip(got, self.cases(), strict=True)
        )

    def _where(self, fits, got, right) -> str:
        number = fits.index(False) + 1
        case = self.case(number)
        off = _outputs.deviation(got[number - 1], right[number - 1], self.tolerance)
        passed = f"{sum(fits)} of {len(fits)} random inputs are right; the first that fails is "
        return f"{passed if any(fits) else 'On '}input {number}, {described(case)}: {off}."

    def _raised(self, error: Exception, number: int, case: Case) -> Result:
        hint = next(
            (text for kind, text in self.raises.items() if isinstance(error, kind)),
            f"it is called with the arguments {', '.join(case)}, in this order; "
            "print their shapes and follow them line by line.",
        )
        return Result(
            False,
            f"Not yet. On input {number}, {described(case)}, your function raised "
            f"{type(error).__name__}: {error}. Hint: {hint}",
        )


def described(case: Case) -> str:
    """Return the arguments in words: numbers with their values, arrays with their shapes."""
    return ", ".join(
        f"{name} = {value:.4g}" if np.ndim(value) == 0 else f"{name} of shape {np.shape(value)}"
        for name, value in case.items()
    )
