"""A person's own view of the answer, before and after, in the answer's place."""

from __future__ import annotations

import ipywidgets

from rnnwidget.widgets.answers import Reading
from rnnwidget.widgets.closing import close_with_parts, with_parts

WORDS = ("answer before", "answer after")


class OwnAnswer:
    """Shows the widgets that a person's ``answer`` returns, in one row for all of them.

    What came into being within a call of ``answer`` is closed once it has been replaced; a widget that was there
    before is the person's own and stays.
    """

    def __init__(self) -> None:
        self._made: tuple[ipywidgets.Widget, ...] = ()
        self._row: ipywidgets.HBox | None = None
        self._columns: list[ipywidgets.VBox] = []

    def show(self, readings: tuple[Reading, Reading] | None, *, edited: bool) -> list[ipywidgets.Widget]:
        """What to put on the page: nothing, or one row with the answer before and after."""
        found = () if readings is None else dict.fromkeys(readings if edited else readings[-1:])
        widgets = list(dict.fromkeys(reading.widget for reading in found if reading.widget is not None))
        parts = with_parts(*widgets)
        for part in parts:
            _open_again(part)
        if widgets:
            self._fill(widgets)
        replaced = [widget for widget in self._made if widget not in parts]
        self._made = tuple(dict.fromkeys(widget for reading in found for widget in reading.made))
        for widget in replaced:
            widget.close()
        return [self._row] if widgets and self._row is not None else []

    def close(self) -> None:
        """Close the row and what was made for it; other widgets in it are the person's own."""
        for column in self._columns:
            column.children = column.children[:1]
        if self._row is not None:
            close_with_parts(self._row, *self._columns)
        for widget in self._made:
            widget.close()
        self._made, self._row, self._columns = (), None, []

    def _fill(self, widgets: list[ipywidgets.Widget]) -> None:
        if self._row is None:
            self._row = ipywidgets.HBox(layout={"width": "100%"})
        while len(self._columns) < len(widgets):
            column = ipywidgets.VBox([ipywidgets.Label()], layout={"min_width": "0", "flex": "1 1 0"})
            self._columns.append(column)
        words = WORDS if len(widgets) == 2 else ("answer",)
        for column, word, widget in zip(self._columns, words, widgets, strict=False):
            column.children[0].value = word
            column.children = [column.children[0], widget]
        self._row.children = self._columns[: len(widgets)]


def _open_again(widget: ipywidgets.Widget) -> None:
    """One that was closed when it had been replaced, and comes again: the person keeps it."""
    if widget.comm is None:
        vars(widget).pop("_repr_mimebundle_", None)
        widget.open()
