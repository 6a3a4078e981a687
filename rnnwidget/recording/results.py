"""Tensors in what a module takes or returns, whatever holds them, and the same structure with other tensors."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any

from torch import Tensor


def tensors_in(value: Any) -> tuple[Tensor, ...]:
    """Every tensor, in order.

    Examples
    --------
    >>> import torch
    >>> len(tensors_in({"states": torch.zeros(2), "more": [torch.ones(1), None]}))
    2
    """
    return tuple(_tensors_in(value, ()))


def _tensors_in(value: Any, around: tuple[int, ...]) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif id(value) not in around:
        for _, part in _parts(value):
            yield from _tensors_in(part, (*around, id(value)))


def with_tensors(value: Any, new: Mapping[int, Tensor]) -> Any:
    """The same structure with some tensors, by identity, exchanged for others."""
    return _exchanged(value, new, ())


def _exchanged(value: Any, new: Mapping[int, Tensor], around: tuple[int, ...]) -> Any:
    if isinstance(value, Tensor):
        return new.get(id(value), value)
    if id(value) in around:
        return value
    parts = {key: _exchanged(part, new, (*around, id(value))) for key, part in _parts(value)}
    if all([parts[key] is part for key, part in _parts(value)]):
        return value
    if isinstance(value, tuple):
        return type(value)(*parts.values()) if hasattr(value, "_fields") else type(value)(parts.values())
    copied = copy.copy(value)
    for key, part in parts.items():
        if isinstance(value, (list, dict)):
            copied[key] = part
        else:
            object.__setattr__(copied, key, part)
    return copied


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, (tuple, list)):
        return enumerate(value)
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, SimpleNamespace):
        return vars(value).items()
    if is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in fields(value)]
    return ()
