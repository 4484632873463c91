"""Argument checks for torch, and the one rule on precision that tasks, layers and models follow.

A call computes in float32 or in float64, and all its tensors share that dtype and one device:

* float32 and float64 tensors are taken as they are; one of each in a call is refused.
* Integers are exact, so they are promoted: to the dtype of the other tensors of the call (a model's
  weights count), or to torch's default dtype where all are integers.
* Half precision (float16, bfloat16) is refused: a recursive solver would have no digits left. So
  are complex numbers, whose imaginary part would be lost, booleans, and whatever is no tensor:
  None, lists, NumPy arrays. ``x.float()`` or ``torch.as_tensor(x)`` says that it is meant.

The values of a batch are not looked at, since reading them all would cost training time: a layer
passes a NaN on to its output. What a task or a model is built from is read once and must be finite.

Each check raises a ``ValueError`` that names the argument, what came and what was expected.
"""

from __future__ import annotations

import math
import numbers

import numpy as np
import torch
from torch import Tensor

from icl_lib._checks import nonnegative, positive, positive_int

PRECISIONS = (torch.float32, torch.float64)
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
MAX_SIZE = 2**31 - 1  # what torch's 32-bit indices can count
MAX_SEED = 2**63 - 1  # what torch.Generator.manual_seed takes
MIN_SCALE, MAX_SCALE = 1e-18, 1e18  # the squares are still normal float32 numbers


