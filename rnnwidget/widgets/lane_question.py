"""What the answer lane is asked: the answer on show, of the model that has read the first t steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from rnnwidget.editing import Edit, answer_steps
from rnnwidget.recording.twin import Twin
from rnnwidget.widgets.answer_lane import Line, Question, Values
from rnnwidget.widgets.answers import Reading, picked_label
from rnnwidget.widgets.picture import Picture

ReadAt = Callable[[object, int], Reading | None]


def lane_question(
    twin: Twin, picture: Picture, sequence: int, readings: tuple[Reading, Reading], read_at: ReadAt, number: int
) -> Question:
    """The question for the picked label of one sequence; ``read_at(output, t)`` reads the answer after t steps."""
    layer = picture.recording.layers[0]
    label = readings[0].labels[picked_label(*readings)]
    limits = readings[0].limits

    def line(inputs: object, edits: Sequence[Edit]) -> Line:
        return lambda: _values(twin, inputs, edits, label, read_at)

    return Question(
        number=number,
        label=f"P({label})" if limits == (0.0, 1.0) else label,
        limits=limits,
        steps=picture.steps(layer, sequence),
        before=line(picture.inputs_before, ()),
        after=line(picture.inputs, picture.edits) if picture.edited else None,
        before_of=(picture.baseline_recording, sequence, label),
        steps_before=int(picture.baseline_recording[layer].lengths[sequence]),
        same_steps=None if picture.same_steps is None else picture.same_steps[sequence],
    )


def _values(twin: Twin, inputs: object, edits: Sequence[Edit], label: str, read_at: ReadAt) -> Values:
    with torch.no_grad():
        for read, output in answer_steps(twin, inputs, edits=edits, answer=_itself):
            reading = read_at(output, read)
            if reading is None or label not in reading.labels:
                raise ValueError(f"the output after {read} steps has no answer named {label!r}")
            yield read, reading.values[reading.labels.index(label)]


def _itself(output: object) -> object:
    return output
