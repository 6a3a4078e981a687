"""A layer whose numbers are in a file."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NoReturn

import torch
from torch import Tensor

from rnnwidget.cells.activations import Activation
from rnnwidget.cells.edits import LayerEdits, SiteEdit
from rnnwidget.cells.family import Family, Get, Quantities
from rnnwidget.cells.layer_run import Arrivals, LayerRun
from rnnwidget.recording.coarse_levels import CoarseLevel
from rnnwidget.recording.layer_source import LayerSource, Part, live_steps
from rnnwidget.recording.sequences import Window
from rnnwidget.recording.stored_format import LayerHeader


class StoredFamily(Family):
    """The names of a family; a file has numbers, and neither weights nor mathematics."""

    def __init__(self, header: LayerHeader) -> None:
        self.name, self.gates, self.states = header.family, header.gates, header.states
        self.letters = dict(header.letters)
        self._activations = dict(header.activations)

    @property
    def activations(self) -> dict[str, Activation]:
        return self._activations

    def preactivation(self, run: LayerRun, site: str, get: Get) -> NoReturn:
        self._refuse()

    def compute(self, run: LayerRun, site: str, get: Get) -> NoReturn:
        self._refuse()

    def backward(self, run: LayerRun, quantities: Quantities, arrivals: Arrivals) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RuntimeError(
            f"this family {self.name!r} was read from a file, which has no weights to compute with: "
            "record the model again"
        )


class StoredLayer(LayerSource):
    """One call of a layer; ``tensors``, by role, are views of the file, read where they are looked at."""

    def __init__(self, header: LayerHeader, index: int, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        call = header.calls[index]
        self.name, self.family = header.name, StoredFamily(header)
        self.batch_first, self.truncations = call.batch_first, call.truncations
        self._tensors, self._device = tensors, device
        self.edits = LayerEdits(
            tuple(
                SiteEdit(
                    edit.site,
                    edit.operation,
                    self._read(f"edit_value:{place}"),
                    self._read(f"edit_mask:{place}") if edit.masked else None,
                )
                for place, edit in enumerate(call.edits)
            )
        )
        self.coarse: dict[str, CoarseLevel] = {}
        if call.coarse_steps is not None:
            for site in header.sites:
                mean, low, high = (self._read(f"{kind}:{site}") for kind in ("mean", "low", "high"))
                self.coarse[site] = CoarseLevel(mean, low, high, call.coarse_steps)

    def _read(self, role: str, window: Window | None = None) -> Tensor:
        tensor = self._tensors[role]
        return (tensor if window is None else tensor[slice(*window)]).to(self._device)

    def site(self, site: str, window: Window | None = None) -> Tensor:
        return self._read(f"site:{site}", window)

    def preactivation(self, site: str, window: Window | None = None) -> Tensor:
        return self._read(f"preactivation:{site}", window)

    @property
    def steps(self) -> int:
        return self._tensors["site:hidden"].size(0)

    @property
    def inputs(self) -> Tensor:
        return self._read("inputs")

    @property
    def lengths(self) -> Tensor:
        return self._read("lengths")

    @property
    def parts(self) -> tuple[Part, ...]:
        if "starts" not in self._tensors:
            return super().parts
        starts = [*self._read("starts").tolist(), self.steps]
        return tuple(
            Part(start, live_steps(stop - start, lengths), self.edits)
            for (start, stop), lengths in zip(pairwise(starts), self._read("part_lengths"), strict=True)
        )

    @property
    def initial(self) -> tuple[Tensor, ...]:
        return tuple(self._read(f"initial:{state}") for state in self.family.states)

    @property
    def residual(self) -> float:
        return float(self._tensors["replay_error"])
