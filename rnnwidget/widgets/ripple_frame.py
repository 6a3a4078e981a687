"""One picture of the ripple: how far a change moved every layer, on one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnwidget.analysis.strongest import strongest
from rnnwidget.recording.modules import Layer, RecurrentModule
from rnnwidget.widgets.frame import layer_label
from rnnwidget.widgets.heatmap import round_limit
from rnnwidget.widgets.picture import Picture, RowOrders
from rnnwidget.widgets.regions import edited_regions
from rnnwidget.widgets.wire import Frame, int_bytes, short_bytes

ROWS, COLUMNS = 160, 2048
FACTORS = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)


@dataclass(frozen=True)
class _Band:
    module: RecurrentModule
    layer: Layer
    change: Tensor
    order: Tensor
    edited: list[tuple[list[int], list[list[int]]]]


def ripple_frame(
    modules: Sequence[RecurrentModule], picture: Picture, orders: RowOrders, *, layer: str, sequence: int, state: str
) -> Frame:
    """Bands from the lowest layer up, after − before, every one on the same colour scale.

    Layers that run over another number of steps than ``layer`` stand on no common axis: ``left_out`` names them.
    """
    steps = picture.steps(layer, sequence)
    ran = [
        (module, known)
        for module in modules
        for known in module.layers
        if known.name in picture.recording and known.name in picture.baseline_recording
    ]
    states = list(dict.fromkeys(name for _, known in ran for name in known.family.states))
    shown = [(module, known) for module, known in ran if state in known.family.states]
    common = [(module, known) for module, known in shown if picture.steps(known.name, sequence) == steps]
    bands = [_band(module, known, picture, orders, state, sequence) for module, known in common]
    finite = [band.change[torch.isfinite(band.change)].abs() for band in bands]
    limit = round_limit(max((float(sizes.max()) for sizes in finite if sizes.numel()), default=0.0), FACTORS)
    alone = len(modules) == 1
    return {
        "state": state,
        "states": states,
        "limit": limit,
        "steps": steps,
        "bands": [_band_entry(band, picture, limit, sequence, alone=alone) for band in bands],
        "left_out": [known.name for module, known in ran if (module, known) not in common],
        "unmatched": 0 if picture.same_steps is None else int((picture.same_steps[sequence] < 0).sum()),
    }


def _band(
    module: RecurrentModule, layer: Layer, picture: Picture, orders: RowOrders, state: str, sequence: int
) -> _Band:
    change = picture.change(layer.name, state, sequence)
    steps, width = change.shape
    edited = [
        (region["units"] or list(range(width)), region["steps"] or [[0, steps]])
        for region in edited_regions(picture.edits, layer, width, steps, sequence)
    ]
    order = orders.order(picture.baseline_recording, layer.name, width).cpu()
    touched = torch.tensor([unit for units, _ in edited for unit in units], dtype=torch.int64, device="cpu")
    # The edited rows together and at the foot of their band: the change leaves one place, and upward.
    at_foot = torch.isin(order, touched)
    return _Band(module, layer, change, torch.cat([order[~at_foot], order[at_foot]]), edited)


def _band_entry(band: _Band, picture: Picture, limit: float, sequence: int, *, alone: bool) -> Frame:
    layer, order = band.layer, band.order
    units = order.numel()
    cells = strongest(band.change.T[order], ROWS, COLUMNS)
    row_of = torch.empty_like(order)
    row_of[order] = torch.arange(units, device="cpu")
    finite = band.change[torch.isfinite(band.change)].abs()
    return {
        "name": layer.name,
        "label": layer_label(band.module, layer, alone=alone),
        "reverse": layer.reverse,
        "units": units,
        "rows": cells.values.size(0),
        "columns": cells.values.size(1),
        "row_factor": cells.row_factor,
        "column_factor": cells.column_factor,
        "order": int_bytes(order),
        "data": short_bytes(cells.values, limit),
        "most": float(finite.max()) if finite.numel() else None,
        "edited": [
            [*rows, *run]
            for chosen, runs in band.edited
            for rows in _neighbours(row_of[chosen].tolist())
            for run in runs
        ],
    }


def _neighbours(rows: Sequence[int]) -> list[list[int]]:
    """Neighbouring rows as [first, after the last]."""
    runs: list[list[int]] = []
    for row in sorted(rows):
        if runs and runs[-1][1] == row:
            runs[-1][1] = row + 1
        else:
            runs.append([row, row + 1])
    return runs
