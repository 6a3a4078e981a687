"""What the answer lane is asked: the answer on show, of the model that has read the first t steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from rnnwidget.editing import Edit
from rnnwidget.editing.answer_steps import answer_steps
from rnnwidget.recording.module_outputs import first_tensor
from rnnwidget.recording.prefixes import TimeAxis, beginning, has_time
from rnnwidget.recording.recording import Recording
from rnnwidget.recording.twin import Twin
from rnnwidget.widgets.answer_lane import Line, Question, Values
from rnnwidget.widgets.answer_words import picked_label, told_name
from rnnwidget.widgets.answers import SHOWN, Reader, Reading, shortened, tensor_in
from rnnwidget.widgets.counted import counted
from rnnwidget.widgets.output_axes import SeriesAxes, Wanted, batch_axis, series_axes
from rnnwidget.widgets.picture import Picture

ReadAt = Callable[[object, int], Tensor]


@dataclass(frozen=True, eq=False)
class _Run:
    """One of the two runs that the lane compares, for one sequence."""

    inputs: object
    edits: Sequence[Edit]
    output: object
    recording: Recording
    sequence: int

    def wanted(self, read: int | None = None) -> Wanted:
        """Where this sequence lies in an output, or in that of the first ``read`` steps."""
        layer = self.recording[self.recording.layers[0]]
        lengths = [steps if read is None else min(steps, read) for steps in layer.lengths.tolist()]
        return Wanted(self.sequence, len(lengths), lengths, layer.batch_first)

    @property
    def has_outputs(self) -> bool:
        """Whether the output surely has something for every step: of (sequence, number) it may be a class."""
        wanted = self.wanted()
        found = tensor_in(self.output, wanted)
        axis = None if found is None else batch_axis(*found)
        if found is None or not has_time(first_tensor(self.output), self._time):
            return False
        own = found[0] if axis is None else found[0].select(axis, 0)
        return own.dim() == 2 and own.size(0) == wanted.steps

    def outputs(self) -> Iterator[tuple[int, object]]:
        """``(t, output)`` for t = 1, 2, …: the output of the whole run up to step t."""
        output = first_tensor(self.output)
        return ((steps, beginning(output, self._time, steps)) for steps in range(1, self._time.steps + 1))

    @cached_property
    def _time(self) -> TimeAxis:
        return TimeAxis.of(self.recording[self.recording.layers[0]])

    def series(self) -> SeriesAxes | None:
        """Where the output has numbers for each step of the input; None where it has not."""
        found = tensor_in(self.output, self.wanted())
        axes = None if found is None else series_axes(*found)
        return None if axes is None or axes.steps != self.wanted().steps else axes


@dataclass(frozen=True, eq=False)
class _Followed:
    """The numbers that the lane follows: what they are called, there and in the answer, and how they are read."""

    labels: tuple[str, ...]
    names: tuple[str, ...]
    picked: int
    limits: tuple[float, float] | None
    truth: Tensor | None
    series: bool
    read: tuple[ReadAt, ReadAt]


def lane_question(
    twin: Twin, picture: Picture, sequence: int, readings: tuple[Reading, Reading], reader: Reader, told: str = ""
) -> Question:
    """The question for one sequence: of a series its channels, of any other answer the labels on show.

    Of those the lane shows the one that a person chose, ``told``, first.

    A layer that reads from the end has no answer to a beginning; what the model gives at every step is shown instead,
    where it gives something there.
    """
    before = _Run(picture.inputs_before, (), picture.baseline_output, picture.baseline_recording, sequence)
    after = _Run(picture.inputs, picture.edits, picture.output, picture.recording, sequence)
    called = picture.recording.layers
    backwards = any(layer.reverse and layer.name in called for module in twin.modules for layer in module.layers)
    by_step = backwards and reader.answer is None and before.has_outputs and after.has_outputs
    followed = _channels(before, after, readings, reader, told) or _labels(before, after, readings, reader, told)
    return Question(
        labels=followed.labels,
        names=followed.names,
        limits=followed.limits,
        steps=after.wanted().own_steps,
        before=_line(twin, before, followed.read[0], by_step=by_step),
        after=_line(twin, after, followed.read[1], by_step=by_step) if picture.edited else None,
        before_of=(picture.baseline_recording, sequence, followed.labels),
        steps_before=before.wanted().own_steps,
        same_steps=None if picture.same_steps is None else picture.same_steps[sequence],
        picked=followed.picked,
        truth=followed.truth,
        series=followed.series,
        by_step=by_step,
    )


def _channels(
    before: _Run, after: _Run, readings: tuple[Reading, Reading], reader: Reader, told: str
) -> _Followed | None:
    """The channels of a series that has a value for each step of the input."""
    axes = before.series(), after.series()
    if axes[0] is None or axes[1] is None or all(reading.series is None for reading in readings):
        return None
    found = tensor_in(after.output, after.wanted())
    own = None if found is None else axes[1].of(found[0], after.sequence)
    if own is None:
        return None
    count = own.size(0)
    labels = ("output",) if count == 1 else tuple(f"output {channel}" for channel in range(min(count, SHOWN)))
    truth = reader.truth(after.wanted(), count)
    return _Followed(
        labels=labels,
        names=labels,
        picked=labels.index(told) if told in labels else 0,
        limits=None,
        truth=None if truth is None else truth[:SHOWN],
        series=True,
        read=(_channels_at(before, axes[0]), _channels_at(after, axes[1])),
    )


def _channels_at(run: _Run, axes: SeriesAxes) -> ReadAt:
    def read(output: object, steps: int) -> Tensor:
        found = tensor_in(output, run.wanted(steps))
        own = None if found is None else axes.of(found[0], run.sequence)
        if own is None or own.size(1) != steps:
            shape = "nothing" if found is None else " × ".join(map(str, found[0].shape))
            raise ValueError(
                f"after {counted(steps, 'step')} the output is {shape}: it does not have one value for each step read"
            )
        return own[:SHOWN, steps - 1]

    return read


def _labels(before: _Run, after: _Run, readings: tuple[Reading, Reading], reader: Reader, told: str) -> _Followed:
    """The labels of the answer that are on show."""
    place, all_names = picked_label(readings[0], told), readings[0].labels
    picked, names = all_names[place], tuple(dict.fromkeys(shortened(*readings, place)[0].labels))
    limits = readings[0].limits
    truth = reader.truth(after.wanted(), len(all_names)) if limits is None else None
    targeted = any(reading.series is not None or reading.truth is not None for reading in readings)
    reader = reader if targeted else replace(reader, targets=None)
    return _Followed(
        labels=tuple(told_name(name, limits) for name in names),
        names=names,
        picked=names.index(picked),
        limits=limits,
        truth=None if truth is None else truth[[all_names.index(name) for name in names]],
        series=False,
        read=(_labels_at(before, names, reader), _labels_at(after, names, reader)),
    )


def _labels_at(run: _Run, names: Sequence[str], reader: Reader) -> ReadAt:
    whole = tensor_in(run.output, replace(run.wanted(), classes=reader.classes))
    # After as many steps as there are sequences a beginning's own shape would not tell.
    axis = None if whole is None else batch_axis(*whole)
    known: tuple[Sequence[str], list[int]] | None = None

    def read(output: object, steps: int) -> Tensor:
        nonlocal known
        wanted = run.wanted(steps)
        reading = reader.read(
            output, run.sequence, wanted.batch, lengths=wanted.lengths, batch_first=wanted.batch_first, axis=axis
        )
        if reading is None:
            raise ValueError(f"the output after {counted(steps, 'step')} holds no answer for this sequence")
        if known is None or known[0] is not reading.names:
            missing = [name for name in names if name not in reading.names]
            if missing:
                raise ValueError(f"the output after {counted(steps, 'step')} has no answer named {missing[0]!r}")
            known = reading.names, [reading.names.index(name) for name in names]
        return reading.vector[known[1]]

    return read


def _line(twin: Twin, run: _Run, read: ReadAt, *, by_step: bool) -> Line:
    def values() -> Values:
        own_steps = run.wanted().own_steps
        with torch.no_grad():
            answers = run.outputs() if by_step else answer_steps(twin, run.inputs, edits=run.edits, answer=_itself)
            for steps, output in answers:
                if steps > own_steps:
                    return
                yield steps, read(output, steps)

    return values


def _itself(output: object) -> object:
    return output
