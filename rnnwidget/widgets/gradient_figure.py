"""Gradient norms over time, a line for each layer."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

import bqplot
import ipywidgets
import numpy as np
from torch import Tensor

# Okabe & Ito's palette, legible to colour-blind readers on light and dark grounds.
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
TICKS = {"font-size": "11px"}


class GradientFigure:
    """A bqplot figure of ‖∂L/∂state_t‖, a line for each layer under their names."""

    def __init__(self) -> None:
        self._scales = {"x": bqplot.LinearScale(), "y": bqplot.LogScale()}
        self._lines = bqplot.Lines(x=[], y=[], scales=self._scales, colors=list(PALETTE), stroke_width=1.6)
        self._positions = bqplot.Axis(scale=self._scales["x"], grid_lines="none", num_ticks=8, tick_style=TICKS)
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
            fig_margin={"top": 8, "bottom": 26, "left": 60, "right": 16},
            layout={"width": "100%", "height": "180px", "min_width": "0"},
            animation_duration=0,
        )
        self._names = ipywidgets.HTML()
        self.figure = ipywidgets.VBox([self._names, self._plot], layout={"width": "100%"})

    def show(self, norms: Mapping[str, Tensor]) -> bool:
        """Draw one line for each layer; False if there is nothing to draw."""
        lines = [norm.detach().cpu().double().numpy() for norm in norms.values()]
        longest = max((line.size for line in lines), default=0)
        values = np.full((max(1, len(lines)), longest), np.nan)
        for row, line in enumerate(lines):
            values[row, : line.size] = np.where(np.isfinite(line) & (line > 0), line, np.nan)
        if not np.isfinite(values).any():
            return False
        low, high = (math.log10(extreme(values)) for extreme in (np.nanmin, np.nanmax))
        decades = range(math.floor(low), max(math.ceil(high), math.floor(low) + 1) + 1)
        stride = -(-len(decades) // 6)
        self._scales["y"].min, self._scales["y"].max = 10.0 ** decades[0], 10.0 ** decades[-1]
        self._norms.tick_values = [10.0**decade for decade in decades[::stride]]
        with self._lines.hold_sync():
            self._lines.x = np.arange(longest)
            self._lines.y = values
        self._names.value = _names(norms)
        return True

    def close(self) -> None:
        """Close the figure and its parts."""
        plot = self._plot
        parts = (*plot.axes, *plot.marks, *self._scales.values(), plot.layout, plot, self._names, self.figure)
        for widget in parts:
            widget.close()


def _names(norms: Mapping[str, Tensor]) -> str:
    coloured = "".join(
        f'<span style="margin-left:14px"><span style="color:{PALETTE[place % len(PALETTE)]}">━</span> '
        f"{html.escape(name)}</span>"
        for place, name in enumerate(norms)
    )
    return f'<span style="font-size:12px">total gradient ‖∂L/∂state‖ at every input position, by layer{coloured}</span>'
