"""A stimulus channel in a model's input: where it lies there, and a pulse of it moved or scaled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from rnnwidget.recording.layer_recording import LayerRecording
from rnnwidget.recording.twin import Arguments
from rnnwidget.widgets.counted import counted, steps_told

NOT_FOUND = "the channel is computed from the input, or stands there twice: set inspector.inputs instead"
COMPARED = 16
"""So many sequences are looked at to tell where an input is read."""


@runtime_checkable
class Place(Protocol):
    """What of an input a layer reads as it is."""

    @property
    def path(self) -> tuple[Any, ...]:
        """What leads to it, through tuples, lists and dicts."""

    def read(self, value: Any, sequence: int) -> Float[Tensor, "time channel"] | None:
        """One sequence of what stands there; None if there is no such sequence."""

    def written(self, value: Any, sequence: int, channel: int, series: Float[Tensor, " time"]) -> object:
        """The same with the first steps of one channel of a sequence replaced; ``value`` stays as it is."""


@dataclass(frozen=True)
class TensorPlace:
    """A tensor, and which of its axes are batch, time and channel."""

    path: tuple[Any, ...]
    axes: str

    def read(self, value: Tensor, sequence: int) -> Float[Tensor, "time channel"] | None:
        """One sequence of ``value``; writing to it writes to ``value``."""
        names = self.axes.split()
        if "batch" in names:
            if sequence >= value.size(names.index("batch")):
                return None
            value = value.select(names.index("batch"), sequence)
        return value if "channel" in names else value.unsqueeze(-1)

    def written(self, value: Tensor, sequence: int, channel: int, series: Float[Tensor, " time"]) -> Tensor:
        """A copy with the first steps of one channel of a sequence replaced."""
        changed = value.detach().clone()
        own = self.read(changed, sequence)
        assert own is not None
        own[: series.numel(), channel] = series
        return changed


@dataclass(frozen=True)
class PackedPlace:
    """A packed sequence: its steps lie one after the other, in each the sequences that are as long, longest first."""

    path: tuple[Any, ...]

    def read(self, value: PackedSequence, sequence: int) -> Float[Tensor, "time channel"] | None:
        """One sequence of ``value``, in the order in which it was packed."""
        if sequence >= int(value.batch_sizes[0]):
            return None
        own = value.data[_rows(value, sequence).to(value.data.device)]
        return own if own.dim() == 2 else own.unsqueeze(-1) if own.dim() == 1 else None

    def written(
        self, value: PackedSequence, sequence: int, channel: int, series: Float[Tensor, " time"]
    ) -> PackedSequence:
        """One that is packed alike, with the first steps of one channel of a sequence replaced."""
        changed = value.data.detach().clone()
        flat = changed.unsqueeze(-1) if changed.dim() == 1 else changed
        flat[_rows(value, sequence)[: series.numel()].to(changed.device), channel] = series
        return PackedSequence(changed, value.batch_sizes, value.sorted_indices, value.unsorted_indices)


AXES = {3: ("time batch channel", "batch time channel"), 2: ("time channel", "batch time", "time batch"), 1: ("time",)}


def stimulus_place(
    inputs: object, read: Sequence[Float[Tensor, "time channel"]], sequence: int, *, batch_first: bool = False
) -> Place | None:
    """Where what a layer ``read`` of every sequence stands in the model's input unchanged.

    None if it stands nowhere, or may be one of two inputs.
    """
    looked_at = (sequence, *(other for other in range(min(len(read), COMPARED)) if other != sequence))
    found: list[Place] = []
    for path, value in _values(inputs):
        places = _places(path, value, batch_first=batch_first)
        fitting = (place for place in places if all(_is_read(value, place, read[own], own) for own in looked_at))
        found += islice(fitting, 1)
    return found[0] if len(found) == 1 else None


def place_read_by(layer: LayerRecording, inputs: object, sequence: int) -> Place | None:
    """Like :func:`stimulus_place`, of what a layer was recorded to read."""
    read = [layer.inputs[:steps, own] for own, steps in enumerate(layer.lengths.tolist())]
    return stimulus_place(inputs, read, sequence, batch_first=bool(layer.batch_first))


def _is_read(value: Tensor | PackedSequence, place: Place, read: Float[Tensor, "time channel"], sequence: int) -> bool:
    """Whether what stands there of one sequence is what was read."""
    own = place.read(value, sequence)
    own = None if own is None else own[: read.size(0)]
    return own is not None and own.shape == read.shape and _same(own, read)


def _places(path: tuple[Any, ...], value: Tensor | PackedSequence, *, batch_first: bool) -> Sequence[Place]:
    """Where a value can be read; where either axis may be the batch, the layer's own order comes first."""
    if isinstance(value, PackedSequence):
        return [PackedPlace(path)] if value.data.is_floating_point() else []
    axes = AXES.get(value.dim(), ()) if value.is_floating_point() else ()
    ordered = sorted(axes, key=lambda names: names.startswith("batch") != batch_first)
    return [TensorPlace(path, names) for names in ordered]


def _rows(packed: PackedSequence, sequence: int) -> Int[Tensor, " time"]:
    """The row of the packed data at which each step of a sequence lies."""
    sizes = packed.batch_sizes
    place = sequence if packed.unsorted_indices is None else int(packed.unsorted_indices[sequence])
    return (sizes.cumsum(0) - sizes + place)[sizes > place]


