"""What the page has to know to let a person change the input."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rnnwidget.recording.modules import RecurrentModule
from rnnwidget.recording.twin import Arguments
from rnnwidget.widgets.frame import CHANNELS
from rnnwidget.widgets.input_edits import InputEdits
from rnnwidget.widgets.picture import Picture
from rnnwidget.widgets.pulses import Pulse
from rnnwidget.widgets.stimulus import NOT_FOUND, Place, place_read_by
from rnnwidget.widgets.wire import Frame


def writing_frame(
    picture: Picture,
    modules: Sequence[RecurrentModule],
    writing: InputEdits,
    layer: str,
    sequence: int,
    vocabulary: Sequence[str] | None,
) -> Frame:
    """Why words and pulses cannot be changed, empty where they can; what was changed, and what the model reads.

    ``moved`` has the last pulse of each channel: that one can be moved and scaled otherwise.
    """
    steps = picture.steps(layer, sequence)
    own = picture.reads_words(layer)
    words = writing.current.words if own else None
    first = next(module.layers[0].name for module in modules if any(own.name == layer for own in module.layers))
    read = picture.recording[first].inputs[:steps, sequence]
    pulses: str | None = None
    place = None
    if words is None and read.size(-1) <= CHANNELS:
        place = place_read_by(picture.recording[first], writing.current.inputs, sequence)
        pulses = "" if place else NOT_FOUND
    return {
        "words": None if words is None else writing.why_not_words,
        "pulses": pulses,
        "moved": _moved(writing.current.pulses, place, sequence),
        "told": list(picture.told),
        "changed_steps": _changed_steps(picture, writing, sequence, steps) if own else [],
        "new_steps": _new_steps(picture, sequence) if own else [],
        "reads": None if words is None else _reads(writing, sequence, steps, vocabulary),
    }


def _moved(pulses: Sequence[Pulse], place: Place | None, sequence: int) -> list[Frame]:
    own = {pulse.channel: pulse for pulse in pulses if (pulse.place, pulse.sequence) == (place, sequence)}
    return [
        {"channel": channel, "start": pulse.start, "stop": pulse.stop, "move": pulse.move, "gain": pulse.gain}
        for channel, pulse in own.items()
        if math.isfinite(pulse.gain)  # JSON has no other numbers
    ]


def _changed_steps(picture: Picture, writing: InputEdits, sequence: int, steps: int) -> list[int]:
    before, after = writing.original.words, writing.current.words
    if not writing.changed or before is None or after is None:
        return []
    own = None if picture.same_steps is None else picture.same_steps[sequence].tolist()
    was = [step if own is None else own[step] for step in range(steps)]
    return [
        step
        for step, earlier in enumerate(was)
        if not 0 <= earlier < len(before[sequence]) or before[sequence][earlier] != after[sequence][step]
    ]


def _new_steps(picture: Picture, sequence: int) -> list[int]:
    """The steps that the run before does not have."""
    if picture.same_steps is None:
        return []
    return torch.nonzero(picture.same_steps[sequence] < 0).flatten().tolist()


def _reads(writing: InputEdits, sequence: int, steps: int, vocabulary: Sequence[str] | None) -> list[str] | None:
    """The first integer tensor of the input that has a number for every step, by name where they are known.

    A vocabulary names the outputs; it names the inputs too where it calls most of them what they are called there.
    """
    words = writing.current.words
    for tensor in _tensors(writing.current.inputs):
        if tensor.is_floating_point() or tensor.is_complex() or tensor.dim() not in (1, 2):
            continue
        own = tensor if tensor.dim() == 1 else _row(tensor, sequence, steps)
        if own is None or own.numel() < steps or steps == 0:
            continue
        numbers = [int(number) for number in own[:steps].tolist()]
        if vocabulary is not None and min(numbers) >= 0 and max(numbers) < len(vocabulary):
            names = [vocabulary[number] for number in numbers]
            named = [(word, name) for word, name in zip(words[sequence], names, strict=False) if word] if words else []
            if 2 * sum(word == name for word, name in named) >= len(named):
                return names
        return [f"number {number}" for number in numbers]
    return None


def _row(tensor: Tensor, sequence: int, steps: int) -> Tensor | None:
    rows, columns = tensor.shape
    if sequence < rows and columns >= steps:
        return tensor[sequence]
    return tensor[:, sequence] if sequence < columns and rows >= steps else None


def _tensors(inputs: object) -> list[Tensor]:
    if isinstance(inputs, Tensor):
        return [inputs]
    parts: Sequence[object] = ()
    if isinstance(inputs, Arguments):
        parts = (*inputs.positional, *inputs.keywords.values())
    elif isinstance(inputs, dict):
        parts = tuple(inputs.values())
    elif isinstance(inputs, (tuple, list)):
        parts = tuple(inputs)
    return [part for part in parts if isinstance(part, Tensor)]
