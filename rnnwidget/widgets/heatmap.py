"""The heatmap of a frame and the bars beside its rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rnnwidget.analysis import pooled
from rnnwidget.cells import Family
from rnnwidget.recording.modules import Layer
from rnnwidget.widgets.wire import Frame, float_bytes

ROWS, COLUMNS = 512, 2048


def signed(family: Family, site: str) -> bool:
    """Whether a site has values on both sides of zero."""
    return family.activations.get(site) != "sigmoid"


def heatmap_and_margin(
    layer: Layer, site: str, order: Tensor, after: Tensor, before: Tensor | None
) -> tuple[Frame, Frame, str]:
    """Cells and bars in display order, and a note where cells are means; ``after`` and ``before`` are (time, unit)."""
    rows_after = after.T[order]
    cells = pooled(rows_after, ROWS, COLUMNS)
    cells_before = None if before is None else pooled(before.T[order], ROWS, COLUMNS)
    both_signs = signed(layer.family, site)
    limits = _limits(after, before) if both_signs else [0.0, 1.0]
    heatmap: Frame = {
        "rows": cells.mean.size(0),
        "columns": cells.mean.size(1),
        "row_factor": cells.row_factor,
        "column_factor": cells.column_factor,
        "limits": limits,
        "signed": both_signs,
        "data": float_bytes(cells.mean),
        "low": None if cells.exact else float_bytes(cells.low),
        "high": None if cells.exact else float_bytes(cells.high),
        "before": None if cells_before is None else float_bytes(cells_before.mean),
    }
    bars = _margin(after, order, signed=both_signs)
    letter = layer.family.letters[site]
    margin: Frame = {
        "label": f"mean |{letter}|" if both_signs else f"{letter} > 0.9",
        "values": float_bytes(bars),
        "before": None if before is None else float_bytes(_margin(before, order, signed=both_signs)),
        "limits": [0.0, limits[1]] if both_signs else [0.0, 1.0],
    }
    notes = []
    if cells.column_factor > 1:
        notes.append(f"{cells.column_factor} steps per column")
    if cells.row_factor > 1:
        notes.append(f"{cells.row_factor} units per row")
    return heatmap, margin, f"means of {' and '.join(notes)}" if notes else ""


def _margin(values: Tensor, order: Tensor, *, signed: bool) -> Tensor:
    """One number a row; NaN where a unit of the row has a value that is not finite."""
    bars = values.abs().mean(dim=0) if signed else (values > 0.9).float().mean(dim=0)
    odd = ~torch.isfinite(values).all(dim=0)
    means, odd_share = (pooled(of_unit[order].unsqueeze(1), ROWS, 1).mean.flatten() for of_unit in (bars, odd.float()))
    return means.masked_fill(odd_share > 0, torch.nan)


def _limits(after: Tensor, before: Tensor | None) -> list[float]:
    """Symmetric limits on a round number, so that they stay put while values drift."""
    everything = after if before is None else torch.cat([after, before])
    finite = everything[torch.isfinite(everything)].abs()
    top = float(finite.max()) if finite.numel() else 1.0
    if top == 0:
        return [-1.0, 1.0]
    power = 10.0 ** math.floor(math.log10(top))
    limit = next(step * power for step in (1, 2, 5, 10) if step * power >= top * (1 - 1e-6))
    return [-limit, limit]
