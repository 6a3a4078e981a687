"""The beginnings of a model's input: the same call on the first steps only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from rnnwidget.recording.layer_recording import LayerRecording
from rnnwidget.recording.twin import Arguments


@dataclass(frozen=True)
class TimeAxis:
    """Where time is in what goes with a recurrent call: its steps, its sequences, and how it passed them.

    ``batch_first`` is None where the call does not tell.
    """

    steps: int
    lengths: Int[Tensor, " batch"]
    batch_first: bool | None
    padded: bool

    @classmethod
    def of(cls, layer: LayerRecording) -> TimeAxis:
        """Of the call that a layer was recorded in."""
        packed = layer.batch_first is None
        return cls(layer.source.steps, layer.lengths.cpu(), layer.batch_first, padded=packed)

    def find(self, tensor: Tensor) -> int | None:
        """The axis of time, None if the tensor has none that can be told."""
        batch = len(self.lengths)
        if tensor.dim() == 0:
            return None
        first = self._fits(tensor.size(0)) and (tensor.size(1) == batch if tensor.dim() > 1 else batch == 1)
        second = tensor.dim() > 1 and tensor.size(0) == batch and self._fits(tensor.size(1))
        if first and second:
            return None if self.batch_first is None else int(self.batch_first)
        if first or second:
            return 0 if first else 1
        # One sequence without an axis for the batch.
        return 0 if batch == 1 and self._fits(tensor.size(0)) else None

    def _fits(self, size: int) -> bool:
        """Padding may be wider than the longest sequence of a packed call."""
        return size == self.steps or (self.padded and size > self.steps)

    def are_lengths(self, value: object) -> bool:
        """Whether a value is the number of steps of each sequence."""
        if isinstance(value, Tensor):
            whole = not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)
            return value.dim() == 1 and whole and value.tolist() == self.lengths.tolist()
        if not isinstance(value, (list, tuple)) or any(type(item) is not int for item in value):
            return False
        return list(value) == self.lengths.tolist()


class Prefixes:
    """A model's input, cut after any step. ValueError if nothing in ``x`` has a time axis that can be told."""

    def __init__(self, x: object, time: TimeAxis) -> None:
        self._x, self._time = x, time
        if not any(has_time(value, time) for value in leaves(x)):
            shapes = ", ".join(str(tuple(leaf.shape)) for leaf in leaves(x) if isinstance(leaf, Tensor)) or "none"
            raise ValueError(
                f"the time axis of the input cannot be told: the recurrent layer read {time.steps} steps of "
                f"{len(time.lengths)} sequences, and the input has tensors of shape {shapes}"
            )

    def until(self, steps: int) -> object:
        """The input of the first ``steps`` steps."""
        return beginning(self._x, self._time, steps)


def leaves(x: object) -> Iterator[object]:
    """What the tuples, lists and dicts of an input or an output hold in the end."""
    if isinstance(x, Arguments):
        yield from leaves((x.positional, dict(x.keywords)))
    elif isinstance(x, Mapping):
        for value in x.values():
            yield from leaves(value)
    elif isinstance(x, (list, tuple)) and not isinstance(x, PackedSequence):
        for value in x:
            yield from leaves(value)
    else:
        yield x


def has_time(value: object, time: TimeAxis) -> bool:
    """Whether a tensor or a packed sequence has the steps of a recurrent call."""
    if isinstance(value, PackedSequence):
        return len(value.batch_sizes) == time.steps
    return isinstance(value, Tensor) and not time.are_lengths(value) and time.find(value) is not None


def beginning(value: Any, time: TimeAxis, steps: int) -> Any:
    """The first steps of an input or an output.

    Tensors are cut along time, packed sequences and lengths end where they would by then; the rest is passed on.
    """
    if time.are_lengths(value):
        if isinstance(value, Tensor):
            return value.clamp(max=steps)
        return type(value)(min(length, steps) for length in value)
    if isinstance(value, Arguments):
        return Arguments(beginning(value.positional, time, steps), beginning(dict(value.keywords), time, steps))
    if not _is_container(value):
        return _leaf_until(value, time, steps)
    if isinstance(value, Mapping):
        return {name: beginning(part, time, steps) for name, part in value.items()}
    parts = [beginning(part, time, steps) for part in value]
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)


def _is_container(value: object) -> bool:
    return type(value) in (list, tuple, dict) or (
        isinstance(value, tuple) and hasattr(value, "_fields") and not isinstance(value, PackedSequence)
    )


def _leaf_until(value: object, time: TimeAxis, steps: int) -> object:
    if not has_time(value, time):
        return value
    if isinstance(value, PackedSequence):
        kept = value.batch_sizes[:steps]
        return PackedSequence(value.data[: int(kept.sum())], kept, value.sorted_indices, value.unsorted_indices)
    assert isinstance(value, Tensor)
    axis = time.find(value)
    assert axis is not None
    return value.narrow(axis, 0, min(steps, value.size(axis)))
