"""Fuzzed argument checks of `icl_lib.tasks`, `layers` and `models`: nothing wrong passes silently.

Every public callable is called with one argument spoilt at a time. Two outcomes are right: a
``ValueError`` or ``TypeError`` that names the argument, or the result that the same numbers give in
float64. Tensors of the right kind whose numbers are odd may give odd numbers back, except that NaN
may not become a number.
"""

from __future__ import annotations

import inspect
import math
from importlib import import_module
from pkgutil import iter_modules

import pytest
import torch
from fuzz_cases import Case
from fuzzing import _call, _fault_of_error, finite, fuzz, public_callables, same
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_calls import CALLS, draw, full_name
from torch_cases import kind_cases, not_finite, number_cases, shape_cases

FLOORS = ("icl_lib.tasks", "icl_lib.layers", "icl_lib.models")
# tuples of results, which check nothing, and the outline of an input law
RECORDS = {"Sequences", "FewShot", "Prompted", "Inputs", "InputLaw", "Generators", "Prompts"} | {
    "Products",
    "Coefficients",
    "LayerWeights",
    "ElementMaps",
    "ElementProducts",
}
# what must be refused as a rule, and is right here
VAR_KEYWORD = inspect.Parameter.VAR_KEYWORD
ALLOWED = {
    "lam": ("3", "1.5"),  # a number is as good as a tensor
    "forgetting": ("None",),
    "clip": ("None",),
    "init_std": ("None",),
    "keep": ("empty",),
    "names": ("empty",),
    "tape": ("None",),
}
every_call = pytest.mark.parametrize(
    ("function", "valid"), CALLS, ids=[full_name(f).removeprefix("icl_lib.") for f, _ in CALLS]
)