def _same(one: Tensor, other: Tensor) -> bool:
    own, read = (torch.nan_to_num(tensor.detach().cpu()) for tensor in (one, other))
    return torch.equal(own, read.to(own.dtype))


def with_pulse(
    inputs: object, place: Place, sequence: int, channel: int, start: int, stop: int, move: int, gain: float, steps: int
) -> object:
    """The input with the steps [start, stop) of one channel moved and scaled; everything else is shared with it.

    ``steps`` is how many the sequence has: what reaches beyond them is cut off. ValueError where all of it does, and
    where there is nothing to move or to scale.
    """
    if start >= steps:
        lie = "lies" if stop - start == 1 else "lie"
        raise ValueError(
            f"{steps_told(start, stop)} {lie} beyond the end of sequence {sequence}, "
            f"which has {counted(steps, 'step')}: brush steps that it has"
        )
    value = _at(inputs, place.path)
    own = place.read(value, sequence)
    assert own is not None
    stop = min(stop, steps)
    if start + move >= steps or stop + move <= 0:
        raise ValueError(
            f"moved by {move}, the pulse would lie wholly beyond the {counted(steps, 'step')} of the sequence"
        )
    series = own[:steps, channel].detach()
    if is_flat(series, start, stop) and (move or not bool(series[start:stop].any())):
        why = "is the same as beside them" if move else "is 0"
        raise ValueError(
            f"at {steps_told(start, stop)} the channel {why}, so there is nothing to {'move' if move else 'scale'}: "
            "brush the steps of a pulse"
        )
    series = moved_pulse(series, start, stop, move, gain)
    return _replaced(inputs, place.path, place.written(value, sequence, channel, series))


def series_at(inputs: object, place: Place, sequence: int, channel: int) -> Float[Tensor, " time"]:
    """One channel of a sequence in an input."""
    own = place.read(_at(inputs, place.path), sequence)
    assert own is not None
    return own[:, channel].detach()


def moved_pulse(
    series: Float[Tensor, " time"], start: int, stop: int, move: int, gain: float
) -> Float[Tensor, " time"]:
    """A pulse lifted off what surrounds it, scaled by ``gain`` and put down ``move`` steps later.

    What surrounds it is the mean of the values beside it; it stays where the pulse was. It is zero if the pulse is the
    whole series, or no other than what is beside it. What falls off the ends is lost.

    Examples
    --------
    >>> import torch
    >>> moved_pulse(torch.tensor([0.0, 1.0, 1.0, 0.0, 0.0]), 1, 3, move=2, gain=0.5)
    tensor([0.0000, 0.0000, 0.0000, 0.5000, 0.5000])
    """
    beside = _beside(series, start, stop)
    ground = beside.mean() if beside.numel() and not is_flat(series, start, stop) else series.new_zeros(())
    changed = series.clone()
    changed[start:stop] = ground
    pulse = ground + gain * (series[start:stop] - ground)
    first = max(0, -(start + move))
    kept = pulse[first : max(first, series.numel() - start - move)]
    changed[start + move + first : start + move + first + kept.numel()] = kept
    return changed


def is_flat(series: Float[Tensor, " time"], start: int, stop: int) -> bool:
    """Whether nothing at the steps [start, stop) stands out from the steps beside them."""
    beside = _beside(series, start, stop)
    return beside.numel() > 0 and bool((series[start:stop] == beside.mean()).all())


def _beside(series: Float[Tensor, " time"], start: int, stop: int) -> Float[Tensor, " side"]:
    return torch.cat([series[max(start - 1, 0) : start], series[stop : stop + 1]])


def told_of_pulse(name: str, start: int, stop: int, move: int, gain: float) -> str:
    """One readable line."""
    when = steps_told(start, stop)
    moved = f" moved by {'+' if move > 0 else '−'}{abs(move)}" if move else ""
    scaled = f" scaled by {gain:.2f}".replace("-", "−") if gain != 1 else ""
    return f"{name}, {when},{moved}{' and' if moved and scaled else ''}{scaled}"


def _values(inputs: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Tensor | PackedSequence]]:
    if isinstance(inputs, (Tensor, PackedSequence)):
        yield path, inputs
    elif isinstance(inputs, Arguments):
        yield from _values(inputs.positional, (*path, "positional"))
        yield from _values(inputs.keywords, (*path, "keywords"))
    elif type(inputs) in (tuple, list):
        for index, part in enumerate(inputs):  # type: ignore[arg-type, var-annotated]
            yield from _values(part, (*path, index))
    elif isinstance(inputs, Mapping):
        for name, part in inputs.items():
            yield from _values(part, (*path, name))


def _at(inputs: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        inputs = getattr(inputs, key) if isinstance(inputs, Arguments) else inputs[key]
    return inputs


def _replaced(inputs: Any, path: tuple[Any, ...], value: object) -> Any:
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(inputs, Arguments):
        return replace(inputs, **{key: _replaced(getattr(inputs, key), rest, value)})
    if isinstance(inputs, (tuple, list)):
        return type(inputs)(_replaced(part, rest, value) if index == key else part for index, part in enumerate(inputs))
    return {name: _replaced(part, rest, value) if name == key else part for name, part in inputs.items()}
