"""Gradient norms over time, a line for each layer."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

import bqplot
import ipywidgets
import numpy as np
from torch import Tensor

from rnnwidget.widgets.closing import close_with_parts
from rnnwidget.widgets.counted import counted

# Okabe & Ito's palette, legible to colour-blind readers on light and dark grounds.
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
TICKS = {"font-size": "11px"}
TICKS_AT_MOST = 10
BEYOND = 0.04
# A swatch and its name stay in one line; a name that is longer than the line breaks within itself.
TOGETHER = "display:inline-block;max-width:100%;margin-right:14px;overflow-wrap:anywhere"


class GradientFigure:
    """A bqplot figure of ‖∂L/∂state_t‖, a line for each layer under their names."""

    def __init__(self) -> None:
        self._scales = {"x": bqplot.LinearScale(), "y": bqplot.LogScale()}
        self._lines = bqplot.Lines(x=[], y=[], scales=self._scales, colors=list(PALETTE), stroke_width=1.6)
        self._positions = bqplot.Axis(scale=self._scales["x"], grid_lines="none", tick_format="d", tick_style=TICKS)
        self._norms = bqplot.Axis(
            scale=self._scales["y"],
            side="left",
            tick_format=".0e",
            grid_lines="dashed",
            tick_style=TICKS,
        )
        self._plot = bqplot.Figure(
            marks=[self._lines],
            axes=[self._positions, self._norms],
            fig_margin={"top": 10, "bottom": 26, "left": 60, "right": 16},
            # With the margin that a host gives every widget it would be wider than what it stands in.
            layout={"width": "100%", "height": "180px", "min_width": "0", "margin": "0"},
            animation_duration=0,
        )
        self._names, self._counted = ipywidgets.HTML(), ipywidgets.HTML()
        self.figure = ipywidgets.VBox(
            [self._names, self._plot, self._counted], layout={"width": "100%", "overflow": "hidden"}
        )

    def show(self, norms: Mapping[str, Tensor]) -> bool:
        """Draw one line for each layer, and say what a log scale cannot show; False if there is nothing to tell."""
        lines = {name: norm.detach().cpu().double().numpy() for name, norm in norms.items()}
        longest = max((line.size for line in lines.values()), default=0)
        if longest == 0:
            return False
        values = np.full((len(lines), longest), np.nan)
        for row, line in enumerate(lines.values()):
            values[row, : line.size] = np.where(np.isfinite(line) & (line > 0), line, np.nan)
        self._names.value = _names(lines)
        self._counted.value = _counted(lines)
        drawable = bool(np.isfinite(values).any())
        if drawable:
            self._draw(values)
        self.figure.children = [self._names, self._plot, self._counted] if drawable else [self._names]
        return True

    def _draw(self, values: np.ndarray) -> None:
        low, high = (math.log10(extreme(values)) for extreme in (np.nanmin, np.nanmax))
        decades = range(math.floor(low), max(math.ceil(high), math.floor(low) + 1) + 1)
        stride = -(-len(decades) // 6)
        room = BEYOND * (len(decades) - 1)
        self._scales["y"].min, self._scales["y"].max = 10.0 ** (decades[0] - room), 10.0 ** (decades[-1] + room)
        self._norms.tick_values = [10.0**decade for decade in decades[::stride]]
        self._positions.tick_values = np.arange(0, values.shape[1], _stride(values.shape[1], TICKS_AT_MOST))
        if values.shape[1] == 1:
            values = np.pad(values, ((0, 0), (0, 1)), constant_values=np.nan)  # bqplot squeezes a lone point away
        with self._lines.hold_sync():
            self._lines.x = np.arange(values.shape[1])
            self._lines.y = values

    def close(self) -> None:
        """Close the figure and its parts."""
        close_with_parts(self._plot, self._counted, self.figure)


def _stride(steps: int, most: int) -> int:
    """The least of 1, 2, 5, 10, 20, … with which there are so many ticks at most."""
    strides = (int(f"{factor}{'0' * power}") for power in range(20) for factor in (1, 2, 5))
    return next(stride for stride in strides if stride * most >= steps)


def _names(lines: Mapping[str, np.ndarray]) -> str:
    coloured = "".join(
        f'<span style="{TOGETHER}"><span style="color:{PALETTE[place % len(PALETTE)]}">━</span>&nbsp;'
        f"{html.escape(name)}{_undrawn(line)}</span>"
        for place, (name, line) in enumerate(lines.items())
    )
    style = "padding:5px 0;font-size:12px;line-height:18px"
    return f'<div style="{style}">total gradient ‖∂L/∂state‖ at every step, by layer: {coloured}</div>'


def _counted(lines: Mapping[str, np.ndarray]) -> str:
    """What the horizontal axis counts."""
    alike = len({line.size for line in lines.values()}) == 1
    told = "timestep" if alike else "timestep, each layer's own"
    return f'<div style="font-size:11px;line-height:1.4;text-align:center">{told}</div>'


def _undrawn(line: np.ndarray) -> str:
    """Where a layer has no point on the log scale."""
    counts = {"not finite": int((~np.isfinite(line)).sum()), "zero": int((line == 0).sum())}
    told = [f"{what} at {counted(count, 'step')}" for what, count in counts.items() if count]
    return f" ({', '.join(told)})" if told else ""
