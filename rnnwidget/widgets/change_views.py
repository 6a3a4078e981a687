"""What shows a change beside the heatmap: the ripple, in the score and in cells of its own, and the answer lane."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import ipywidgets
import traitlets

from rnnwidget.recording.modules import RecurrentModule
from rnnwidget.recording.twin import Twin
from rnnwidget.widgets.answer_frame import answer_frame
from rnnwidget.widgets.answer_lane import AnswerLane, Asked
from rnnwidget.widgets.answers import Reader, Reading, why_not_comparable
from rnnwidget.widgets.closing import with_parts
from rnnwidget.widgets.described import describe
from rnnwidget.widgets.frame import Shown, layer_label
from rnnwidget.widgets.lane_question import lane_question
from rnnwidget.widgets.own_answer import OwnAnswer
from rnnwidget.widgets.picture import Picture, RowOrders
from rnnwidget.widgets.ripple import Ripple
from rnnwidget.widgets.ripple_frame import ripple_frame
from rnnwidget.widgets.score import Score
from rnnwidget.widgets.wire import Frame

_log = logging.getLogger(__name__)

WAITING = "Call the model once, as in model(x), and its ripple appears here."


class ChangeViews:
    """Follows the pictures of one inspector; ``now`` gives the one on show and what of it."""

    def __init__(
        self,
        title: str,
        twin: Twin,
        modules: Sequence[RecurrentModule],
        orders: RowOrders,
        reader: Reader,
        score: Score,
        lock: threading.RLock,
        *,
        now: Callable[[], tuple[Picture, Shown] | None],
        wanted: Callable[[], bool],
        renew: Callable[[], bool],
        pause: float | None = None,
    ) -> None:
        self._title, self._twin, self._modules, self._orders, self._reader = title, twin, modules, orders, reader
        self._score, self._lock, self._now = score, lock, now
        self._ripples: list[Ripple] = []
        self._parts: list[ipywidgets.Widget] = []
        """What came with the ripples: a layout that is given to one later is the person's own."""
        self._number = 0
        self._about: tuple[Picture, int] | None = None
        self._read: tuple[Picture, int, tuple[Reading, Reading] | None] | None = None
        self.unread = ""
        self._own = OwnAnswer()
        self._lane = AnswerLane(self._tell, lambda: wanted() and self._seen, pause, renew)
        score.observe(lambda change: self._lane.wake(), names=["drawn"])

    def ripple(self) -> Ripple:
        """A ripple to stand in a cell of its own."""
        made = Ripple(self._contents)
        made.lane = self._score.lane
        traitlets.link((self._score, "told"), (made, "told"))
        made.observe(lambda change: self._lane.wake(), names=["_drawn"])
        self._ripples.append(made)
        self._parts += with_parts(made)
        return made

    def deferred(self) -> AbstractContextManager[None]:
        """Something newer is done meanwhile: the answer lane gives way."""
        return self._lane.deferred()

    def follow(self) -> None:
        """Show the picture of now in every ripple."""
        for ripple in self._ripples:
            ripple.publish()

    def readings(self, picture: Picture, sequence: int) -> tuple[Reading, Reading] | None:
        """The answer before and after; a person's own view of it is made once for each picture.

        None where there is none, or where reading it failed: :attr:`unread` says why, and the states are on show.
        """
        if self._read is not None and self._read[0] is picture and self._read[1] == sequence:
            return self._read[2]
        found, self.unread = None, ""
        try:
            found = self._both(picture, sequence)
        except Exception as error:  # noqa: BLE001 - a person's own answer= may raise anything
            _log.debug("the answer could not be read", exc_info=error)
            whose = "answer= failed: " if self._reader.answer is not None else ""
            self.unread = f"{whose}{type(error).__name__}: {error}"
        self._read = picture, sequence, found
        return found

    def _both(self, picture: Picture, sequence: int) -> tuple[Reading, Reading] | None:
        before = self.read(picture, sequence, picture.baseline_output, after=False)
        after = before if not picture.edited else self.read(picture, sequence, picture.output)
        if before is not None and after is not None and (before.series is None) != (after.series is None):
            # The targets fit one of two inputs of different lengths: without them both are read alike.
            plain = replace(self._reader, targets=None)
            before = self.read(picture, sequence, picture.baseline_output, after=False, reader=plain)
            after = self.read(picture, sequence, picture.output, reader=plain)
        return None if before is None or after is None else (before, after)

    def own_answers(self, picture: Picture, readings: tuple[Reading, Reading] | None) -> list[ipywidgets.Widget]:
        """What stands in the answer's place, where a person's ``answer`` returns widgets."""
        return self._own.show(readings, edited=picture.edited)

    def read(
        self, picture: Picture, sequence: int, output: object, *, after: bool = True, reader: Reader | None = None
    ) -> Reading | None:
        """The answer in an output of the model, run on the input after or before the change."""
        recording = picture.recording if after else picture.baseline_recording
        layer = recording[recording.layers[0]]
        lengths = layer.lengths.tolist()
        reader = reader or self._reader
        return reader.read(output, sequence, picture.batch, lengths=lengths, batch_first=layer.batch_first)

    def parts(self, picture: Picture, shown: Shown, readings: tuple[Reading, Reading] | None) -> Frame:
        """What these views add to a frame of the score; asks the answer lane for the picture."""
        self._ask(picture, shown.sequence, readings)
        state = self._score.ripple
        ripple = self._ripple(picture, shown, state) if state else None
        own = readings is not None and any(reading.widget is not None for reading in readings)
        error = "" if own else self.unread or why_not_comparable(readings)
        return {"answer_number": self._number, "answer_error": error, "ripple": ripple}

    def close(self) -> None:
        """Close the ripples and drop what is under way."""
        self._lane.ask(None)
        for part in reversed(self._parts):
            part.close()
        self._ripples.clear()
        self._parts.clear()
        self._own.close()

    @property
    def _seen(self) -> bool:
        """Whether a page has painted: a notebook that is executed without one has nobody to look."""
        return bool(self._score.drawn) or any(ripple._drawn for ripple in self._ripples)

    def _ask(self, picture: Picture, sequence: int, readings: tuple[Reading, Reading] | None) -> None:
        about = (picture, sequence)
        if self._about is not None and self._about[0] is picture and self._about[1] == sequence:
            return
        self._about, self._number = about, self._number + 1
        reason = self.unread or why_not_comparable(readings)
        if readings is None or reason:
            self._lane.ask(Asked(self._number, None))
            self._tell({"number": self._number, "reason": reason})
            return
        question = partial(lane_question, self._twin, picture, sequence, readings, self._reader, self._score.told)
        self._lane.ask(Asked(self._number, question))

    def _tell(self, lane: Frame) -> None:
        lane = lane | {"reason": self._labelled(str(lane["reason"]))}
        for widget in (self._score, *self._ripples):
            if widget.comm is not None:
                widget.lane = lane

    def _labelled(self, reason: str) -> str:
        """A reason with the layers called what the page calls them."""
        alone = len(self._modules) == 1
        for module in self._modules:
            for layer in module.layers:
                reason = reason.replace(f"layer {layer.name!r}", f"layer {layer_label(module, layer, alone=alone)}")
        return reason

    def _contents(self, state: str) -> Frame:
        """One frame of a ripple of its own."""
        with self._lock:
            now = self._now()
            title = self._title
            if now is None:
                return {"title": title, "hint": WAITING, "tokens": None, "edits": [], "answer": None, "ripple": None}
            picture, shown = now
            readings = self.readings(picture, shown.sequence)
            self._ask(picture, shown.sequence, readings)
            steps = picture.steps(shown.layer, shown.sequence)
            return {
                "title": title,
                "hint": "" if picture.edited else "Nothing is changed: edit a gate or the input of the inspector.",
                "tokens": None if shown.tokens is None else list(shown.tokens[shown.sequence][:steps]),
                "edits": [*picture.told, *(describe(edit) for edit in picture.edits)],
                "answer": answer_frame(readings, edited=picture.edited, told=shown.told),
                "answer_number": self._number,
                "ripple": self._ripple(picture, shown, state),
            }

    def _ripple(self, picture: Picture, shown: Shown, state: str) -> Frame:
        has_state = any(state in layer.family.states for module in self._modules for layer in module.layers)
        return ripple_frame(
            self._modules,
            picture,
            self._orders,
            layer=shown.layer,
            sequence=shown.sequence,
            state=state if has_state else "hidden",
        )
