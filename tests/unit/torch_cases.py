"""What the fuzzer puts in the place of a valid argument of the torch side.

The rule that the cases ask for is that of `icl_lib._tensor_checks`: float32 or float64, the same
for all tensors of a call; integers are promoted; all else is refused by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from fuzz_cases import Case, replacements
from torch import Tensor, nn

HALVES = (torch.float16, torch.bfloat16)
INTEGERS = (torch.int64, torch.int8, torch.uint8)


def kind_cases(value) -> Iterator[Case]:
    """Yield replacements of another kind or dtype: refused, or the same numbers as before."""
    if isinstance(value, Tensor):
        yield from _strangers(value)
        yield from _promoted(value)
    elif isinstance(value, torch.dtype):
        yield from _refused({"None": None, "text": "float32", "NumPy's": np.float32, "3": 3})
        kinds = (*HALVES, torch.int64, torch.bool, torch.complex64)
        yield from _refused({str(kind): kind for kind in kinds})
        yield from (Case("float32", torch.float32), Case("float64", torch.float64))
    elif isinstance(value, torch.Generator):
        numpy = np.random.default_rng(0)
        yield from _refused({"None": None, "3": 3, "text": "seed", "NumPy's": numpy})
    elif isinstance(value, nn.Module):
        yield from _refused({"None": None, "3": 3, "text": "model", "Tensor": torch.ones(2)})
    elif isinstance(value, torch.device):
        yield from _refused({"text": "no device", "3": 3, "nan": np.nan})
    elif hasattr(value, "_fields"):
        yield from _for_record(value)
    elif isinstance(value, tuple):
        yield from _refused({"None": None, "3": 3, "nan": np.nan, "text": "linear"})
        yield from _refused({"empty": (), "None in it": (*value, None), "0 in it": (*value, 0)})
    elif dataclasses.is_dataclass(value):
        strangers = {"None": None, "3": 3, "class": type(value), "dict": vars(value)}
        yield from _refused(strangers | {"text": "law", "module": nn.Identity()})
    else:
        yield from replacements(value)


def shape_cases(value: Tensor) -> Iterator[Case]:
    """Yield the numbers in other shapes: some fit, the others must be refused."""
    yield Case("one axis more", value[None])
    yield Case("two axes more", value[None, None])
    yield Case("empty", value.new_empty(0))
    if value.ndim:
        yield Case("one axis less", value[0])
        yield Case("a scalar", value.flatten()[0])
        yield Case("longer", torch.cat([value, value[..., -1:]], dim=-1))
        yield Case("shorter", value[..., :-1])
        yield Case("more rows", torch.cat([value, value[-1:]]))
        yield Case("no rows", value[:0])
    if value.ndim > 1:
        yield Case("flat", value.flatten())
        yield Case("no second axis", value[:, :0])
        yield Case("transposed", value.mT)


def number_cases(value: Tensor) -> Iterator[Case]:
    """Yield finite numbers in the right shape: zeros, negative, huge, tiny."""
    yield from (Case("zeros", 0 * value), Case("negative", -value), Case("ones", 0 * value + 1))
    yield from (Case(f"times {by:g}", value * by) for by in (1e30, 1e300, 1e-30, 1e-300))


def not_finite(value: Tensor) -> Iterator[Case]:
    """Yield tensors whose entries are all, or all at one index of the first axis, not finite."""
    for entry in (torch.nan, torch.inf, -torch.inf):
        yield Case(f"all {entry}", torch.full_like(value, entry))
        if value.ndim:
            row = value.clone()
            row[-1] = entry
            yield Case(f"a row of {entry}", row)


def _refused(values: dict) -> Iterator[Case]:
    yield from (Case(label, value, refuse=True) for label, value in values.items())


def _strangers(value: Tensor) -> Iterator[Case]:
    strange = {"None": None, "text": "text", "3": 3, "1.5": 1.5, "object": object()}
    yield from _refused(strange | {"list": value.tolist(), "tuple": (value,)})
    yield from _refused({"array": value.detach().numpy(), "sparse": value.to_sparse()})
    for kind in (*HALVES, torch.complex64, torch.complex128):
        yield Case(str(kind), value.to(kind), refuse=True)
    yield Case("imaginary", value + 0.5j, refuse=True)
    yield Case("bool", value > 0, refuse=True)


def _promoted(value: Tensor) -> Iterator[Case]:
    """The same numbers in another form: the result must not change."""
    for kind in INTEGERS:
        whole = value.round().abs() if kind is torch.uint8 else value.round()
        yield Case(str(kind), whole.to(kind), same_as=whole)
    yield Case("requires_grad", value.clone().requires_grad_(), same_as=value)
    strided = value.new_empty(*value.shape, 2)[..., 0].copy_(value)
    yield Case("not contiguous", strided, same_as=value)


def _for_record(record) -> Iterator[Case]:
    yield from _refused({"None": None, "3": 3, "a plain tuple": tuple(record), "text": "text"})
    for field, part in record._asdict().items():
        if isinstance(part, Tensor):
            for case in _strangers(part):
                yield dataclasses.replace(
                    case,
                    label=f"{field} {case.label}",
                    value=record._replace(**{field: case.value}),
                )
            for case in shape_cases(part):
                if case.label not in ("one axis more", "two axes more", "transposed"):
                    yield Case(f"{field} {case.label}", record._replace(**{field: case.value}))
