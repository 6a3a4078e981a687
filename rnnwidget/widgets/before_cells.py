"""The run before in the heatmap: a drag does not change it, so that it is made and sent once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rnnwidget.analysis import pooled
from rnnwidget.recording.modules import Layer
from rnnwidget.widgets.heatmap import COLUMNS, ROWS, Before, largest, row_bars, signed
from rnnwidget.widgets.picture import Picture
from rnnwidget.widgets.wire import Frame, float_bytes


@dataclass(frozen=True, eq=False)
class _About:
    """What the cells depend on; it is held, so that nothing else can take its identity."""

    run: object
    layer: str
    site: str
    sequence: int
    order: Tensor
    same_steps: Tensor | None

    def same(self, other: _About) -> bool:
        return (
            self.run is other.run
            and (self.layer, self.site, self.sequence) == (other.layer, other.site, other.sequence)
            and torch.equal(self.order, other.order)
            and _equal(self.same_steps, other.same_steps)
        )


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return torch.equal(one, other)


class BeforeCells:
    """Keeps the cells that were made last; ``wire`` is what the page has to have of them, with their version."""

    def __init__(self) -> None:
        self.wire: Frame = {}
        self._version = 0
        self._kept: tuple[_About, Before] | None = None

    def of(self, picture: Picture, layer: Layer, site: str, sequence: int, order: Tensor) -> Before | None:
        """The run before at the steps of the run after; None where nothing was changed."""
        if not picture.edited:
            return None
        same = torch.tensor([picture.steps(layer.name, sequence)], device="cpu")
        if picture.same_steps is not None:
            same = torch.cat([same, picture.same_steps[sequence]])
        about = _About(picture.baseline_recording, layer.name, site, sequence, order, same)
        if self._kept is None or not self._kept[0].same(about):
            self._kept = about, self._made(picture, layer, site, sequence, order)
        return self._kept[1]

    def _made(self, picture: Picture, layer: Layer, site: str, sequence: int, order: Tensor) -> Before:
        whole = picture.whole_before(layer.name, site, sequence)
        values = picture.aligned(whole, sequence, picture.steps(layer.name, sequence))
        cells = pooled(values.T[order], ROWS, COLUMNS)
        self._version += 1
        self.wire = {"version": self._version, "cells": float_bytes(cells.mean)}
        bars = row_bars(whole, order, signed=signed(layer.family, site))
        return Before(self._version, float_bytes(bars), largest(values))
