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


def run(name: str, answer: Callable) -> Result:
    """Check ``answer`` against the exercise ``name``.

    Raises
    ------
    ValueError
        If there is no such exercise or ``answer`` cannot be called.
    """
    properties, name = _registry(), _checks.text("name", name)
    if name not in properties:
        raise ValueError(f"name must be one of {sorted(properties)}, got {name!r}")
    if not callable(answer):
        raise ValueError(f"answer must be a function, got {answer!r}")
    for number, prop in enumerate(properties[name], start=1):
        failure = _failure(prop, answer)
        if failure:
            return Result(
                False, f"Not yet. Property {number}: {prop.says}. {failure}Hint: {prop.hint}"
            )
    return Result(True, f"All {len(properties[name])} properties hold.")


def check(name: str, answer: Callable) -> None:
    """Check ``answer`` and print the result.

    Raises
    ------
    ValueError
        If there is no such exercise or ``answer`` cannot be called.
    """
    print(run(name, answer).message)


def names() -> list[str]:
    """Return the names of all exercises with a checker."""
    return sorted(_registry())


def _failure(prop: Property, answer: Callable) -> str:
    try:
        return "" if prop.holds(answer) else "It does not hold. "
    except Exception as error:  # the reader's code may fail in any way; say how, and go on
        return f"Your function raised {type(error).__name__}: {error}. "


def _registry() -> dict[str, list[Property]]:
    from icl_lib.exercises import part1, part2, part3  # here: they import Property

    return {**part1.EXERCISES, **part2.EXERCISES, **part3.EXERCISES}
