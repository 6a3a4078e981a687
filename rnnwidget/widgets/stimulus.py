"""A stimulus channel in a model's input: where it lies there, and a pulse of it moved or scaled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rnnwidget.recording.twin import Arguments

NOT_FOUND = "the layer reads something that the model computes from its input: set inspector.inputs from Python instead"


@dataclass(frozen=True)
class Place:
    """The tensor of an input that a layer reads as it is, and which of its axes are batch, time and channel."""

    path: tuple[Any, ...]
    axes: str

    def series(self, tensor: Tensor, sequence: int) -> Float[Tensor, "time channel"]:
        """One sequence of ``tensor``; writing to it writes to the tensor."""
        if "batch" in self.axes.split():
            tensor = tensor.select(self.axes.split().index("batch"), sequence)
        return tensor if "channel" in self.axes.split() else tensor.unsqueeze(-1)


AXES = {3: ("time batch channel", "batch time channel"), 2: ("time channel", "batch time", "time batch"), 1: ("time",)}


def stimulus_place(inputs: object, read: Float[Tensor, "time channel"], sequence: int) -> Place | None:
    """Where ``read``, what a layer read of one sequence, stands in the model's input unchanged; None if nowhere."""
    for path, tensor in _tensors(inputs):
        if not tensor.is_floating_point():
            continue
        for axes in AXES.get(tensor.dim(), ()):
            place = Place(path, axes)
            names = axes.split()
            if "batch" in names and sequence >= tensor.size(names.index("batch")):
                continue
            own = place.series(tensor, sequence)[: read.size(0)]
            if own.shape == read.shape and _same(own, read):
                return place
    return None


def _same(one: Tensor, other: Tensor) -> bool:
    own, read = (torch.nan_to_num(tensor.detach().cpu()) for tensor in (one, other))
    return torch.equal(own, read.to(own.dtype))


def with_pulse(
    inputs: object, place: Place, sequence: int, channel: int, start: int, stop: int, move: int, gain: float, steps: int
) -> object:
    """The input with the steps [start, stop) of one channel moved and scaled; everything else is shared with it."""
    tensor = _at(inputs, place.path)
    with torch.no_grad():
        changed = tensor.detach().clone()
        own = place.series(changed, sequence)[:steps]
        own[:, channel] = moved_pulse(own[:, channel], start, stop, move, gain)
    return _replaced(inputs, place.path, changed)


def moved_pulse(
    series: Float[Tensor, " time"], start: int, stop: int, move: int, gain: float
) -> Float[Tensor, " time"]:
    """A pulse lifted off what surrounds it, scaled by ``gain`` and put down ``move`` steps later.

    What surrounds it is the mean of the values beside it, zero if the pulse is the whole series; it stays where the
    pulse was. What falls off the ends is lost.

    Examples
    --------
    >>> import torch
    >>> moved_pulse(torch.tensor([0.0, 1.0, 1.0, 0.0, 0.0]), 1, 3, move=2, gain=0.5)
    tensor([0.0000, 0.0000, 0.0000, 0.5000, 0.5000])
    """
    beside = [series[place] for place in (start - 1, stop) if 0 <= place < series.numel()]
    ground = torch.stack(beside).mean() if beside else series.new_zeros(())
    changed = series.clone()
    changed[start:stop] = ground
    pulse = ground + gain * (series[start:stop] - ground)
    first = max(0, -(start + move))
    kept = pulse[first : max(first, series.numel() - start - move)]
    changed[start + move + first : start + move + first + kept.numel()] = kept
    return changed


def told_of_pulse(channel: int, start: int, stop: int, move: int, gain: float) -> str:
    """One readable line."""
    when = f"step {start}" if stop - start == 1 else f"steps {start} to {stop - 1}"
    moved = f" moved by {'+' if move > 0 else '−'}{abs(move)}" if move else ""
    scaled = f" scaled by {gain:.2f}".replace("-", "−") if gain != 1 else ""
    return f"input {channel}, {when},{moved}{' and' if moved and scaled else ''}{scaled}"


def _tensors(inputs: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Tensor]]:
    if isinstance(inputs, Tensor):
        yield path, inputs
    elif isinstance(inputs, Arguments):
        yield from _tensors(inputs.positional, (*path, "positional"))
        yield from _tensors(inputs.keywords, (*path, "keywords"))
    elif type(inputs) in (tuple, list):
        for index, part in enumerate(inputs):  # type: ignore[arg-type, var-annotated]
            yield from _tensors(part, (*path, index))
    elif isinstance(inputs, Mapping):
        for name, part in inputs.items():
            yield from _tensors(part, (*path, name))


def _at(inputs: Any, path: tuple[Any, ...]) -> Tensor:
    for key in path:
        inputs = getattr(inputs, key) if isinstance(inputs, Arguments) else inputs[key]
    found: Tensor = inputs
    return found


def _replaced(inputs: Any, path: tuple[Any, ...], tensor: Tensor) -> Any:
    if not path:
        return tensor
    key, rest = path[0], path[1:]
    if isinstance(inputs, Arguments):
        return replace(inputs, **{key: _replaced(getattr(inputs, key), rest, tensor)})
    if isinstance(inputs, (tuple, list)):
        return type(inputs)(
            _replaced(part, rest, tensor) if index == key else part for index, part in enumerate(inputs)
        )
    return {name: _replaced(part, rest, tensor) if name == key else part for name, part in inputs.items()}
