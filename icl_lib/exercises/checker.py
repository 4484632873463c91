"""How exercises are run: by name, each with its own way of checking.

An exercise is a list of properties, tried in order, or an object that brings its own ``run``,
such as those of Parts 1 and 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from icl_lib import _checks


@dataclass(frozen=True)
class Property:
    """One thing that a right answer does: in words, as a test of the answer, and a hint."""

    says: str
    holds: Callable[[Callable], bool]
    hint: str


class Result(NamedTuple):
    """Outcome of a check: whether it passed and the message for the reader."""

    passed: bool
    message: str


class _Runs(Protocol):
    """An exercise that brings its own way of checking, on inputs that a reader can ask for."""

    def run(self, answer: Callable) -> Result:
        """Check ``answer``."""
        ...

    def case(self, number: int) -> dict[str, Any]:
        """Return the arguments of one input."""
        ...


class Exercises:
    """The exercises of one part of the book: name -> list of properties, or what brings a ``run``.

    A part's module makes one and exports its :meth:`check`; no module has to know all parts.
    """

    def __init__(self, properties: Mapping[str, Any]):
        self.properties: dict[str, Any] = dict(properties)

    def names(self) -> list[str]:
        """Return the names of the part's exercises."""
        return sorted(self.properties)

    def run(self, name: str, answer: Callable) -> Result:
        """Check ``answer`` against the exercise ``name``.

        Raises
        ------
        ValueError
            If there is no such exercise or ``answer`` cannot be called.
        """
        exercise = self._named(name)
        if not callable(answer):
            raise ValueError(f"answer must be a function, got {answer!r}")
        return _tried(exercise, answer) if isinstance(exercise, list) else exercise.run(answer)

    def check(self, name: str, answer: Callable) -> None:
        """Check ``answer`` and print the result.

        Raises
        ------
        ValueError
            If there is no such exercise or ``answer`` cannot be called.
        """
        print(self.run(name, answer).message)

    def case(self, name: str, number: int) -> dict[str, Any]:
        """Return the arguments of one random input, by number from 1, as the check draws them.

        Raises
        ------
        ValueError
            If there is no such exercise, it has no random inputs, or ``number`` is below 1.
        """
        exercise = self._named(name)
        if isinstance(exercise, list):
            raise ValueError(f"name must be an exercise with random inputs, got {name!r}")
        return exercise.case(_checks.positive_int("number", number))

    def _named(self, name: str) -> list[Property] | _Runs:
        if _checks.text("name", name) not in self.properties:
            raise ValueError(f"name must be one of {self.names()}, got {name!r}")
        return self.properties[name]


def _tried(properties: list[Property], answer: Callable) -> Result:
    """Try the properties in order and report the first that fails."""
    for number, prop in enumerate(properties, start=1):
        failure = _failure(prop, answer)
        if failure:
            return Result(
                False, f"Not yet. Property {number}: {prop.says}. {failure}Hint: {prop.hint}"
            )
    return Result(True, f"All {len(properties)} properties hold.")


def _failure(prop: Property, answer: Callable) -> str:
    try:
        return "" if prop.holds(answer) else "It does not hold. "
    except Exception as error:  # the reader's code may fail in any way; say how, and go on
        return f"Your function raised {type(error).__name__}: {error}. "
