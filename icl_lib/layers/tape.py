"""Activations by name: what a forward pass keeps of them, and what it puts in their place."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping

from torch import Tensor

from icl_lib._tensor_checks import check_shape, described, instance, real_tensors

Patch = Tensor | Callable[[Tensor], Tensor]


class Tape:
    """Sees every named activation of one forward pass: ``stream = tape("embed", stream)``.

    ``cache`` collects those whose name is in ``keep``, after any patch. ``patch`` maps a name to
    what takes the activation's place: a tensor of its shape, or a function that returns one.

    Raises
    ------
    ValueError
        If ``keep`` or ``patch`` is not of its kind; when the tape is used, if a patch has another
        shape or dtype than the activation.
    """

    def __init__(self, keep: Collection[str] = (), patch: Mapping[str, Patch] | None = None):
        self.keep = check_names("keep", keep)
        self.patch = {} if patch is None else _checked_patch(patch)
        self.prefix, self.cache = "", {}

    def within(self, prefix: str) -> Tape:
        """Return the same tape for a part of the network, whose names start with ``prefix``."""
        part = copy.copy(self)  # its cache is this one's
        part.prefix += instance("prefix", prefix, str)
        return part

    def wants(self, name: str) -> bool:
        """Return whether the activation is kept or replaced: some are computed only then."""
        return self.prefix + instance("name", name, str) in self.keep or self.replaces(name)

    def replaces(self, name: str) -> bool:
        """Return whether the activation is replaced."""
        return self.prefix + instance("name", name, str) in self.patch

    def __call__(self, name: str, value: Tensor) -> Tensor:
        """Return the activation or its replacement, and keep it if that was asked for."""
        name = self.prefix + name
        if name in self.patch:
            value = _replaced(name, self.patch[name], value)
        if name in self.keep:
            self.cache[name] = value
        return value


def check_tape(tape) -> Tape:
    """Return ``tape``, for None one that keeps and replaces nothing.

    Raises
    ------
    ValueError
        If it is neither None nor a :class:`Tape`.
    """
    return Tape() if tape is None else instance("tape", tape, Tape)


def check_names(argument: str, names) -> Collection[str]:
    """Return ``names``, the argument of that name, if it is a collection of texts.

    Raises
    ------
    ValueError
        If it is not; one text is no collection.
    """
    instance("argument", argument, str)
    whole = isinstance(names, Collection) and not isinstance(names, str)
    if not whole or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{argument} must be names of activations, got {described(names)}")
    return names


def _checked_patch(patch) -> Mapping[str, Patch]:
    check_names("patch", instance("patch", patch, Mapping))
    for name, new in patch.items():
        if not isinstance(new, Tensor) and not callable(new):
            raise ValueError(
                f"patch[{name!r}] must be a tensor or a function, got {described(new)}"
            )
    return patch


def _replaced(name: str, patch: Patch, value: Tensor) -> Tensor:
    new = patch if isinstance(patch, Tensor) else patch(value)
    _, new = real_tensors(**{name: value, f"patch[{name!r}]": new})
    check_shape(f"patch[{name!r}]", new, *value.shape)
    return new
