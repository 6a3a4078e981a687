"""Memory that a run of ours must not write into: that of the user's own parameters."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor


class WritesIntoGuardedMemoryError(Exception):
    """A run is about to write into guarded memory, and has not yet."""


class GuardedMemory:
    """Where guarded tensors lie; ``written`` are the places that a run was about to write into.

    A forward may write into a parameter: a trace of its own activity, weights that it clamps, an embedding with
    ``max_norm``.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.places = {place for place in map(place_of, tensors) if place is not None}
        self.written: set[int] = set()

    def check(self, targets: Iterable[object]) -> None:
        """Of what is about to be written into; WritesIntoGuardedMemoryError before anything is."""
        for target in targets:
            if isinstance(target, Tensor):
                place = place_of(target)
                if place is not None and place in self.places:
                    self.written.add(place)
                    raise WritesIntoGuardedMemoryError
            elif isinstance(target, (list, tuple)):
                self.check(target)

    def check_operator(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Of what an operator writes into by its schema."""
        for place, name in _written_by(operator):
            self.check([args[place] if place < len(args) else kwargs.get(name)])


def place_of(tensor: Tensor) -> int | None:
    """Where a tensor's memory begins, whatever part of it the tensor is; None where it has none to be told."""
    try:
        return tensor.untyped_storage().data_ptr() or None
    except (RuntimeError, NotImplementedError):
        return None


class Apart:
    """Gives tensors as they are, detached, and those at certain places of memory in memory of their own.

    Those that share memory go on sharing it.
    """

    def __init__(self, places: Collection[int]) -> None:
        self._places = places
        self._memory: dict[int, Tensor] = {}

    def __call__(self, tensor: Tensor) -> Tensor:
        place = place_of(tensor)
        if place is None or place not in self._places:
            return tensor.detach()
        if place not in self._memory:
            self._memory[place] = tensor.new_empty(0, dtype=torch.uint8).set_(tensor.untyped_storage()).clone()
        whole = self._memory[place]
        own = whole[: whole.numel() // tensor.itemsize * tensor.itemsize].view(tensor.dtype)
        return own.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


@cache
def _written_by(operator: Any) -> tuple[tuple[int, str], ...]:
    """Position and name of the arguments that an operator writes into."""
    arguments = enumerate(operator._schema.arguments)  # noqa: SLF001 - torch has no other name for it
    return tuple((place, each.name) for place, each in arguments if each.alias_info and each.alias_info.is_write)


@cache
def is_in_place(function: Any) -> bool:
    """Whether a function of PyTorch's own writes into what it is given first."""
    if function == Tensor.data.__set__:  # type: ignore[attr-defined]
        return True
    name = getattr(function, "__name__", "")
    if name.startswith("__"):
        return name == "__setitem__" or (name.startswith("__i") and name not in _NOT_IN_PLACE)
    return name.endswith("_")


_NOT_IN_PLACE = ("__invert__", "__index__", "__int__", "__init__", "__iter__")
