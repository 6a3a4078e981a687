"""The answer at every step: what the model would say if its input ended there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from rnnwidget.editing.agreement import agree
from rnnwidget.editing.edit import Edit
from rnnwidget.editing.edited import EditList
from rnnwidget.editing.targets import validated
from rnnwidget.recording.layer_recording import LayerRecording
from rnnwidget.recording.module_outputs import first_tensor
from rnnwidget.recording.prefixes import Prefixes, TimeAxis, beginning, has_time, leaves
from rnnwidget.recording.recording import Recording
from rnnwidget.recording.twin import Twin

Answer = Callable[[Any], Any]


def answer_steps(
    model: nn.Module | Twin,
    x: object,
    *,
    edits: Sequence[Edit] | Edit = (),
    answer: Answer | None = None,
) -> Iterator[tuple[int, Any]]:
    """``(t, answer)`` for t = 1, 2, …: what the model says of the first t steps of ``x``, run when it is asked for.

    Sequences that are shorter than t count whole. ``answer`` is asked about the model's output; without it the answer
    is the output's first tensor, detached, and of an output for every step the last one that a sequence has by then.
    A model whose outputs for the whole input are those for its beginnings, which a few beginnings are tried for, runs
    no more than these; otherwise every beginning is a run of its own. Works on a copy, in the caller's grad mode.

    Raises
    ------
    NotImplementedError
        A recurrent layer reads from the end, so that it has read no beginning at any step.
    ValueError
        Nothing recurrent was called, or where time is in ``x`` cannot be told.

    Errors of edits are as for :func:`rnnwidget.edited`; the model's own exceptions pass through.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> class Classifier(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.rnn, self.head = torch.nn.LSTM(3, 4, batch_first=True), torch.nn.Linear(4, 2)
    ...     def forward(self, x):
    ...         return self.head(self.rnn(x)[0][:, -1])
    >>> model, x = Classifier(), torch.randn(1, 6, 3)
    >>> [t for t, answer in rw.answer_steps(model, x)]
    [1, 2, 3, 4, 5, 6]
    >>> list(rw.answer_steps(model, x))[2][1].allclose(model(x[:, :3]))
    True
    """
    twin = model if isinstance(model, Twin) else Twin(model)
    kept = validated(edits, twin.modules)
    whole, recording = twin.run(x, editor=EditList(kept))
    time = TimeAxis.of(_first_called(twin, recording))
    prefixes, fixed = Prefixes(x, time), [_at_fixed_steps(edit, time.steps) for edit in kept]

    def until(steps: int) -> object:
        return twin.output(prefixes.until(steps), editor=EditList(fixed))

    return _answers(until, whole, time, answer)


def _first_called(twin: Twin, recording: Recording) -> LayerRecording:
    if not recording.layers:
        raise ValueError("no recurrent layer was called, so nothing tells what a step of the input is")
    backwards = [
        layer.name
        for module in twin.modules
        for layer in module.layers
        if layer.reverse and layer.name in recording.layers
    ]
    if backwards:
        raise NotImplementedError(
            f"layer {backwards[0]!r} reads from the end of the sequence: at no step has it read what came before, so "
            "there is no answer along the way"
        )
    return recording.calls(recording.layers[0])[0]


def _at_fixed_steps(edit: Edit, steps: int) -> Edit:
    """The edit with its steps spelled out, where its value has a number for each."""
    if not isinstance(edit.value, Tensor) or edit.value.dim() < 3 or edit.value.size(0) == 1:
        return edit
    if isinstance(edit.steps, tuple):
        return edit
    chosen = range(steps) if edit.steps is None else range(*edit.steps.indices(steps))
    return replace(edit, steps=tuple(chosen))


def _answers(
    until: Callable[[int], object], whole: object, time: TimeAxis, answer: Answer | None
) -> Iterator[tuple[int, Any]]:
    tried = {steps: until(steps) for steps in sorted({1, time.steps // 2, time.steps - 1}) if 0 < steps < time.steps}
    read = _asked(answer) if answer else _LastStep.of(whole, tried, time)
    wanted = whole if answer else first_tensor(whole)
    ready = all(has_time(leaf, time) for leaf in leaves(wanted)) and all(
        agree(beginning(wanted, time, steps), output if answer else first_tensor(output))
        for steps, output in tried.items()
    )
    for steps in range(1, time.steps):
        output = beginning(wanted, time, steps) if ready else tried.get(steps)
        yield steps, read(until(steps) if output is None else output, steps)
    if time.steps:
        yield time.steps, read(whole, time.steps)


def _asked(answer: Answer) -> Callable[[object, int], Any]:
    return lambda output, steps: answer(output)


@dataclass(frozen=True)
class _LastStep:
    """Reads the first tensor of an output; where that has an axis of time, the last step of each sequence."""

    time: TimeAxis
    axis: int | None

    @classmethod
    def of(cls, whole: object, tried: Mapping[int, object], time: TimeAxis) -> _LastStep:
        """An axis is that of time if it is as long as every beginning that was tried."""
        first = first_tensor(whole)
        axis = time.find(first) if isinstance(first, Tensor) and first.dim() > 1 else None
        for steps, output in tried.items():
            found = first_tensor(output)
            if not isinstance(found, Tensor) or axis is None or found.dim() <= axis or found.size(axis) != steps:
                return cls(time, None)
        return cls(time, axis)

    def __call__(self, output: object, steps: int) -> Tensor:
        found = first_tensor(output)
        if found is None:
            raise TypeError(f"the output has no tensor to take for an answer, it is {output!r:.80}: give answer=")
        if isinstance(found, PackedSequence):
            padded, lengths = pad_packed_sequence(found)
            return _last(padded.detach(), 0, lengths)
        if self.axis is None:
            return found.detach()
        return _last(found.detach(), self.axis, self.time.lengths.clamp(max=steps))


def _last(tensor: Tensor, axis: int, lengths: Tensor) -> Tensor:
    by_time = tensor.movedim(axis, 0)
    if by_time.dim() == 1 or len(lengths) != by_time.size(1):
        return by_time[-1]
    return by_time[lengths.to(tensor.device) - 1, torch.arange(len(lengths), device=tensor.device)]
