"""What is asked of an inspector, by its page or from Python, and what follows from it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rnnwidget.editing import Edit
from rnnwidget.recording import Recording
from rnnwidget.widgets.change_views import ChangeViews
from rnnwidget.widgets.code import assignment, called, renamed
from rnnwidget.widgets.described import without
from rnnwidget.widgets.dial_tracks import DialTracks
from rnnwidget.widgets.dials import with_dials
from rnnwidget.widgets.input_state import InputState
from rnnwidget.widgets.page import Page
from rnnwidget.widgets.panel import Panel

_log = logging.getLogger(__name__)

INTERRUPTED = "interrupted: what is on show is what was there before"


def _told(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return f"{type(error).__name__}: {error}"


class Steering(InputState):
    """Edits, undo and redo, and the choice of what is on show: each is carried out, and shown."""

    _page: Page
    _panel: Panel
    _tracks: DialTracks
    _changes: ChangeViews
    _failed = False
    _obeyed: dict[str, int]
    """The last wish of each page that was carried out."""
    _unwritten = ""
    """Why the last input that was asked for is not the one in force."""

    def _say_ready(self) -> None:
        """A run has succeeded."""
        why = self._probe.twin.why_not_copied
        notes = [f"This model cannot be copied ({why}); edits run on the model itself."] if why else []
        self._page.say("ready", " ".join([*notes, *filter(None, [self._unwritten])]))

    def _fail(self, error: BaseException) -> None:
        """A run has failed; the last good picture stays."""
        _log.debug("the inspector could not run the model", exc_info=error)
        self._page.say("error", _told(error))

    @property
    def code(self) -> str:
        """The lines of Python that put the edits in force, and make the input what it is where it was changed.

        The inspector is called what the notebook calls it. Recordings that edits take their values from are called
        ``recording``, ``recording_2`` and so on, unless it is the one that the inspector has now.
        """
        written, name = self._writing.current.code, called(self)
        lines = ("inspector.reset_inputs()", *written) if written else ()
        names = dict.fromkeys(self._probe.unedited, f"{name}.baseline_recording")

        def name_of(recording: Recording) -> str:
            others = len(set(names.values()) - {f"{name}.baseline_recording"})
            return names.setdefault(recording, f"recording_{1 + others}" if others else "recording")

        return renamed(assignment(self.edits, name_of, before=lines), name)

    def undo(self) -> None:
        """Take the last edit back: a whole drag, or what was set from Python."""
        self._restore(self._panel.position - 1)

    def redo(self) -> None:
        """Make again what was undone."""
        self._restore(self._panel.position + 1)

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        self._tracks.give_up()
        with self._changes.deferred(), self._lock:
            yield

    def _on_request(self, change: Any) -> None:
        request = change["new"]
        if not request:
            return
        with self._at_once():
            try:
                for wish in (*request.get("before", ()), request):
                    self._obey_once(wish)
            finally:
                self._page.acknowledge()

    def _obey_once(self, wish: Mapping[str, Any]) -> None:
        serial, page = int(wish["serial"]), wish.get("page", "")
        if serial <= self._obeyed.get(page, 0):
            return
        self._obeyed[page] = serial
        self._page.answers = max(serial, self._page.answers)
        try:
            self._obey(wish)
        except BaseException as error:  # a user's model may raise anything, and a kernel may be interrupted
            self._fail(error)
            if not isinstance(error, Exception):
                raise

    def _obey(self, request: Mapping[str, Any]) -> None:
        if "position" in request:
            self._restore(int(request["position"]))
            return
        wish = request.get("inputs", {})
        with self._panel.moving(request.get("gesture", wish.get("gesture"))):
            if wish:
                self._write_or_tell(wish, int(request.get("sequence", self.sequence)))
            elif "drop" in request:
                self._put(without(self.edits, int(request["drop"]), request["line"]))
            else:
                self._put(with_dials(self.edits, request))

    def _write_or_tell(self, wish: Mapping[str, Any], sequence: int) -> None:
        """A word that was refused is told of until another is written: the next drag is no answer to it."""
        try:
            self._write(self._asked_input(wish, sequence))
        except BaseException as error:
            self._unwritten = _told(error)
            raise
        self._unwritten = ""

    def _restore(self, position: int) -> None:
        with self._at_once(), self._panel.moving(restoring=True):
            if self._unwritten:
                self._unwritten = ""
                self._say_ready()
            left = self._panel.position
            moment = self._panel.go(position)
            try:
                self._put(list(moment.edits))
                if self._picture is not None:
                    self._write(moment.written or self._writing.original)
            except BaseException:
                self._panel.go(left)
                self._show_panel()
                raise

    def _put(self, edits: list[Edit]) -> None:
        if edits == self.edits:
            self._show()
        else:
            self.edits = edits

    def _on_edits(self, change: Any) -> None:
        with self._at_once():
            if self._picture is None:
                self._edits_hold()
                self._next_call_is_wanted()
                self._show()
            elif self._picture.edits != tuple(change["new"]) or not self._failed:
                self._run_edited(change["new"])
            self._failed = False

    def _run_edited(self, edits: list[Edit]) -> None:
        """Show the model under ``edits``; where it fails, those of the picture on show are in force again."""
        assert self._picture is not None
        try:
            self._picture = self._probe.edited(edits)
        except BaseException as error:
            self._failed = True
            self.edits = list(self._picture.edits)
            self._show_panel()
            self._fail(error)
            raise
        self._edits_hold()
        with self._page.score.hold_sync():
            self._say_ready()
            self._show()

    def _next_call_is_wanted(self) -> None:
        """Whoever waits for a call has changed what it is to be shown under."""

    def _edits_hold(self) -> None:
        self._remember()
        # A layer that this input does not call has nothing to show.
        if self._picture is None or all(edit.layer in (None, *self._picture.recording.layers) for edit in self.edits):
            self._panel.follow()

    def _on_layer(self, change: Any) -> None:
        with self._lock:
            self.units = []
            if self.site not in self._layers[self.layer].family.sites:
                self.site = "hidden"
            self._show()

    def _on_view(self, change: Any) -> None:
        with self._lock:
            self._show()

    def _on_steps(self, change: Any) -> None:
        with self._lock:
            self._page.score.steps = change["new"] and list(change["new"])
            self._show_panel()

    def _on_scope(self, change: Any) -> None:
        with self._lock:
            self._show_panel()

    def _show_panel(self) -> None:
        self._panel.show(self.code)
        self._tracks.refresh()

    def _show(self) -> None:
        try:
            # One message: each costs a turn of the page's queue.
            with self._page.score.hold_sync():
                self._show_panel()
                self._page.publish()
            self._changes.follow()
        except Exception as error:  # noqa: BLE001 - a person's own answer= may raise anything
            self._fail(error)

    def _remember(self) -> None:
        self._panel.remember(self._writing.current if self._writing.changed else None)

    def _rewritten(self) -> None:
        self._unwritten = ""
        self._remember()
        self._choose_what_there_is()
        self._say_ready()
        self._show()

    def _choose_what_there_is(self) -> None:
        """A layer, a sequence or steps that the picture of another input does not have are chosen no more."""
        assert self._picture is not None
        if self.layer not in self._picture.recording:
            self.layer = self._picture.recording.layers[0]
        self.sequence = min(self.sequence, self._picture.batch - 1)
        if self.steps is not None and self.steps[0] >= self._picture.steps(self.layer, self.sequence):
            self.steps = None
