"""The same values in memory of our own: what a person hands over may be changed in place afterwards."""

from __future__ import annotations

import copy
from collections.abc import MutableMapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


def owned(value: Any, *, graph: bool = False) -> Any:  # noqa: C901, PLR0911 - a case for each kind of container
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
    if any(isinstance(part, (Tensor, np.ndarray)) for part in getattr(value, "__dict__", {}).values()):
        copied = copy.copy(value)
        vars(copied).update({name: owned(part, graph=graph) for name, part in vars(value).items()})
        return copied
    return value
