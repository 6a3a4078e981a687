"""What a person knows about time and sequences, as coordinates of a layer's arrays."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from rnnwidget.recording.layer_recording import LayerRecording

Array = np.ndarray[Any, Any]
Variable = tuple[tuple[str, ...], Array, dict[str, str]]


@dataclass(frozen=True)
class Coordinate:
    """One coordinate, before it is known which layers it fits."""

    name: str

    def variable(self, layer: LayerRecording) -> Variable:
        """Dims, values and attributes for ``layer``; ValueError says why it does not fit."""
        raise NotImplementedError


@dataclass(frozen=True)
class Tokens(Coordinate):
    """The text of each step."""

    sequences: list[list[str]]

    def variable(self, layer: LayerRecording) -> Variable:
        lengths = layer.lengths.tolist()
        if len(self.sequences) != len(lengths):
            raise ValueError(f"tokens hold {len(self.sequences)} sequences, it read {len(lengths)}")
        for index, (tokens, steps) in enumerate(zip(self.sequences, lengths, strict=True)):
            if len(tokens) != steps:
                raise ValueError(f"tokens[{index}] has {len(tokens)} tokens, it read {steps} steps of that sequence")
        width = layer.source.steps
        padded = [[*tokens, *([""] * (width - len(tokens)))] for tokens in self.sequences]
        return ("batch", "time"), np.array(padded, dtype=str).reshape(len(padded), width), {}


@dataclass(frozen=True)
class Times(Coordinate):
    """The time of each step, or the duration of a step."""

    values: Array
    attributes: dict[str, str]

    def variable(self, layer: LayerRecording) -> Variable:
        steps = layer.source.steps
        if self.values.ndim == 0:
            return ("time",), np.arange(steps) * self.values, self.attributes
        if len(self.values) != steps:
            raise ValueError(f"there are {len(self.values)} times, it has {steps} steps")
        return ("time",), self.values, self.attributes


@dataclass(frozen=True)
class PerSequence(Coordinate):
    """One value for each sequence."""

    values: Array
    attributes: dict[str, str]

    def variable(self, layer: LayerRecording) -> Variable:
        batch = len(layer.lengths)
        if len(self.values) != batch:
            raise ValueError(f"{self.name} has {len(self.values)} values, it read {batch} sequences")
        return ("batch",), self.values, self.attributes


def coordinates(
    *, tokens: Any, times: Any, unit: str | None, conditions: Any, events: Any, taken: Collection[str]
) -> list[Coordinate]:
    """Every coordinate that was given; ValueError or TypeError for what can be none."""
    if unit is not None and not isinstance(unit, str):
        raise TypeError(f"unit is the name of a unit of time such as 'ms', got {unit!r:.40}")
    if unit is not None and times is None and not events:
        raise ValueError(f"unit={unit!r} says what times and events are in: give one of them too")
    units = {} if unit is None else {"units": unit}
    found: list[Coordinate] = []
    if tokens is not None:
        found.append(Tokens("tokens", _token_lists(tokens)))
    if times is not None:
        found.append(Times("time", _times(times), units))
    if conditions is not None:
        named = conditions if isinstance(conditions, Mapping) else {"condition": conditions}
        found += [PerSequence(name, _labels(name, values), {}) for name, values in named.items()]
    if events is not None and not isinstance(events, Mapping):
        raise TypeError(f"events map a name to its time in each sequence, got {type(events).__name__}")
    found += [PerSequence(name, _numbers(f"event {name!r}", values), units) for name, values in (events or {}).items()]
    names = [coordinate.name for coordinate in found]
    for name in names:
        used = name in taken and not (name == "time" and times is not None and names.count("time") == 1)
        if not isinstance(name, str) or used or names.count(name) > 1:
            raise ValueError(f"a condition or event cannot be called {name!r:.40}: that name is taken")
    return found


def _token_lists(tokens: Any) -> list[list[str]]:
    if isinstance(tokens, str) or not isinstance(tokens, Sequence):
        raise TypeError(f"tokens must be a list of strings for each sequence, got {type(tokens).__name__}")
    flat = bool(tokens) and all(isinstance(token, str) for token in tokens)
    nested = [tokens] if flat else tokens
    for index, sequence in enumerate(nested):
        if isinstance(sequence, str) or not isinstance(sequence, Sequence):
            raise TypeError(f"tokens[{index}] must be a list of strings, got {type(sequence).__name__}")
        odd = next((token for token in sequence if not isinstance(token, str)), None)
        if odd is not None:
            raise TypeError(f"tokens[{index}] holds {odd!r:.40} of type {type(odd).__name__}; tokens are strings")
    return [list(sequence) for sequence in nested]


def _times(times: Any) -> Array:
    values = _plain(times)
    if values.ndim > 1 or values.dtype.kind not in "iufmM":
        raise ValueError(f"times are one number for each step, or the duration of a step; got {times!r:.60}")
    return values


def _labels(name: object, given: Any) -> Array:
    values = _plain(given)
    if values.ndim != 1:
        raise ValueError(f"condition {name!r:.40} needs one value for each sequence, got {given!r:.60}")
    return values


def _numbers(name: str, given: Any) -> Array:
    try:
        values = np.asarray(_plain(given), dtype=float)
    except (TypeError, ValueError):
        values = np.array(0.0)
    if values.ndim != 1:
        raise ValueError(f"{name} needs one time for each sequence, NaN where it did not happen; got {given!r:.60}")
    return values


def _plain(given: Any) -> Array:
    if isinstance(given, Tensor):
        return np.asarray(given.detach().cpu())
    try:
        return np.asarray(given)
    except ValueError:
        return np.asarray(None)
