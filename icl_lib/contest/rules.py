"""What a contestant sees, and what it declares before a contest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

from icl_lib._checks import positive

QUERY_TOKENS = ("masked", "in", "none")


@dataclass(frozen=True)
class Information:
    """What a method sees of a prompt, and what happens to its output.

    Source: the conventions of the book's notation page, "All pairs or lagged".

    Parameters
    ----------
    newest_pair : whether the newest labelled pair counts (all pairs) or not (lagged)
    query_token : "in" if the query is an example too, with label 0; "masked" if it takes no weight;
        "none" if the method has no such token. "masked" and "none" are the same information.
    clip : bound on the absolute value of every output, in units of the targets, or None

    Raises
    ------
    ValueError
        If an argument has another value.

    Examples
    --------
    >>> print(Information(newest_pair=True, query_token="masked", clip=None))
    newest pair in, query token masked, no clip
    """

    newest_pair: bool
    query_token: Literal["masked", "in", "none"]
    clip: float | None

    def __post_init__(self):
        if not isinstance(self.newest_pair, bool):
            raise ValueError(f"newest_pair must be True or False, got {self.newest_pair!r}")
        if not isinstance(self.query_token, str) or self.query_token not in QUERY_TOKENS:
            raise ValueError(f"query_token must be one of {QUERY_TOKENS}, got {self.query_token!r}")
        if self.clip is not None:
            positive("clip", self.clip)

    def differences(self, other: Information) -> tuple[str, ...]:
        """Return the names of the fields in which two contestants do not see the same."""
        unequal = [f.name for f in fields(self) if getattr(self, f.name) != getattr(other, f.name)]
        if "in" not in (self.query_token, other.query_token):
            unequal = [name for name in unequal if name != "query_token"]
        return tuple(unequal)

    def words(self, name: str) -> str:
        """Return one field in words."""
        if name == "newest_pair":
            return f"newest pair {'in' if self.newest_pair else 'out'}"
        if name == "query_token":
            word = self.query_token
            return "no query token" if word == "none" else f"query token {word}"
        return "no clip" if self.clip is None else f"outputs clipped at {self.clip:g}"

    def __str__(self) -> str:
        return ", ".join(self.words(f.name) for f in fields(self))


@dataclass(frozen=True)
class Contestant:
    """A method in a contest: its predictor, or how to tune one, and what it sees.

    Parameters
    ----------
    name : what the result calls it
    predict : maps prompts to predictions of the targets' shape; None for a tuned method
    information : what the method uses. A declaration: the contest compares it with the others',
        it does not look inside ``predict``
    tune : maps (prompts, targets) of other data to a predictor, see
        :func:`icl_lib.contest.tuning.tune_grid`; the result keeps the predictor's ``values``

    Raises
    ------
    ValueError
        If the name is empty, or not exactly one of ``predict`` and ``tune`` is given.
    """

    name: str
    predict: Callable | None
    information: Information
    tune: Callable | None = None

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError(f"name must be a text that is not empty, got {self.name!r}")
        if not isinstance(self.information, Information):
            raise ValueError(
                f"information of contestant {self.name!r} must be an Information, "
                f"got {self.information!r}"
            )
        for argument in ("predict", "tune"):
            value = getattr(self, argument)
            if value is not None and not callable(value):
                raise ValueError(
                    f"{argument} of contestant {self.name!r} must be callable, got {value!r}"
                )
        if (self.predict is None) == (self.tune is None):
            raise ValueError(
                f"contestant {self.name!r} must have either predict or tune, got "
                f"{'neither' if self.predict is None else 'both'}"
            )
