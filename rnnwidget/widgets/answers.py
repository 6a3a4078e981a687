"""The model's answer for one sequence, read from whatever the model returned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from rnnwidget.recording.module_outputs import first_tensor

AnswerOf = Callable[[Any], float | Mapping[str, float]]
SHOWN = 8


@dataclass(frozen=True)
class Reading:
    """What a view shows of one output: a value for each label.

    ``limits`` is the range that the values can take, None if unknown.
    """

    labels: tuple[str, ...]
    values: tuple[float, ...]
    caption: str
    limits: tuple[float, float] | None


@dataclass(frozen=True)
class _Wanted:
    """The sequence to find in an output; ``steps`` is the length of the longest, 0 if unknown."""

    sequence: int
    batch: int
    lengths: Sequence[int]
    batch_first: bool | None

    @property
    def steps(self) -> int:
        return max(self.lengths, default=0)


def read_answer(
    output: object,
    sequence: int,
    batch: int,
    *,
    lengths: Sequence[int] = (),
    batch_first: bool | None = None,
    loss: object = None,
    labels: Sequence[str] | None = None,
    answer: AnswerOf | None = None,
) -> Reading | None:
    """Read the answer for one sequence of a batch; None if no tensor of the output surely has one.

    Outputs are shown raw unless ``loss`` says that they are logits. A sequence of outputs is read at its last step,
    which ``lengths`` tells; ``batch_first`` tells the two axes apart when there are as many steps as sequences.
    """
    if answer is not None:
        return _own(answer(output))
    found = first_tensor(output)
    if isinstance(found, PackedSequence):
        found, unpacked = pad_packed_sequence(found, batch_first=True)
        lengths, batch_first = unpacked.tolist(), True
    if found is None or found.numel() == 0:
        return None
    tensor, wanted = found.detach(), _Wanted(sequence, batch, lengths, batch_first)
    names = None if labels is None else list(labels)
    while isinstance(loss, partial):
        loss = loss.func
    classes = isinstance(loss, nn.CrossEntropyLoss) or loss is functional.cross_entropy
    binary = isinstance(loss, nn.BCEWithLogitsLoss) or loss is functional.binary_cross_entropy_with_logits
    per_step = binary and wanted.steps > 1 and (names is None or len(names) != wanted.steps)
    own = _class_logits(tensor, wanted) if classes else _outputs(tensor, wanted, per_step=per_step)
    if own is None:
        return None
    vector, where = own
    if classes:
        chances = torch.softmax(vector.float(), dim=0)
        return _probabilities(chances, names, "probability (softmax of the output)" + where)
    if binary:
        if names is not None and len(names) == 2 and vector.numel() == 1:
            names = names[1:]
        return _probabilities(torch.sigmoid(vector.float()), names, "probability (sigmoid of the output)" + where)
    if names is not None and len(names) != vector.numel():
        names = None
    return _reading(vector, names, "raw output" + where, None)


def headline(before: Reading, after: Reading, picked: int) -> str:
    """The line that says what changed, such as ``P(positive)  0.07 → 0.61``."""
    label = before.labels[picked]
    name = f"P({label})" if before.limits == (0.0, 1.0) else label
    old, new = before.values[picked], after.values[picked]
    digits = next((digits for digits in (2, 3, 4) if f"{old:.{digits}f}" != f"{new:.{digits}f}"), 2)
    return f"{name}  {_figure(old, digits)} → {_figure(new, digits)}"


def picked_label(before: Reading, after: Reading) -> int:
    """The label to tell of: the second of two classes, otherwise the one that moved most, or the highest."""
    if len(before.values) == 2 and before.limits == (0.0, 1.0):
        return 1
    moved = [abs(new - old) for old, new in zip(before.values, after.values, strict=True)]
    if max(moved, default=0) > 0:
        return moved.index(max(moved))
    return before.values.index(max(before.values))


def shortened(before: Reading, after: Reading) -> tuple[Reading, Reading]:
    """At most :data:`SHOWN` labels: the highest before and after."""
    if len(before.labels) <= SHOWN:
        return before, after
    half = SHOWN // 2
    ranked = [sorted(range(len(r.values)), key=lambda k, r=r: -r.values[k]) for r in (before, after)]  # type: ignore[misc]
    kept = list(dict.fromkeys([*ranked[0][:half], *ranked[1]]))[:SHOWN]
    kept.sort(key=lambda k: -before.values[k])
    caption = f"{before.caption}, {len(kept)} of {len(before.labels)}"

    def cut(reading: Reading) -> Reading:
        return Reading(
            tuple(reading.labels[k] for k in kept), tuple(reading.values[k] for k in kept), caption, reading.limits
        )

    return cut(before), cut(after)


def _own(given: float | Mapping[str, float]) -> Reading:
    if isinstance(given, Mapping):
        return Reading(tuple(map(str, given)), tuple(float(value) for value in given.values()), "answer", None)
    return Reading(("answer",), (float(given),), "answer", None)


def _class_logits(tensor: Tensor, wanted: _Wanted) -> tuple[Tensor, str] | None:
    """Logits as cross entropy takes them: (class), (N, class) or (N, class, position...)."""
    batch, steps = wanted.batch, wanted.steps
    if tensor.dim() < 2:
        return (tensor.reshape(-1), "") if batch == 1 else None
    first = tensor.size(0) == batch
    third = tensor.dim() > 2 and tensor.size(2) == batch and tensor.size(0) == steps
    if batch > 1 and (first == third and not (first and wanted.batch_first)):
        return None
    if first:
        own = tensor[wanted.sequence].movedim(0, -1)
    else:
        own = (tensor.select(2, wanted.sequence) if third else tensor).movedim(1, -1)
    return _at_last_step(own, range(own.dim() - 1), wanted)


def _outputs(tensor: Tensor, wanted: _Wanted, *, per_step: bool) -> tuple[Tensor, str] | None:
    """Outputs of any other shape; ``per_step`` if a vector as long as the sequence has a number for each step."""
    axis = _batch_axis(tensor, wanted)
    if axis is None and wanted.batch > 1:
        return None
    own = tensor if axis is None else tensor.select(axis, wanted.sequence)
    if axis == 1:
        return _at_last_step(own, range(1), wanted)
    return _at_last_step(own, range(own.dim() if own.dim() > 1 or per_step else 0), wanted)


def _batch_axis(tensor: Tensor, wanted: _Wanted) -> int | None:
    batch, steps = wanted.batch, wanted.steps
    first = tensor.dim() > 0 and tensor.size(0) == batch
    # Time or layers may come before the batch, but of two axes the first is time or the batch.
    second = tensor.dim() > 1 and tensor.size(1) == batch and (tensor.dim() > 2 or tensor.size(0) == steps)
    if not (first and second) or batch == 1:
        return 0 if first else 1 if second else None
    if steps not in {0, batch} or wanted.batch_first is None:
        return None
    if wanted.batch_first:
        return 0
    # A square of two axes may as well be (sequence, class) after a time-first layer.
    return 1 if tensor.dim() > 2 else None


def _at_last_step(own: Tensor, may_be_time: range, wanted: _Wanted) -> tuple[Tensor, str]:
    """The vector along the last axis that is left: the sequence's own last step, the last of any other axis."""
    where = ""
    time = next((axis for axis in may_be_time if own.size(axis) == wanted.steps), None)
    if time is not None:
        own, where = own.select(time, wanted.lengths[wanted.sequence] - 1), ", last step"
    while own.dim() > 1:
        own, where = own[-1], where or (", last position" if wanted.lengths else ", last step")
    return own.reshape(-1), where


def _probabilities(chances: Tensor, names: list[str] | None, caption: str) -> Reading:
    if names is not None and len(names) != chances.numel():
        raise ValueError(f"labels has {len(names)} names, but the model's output has {chances.numel()} classes")
    return _reading(chances, names, caption, (0.0, 1.0))


def _reading(vector: Tensor, names: list[str] | None, caption: str, limits: tuple[float, float] | None) -> Reading:
    values = tuple(float(value) for value in vector.tolist())
    if names is None:
        names = ["output"] if len(values) == 1 else [str(index) for index in range(len(values))]
    return Reading(tuple(names), values, caption, limits)


def _figure(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if abs(value) < 100 else f"{value:.4g}"
