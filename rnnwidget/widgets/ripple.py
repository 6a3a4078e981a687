"""The ripple as a widget of its own, to stand in a cell beside the inspector that it follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from rnnwidget.widgets.score import BUNDLE, STYLES
from rnnwidget.widgets.wire import Frame

IN_FLIGHT = 2


class Ripple(anywidget.AnyWidget):
    """Where a change travels: after − before of every layer on one time axis, and the answer at its end.

    Made by :meth:`rnnwidget.RNNInspector.ripple`. ``state`` is what is compared: ``"hidden"`` or ``"cell"``.
    ``told`` is the inspector's: the name in the answer that a person chose.
    """

    _esm = BUNDLE
    _css = STYLES

    _view = traitlets.Unicode("ripple").tag(sync=True)
    _frame = traitlets.Dict().tag(sync=True, echo_update=False)
    lane = traitlets.Dict().tag(sync=True, echo_update=False)
    _drawn = traitlets.Int(0).tag(sync=True)
    state = traitlets.Unicode("hidden").tag(sync=True)
    told = traitlets.Unicode("").tag(sync=True)

    def __init__(self, make: Callable[[str], Frame], **traits: object) -> None:
        super().__init__(**traits)
        self._make = make
        self._displayed = self._owed = False
        self._version = 0
        self.observe(self._on_drawn, names=["_drawn"])
        self.observe(lambda change: self.publish(), names=["state"])

    @property
    def displayed(self) -> bool:
        """Whether the widget has been shown and not been closed since."""
        return self._displayed and self.comm is not None

    def publish(self) -> None:
        """Send the newest picture, now or when the page has caught up."""
        drawn: int = self._drawn
        self._owed = bool(drawn) and self._version - drawn >= IN_FLIGHT
        if self._owed or not self.displayed:
            return
        frame = self._make(self.state)
        self._version += 1
        self._frame = {"version": self._version} | frame

    def __repr__(self) -> str:
        return f"Ripple(after − before of the {self.state} state{'' if self.comm is not None else '; closed'})"

    def _on_drawn(self, change: object) -> None:
        if self._owed:
            self.publish()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        self._displayed = True
        self.publish()
        return super()._repr_mimebundle_(**options)
