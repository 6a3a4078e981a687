"""The tracks of the gate panel's dials, asked of an inspector's model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from rnnwidget.widgets.answer_words import picked_label, told_name
from rnnwidget.widgets.answers import Reading
from rnnwidget.widgets.panel import Panel
from rnnwidget.widgets.probe import Probe
from rnnwidget.widgets.score import Score
from rnnwidget.widgets.tracks import Knob, Track, Tracks


class DialTracks:
    """Draws the track of the dial that somebody looks at, and drops those that are out of date.

    ``readings`` gives the answers before and after the edits in force, ``read`` the answer in one output.
    """

    def __init__(
        self,
        panel: Panel,
        probe: Probe,
        score: Score,
        lock: threading.RLock,
        *,
        readings: Callable[[], tuple[Reading, Reading] | None],
        read: Callable[[object], Reading | None],
        wanted: Callable[[], bool],
        renew: Callable[[], bool],
    ) -> None:
        self._panel, self._probe, self._lock = panel, probe, lock
        self._readings, self._read, self._renew, self._score = readings, read, renew, score
        self._tracks = Tracks(self._ask, lambda payload: setattr(score, "_tracks", payload), wanted, lock)
        score.observe(self._on_looked_at, names=["_track"])

    def give_up(self) -> None:
        """Something newer is to be done."""
        self._tracks.give_up()

    def refresh(self) -> None:
        """Drop the tracks of another scope, run or model than the one on show."""
        self._tracks.keep(lambda track: self._knob(track.knob.site, track.knob.kind))

    def wait(self) -> None:
        """Until nothing is being asked."""
        self._tracks.wait()

    def _on_looked_at(self, change: Any) -> None:
        looked_at: Mapping[str, Any] = change["new"]
        self._tracks.give_up()
        if not looked_at or not self._probe.may_ask:
            return
        with self._lock:
            self._renew()
            knob, readings = self._knob(looked_at["site"], looked_at["kind"]), self._readings()
            if knob is None or readings is None:
                return
            label = readings[0].labels[picked_label(readings[0], self._score.told)]
            track = Track(knob, label, told_name(label, readings[0].limits), readings[0].limits)
            self._tracks.want(track, idle=bool(looked_at.get("idle")))

    def _knob(self, site: str, kind: str) -> Knob | None:
        return self._panel.knob(site, kind, (*self._probe.version, self._score.told))

    def _ask(self, track: Track, value: float) -> float:
        reading = self._read(self._probe.output(track.knob.edits_at(value)))
        if reading is None or track.label not in reading.labels:
            return float("nan")
        return reading.values[reading.labels.index(track.label)]
