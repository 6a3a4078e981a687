"""Where a layer's numbers come from: rebuilt from recorded calls, or read from a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from operator import attrgetter

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from rnnwidget.cells.edits import NO_EDITS, LayerEdits
from rnnwidget.cells.family import Family
from rnnwidget.recording.arithmetic import our_arithmetic
from rnnwidget.recording.modules import Layer
from rnnwidget.recording.packed_layer import PackedLayer
from rnnwidget.recording.recorded_call import RecordedCall
from rnnwidget.recording.sequences import Window
from rnnwidget.recording.stretches import Stretch, shown_stretches


@dataclass(frozen=True)
class Part:
    """One call of a run, from its first step on: where sequences have steps, and the edits in force."""

    start: int
    live: Bool[Tensor, "time batch"]
    edits: LayerEdits


def live_steps(steps: int, lengths: Int[Tensor, " batch"]) -> Bool[Tensor, "time batch"]:
    """The steps before each sequence's end.

    Examples
    --------
    >>> live_steps(3, torch.tensor([1, 3])).int().tolist()
    [[1, 1], [0, 1], [0, 1]]
    """
    return torch.arange(steps, device=lengths.device).unsqueeze(1) < lengths


class LayerSource(ABC):
    """One layer and direction over a run of steps: tensors are (time, batch, unit) by input position, NaN at padding.

    A ``window`` (start, stop) asks for some steps only.
    """

    name: str
    family: Family
    batch_first: bool | None
    edits: LayerEdits
    truncations: tuple[int, ...]

    @abstractmethod
    def site(self, site: str, window: Window | None = None) -> Tensor:
        """A gate or state by its full name."""

    @abstractmethod
    def preactivation(self, site: str, window: Window | None = None) -> Tensor:
        """The affine value before a nonlinearity."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """How many steps the run has."""

    @property
    @abstractmethod
    def inputs(self) -> Tensor:
        """What the layer read."""

    @property
    @abstractmethod
    def lengths(self) -> Tensor:
        """How many steps each sequence has."""

    @property
    def live(self) -> Bool[Tensor, "time batch"]:
        """Where sequences have steps: in a run of packed calls there is padding before a sequence's end too."""
        return torch.cat([part.live for part in self.parts])

    @property
    def parts(self) -> tuple[Part, ...]:
        """The calls that the run is made of, oldest first."""
        return (Part(0, live_steps(self.steps, self.lengths), self.edits),)

    @property
    @abstractmethod
    def initial(self) -> tuple[Tensor, ...]:
        """The states before the first step."""

    @property
    @abstractmethod
    def residual(self) -> float:
        """The one-step residual."""


class RebuiltLayer(LayerSource):
    """A layer of calls that a recording keeps, each going on from the one before."""

    def __init__(self, calls: Sequence[RecordedCall], layer: Layer) -> None:
        self._calls, self._layer = tuple(calls), layer
        self.name, self.family = layer.name, layer.family
        layout = self._calls[0].call.layout
        self.batch_first = None if layout.packed else layout.batch_first
        starts = self._starts
        self.truncations = tuple(start for start, call in zip(starts, self._calls, strict=False) if call.cut)
        self.edits = self._calls[0].edits.get(self.name, NO_EDITS) if len(self._calls) == 1 else NO_EDITS

    @cached_property
    def _stretches(self) -> list[Stretch | PackedLayer]:
        return shown_stretches(self._calls, self._layer)

    @cached_property
    def _starts(self) -> list[int]:
        """The first step of each call, and after them the number of steps."""
        starts = [0]
        for call in self._calls:
            starts.append(starts[-1] + call.call.layout.steps)
        return starts

    @property
    def steps(self) -> int:
        return self._starts[-1]

    def _arithmetic(self) -> AbstractContextManager[None]:
        return our_arithmetic(self._calls[0].output.device.type)

    def site(self, site: str, window: Window | None = None) -> Tensor:
        with self._arithmetic():
            if window is None:
                return _joined([stretch.site(site) for stretch in self._stretches])
            return _joined([stretch.window(site, part) for stretch, part in self._parts(window)])

    def preactivation(self, site: str, window: Window | None = None) -> Tensor:
        with self._arithmetic():
            if window is None:
                return _joined([stretch.preactivation(site) for stretch in self._stretches])
            return _joined([stretch.window(site, part, preactivation=True) for stretch, part in self._parts(window)])

    def _parts(self, window: Window) -> list[tuple[Stretch | PackedLayer, Window]]:
        """The stretches that a window touches, and what it takes of each."""
        parts: list[tuple[Stretch | PackedLayer, Window]] = []
        begin = 0
        for stretch in self._stretches:
            start, stop = max(window[0] - begin, 0), min(window[1] - begin, stretch.layout.steps)
            if start < stop or (not parts and stretch is self._stretches[-1]):
                parts.append((stretch, (start, max(start, stop))))
            begin += stretch.layout.steps
        return parts

    @property
    def inputs(self) -> Tensor:
        with self._arithmetic():
            return _joined([stretch.shown_inputs for stretch in self._stretches])

    @property
    def lengths(self) -> Tensor:
        ends = [
            start + call.call.layout.lengths(call.output.device)
            for start, call in zip(self._starts, self._calls, strict=False)
        ]
        return ends[-1]

    @property
    def parts(self) -> tuple[Part, ...]:
        device = self._calls[0].output.device
        return tuple(
            Part(start, call.call.layout.live(device).squeeze(-1), call.edits.get(self.name, NO_EDITS))
            for start, call in zip(self._starts, self._calls, strict=False)
        )

    @property
    def initial(self) -> tuple[Tensor, ...]:
        with self._arithmetic():
            return tuple(state.clone() for state in self._stretches[0].first_states)

    @property
    def residual(self) -> float:
        """The largest of the layer's own, and of the layers above where they rest on a replay of this one."""
        with self._arithmetic():
            return self._residual()

    @property
    def _replayed(self) -> list[list[RecordedCall]]:
        """The calls whose lower layers are run again, those together that follow each other."""
        return [list(calls) for replayed, calls in groupby(self._calls, key=attrgetter("replayed")) if replayed]

    def _residual(self) -> float:
        own = [stretch.residual for stretch in self._stretches]
        if any(residual != residual for residual in own):  # noqa: PLR0124 - NaN is what differs from itself
            return float("nan")
        above = [
            stretch.residual
            for together in self._replayed
            for layer in together[0].module.layers
            if layer.index > self._layer.index
            for stretch in shown_stretches(together, layer)
        ]
        return max([*own, *(residual for residual in above if residual == residual)])  # noqa: PLR0124 - likewise


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
