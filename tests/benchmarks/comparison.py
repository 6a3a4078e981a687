"""Two ways of doing one thing, timed in turn."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table; times in milliseconds unless ``unit`` says otherwise."""

    what: str
    ours: float
    alternative: float
    alternative_is: str
    runs: int
    unit: str = "ms"

    @property
    def ratio(self) -> float:
        return self.ours / self.alternative


def compare(
    what: str,
    ours: Callable[[], object],
    alternative: Callable[[], object],
    alternative_is: str,
    *,
    seconds: float = 2.0,
    at_least: int = 7,
) -> Row:
    """Medians of runs that alternate, so that what else the machine does falls on both alike."""
    times: tuple[list[float], list[float]] = ([], [])
    for function in (ours, alternative):
        function()
        function()
    ends = time.perf_counter() + seconds
    while len(times[1]) < at_least or time.perf_counter() < ends:
        for function, taken in zip((ours, alternative), times, strict=True):
            started = time.perf_counter()
            function()
            taken.append(1000 * (time.perf_counter() - started))
    return Row(what, statistics.median(times[0]), statistics.median(times[1]), alternative_is, len(times[1]))
