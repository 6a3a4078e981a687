"""Closing widgets for good: ipywidgets keeps each one, its layout and its style as well, until that one is closed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ipywidgets import Widget
from ipywidgets.widgets.widget import _instances


def open_widgets() -> frozenset[str]:
    """The model ids of all widgets that have not been closed."""
    return frozenset(_instances)


def with_parts(*widgets: Widget) -> list[Widget]:
    """The widgets and what hangs on them (what they hold, layouts, styles), each once and after its own parts."""
    found: dict[Widget, None] = {}
    begun: set[Widget] = set()

    def follow(value: Any) -> Iterator[Widget]:
        if isinstance(value, Widget):
            yield value
        elif isinstance(value, (list, tuple, dict)):
            for part in value.values() if isinstance(value, dict) else value:
                yield from follow(part)

    def add(widget: Widget) -> None:
        if widget in begun:
            return
        begun.add(widget)
        for name in widget.keys:
            for part in follow(getattr(widget, name)):
                add(part)
        found[widget] = None

    for widget in widgets:
        add(widget)
    return list(found)


def close_with_parts(*widgets: Widget) -> None:
    """Close the widgets and everything that hangs on them."""
    for part in reversed(with_parts(*widgets)):
        part.close()
