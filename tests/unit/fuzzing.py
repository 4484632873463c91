"""A fuzzer for argument checks: one argument at a time is spoilt, everything else stays valid.

``fuzz(function, valid, name)`` calls the function with argument ``name`` replaced by every entry of
``replacements(valid[name])`` and returns the problems as texts, none if all is well. Two outcomes
are right:

* a ``ValueError`` or ``TypeError`` whose message holds the argument's name as a word;
* a result of finite numbers, unless the replacement must be refused (NaN, complex, text, ...).
  Where the replacement is the same numbers in another dtype, the result must be that of float64.

Nothing here knows the library or imports torch; another floor passes its own ``cases``.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import inspect
import pkgutil
import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
from fuzz_cases import Case, replacements

SECONDS = 5  # of CPU time; a call that takes longer counts as one that hangs


def fuzz(
    function: Callable,
    valid: dict,
    name: str,
    *,
    cases: Iterable[Case] | None = None,
    allow: Iterable[str] = (),
    infinite: bool = False,
    also_names: Iterable[str] = (),
) -> list[str]:
    """Return what went wrong, a text a problem.

    ``cases`` are tried in place of ``replacements(valid[name])``; ``allow`` lists labels that may
    be accepted although they must be refused as a rule ("inf" for a length, say); with ``infinite``
    a result may hold infinities (not NaN); where shapes must fit each other, a message that holds
    one of ``also_names`` is as good as one with ``name``.
    """
    problems = []
    allowed = set(allow) | ({"None"} if _default_is_none(function, name) else set())
    for case in replacements(valid[name]) if cases is None else cases:
        refuse = case.refuse and case.label not in allowed
        arguments = {**_copies(valid), name: case.value}
        outcome, error = _call(function, arguments)
        if error is not None:
            fault = _fault_of_error(error, {name} if case.refuse else {name, *also_names})
        elif refuse:
            fault = f"accepted, gave {_short(outcome)}"
        elif not all(
            same(arguments[n], valid[n]) for n in valid if n != name and is_data(valid[n])
        ):
            fault = "changed another argument in place"
        else:
            fault = _fault_of_result(function, arguments, name, case, outcome, infinite)
        if fault:
            problems.append(f"{function.__qualname__}({name}={case.label}): {fault}")
    return problems


def public_callables(*modules: str) -> dict[str, Callable]:
    """Return every public function and method of the modules and their submodules, by full name."""
    found = {}
    for module in _with_submodules(modules):
        if any(part.startswith("_") for part in module.__name__.split(".")):
            continue
        for name, member in vars(module).items():
            if name.startswith("_") or getattr(member, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(member):
                found[f"{module.__name__}.{name}"] = member
            elif inspect.isclass(member):
                found |= {f"{module.__name__}.{name}.{m}": f for m, f in _methods(member)}
    return found


def arguments_of(function: Callable) -> list[str]:
    """Return the names of the arguments of a function, without ``self``."""
    return [name for name in inspect.signature(function).parameters if name != "self"]


def finite(value, infinite: bool = False) -> bool:
    """Whether all numbers in ``value`` (tuples, dictionaries, tensors too) are finite."""
    if isinstance(value, dict):
        return all(finite(part, infinite) for part in value.values())
    if isinstance(value, list | tuple):
        return all(finite(part, infinite) for part in value)
    if dataclasses.is_dataclass(value):
        return finite(vars(value), infinite)
    array = _as_array(value)
    if array is None:
        return True
    return not np.isnan(array).any() if infinite else bool(np.isfinite(array).all())


def same(a, b) -> bool:
    """Whether two results hold the same numbers, up to rounding."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(*pair) for pair in zip(a, b, strict=True))
    left, right = _as_array(a), _as_array(b)
    if left is None or right is None:
        return True
    if left.shape != right.shape:
        return False
    return np.allclose(left, right, rtol=1e-9, atol=1e-12, equal_nan=True)


def _call(function: Callable, arguments: dict) -> tuple[Any, Exception | None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"), _deadline(SECONDS):
        warnings.simplefilter("ignore")
        try:
            return function(**arguments), None
        except Exception as error:  # every kind of error is an outcome that is judged
            return None, error


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in a call that hangs, where there is such an alarm (not on Windows)."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not _MAIN:
        yield
        return

    def ring(*_):
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


_MAIN = threading.main_thread()


def _fault_of_error(error: Exception, names: set[str]) -> str:
    text = f"{type(error).__name__}: {str(error)[:160]}"
    if type(error) not in (ValueError, TypeError):
        return f"raised {text}"
    if not any(re.search(rf"\b{re.escape(name)}\b", str(error)) for name in names):
        return f"raised without the argument's name: {text}"
    return ""


def _fault_of_result(function, arguments, name, case, outcome, infinite) -> str:
    if not finite(outcome, infinite):
        return f"gave {_short(outcome)}"
    if case.same_as is None:
        return ""
    reference, error = _call(function, {**_copies(arguments), name: case.same_as})
    if error is not None or same(outcome, reference):
        return ""  # an input of low precision may be accepted where its float64 copy is not
    return f"gave {_short(outcome)}, but {_short(reference)} for the same numbers in float64"


def is_data(value) -> bool:
    """Whether a call must leave it alone; a generator moves on, a figure is drawn on."""
    return isinstance(value, np.ndarray)


def _copies(arguments: dict) -> dict:
    """Copies, so that no call sees what another one changed: arrays, generators, models."""
    return {name: copy.deepcopy(value) for name, value in arguments.items()}


def _as_array(value) -> np.ndarray | None:
    """Return the numbers of an array, tensor or number, None where there are none."""
    if hasattr(value, "detach"):  # a torch tensor
        value = value.detach().cpu().double().numpy()
    if isinstance(value, bool | int | float | complex | np.ndarray | np.generic):
        array = np.asarray(value)
        return array if array.dtype.kind in "biufc" else None
    return None


def _default_is_none(function: Callable, name: str) -> bool:
    return inspect.signature(function).parameters[name].default is None


def _methods(cls) -> list[tuple[str, Callable]]:
    return [(m, f) for m, f in vars(cls).items() if inspect.isfunction(f) and m[0] != "_"]


def _with_submodules(names: Iterable[str]) -> Iterator:
    for name in names:
        module = import_module(name)
        yield module
        for part in pkgutil.iter_modules(getattr(module, "__path__", [])):
            yield from _with_submodules([f"{name}.{part.name}"])


def _short(value) -> str:
    return " ".join(repr(value).split())[:90]
