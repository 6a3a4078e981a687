"""Pulses of stimuli that were moved or scaled, in the order in which that was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from rnnwidget.widgets.stimulus import Place, series_at, told_of_pulse, with_pulse


@dataclass(frozen=True)
class Pulse:
    """Steps [start, stop) of one channel of a sequence of so many ``steps``, moved and scaled; ``name`` is told.

    ``layer`` is the one that reads it, None where the model has no other.
    """

    place: Place
    sequence: int
    channel: int
    start: int
    stop: int
    move: int
    gain: float
    steps: int
    name: str
    layer: str | None = None

    @property
    def stands(self) -> tuple[int, int]:
        """The steps where it stands now."""
        return max(0, self.start + self.move), min(self.steps, self.stop + self.move)

    def put(self, inputs: object) -> object:
        """An input with it moved and scaled."""
        return with_pulse(
            inputs, self.place, self.sequence, self.channel, self.start, self.stop, self.move, self.gain, self.steps
        )

    def series(self, inputs: object) -> Float[Tensor, " time"]:
        """Its channel in an input."""
        return series_at(inputs, self.place, self.sequence, self.channel)[: self.steps]

    @property
    def told(self) -> str:
        """One readable line."""
        return told_of_pulse(self.name, self.start, self.stop, self.move, self.gain)

    @property
    def code(self) -> str:
        """The statement that does the same."""
        where = "" if self.layer is None else f", layer={self.layer!r}"
        return (
            f"inspector.move_pulse({self.channel}, {self.start}, {self.stop}, by={self.move}, "
            f"times={self.gain!r}, sequence={self.sequence}{where})"
        )

    def of_one_channel(self, other: Pulse) -> bool:
        """Whether the other is of the same channel of the same sequence."""
        return (self.place, self.sequence, self.channel) == (other.place, other.sequence, other.channel)

    def goes_on_from(self, earlier: Pulse) -> Pulse | None:
        """The one pulse that does what ``earlier`` and this one do if it stands on the same ground; None if none does.

        A pulse that was moved before may have covered something.
        """
        if earlier.move or earlier.stands != (self.start, self.stop) or not self.of_one_channel(earlier):
            return None
        return replace(earlier, move=self.move, gain=earlier.gain * self.gain)


def last_of_channel(pulses: Sequence[Pulse], pulse: Pulse) -> int | None:
    """The place of the last one of the same channel: those before it cannot be changed apart from it."""
    places = [place for place, other in enumerate(pulses) if pulse.of_one_channel(other)]
    return places[-1] if places else None


def added(pulses: Sequence[Pulse], pulse: Pulse) -> tuple[Pulse, ...]:
    """With one more, made one with the last of its channel where it does no more than go on from it."""
    place = last_of_channel(pulses, pulse)
    joined = None if place is None else pulse.goes_on_from(pulses[place])
    if place is None or joined is None:
        return (*pulses, pulse)
    return _moved([*pulses[:place], joined, *pulses[place + 1 :]])


def put_again(pulses: Sequence[Pulse], pulse: Pulse) -> tuple[Pulse, ...]:
    """With the last of its channel in another way, if it is of the same steps; else with one more."""
    place = last_of_channel(pulses, pulse)
    if place is None or (pulses[place].start, pulses[place].stop) != (pulse.start, pulse.stop):
        return _moved([*pulses, pulse])
    return _moved([*pulses[:place], pulse, *pulses[place + 1 :]])


def _moved(pulses: Sequence[Pulse]) -> tuple[Pulse, ...]:
    """Those to which something was done."""
    return tuple(pulse for pulse in pulses if (pulse.move, pulse.gain) != (0, 1.0))
