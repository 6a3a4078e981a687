"""The same values in memory of our own: what a person hands over may be changed in place afterwards."""

from __future__ import annotations

import copy
from collections.abc import MutableMapping
from dataclasses import fields, is_dataclass, replace
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

_HELD = (Tensor, np.ndarray, PackedSequence)


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
    """An object with the tensors and arrays that it holds itself cloned, where it can be copied."""
    if isinstance(value, (type, ModuleType, FunctionType, nn.Module)):
        return value
    held = {name: part for name, part in getattr(value, "__dict__", {}).items() if isinstance(part, _HELD)}
    if not held:
        return value
    try:
        copied = copy.copy(value)
    except Exception:  # noqa: BLE001 - a person's class may raise anything when copied
        return value
    if copied is not value:
        vars(copied).update({name: owned(part, graph=graph) for name, part in held.items()})
    return copied
