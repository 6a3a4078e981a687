"""A person's own view of the answer, before and after, in the answer's place."""

from __future__ import annotations

import ipywidgets

from rnnwidget.widgets.answers import Reading

WORDS = ("answer before", "answer after")


class OwnAnswer:
    """Shows the widgets that a person's ``answer`` returns, and closes those it has replaced."""

    def __init__(self) -> None:
        self._shown: tuple[ipywidgets.Widget, ...] = ()
        self._box: ipywidgets.HBox | None = None

    def show(self, readings: tuple[Reading, Reading] | None, *, edited: bool) -> list[ipywidgets.Widget]:
        """What to put on the page: nothing, or one row with the answer before and after."""
        found = [] if readings is None else [reading.widget for reading in readings]
        widgets = tuple(dict.fromkeys(widget for widget in found if widget is not None))
        if not edited:
            widgets = widgets[-1:]
        if self._box is not None and widgets == self._shown:
            return [self._box]
        replaced = [widget for widget in self._shown if widget not in widgets]
        self._close_box()
        for widget in replaced:
            widget.close()
        self._shown = widgets
        if not widgets:
            return []
        words = WORDS if len(widgets) == 2 else ("answer",)
        columns = [
            ipywidgets.VBox([ipywidgets.Label(word), widget], layout={"min_width": "0", "flex": "1 1 0"})
            for word, widget in zip(words, widgets, strict=True)
        ]
        self._box = ipywidgets.HBox(columns, layout={"width": "100%"})
        return [self._box]

    def close(self) -> None:
        """Close the row; the widgets in it are the person's own."""
        self._close_box()
        self._shown = ()

    def _close_box(self) -> None:
        if self._box is None:
            return
        for column in self._box.children:
            column.children[0].close()
            column.close()
        self._box.close()
        self._box = None