@pytest.fixture(autouse=True)
def integers_become_float64():
    """Integers alone are promoted to the default dtype: float64 here, as the valid calls are."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def partners(valid: dict, name: str) -> list[str]:
    """Return the tensors, models and records that must fit the argument ``name``."""
    plain = (bool, int, float, str, torch.dtype, torch.Generator)
    return [
        other for other, value in valid.items() if other != name and not isinstance(value, plain)
    ]


def tensors(valid: dict) -> dict[str, Tensor]:
    return {name: value for name, value in valid.items() if isinstance(value, Tensor)}


def odd_number_problems(function, valid: dict, name: str, case: Case) -> list[str]:
    """Return what is wrong with a call whose numbers are odd: NaN in may not give numbers out."""
    outcome, error = _call(function, {**valid, name: case.value})
    if error is not None:
        fault = _fault_of_error(error, {name, *partners(valid, name)})
    else:
        lost = bool(case.value.isnan().any()) and finite(outcome)
        fault = "gave finite numbers for NaN" if lost else ""
    return [f"{function.__qualname__}({name}={case.label}): {fault}"] if fault else []


def test_every_public_callable_is_here():
    """A new function, class or method needs an entry in `torch_calls.py`.

    The module of the random streams is left out.
    """
    here = {full_name(function) for function, _ in CALLS}
    public = set(public_callables(*FLOORS)) | {
        f"{member.__module__}.{name}"
        for floor in FLOORS
        for module in iter_modules(import_module(floor).__path__, f"{floor}.")
        for name, member in vars(import_module(module.name)).items()
        if inspect.isclass(member) and member.__module__ == module.name and name[0] != "_"
    }
    known = {name for name in public if not (RECORDS | {"randomness"}) & set(name.split("."))}
    assert known <= here, sorted(known - here)


def test_every_argument_is_here():
    for function, _ in CALLS:
        parameters = inspect.signature(function).parameters.items()
        wanted = {name for name, parameter in parameters if parameter.kind is not VAR_KEYWORD}
        here = {name for other, given in CALLS if other is function for name in given}
        assert wanted <= here, (full_name(function), wanted - here)


@every_call
def test_valid_calls_are_valid(function, valid):
    outcome, error = _call(function, valid)
    assert error is None and finite(outcome), error


@every_call
def test_other_kinds_and_dtypes_are_refused_or_promoted(function, valid):
    problems = []
    for name, value in valid.items():
        also = () if isinstance(value, Tensor) else partners(valid, name)
        options = {"allow": ALLOWED.get(name, ()), "also_names": also}
        problems += fuzz(function, valid, name, cases=kind_cases(value), **options)
    assert not problems, "\n".join(["", *problems])


@every_call
def test_other_shapes_fit_or_are_refused(function, valid):
    problems = []
    for name, value in tensors(valid).items():
        also = partners(valid, name)
        problems += fuzz(function, valid, name, cases=shape_cases(value), also_names=also)
    assert not problems, "\n".join(["", *problems])


@every_call
def test_odd_numbers(function, valid):
    problems = []
    for name, value in tensors(valid).items():
        for case in (*number_cases(value), *not_finite(value)):
            problems += odd_number_problems(function, valid, name, case)
    assert not problems, "\n".join(["", *problems])


SPOTS = [(f, valid, name) for f, valid in CALLS for name in tensors(valid)]
REFUSED = (torch.float16, torch.bfloat16, torch.complex64, torch.bool)
DTYPES = (torch.float32, torch.float64, torch.int64, torch.uint8, *REFUSED)


@settings(derandomize=True, deadline=None, max_examples=400)
@given(
    spot=st.sampled_from(SPOTS),
    shape=st.lists(st.integers(0, 4), max_size=5),
    keep=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 99),
)
def test_any_shape_and_dtype(spot, shape, keep, dtype, seed):
    """Shape, dtype and numbers all at random; every second time the shape is the right one."""
    function, valid, name = spot
    numbers = draw(*(valid[name].shape if keep else shape), seed=seed).round().to(dtype)
    outcome, error = _call(function, {**valid, name: numbers})
    if error is not None:
        assert not (fault := _fault_of_error(error, {name, *partners(valid, name)})), fault
        return
    assert dtype not in REFUSED, f"{function.__qualname__}({name}) accepted {dtype}"
    expected, error = _call(function, {**valid, name: numbers.double()})
    alone = dtype is torch.float32 and error is None  # a single tensor: the same up to its rounding
    assert same(outcome, expected) or alone and len(tensors(valid)) == 1


def by_name(calls: list):
    """Parametrize a test with calls and the tensor of each that is spoilt."""
    ids = [f"{full_name(f).removeprefix('icl_lib.')}-{name}" for f, _, name in calls]
    return pytest.mark.parametrize(("function", "valid", "name"), calls, ids=ids)


@by_name(SPOTS)
def test_two_precisions_in_one_call_are_refused(function, valid, name):
    """A float32 tensor beside float64 ones, the weights of a model among them."""
    others = [part for other, part in valid.items() if other != name]
    others.append(getattr(function, "__self__", None))  # the model whose method this is
    precise = any(
        isinstance(part, Tensor | nn.Module) or hasattr(part, "_fields") for part in others
    )
    outcome, error = _call(function, {**valid, name: valid[name].float()})
    if error is not None:
        assert not (fault := _fault_of_error(error, {name, *partners(valid, name)})), fault
    else:
        assert name == "lam" or not precise, outcome


SEQUENCES = {"queries", "keys", "values", "projections", "tokens", "states", "stream", "xs"}
ALONG_TIME = ("forward", "update", "recursive_mesa", "apply_layer")
POSITIONED = [
    (function, valid, name)
    for function, valid, name in SPOTS
    if name in SEQUENCES
    and (function.__name__ in ALONG_TIME or function.__name__.endswith("_attention"))
]


@by_name(POSITIONED)
def test_nan_at_a_position_is_nan_there(function, valid, name):
    """The output of that position has no number, and the other sequence is untouched."""
    spoilt = valid[name].clone()
    spoilt[0, 2] = math.nan
    with torch.no_grad():
        whole, got = function(**valid), function(**{**valid, name: spoilt})
    one_a_prompt = got.ndim == 1
    assert (got[0] if one_a_prompt else got[0, 2]).isnan().all()
    assert torch.equal(got[1], whole[1])
