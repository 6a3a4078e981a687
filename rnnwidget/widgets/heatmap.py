"""The heatmap of a frame and the bars beside its rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Before:
    """What a heatmap shows of the run before: the version of its cells, bars over all of its steps, its largest size.

    The cells themselves go to the page once, see :class:`~rnnwidget.widgets.before_cells.BeforeCells`.
    """

    version: int
    bars: bytes
    largest: float


def heatmap_and_margin(
    layer: Layer, site: str, order: Tensor, after: Tensor, before: Before | None
) -> tuple[Frame, Frame, str]:
    """Cells and bars in display order, and a note where cells are means; ``after`` is (time, unit)."""
    rows_after = after.T[order]
    cells = pooled(rows_after, ROWS, COLUMNS)
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
        "before": None if before is None else before.version,
    }
    bars = row_bars(after, order, signed=both_signs)
    letter = layer.family.letters[site]
    margin: Frame = {
        "label": f"mean |{letter}|" if both_signs else f"{letter} > 0.9",
        "values": float_bytes(bars),
        "before": None if before is None else before.bars,
        "limits": [0.0, limits[1]] if both_signs else [0.0, 1.0],
    }
    notes = []
    if cells.column_factor > 1:
        notes.append(f"{cells.column_factor} steps per column")
    if cells.row_factor > 1:
        notes.append(f"{cells.row_factor} units per row")
    return heatmap, margin, f"means of {' and '.join(notes)}" if notes else ""


def row_bars(values: Tensor, order: Tensor, *, signed: bool) -> Tensor:
    """One number a row; NaN where a unit of the row has a value that is not finite."""
    bars = values.abs().mean(dim=0) if signed else (values > 0.9).float().mean(dim=0)
    odd = ~torch.isfinite(values).all(dim=0)
    means, odd_share = (pooled(of_unit[order].unsqueeze(1), ROWS, 1).mean.flatten() for of_unit in (bars, odd.float()))
    return means.masked_fill(odd_share > 0, torch.nan)


def _limits(after: Tensor, before: Before | None) -> list[float]:
    """Symmetric limits on a round number, so that they stay put while values drift."""
    limit = round_limit(max(largest(after), 0.0 if before is None else before.largest))
    return [-limit, limit]


def largest(values: Tensor) -> float:
    """The largest finite size; 0 where there is none."""
    if values.numel() == 0:
        return 0.0
    low, high = (float(bound) for bound in torch.aminmax(values))
    if math.isfinite(low) and math.isfinite(high):
        return max(-low, high)
    finite = values[torch.isfinite(values)].abs()
    return float(finite.max()) if finite.numel() else 0.0


def round_limit(largest: float, factors: Sequence[float] = (1, 2, 3, 5, 7)) -> float:
    """The next of 1, 2, 3, 5, 7 × 10ⁿ, or of other ``factors``, that is not below; 1 for zero."""
    if largest == 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    return next(step * power for step in (*factors, 10) if step * power >= largest * (1 - 1e-6))
