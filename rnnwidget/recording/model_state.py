"""What tells that a model has moved: addresses, counts of writes, modes, a person's hooks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rnnwidget.recording.copies import modules_of
from rnnwidget.recording.model_hook import ModelHook


class ModelState(NamedTuple):
    """How a model's parameters lie, how often each of its tensors has been written to, and what is in training mode.

    ``hooks`` are those of a person's own by their numbers; ``others`` tells the contents of what recordings do not
    compare.
    """

    addresses: tuple[tuple[int, torch.dtype, tuple[int, ...], tuple[int, ...]], ...]
    versions: tuple[int | None, ...]
    training: tuple[bool, ...]
    hooks: tuple[int, ...] = ()
    others: tuple[str, ...] = ()


def looked_at(model: nn.Module) -> ModelState:
    """Addresses tell a parameter that was replaced or moved from one that was stepped in place."""
    parts = modules_of(model)
    addresses = [
        (parameter.data_ptr(), parameter.dtype, parameter.shape, parameter.stride())
        for part in parts
        for parameter in part._parameters.values()
        if parameter is not None
    ]
    hooks = [
        number
        for part in parts
        for of_part in (part._forward_pre_hooks, part._forward_hooks)
        if of_part
        for number, hook in of_part.items()
        if not isinstance(hook, ModelHook)
    ]
    training = tuple([part.training for part in parts])
    return ModelState(tuple(addresses), versions_of(_tensors_of_parts(parts)), training, tuple(hooks))


def versions_of(tensors: Iterable[Tensor]) -> tuple[int | None, ...]:
    return tuple([None if tensor.is_inference() else tensor._version for tensor in tensors])


def tensors_of(model: nn.Module) -> list[Tensor]:
    return _tensors_of_parts(modules_of(model))


def _tensors_of_parts(parts: Iterable[nn.Module]) -> list[Tensor]:
    return [
        tensor
        for part in parts
        for of_part in (part._parameters, part._buffers)
        for tensor in of_part.values()
        if tensor is not None
    ]