def real_tensors(**tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the named tensors in one precision, float32 or float64, on one device.

    Integers are promoted as the module's rule says. Nothing else is converted or copied.

    >>> whole, real = torch.tensor([1, 2]), torch.tensor([0.5], dtype=torch.float64)
    >>> real_tensors(xs=whole, ys=real)[0]
    tensor([1., 2.], dtype=torch.float64)
    """
    kinds = {(_checked(name, part).dtype, part.device) for name, part in tensors.items()}
    if len(kinds) == 1 and kinds.pop()[0] in PRECISIONS:
        return tuple(tensors.values())
    return _promoted(tensors)


def _checked(name: str, value) -> Tensor:
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} must be a torch.Tensor, got {described(value)}")
    if value.dtype not in PRECISIONS and value.dtype not in INTEGERS:
        raise ValueError(f"{name} must be float32, float64 or of integers, got {value.dtype}")
    if value.layout is not torch.strided:
        raise ValueError(f"{name} must be a dense tensor, got the layout {value.layout}")
    return value


def _promoted(tensors: dict[str, Tensor]) -> tuple[Tensor, ...]:
    floating = [name for name, part in tensors.items() if part.dtype in PRECISIONS]
    first = floating[0] if floating else next(iter(tensors))
    dtype = tensors[first].dtype if floating else torch.get_default_dtype()
    for name, part in tensors.items():
        if part.dtype in PRECISIONS and part.dtype != dtype:
            raise ValueError(f"{name} must have the dtype of {first}, {dtype}, got {part.dtype}")
        if part.device != tensors[first].device:
            raise ValueError(
                f"{name} must be on the device of {first}, {tensors[first].device}, "
                f"got {part.device}"
            )
    return tuple(part.to(dtype) for part in tensors.values())


def finite_tensors(**tensors: Tensor) -> tuple[Tensor, ...]:
    """Return :func:`real_tensors`, without NaN and infinity: for weights and other parameters."""
    checked = real_tensors(**tensors)
    for name, part in zip(tensors, checked, strict=True):
        if not bool(part.isfinite().all()):
            raise ValueError(f"{name} must be finite, got NaN or infinite entries")
    return checked


def check_shape(name: str, tensor: Tensor, *axes: int | str, empty: bool = False) -> None:
    """Check the axes of a tensor; they may be empty only if ``empty`` says so.

    An int is a length, a letter any length, but the same one wherever it stands, and a leading
    "..." any number of axes.

    >>> check_shape("states", torch.ones(2, 5, 3), "B", "T", 3)
    >>> check_shape("matrix", torch.ones(2, 3), "...", "n", "n")
    Traceback (most recent call last):
    ValueError: matrix must have shape (..., n, n), got (2, 3)
    """
    shape, known = tuple(tensor.shape), {}
    wanted = axes[1:] if axes[:1] == ("...",) else axes
    spare = len(shape) - len(wanted)
    fits = spare == 0 or (spare > 0 and wanted is not axes)
    if fits:
        for axis, length in zip(wanted, shape[spare:], strict=True):
            if length != (axis if isinstance(axis, int) else known.setdefault(axis, length)):
                fits = False
    hollow = 0 in shape and not empty
    if not fits or hollow:
        text = ", ".join(map(str, axes)) + ("," if len(axes) == 1 else "")
        rule = ", no axis empty" if hollow else ""
        raise ValueError(f"{name} must have shape ({text}){rule}, got {shape}")


def real_dtype(dtype) -> torch.dtype:
    """Return ``dtype``, the precision in which a function is asked to draw or to build."""
    if dtype not in PRECISIONS:
        raise ValueError(f"dtype must be torch.float32 or torch.float64, got {described(dtype)}")
    return dtype


def check_generator(generator, *, optional: bool = False) -> torch.Generator | None:
    """Return ``generator``; None, torch's global generator, only where it is ``optional``."""
    if not isinstance(generator, torch.Generator) and not (optional and generator is None):
        raise ValueError(f"generator must be a torch.Generator, got {described(generator)}")
    return generator


def check_draw(batch, length, generator, dtype) -> tuple[int, int]:
    """Return ``batch`` and ``length`` after checking the four arguments of an input law's draw."""
    check_generator(generator)
    real_dtype(dtype)
    return size("batch", batch), size("length", length)


def size(name: str, value, minimum: int = 1, maximum: int = MAX_SIZE) -> int:
    """Return ``value`` as an int of at least ``minimum`` that torch can count to."""
    number = positive_int(name, value, minimum)
    if number > maximum:
        raise ValueError(f"{name} must be an integer of at most {maximum}, got {described(value)}")
    return number


def seed(name: str, value) -> int:
    """Return ``value`` as an int of at least 0 that torch takes as a seed."""
    return size(name, value, minimum=0, maximum=MAX_SEED)


def between(name: str, value, low: int, high: int) -> int:
    """Return ``value`` as an int between ``low`` and ``high``, both included."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not low <= int(value) <= high:
        raise ValueError(
            f"{name} must be an integer between {low} and {high}, got {described(value)}"
        )
    return int(value)


def positive_scale(name: str, value) -> float:
    """Return ``value`` as a float above 0 that float32 can square: a factor, a width, a bound."""
    _check_range(name, value)
    return positive(name, value)


def nonnegative_scale(name: str, value) -> float:
    """Return ``value`` as a float of at least 0 that float32 can square."""
    _check_range(name, value)
    return nonnegative(name, value)


def _check_range(name: str, value) -> None:
    if not isinstance(value, numbers.Real):
        return
    if MAX_SCALE < value < math.inf or 0 < value < MIN_SCALE:  # pyright: ignore[reportOperatorIssue]
        raise ValueError(
            f"{name} must be between {MIN_SCALE:g} and {MAX_SCALE:g}, got {described(value)}"
        )


def flag(name: str, value) -> bool:
    """Return ``value``, True or False and nothing that merely counts as one of them."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {described(value)}")
    return value


def one_of(name: str, value, options: tuple[str, ...]) -> str:
    """Return ``value``, one of the words in ``options``."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} must be one of {options}, got {described(value)}")
    return value


def instance(name: str, value, kind: type):
    """Return ``value``, an instance of the class ``kind``."""
    if not isinstance(value, kind):
        raise ValueError(f"{name} must be a {kind.__name__}, got {described(value)}")
    return value


def described(value) -> str:
    """Return a value in a few words, for an error message."""
    if isinstance(value, (Tensor, np.ndarray)):
        return f"{type(value).__name__} of shape {tuple(value.shape)} and dtype {value.dtype}"
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 80 else f"{type(value).__name__} {text[:60]}..."
