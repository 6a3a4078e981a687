"""Gradient norms over time, a line for each layer."""

from __future__ import annotations

from collections.abc import Mapping

import bqplot
import numpy as np
from torch import Tensor

# Okabe & Ito's palette, legible to colour-blind readers on light and dark grounds.
PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"]


class GradientFigure:
    """A bqplot figure of ‖∂L/∂state_t‖ for every layer; hidden until there is something to show."""

    def __init__(self) -> None:
        self._scales = {"x": bqplot.LinearScale(), "y": bqplot.LogScale()}
        self._lines = bqplot.Lines(
            x=[], y=[], scales=self._scales, colors=PALETTE, display_legend=True, stroke_width=1.6, labels_visibility="none"
        )
        axes = [
            bqplot.Axis(scale=self._scales["x"], label="input position", grid_lines="none", num_ticks=8),
            bqplot.Axis(
                scale=self._scales["y"],
                label="‖∂L/∂state‖",
                orientation="vertical",
                tick_format=".0e",
                num_ticks=4,
                label_offset="56px",
                grid_lines="dashed",
            ),
        ]
        self.figure = bqplot.Figure(
            marks=[self._lines],
            axes=axes,
            title="Total gradient at every step, by layer",
            legend_location="right",
            legend_style={"stroke-width": "0"},
            fig_margin={"top": 34, "bottom": 44, "left": 84, "right": 96},
            layout={"width": "100%", "height": "220px", "min_width": "0", "display": "none"},
            animation_duration=0,
        )

    def show(self, norms: Mapping[str, Tensor]) -> None:
        """Draw one line for each layer; an empty mapping hides the figure."""
        if not norms:
            self.figure.layout.display = "none"
            return
        lines = np.stack([norm.detach().cpu().double().numpy() for norm in norms.values()])
        drawable = np.where(np.isfinite(lines) & (lines > 0), lines, np.nan)
        with self._lines.hold_sync():
            self._lines.x = np.arange(lines.shape[1])
            self._lines.y = drawable
            self._lines.labels = list(norms)
        self.figure.layout.display = "" if np.isfinite(drawable).any() else "none"

    def close(self) -> None:
        """Close the figure and its parts."""
        for widget in (*self.figure.axes, *self.figure.marks, *self._scales.values(), self.figure.layout, self.figure):
            widget.close()
