"""The answer before and after, as the page draws it."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnwidget.analysis.strongest import strongest
from rnnwidget.widgets.answer_words import headline, overtaken, picked_label
from rnnwidget.widgets.answers import SHOWN, Reading, comparable, shortened
from rnnwidget.widgets.heatmap import round_limit
from rnnwidget.widgets.wire import Frame, float_bytes

COLUMNS = 512


def answer_frame(readings: tuple[Reading, Reading] | None, *, edited: bool, told: str = "") -> Frame | None:
    """Bars for named numbers, lines for a series, a strip for many numbers; None where there are none.

    ``told`` is the name that a person chose to be told of.
    """
    if readings is None or not comparable(readings):
        return None
    before, after = readings
    picked = picked_label(before, told)
    label = before.names[picked]
    line = headline(before, after, picked)
    if not edited:
        line = line.rsplit(" → ", 1)[0]
    strip = _strip(before, after) if before.nameless else None
    short_before, short_after = shortened(before, after, picked)
    return {
        "caption": before.caption if strip else short_before.caption,
        "labels": list(short_before.labels),
        "before": float_bytes(short_before.vector),
        "after": float_bytes(short_after.vector),
        "truth": None if before.truth is None or before.series is not None else float_bytes(before.truth),
        "range": _range(short_before, short_after),
        "chance": before.limits == (0.0, 1.0),
        "edited": edited,
        "picked": short_before.labels.index(label) if label in short_before.labels else 0,
        "headline": line,
        "overtaken": overtaken(before, after, picked) if edited else "",
        "series": _series(before, after),
        "strip": strip,
    }


def _range(before: Reading, after: Reading) -> list[float] | None:
    """What the bars span; a few of many chances are small, and would all be slivers."""
    if before.limits is None:
        return None
    if len(before.names) < SHOWN:
        return list(before.limits)
    return [0.0, min(1.0, round_limit(max(*before.values, *after.values)))]


def _series(before: Reading, after: Reading) -> Frame | None:
    if before.series is None or after.series is None or after.truth is None:
        return None
    channels, steps = after.series.shape
    ghost = before.series if before.series.shape == after.series.shape else torch.full_like(after.series, torch.nan)
    return {
        "channels": channels,
        "steps": steps,
        "before": float_bytes(ghost),
        "after": float_bytes(after.series),
        "truth": float_bytes(after.truth),
    }


def _strip(before: Reading, after: Reading) -> Frame:
    change = after.vector - before.vector
    finite = change[torch.isfinite(change)].abs()
    sizes = torch.cat([_finite(before.vector), _finite(after.vector)])
    return {
        "columns": min(COLUMNS, -(-before.vector.numel() // (-(-before.vector.numel() // COLUMNS)))),
        "count": before.vector.numel(),
        "limit": float(sizes.max()) if sizes.numel() else 1.0,
        "before": float_bytes(_row(before.vector)),
        "after": float_bytes(_row(after.vector)),
        "mean_change": float(finite.mean()) if finite.numel() else 0.0,
        "most_change": float(finite.max()) if finite.numel() else 0.0,
    }


def _finite(vector: Tensor) -> Tensor:
    return vector[torch.isfinite(vector)].abs().float().cpu()


def _row(vector: Tensor) -> Tensor:
    return strongest(vector.reshape(1, -1).float().cpu(), 1, COLUMNS).values
