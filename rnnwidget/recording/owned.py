"""The same values in memory of our own: what a person hands over may be changed in place afterwards."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping
from dataclasses import fields, is_dataclass, replace
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

_PLAIN = (str, bytes, bool, int, float, complex, type(None), torch.dtype, torch.device)
_CLOSED = (*_PLAIN, type, ModuleType, FunctionType, nn.Module)


def owned(value: Any, *, graph: bool = False) -> Any:  # noqa: PLR0911 - a case for each kind of container
    """The same structure with tensors cloned; with ``graph`` gradients reach the tensors that were given.

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(2)
    >>> kept = owned({"x": x, "name": "first"})
    >>> _ = x.add_(1)
    >>> kept
    {'x': tensor([0., 0.]), 'name': 'first'}
    """
    if isinstance(value, Tensor):
        if graph:
            return value.clone()
        with torch.inference_mode(mode=False), torch.no_grad():
            return value.detach().clone()
    if isinstance(value, PackedSequence):
        return PackedSequence(*(owned(part, graph=graph) for part in value))
    if type(value) in (tuple, list):
        return type(value)(owned(part, graph=graph) for part in value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(owned(part, graph=graph) for part in value))
    if isinstance(value, MutableMapping):
        copied = copy.copy(value)
        for key, part in value.items():
            copied[key] = owned(part, graph=graph)
        return copied
    if isinstance(value, np.ndarray):
        return value.copy()
    if is_dataclass(value) and not isinstance(value, type):
        parts = {part.name: owned(getattr(value, part.name), graph=graph) for part in fields(value) if part.init}
        return replace(value, **parts)
    return _with_own_tensors(value, graph=graph)


def _with_own_tensors(value: Any, *, graph: bool) -> Any:
    """An object with the tensors and arrays in it cloned, where it can be copied."""
    if isinstance(value, _CLOSED):
        return value
    held = _held(value)
    if not held:
        return value
    memo = {id(part): owned(part, graph=graph) for part in held}
    try:
        return copy.deepcopy(value, dict(memo))
    except Exception:  # noqa: BLE001 - a person's class may raise anything when copied
        return _shallow(value, memo)


def _shallow(value: Any, memo: dict[int, Any]) -> Any:
    """What cannot be copied deep, with the tensors that it holds itself exchanged."""
    try:
        copied = copy.copy(value)
        if copied is not value:
            vars(copied).update({name: memo[id(part)] for name, part in vars(value).items() if id(part) in memo})
    except Exception:  # noqa: BLE001 - likewise
        return value
    return copied


def _held(value: Any) -> list[Any]:
    """The tensors and arrays that an object holds, by way of its attributes and of containers."""
    held, seen, waiting = [], set(), [value]
    while waiting:
        part = waiting.pop()
        if id(part) in seen or isinstance(part, _CLOSED):
            continue
        seen.add(id(part))
        if isinstance(part, (Tensor, np.ndarray)):
            held.append(part)
            continue
        if isinstance(part, Mapping):
            waiting += part.values()
        elif isinstance(part, (list, tuple, set, frozenset)):
            waiting += part
        waiting += getattr(part, "__dict__", {}).values()
        slots = [name for kind in type(part).__mro__ for name in vars(kind).get("__slots__", ())]
        waiting += [getattr(part, name) for name in slots if hasattr(part, name)]
    return held
