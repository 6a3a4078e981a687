"""The answer at every value of a dial, computed beside everything else and given up for anything newer."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rnnwidget.editing import Edit
from rnnwidget.recording.giving_up import NoLongerWantedError, given_up_unless
from rnnwidget.widgets.dials import Scope

VALUES = 25
FEW = 9
LEAST = 3
PATIENCE = 0.4
"""A dial that nobody looks at is asked at a few values, and at fewer where they take longer than this."""

PAUSE = 0.1
BREATH = 0.001

Payload = dict[str, dict[str, object]]


@dataclass(frozen=True)
class Knob:
    """A dial as the model is asked about it: over which other edits, and of which run (``about``)."""

    site: str
    kind: str
    low: float
    high: float
    scope: Scope
    others: tuple[Edit, ...]
    about: tuple[object, ...]

    def edits_at(self, value: float) -> list[Edit]:
        """The edits in force if the dial stood at ``value``."""
        return [*self.others, self.scope.make(self.site, {"kind": self.kind, "value": value})]


@dataclass
class Track:
    """What the model answered so far along one dial; of an answer with several labels, about one."""

    knob: Knob
    label: str
    name: str
    limits: tuple[float, float] | None
    answers: dict[float, float] = field(default_factory=dict)
    count: int = VALUES
    """How many of the values are to be asked at."""

    @property
    def values(self) -> list[float]:
        """Every value to ask at, evenly over the range, the ends and the middle first."""
        step = (self.knob.high - self.knob.low) / (VALUES - 1)
        return [round(self.knob.low + place * step, 9) for place in coarse_first(VALUES)]

    @property
    def missing(self) -> list[float]:
        """The values that are to be asked at yet."""
        return [value for value in self.values[: self.count] if value not in self.answers]

    def payload(self) -> dict[str, object]:
        """What the page draws; null where the answer is not finite."""
        known = sorted(self.answers.items())
        return {
            "kind": self.knob.kind,
            "name": self.name,
            "limits": None if self.limits is None else list(self.limits),
            "values": [value for value, _ in known],
            "answers": [answer if math.isfinite(answer) else None for _, answer in known],
            "done": not self.missing,
        }


def coarse_first(count: int) -> list[int]:
    """The places 0 to count − 1 so that every beginning of the list spreads over them all.

    Examples
    --------
    >>> coarse_first(9)
    [0, 8, 4, 2, 6, 1, 3, 5, 7]
    """
    places = [0, count - 1] if count > 1 else list(range(count))
    stride = count - 1
    while stride > 1:
        stride = (stride + 1) // 2
        places += [place for place in range(0, count, stride) if place not in places]
    return places


class Tracks:
    """Asks along one dial at a time, on a thread of its own that ends when there is nothing left to ask.

    ``lock`` is held for one value only. ``ask`` runs the model at a value; ``wanted`` says whether anybody looks.
    """

    def __init__(
        self,
        ask: Callable[[Track, float], float],
        publish: Callable[[Payload], None],
        wanted: Callable[[], bool],
        lock: threading.RLock,
    ) -> None:
        self._ask, self._publish, self._wanted, self._lock = ask, publish, wanted, lock
        self._tracks: dict[str, Track] = {}
        self._guard = threading.Lock()
        self._asked: Track | None = None
        self._patience = math.inf
        self._thread: threading.Thread | None = None

    def want(self, track: Track, *, idle: bool = False) -> None:
        """Draw a track, going on where it was left if it is the one known for its site; ``idle`` if nobody looks."""
        known = self._tracks.get(track.knob.site)
        if known is not None and (known.knob, known.label) == (track.knob, track.label):
            track = known
        track.count = FEW if idle else VALUES
        self._tracks[track.knob.site] = track
        if not track.missing:
            self._tell()
        with self._guard:
            self._asked, self._patience = track, PATIENCE if idle else math.inf
            if self._thread is None and track.missing:
                self._thread = threading.Thread(target=self._work, name="rnnwidget tracks")
                self._thread.start()

    def give_up(self) -> None:
        """Something newer is to be done: ask no further."""
        with self._guard:
            self._asked = None

    def keep(self, current: Callable[[Track], Knob | None]) -> None:
        """Drop the tracks that are no longer about what is on show."""
        stale = [site for site, track in self._tracks.items() if current(track) != track.knob]
        if not stale:
            return
        with self._guard:
            if self._asked is not None and self._asked.knob.site in stale:
                self._asked = None
        for site in stale:
            del self._tracks[site]
        self._tell()

    def wait(self) -> None:
        """Until nothing is being asked."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        told = 0.0
        while (track := self._current()) is not None:
            with self._lock:
                if self._asked is track:
                    self._ask_next(track)
                    if not track.missing or time.monotonic() - told >= PAUSE:
                        self._tell()
                        told = time.monotonic()
            # The lock is not fair: whoever waits for it gets it now.
            time.sleep(BREATH)

    def _ask_next(self, track: Track) -> None:
        value, begun = track.missing[0], time.monotonic()
        try:
            with given_up_unless(lambda: self._asked is track):
                track.answers[value] = self._ask(track, value)
        except NoLongerWantedError:
            return
        except Exception:  # noqa: BLE001 - a user's model may raise anything; a gap says that there is no answer
            track.answers[value] = math.nan
        self._patience -= time.monotonic() - begun
        if self._patience < 0 and len(track.answers) >= LEAST:
            track.count = len(track.answers)

    def _current(self) -> Track | None:
        """What to ask about; the thread ends where there is nothing, or where the process is about to end."""
        with self._guard:
            looked_at = threading.main_thread().is_alive() and self._wanted()
            if looked_at and self._asked is not None and self._asked.missing:
                return self._asked
            self._thread = None
            return None

    def _tell(self) -> None:
        self._publish({site: track.payload() for site, track in self._tracks.items() if track.answers})
