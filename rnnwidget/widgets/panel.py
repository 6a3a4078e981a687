"""The gate panel's side in Python: what the page asks for becomes edits, and edits become what the page shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from rnnwidget.cells import Family
from rnnwidget.editing import Edit
from rnnwidget.widgets.dials import Scope, dials_of, inherited, panel_rows, window_of
from rnnwidget.widgets.history import History
from rnnwidget.widgets.input_edits import Written
from rnnwidget.widgets.score import Score
from rnnwidget.widgets.tracks import Knob
from rnnwidget.widgets.view_state import ViewState


@dataclass(frozen=True)
class Moment:
    """What can be undone: the edits, and the input where it was changed."""

    edits: tuple[Edit, ...]
    written: Written | None = None


class Panel:
    """Keeps the dials, the scope and the history in step with the edits of an inspector."""

    def __init__(self, state: ViewState, score: Score, families: Mapping[str, Family]) -> None:
        self._state, self._score, self._families = state, score, families
        self._history = History(Moment(tuple(state.edits)))
        self._gesture: object = None
        self._own = self._restoring = False

    @property
    def scope(self) -> Scope:
        """Where the sliders act: on the selection where there is one, if the chips say so."""
        state, chips = self._state, self._score.scope
        return Scope(
            state.layer if chips.get("layers", "this") == "this" else None,
            tuple(state.units) if chips.get("units", "selected") == "selected" and state.units else None,
            tuple(state.steps) if chips.get("steps", "brushed") == "brushed" and state.steps else None,
        )

    def show(self, code: str) -> None:
        """Put the sliders where the edits of the panel's scope are, and say what can be undone."""
        self._score.inherited = inherited(self._state.edits, self.scope)
        self._score.dials = dials_of(self._state.edits, self.scope)
        self._score._history = {"position": self._history.position, "length": len(self._history)}
        self._score._code = code

    @contextmanager
    def moving(self, gesture: object = None, *, restoring: bool = False) -> Iterator[None]:
        """What is set meanwhile comes from the panel: its scope stays, and one gesture is one step to undo."""
        self._own, self._gesture, self._restoring = True, gesture, restoring
        try:
            yield
        finally:
            self._own, self._gesture, self._restoring = False, None, False

    def go(self, position: int) -> Moment:
        """What was in force at a place in the history."""
        return self._history.go(position)

    @property
    def position(self) -> int:
        """The place in the history."""
        return self._history.position

    def remember(self, written: Written | None) -> None:
        """The edits, or the input, are others now."""
        if not self._restoring:
            self._history.record(Moment(tuple(self._state.edits), written), self._gesture)

    def forget_inputs(self) -> None:
        """Another call of the model is on show: what was written belongs to the one before."""
        self._history.rewrite(lambda moment: Moment(moment.edits))

    def follow(self) -> None:
        """Let scope and selection follow edits that were set from Python."""
        state = self._state
        if self._own or not state.edits or dials_of(state.edits, self.scope):
            return
        first = state.edits[0]
        window = window_of(first)
        state.layer = first.layer or state.layer
        if first.units is not None:
            state.units = list(first.units)
        if window is not None:
            state.steps = window
        self._score.scope = {
            "units": "all" if first.units is None and state.units else "selected",
            "layers": "all" if first.layer is None else "this",
            "steps": "all" if window is None and state.steps else "brushed",
        }

    def knob(self, site: str, kind: str, about: tuple[object, ...]) -> Knob | None:
        """One slider, to ask the model at each of its values; None where there is no such slider."""
        state, scope = self._state, self.scope
        family = self._families[state.layer]
        for row in panel_rows(family, [edit for edit in state.edits if edit.layer in (None, state.layer)]):
            if row["site"] == site and kind in row["kinds"]:
                low, high = row[kind]
                others = tuple(edit for edit in state.edits if edit.site != site or not scope.holds(edit))
                return Knob(site, kind, float(low), float(high), scope, others, (state.sequence, *about))
        return None
