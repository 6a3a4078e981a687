"""The same values in memory of our own: what a person hands over may be changed in place afterwards."""

from __future__ import annotations

import copy
from collections.abc import MutableMapping
from dataclasses import fields, is_dataclass
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

_PLAIN = (str, bytes, bool, int, float, complex, type(None), torch.dtype, torch.device)
_CLOSED = (*_PLAIN, type, ModuleType, FunctionType, nn.Module)
MOST = 2000
"""So many values are looked at inside an object of a person's own class: a batch may hold the whole data set."""


def owned(value: Any, *, graph: bool = False, expanded: bool = True) -> Any:
    """The same structure with tensors cloned; with ``graph`` gradients reach the tensors that were given.

    A tensor that stands there twice does so in the copy. What is expanded, as a sequence that stands for many, is
    cloned only where ``expanded`` says so: it cannot be written into, and its clone would be large.

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(2)
    >>> kept = owned({"x": x, "name": "first"})
    >>> _ = x.add_(1)
    >>> kept
    {'x': tensor([0., 0.]), 'name': 'first'}
    """
    return _Owning(graph=graph, expanded=expanded)(value)


class _Owning:
    """Copies what leads to a tensor and nothing else: the rest is shared, and compared by identity as before."""

    def __init__(self, *, graph: bool, expanded: bool) -> None:
        self._graph, self._expanded, self._left = graph, expanded, MOST
        self._copies: dict[int, tuple[Any, Any]] = {}  # held, so that nothing else gets the same id

    def __call__(self, value: Any, *, inside: bool = False) -> Any:
        if isinstance(value, _CLOSED):
            return value
        if id(value) not in self._copies:
            if inside and not isinstance(value, (Tensor, np.ndarray)):
                self._left -= 1
            self._copies[id(value)] = value, value  # what leads to itself
            if self._left >= 0:
                self._copies[id(value)] = value, self._copied(value, inside=inside)
        return self._copies[id(value)][1]

    def _copied(self, value: Any, *, inside: bool) -> Any:  # noqa: PLR0911 - a case for each kind of value
        if isinstance(value, Tensor):
            return self._clone(value)
        if isinstance(value, np.ndarray):
            return value.copy()
        if isinstance(value, PackedSequence):
            return PackedSequence(*(self(part) for part in value))
        if inside and isinstance(value, (tuple, list, MutableMapping)) and len(value) > self._left:
            return value
        if isinstance(value, (tuple, list)):
            return self._sequence(value, [self(part, inside=inside) for part in value])
        if isinstance(value, MutableMapping):
            return self._mapping(value, inside=inside)
        return self._object(value)

    def _clone(self, tensor: Tensor) -> Tensor:
        if not self._expanded and _is_expanded(tensor):
            return tensor
        if self._graph:
            return tensor.clone()
        with torch.inference_mode(mode=False), torch.no_grad():
            return tensor.detach().clone()

    def _sequence(self, value: Any, parts: list[Any]) -> Any:
        if type(value) in (tuple, list):
            return type(value)(parts)
        if all(new is old for new, old in zip(parts, value, strict=True)):
            return value
        if hasattr(value, "_fields"):
            return type(value)(*parts)
        copied = copy.copy(value)
        if isinstance(copied, list) and copied is not value:
            copied[:] = parts
        return copied

    def _mapping(self, value: MutableMapping[Any, Any], *, inside: bool) -> Any:
        parts = {key: self(part, inside=inside) for key, part in value.items()}
        if type(value) is dict:
            return parts
        copied = copy.copy(value)
        for key, part in parts.items():
            before = value[key]
            copied[key] = part
            if value[key] is not before:  # its copy holds the same dictionary
                value[key] = before
                return self._object(value)
        return copied

    def _object(self, value: Any) -> Any:
        """An object of any class, with what leads to a tensor exchanged, where it can be copied."""
        names = [*getattr(value, "__dict__", {}), *_slots(type(value))]
        held = {name: getattr(value, name) for name in names if hasattr(value, name)}
        if is_dataclass(value):
            held = {part.name: getattr(value, part.name) for part in fields(value)} | held
        changed = {name: new for name, old in held.items() if (new := self(old, inside=True)) is not old}
        if not changed:
            return value
        try:
            copied = copy.copy(value)
            if copied is value:
                return value
            for name, new in changed.items():
                object.__setattr__(copied, name, new)
        except Exception:  # noqa: BLE001 - a person's class may raise anything when copied
            return value
        return copied


def _is_expanded(tensor: Tensor) -> bool:
    if tensor.layout is not torch.strided or tensor.is_nested:
        return False
    return any([size > 1 and stride == 0 for size, stride in zip(tensor.shape, tensor.stride(), strict=True)])


def _slots(kind: type) -> list[str]:
    found = [vars(each).get("__slots__", ()) for each in kind.__mro__]
    return [name for names in found for name in ((names,) if isinstance(names, str) else names)]
