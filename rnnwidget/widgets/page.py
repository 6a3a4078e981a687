"""What stands on the page: the score, the gradient figure, and when they are sent what."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import ipywidgets
from torch import Tensor

from rnnwidget.widgets.closing import with_parts
from rnnwidget.widgets.frame import Frame
from rnnwidget.widgets.gradient_figure import GradientFigure
from rnnwidget.widgets.score import Score

IN_FLIGHT = 2


@dataclass(frozen=True)
class Contents:
    """One picture of the page: a frame of the score and the lines of the figure."""

    frame: Frame
    norms: Mapping[str, Tensor]
    answers: Sequence[ipywidgets.Widget] = ()
    before: Frame = field(default_factory=dict)


class Page:
    """Sends contents only while they are displayed and the page keeps up.

    The page echoes each version that it has painted. While :data:`IN_FLIGHT` frames are unpainted, newer contents are
    owed and made when the next echo arrives. Before the first echo nothing is held back: a notebook that is executed
    without a page never echoes. ``lock`` is held while contents are made: a person's own answer may set what it guards.
    """

    def __init__(self, make: Callable[[], Contents], lock: threading.RLock, *, layer: str, site: str) -> None:
        self._make, self._lock = make, lock
        self._displayed = self._owed = False
        self._version = 0
        self.answers = 0
        self.score = Score(layer=layer, site=site)
        self._figure = GradientFigure()
        self.box = ipywidgets.VBox([self.score], layout={"width": "100%"})
        self._parts = with_parts(self.score, self.box)
        self.score.observe(self._on_drawn, names=["drawn"])

    @property
    def stalled(self) -> bool:
        """Whether a page that once painted does not keep up, being hidden or gone."""
        drawn: int = self.score.drawn
        return bool(drawn) and self._version - drawn >= IN_FLIGHT

    @property
    def watched(self) -> bool:
        """Whether somebody may be looking: it has been shown, and what shows it keeps up."""
        return self._displayed and not self.stalled

    @property
    def painted(self) -> bool:
        """Whether a page has painted and keeps up: a notebook that is executed without one has nobody to look."""
        return bool(self.score.drawn) and self.watched

    def display(self) -> None:
        """The page is about to be shown: from now on contents are sent."""
        self._displayed = True

    def publish(self) -> None:
        """Make contents and send them, now or when the page has caught up."""
        with self._lock:
            self._owed = self.stalled
            if self._owed or not self._displayed:
                return
            contents = self._make()
            self._version += 1
            if contents.before and contents.before["version"] != self.score.before.get("version"):
                self.score.before = contents.before
            self.score._frame = {"version": self._version, "answers": self.answers} | contents.frame
            # A figure that is on the page but hidden makes bqplot draw rectangles of negative width.
            drawn_norms = [self._figure.figure] if self._figure.show(contents.norms) else []
            self.box.children = [self.score, *contents.answers, *drawn_norms]

    def say(self, state: str, message: str = "") -> None:
        """Tell of success or failure; the last good picture stays."""
        self.score._status = {"state": state, "message": message, "answers": self.answers}

    def acknowledge(self) -> None:
        """Tell that a request was answered although it changed nothing on the page."""
        told = max(int(self.score._frame.get("answers", 0)), int(self.score._status.get("answers", 0)))
        if told < self.answers and not self._owed:
            self.score._status = {**self.score._status, "answers": self.answers}

    def close(self) -> None:
        """Close the widgets."""
        self._displayed = False
        self.box.children = ()
        for part in reversed(self._parts):
            part.close()
        self._figure.close()

    def _on_drawn(self, change: object) -> None:
        if self._owed:
            self.publish()
