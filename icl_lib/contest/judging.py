"""Running a contest: the rules are checked before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial

import numpy as np

from icl_lib.contest._arrays import (
    fingerprint,
    shared_prompts,
    squared_errors,
    targets_array,
)
from icl_lib.contest.results import ContestResult
from icl_lib.contest.rules import Contestant, Information
from icl_lib.contest.tuning import GridTuning

ERRORS = {"risk": 1.0, "loss": 0.5}


def contest(
    contestants: Sequence[Contestant],
    prompts,
    targets,
    *,
    information: Information,
    tuning: tuple | None = None,
    error: str = "risk",
    allow_difference: tuple[str, ...] = (),
) -> ContestResult:
    """Compare methods on the same prompts, with the same information, tuned on other prompts.

    Refused are a contestant that declares other information than the contest asks for, tuning on
    the prompts of the contest, and predictions that are not comparable. What a contestant declares
    is its word: look at its code, not at its name.

    Convention: "risk" is the squared error, "loss" half of it; both are summed over the n
    coordinates and averaged over positions and prompts.

    Parameters
    ----------
    contestants : the methods, with different names
    prompts : what every method gets, unchanged: an array, tensor, or a tuple or dict of them
    targets : (B,), (B, T) or (B, T, n) with at least two prompts, array or tensor; (B,) is one
        position. Predictions must have the same shape
    information : what the contest asks of all. Its clip is applied here, to all predictions
    tuning : (prompts, targets) for tunable methods, from other data with targets of the same shape
        except B
    error : "risk" or "loss"
    allow_difference : fields of ``information`` that differ because that difference is studied; the
        result says so. A contestant then meets its own clip

    Raises
    ------
    ValueError
        If an argument does not fit or a rule is broken; it names the contestant.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> means = rng.standard_normal((200, 1))
    >>> prompts = means + rng.standard_normal((200, 9))  # what is the mean of the law?
    >>> seen = Information(newest_pair=True, query_token="none", clip=None)
    >>> methods = [
    ...     Contestant("mean", lambda p: p.mean(1, keepdims=True), seen),
    ...     Contestant("newest", lambda p: p[:, -1:], seen),
    ... ]
    >>> result = contest(methods, prompts, means, information=seen)
    >>> result
    mean, newest (2 contestants) on the same 200 prompts of 1 position, all with newest pair in,
    no query token, no clip; squared error (no 1/2); nothing tuned.
      mean: 0.1... ± 0.01..., median of prompts 0.0..., 0.01... of the mean from the largest 5
      newest: ...
    >>> gain, se = result.ratio("newest", "mean")
    >>> bool(abs(gain - 9) < 3 * se)
    True
    """
    contestants = _entries(contestants)
    differences = _same_information(contestants, information, allow_difference)
    if not isinstance(error, str) or error not in ERRORS:
        raise ValueError(f"error must be 'risk' or 'loss', got {error!r}")
    goals = targets_array("targets", targets)
    n_tuning = _other_data(contestants, prompts, targets, goals, tuning)
    errors, tuned, at_edge = [], {}, {}
    for entry in contestants:
        predict = entry.predict
        if entry.tune is not None and tuning is not None:
            tune = partial(_tune, entry, entry.tune, tuning)
            predict = _undisturbed(entry, prompts, tuning, tune)
            tuned[entry.name] = _chosen(predict)
            at_edge[entry.name] = getattr(predict, "at_edge", 0)
        answer = _undisturbed(entry, prompts, tuning, lambda p=predict: p(prompts))
        name = f"predictions of contestant {entry.name!r}"
        squares = squared_errors(name, answer, goals, entry.information.clip)
        errors.append(ERRORS[error] * squares)
    table = np.array(errors)
    table.setflags(write=False)
    return ContestResult(
        names=tuple(entry.name for entry in contestants),
        errors=table,
        information=information,
        declared=tuple(entry.information for entry in contestants),
        differences=differences,
        error=error,
        coordinates=goals.shape[2] if goals.ndim == 3 else None,
        tuned=tuned,
        at_edge=at_edge,
        n_tuning=n_tuning if tuned else None,
    )


def _entries(contestants) -> tuple[Contestant, ...]:
    if not isinstance(contestants, Sequence) or isinstance(contestants, str) or not contestants:
        raise ValueError(f"contestants must be a list of Contestant, got {contestants!r}")
    for entry in contestants:
        if not isinstance(entry, Contestant):
            raise ValueError(f"contestants must hold Contestant only, got {entry!r}")
    names = [entry.name for entry in contestants]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"contestants must have different names, got {name!r} twice")
    return tuple(contestants)


def _same_information(contestants, information, allowed) -> tuple[str, ...]:
    """Return the fields in which contestants differ, all of them allowed."""
    if not isinstance(information, Information):
        raise ValueError(f"information must be an Information, got {information!r}")
    known = tuple(f.name for f in fields(Information))
    if isinstance(allowed, str) or not isinstance(allowed, Sequence):
        raise ValueError(f"allow_difference must be a tuple of names, got {allowed!r}")
    for name in allowed:
        if name not in known:
            raise ValueError(f"allow_difference must name fields of {known}, got {name!r}")
    found = set()
    for entry in contestants:
        differing = entry.information.differences(information)
        for name in differing:
            if name not in allowed:
                raise ValueError(
                    f"contestant {entry.name!r} declares "
                    f"{name}={getattr(entry.information, name)!r}, "
                    f"the contest asks for {name}={getattr(information, name)!r}"
                )
        found.update(differing)
    for name in allowed:
        if name not in found:
            raise ValueError(f"allow_difference names {name!r}, but no contestant differs in it")
    return tuple(name for name in known if name in found)


def _other_data(contestants, prompts, targets, goals, tuning) -> int | None:
    """Return the number of tuning prompts; refuse tuning on what the contest is judged by."""
    if tuning is None:
        for entry in contestants:
            if entry.tune is not None:
                raise ValueError(f"contestant {entry.name!r} is tunable and needs tuning data")
        return None
    if not isinstance(tuning, tuple) or len(tuning) != 2:
        raise ValueError(f"tuning must be a pair (prompts, targets), got {type(tuning).__name__}")
    others = targets_array("targets of tuning", tuning[1])
    if others.shape[1:] != goals.shape[1:]:
        raise ValueError(
            f"targets of tuning must have shape (B,) + {goals.shape[1:]}, got {others.shape}"
        )
    if tuning[0] is prompts or tuning[1] is targets:
        raise ValueError("tuning must be other data, got the object that the contest is judged on")
    shared = shared_prompts(prompts, goals, tuning[0], others)
    if shared:
        raise ValueError(
            f"tuning must be other data, got {shared} of the {len(goals)} prompts of the contest"
        )
    return len(others)


def _tune(entry: Contestant, tune: Callable, tuning: tuple) -> Callable:
    if isinstance(tune, GridTuning):  # tuned under the clip that it will meet
        tune = replace(tune, clip=entry.information.clip)
    try:
        predict = tune(*tuning)
    except ValueError as error:
        raise ValueError(f"contestant {entry.name!r} cannot be tuned: {error}") from error
    if not callable(predict):
        raise ValueError(
            f"tune of contestant {entry.name!r} must return a predictor, got {predict!r}"
        )
    return predict


def _chosen(predict: Callable) -> tuple | None:
    """Return what a tuned predictor says was chosen, in its attribute ``values``."""
    values = getattr(predict, "values", None)
    if values is None or callable(values):
        return None
    return tuple(values) if isinstance(values, tuple | list | np.ndarray) else (values,)


def _undisturbed(entry: Contestant, prompts, tuning, act: Callable):
    """Return ``act()``; refuse a contestant that leaves other prompts to those after it."""
    before = fingerprint(prompts, tuning)
    result = act()
    if fingerprint(prompts, tuning) != before:
        raise ValueError(f"contestant {entry.name!r} changed the prompts or the tuning data")
    return result
