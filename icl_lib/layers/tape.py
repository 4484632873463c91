"""Activations by name: what a forward pass keeps of them, and what it puts in their place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from torch import Tensor

from icl_lib._tensor_checks import check_shape, described, real_tensors

Patch = Tensor | Callable[[Tensor], Tensor]


class Tape:
    """Sees every named activation of one forward pass: ``stream = tape("embed", stream)``.

    ``cache`` collects those whose name is in ``keep``, after any patch. ``patch`` maps a name to
    what takes the activation's place: a tensor of its shape, or a function that returns one.

    Raises
    ------
    ValueError
        If a patch is neither, or has another shape or dtype; the message names it.
    """

    def __init__(
        self,
        keep: Collection[str] = (),
        patch: Mapping[str, Patch] | None = None,
        prefix: str = "",
        cache: dict[str, Tensor] | None = None,
    ):
        self.keep, self.patch, self.prefix = keep, {} if patch is None else patch, prefix
        self.cache: dict[str, Tensor] = {} if cache is None else cache

    def within(self, prefix: str) -> Tape:
        """Return the same tape for a part of the network, whose names start with ``prefix``."""
        return Tape(self.keep, self.patch, self.prefix + prefix, self.cache)

    def wants(self, name: str) -> bool:
        """Return whether the activation is kept or replaced: some are computed only then."""
        return self.prefix + name in self.keep or self.replaces(name)

    def replaces(self, name: str) -> bool:
        """Return whether the activation is replaced."""
        return self.prefix + name in self.patch

    def __call__(self, name: str, value: Tensor) -> Tensor:
        """Return the activation or its replacement, and keep it if that was asked for."""
        name = self.prefix + name
        if name in self.patch:
            value = _replaced(name, self.patch[name], value)
        if name in self.keep:
            self.cache[name] = value
        return value


def _replaced(name: str, patch, value: Tensor) -> Tensor:
    if not isinstance(patch, Tensor) and not callable(patch):
        raise ValueError(f"patch[{name!r}] must be a tensor or a function, got {described(patch)}")
    new = patch if isinstance(patch, Tensor) else patch(value)
    _, new = real_tensors(**{name: value, f"patch[{name!r}]": new})
    check_shape(f"patch[{name!r}]", new, *value.shape)
    return new
