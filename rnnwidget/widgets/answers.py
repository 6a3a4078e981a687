"""The model's answer for one sequence, read from whatever the model returned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

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


def read_answer(
    output: object,
    sequence: int,
    batch: int,
    *,
    loss: object = None,
    labels: Sequence[str] | None = None,
    answer: AnswerOf | None = None,
) -> Reading | None:
    """Read the answer for one sequence of a batch; None if the output holds no tensor that has one.

    Outputs are shown raw unless ``loss`` says that they are logits. A sequence of outputs is read at its last step.
    """
    if answer is not None:
        return _own(answer(output))
    tensor = _first_tensor(output)
    if tensor is None:
        return None
    vector, where = _of_sequence(tensor.detach(), sequence, batch)
    if vector is None:
        return None
    if not vector.is_floating_point():
        vector = vector.float()
    names = list(labels) if labels is not None else None
    if isinstance(loss, nn.CrossEntropyLoss) and vector.numel() > 1:
        return _reading(
            torch.softmax(vector.float(), dim=0), names, "probability (softmax of the output)", where, (0.0, 1.0)
        )
    if isinstance(loss, nn.BCEWithLogitsLoss):
        if names is not None and len(names) == 2 and vector.numel() == 1:
            names = names[1:]
        return _reading(torch.sigmoid(vector.float()), names, "probability (sigmoid of the output)", where, (0.0, 1.0))
    return _reading(vector, names, "raw output", where, None)


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


def _first_tensor(output: object) -> Tensor | None:
    if isinstance(output, PackedSequence):
        return pad_packed_sequence(output, batch_first=True)[0]
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        if isinstance(output.get("logits"), Tensor):
            return output["logits"]  # type: ignore[no-any-return]
        return next((found for value in output.values() if (found := _first_tensor(value)) is not None), None)
    if isinstance(output, (tuple, list)):
        return next((found for value in output if (found := _first_tensor(value)) is not None), None)
    return None


def _of_sequence(tensor: Tensor, sequence: int, batch: int) -> tuple[Tensor | None, str]:
    if tensor.dim() == 0:
        return (tensor.reshape(1), "") if batch == 1 else (None, "")
    if tensor.size(0) == batch and (batch > 1 or tensor.dim() != 2 or tensor.size(0) == 1):
        own = tensor[sequence]
    elif tensor.dim() > 1 and tensor.size(1) == batch:
        own = tensor[:, sequence]
    elif batch == 1:
        own = tensor
    else:
        return None, ""
    if own.dim() == 0:
        return own.reshape(1), ""
    where = ""
    while own.dim() > 1:
        own, where = own[-1], ", last step"
    return own, where


def _reading(
    vector: Tensor, names: list[str] | None, caption: str, where: str, limits: tuple[float, float] | None
) -> Reading:
    values = tuple(float(value) for value in vector.tolist())
    if names is None or len(names) != len(values):
        names = ["output"] if len(values) == 1 else [str(index) for index in range(len(values))]
    return Reading(tuple(names), values, caption + where, limits)


def _figure(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if abs(value) < 100 else f"{value:.4g}"
