"""How an exercise is checked: a list of properties, tried in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

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


class Exercises:
    """The exercises of one part of the book: name -> list of properties.

    A part's module makes one and exports its :meth:`check`; no module has to know all parts.
    """

    def __init__(self, properties: dict[str, list[Property]]):
        self.properties = properties

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
        if _checks.text("name", name) not in self.properties:
            raise ValueError(f"name must be one of {self.names()}, got {name!r}")
        if not callable(answer):
            raise ValueError(f"answer must be a function, got {answer!r}")
        for number, prop in enumerate(self.properties[name], start=1):
            failure = _failure(prop, answer)
            if failure:
                return Result(
                    False, f"Not yet. Property {number}: {prop.says}. {failure}Hint: {prop.hint}"
                )
        return Result(True, f"All {len(self.properties[name])} properties hold.")

    def check(self, name: str, answer: Callable) -> None:
        """Check ``answer`` and print the result.

        Raises
        ------
        ValueError
            If there is no such exercise or ``answer`` cannot be called.
        """
        print(self.run(name, answer).message)


def _failure(prop: Property, answer: Callable) -> str:
    try:
        return "" if prop.holds(answer) else "It does not hold. "
    except Exception as error:  # the reader's code may fail in any way; say how, and go on
        return f"Your function raised {type(error).__name__}: {error}. "
