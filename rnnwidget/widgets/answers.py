"""The model's answer for one sequence, read from whatever the model returned."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal

import ipywidgets
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from rnnwidget.recording.module_outputs import first_tensor
from rnnwidget.widgets.closing import open_widgets, with_parts
from rnnwidget.widgets.counted import counted
from rnnwidget.widgets.isolation import isolated
from rnnwidget.widgets.output_axes import Wanted, class_scores, last_outputs, own_series

AnswerOf = Callable[..., float | Mapping[str, float] | ipywidgets.Widget]
Meaning = Literal["softmax", "sigmoid", "exp"]

SHOWN = 8
FEW = 12
"""So many are all shown."""
CHANNELS = 4


@dataclass(frozen=True, eq=False)
class Reading:
    """What a view shows of one output: a number for each name.

    ``limits`` is the range that the numbers can take, None if unknown. ``series`` is (channel, step) where the output
    is a series, ``truth`` what it should have been, in the shape of the series or of the numbers. ``widget`` is a
    person's own view, ``made`` what of it came into being when the output was read.
    """

    names: Sequence[str]
    vector: Tensor
    caption: str
    limits: tuple[float, float] | None
    series: Tensor | None = None
    truth: Tensor | None = None
    widget: ipywidgets.Widget | None = None
    made: tuple[ipywidgets.Widget, ...] = ()
    nameless: bool = False

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """A name for each number."""
        return tuple(self.names)

    @cached_property
    def values(self) -> tuple[float, ...]:
        """The numbers."""
        return tuple(float(value) for value in self.vector.tolist())


@dataclass(frozen=True)
class Reader:
    """How a model's outputs are to be read; raw unless ``loss`` or ``logits`` says what they mean."""

    loss: object = None
    labels: Sequence[str] | None = None
    answer: AnswerOf | None = None
    vocabulary: Sequence[str] | None = None
    targets: object = None
    logits: bool = False

    def read(
        self,
        output: object,
        sequence: int,
        batch: int,
        *,
        lengths: Sequence[int] = (),
        batch_first: bool | None = None,
        axis: int | None = None,
    ) -> Reading | None:
        """The answer for one sequence of a batch; None if the output holds no number.

        A sequence of outputs is read at its last step, which ``lengths`` tells; ``batch_first`` tells the two axes
        apart when there are as many steps as sequences, or ``axis`` which of them counts the sequences.
        """
        if self.answer is not None:
            return _own(self.answer, output, sequence)
        found = tensor_in(output, Wanted(sequence, batch, lengths, batch_first, self.classes, axis))
        if found is None:
            return None
        tensor, wanted = found
        if self.vocabulary is not None:
            return self._next_token(tensor, wanted)
        return self._forecast(tensor, wanted) or self._numbers(tensor, wanted)

    def truth(self, wanted: Wanted, channels: int) -> Tensor | None:
        """What every step of one sequence should have been, as (channel, step); None where the targets do not say."""
        if not isinstance(self.targets, Tensor) or not self.targets.is_floating_point():
            return None
        truth = own_series(self.targets.detach(), wanted)
        return truth if truth is not None and truth.shape == (channels, wanted.own_steps) else None

    @property
    def classes(self) -> int:
        """How many there are by name, 0 if that is not said."""
        return len(self.labels or self.vocabulary or ())

    @property
    def _meaning(self) -> Meaning | None:
        loss = self.loss
        while isinstance(loss, partial):
            loss = loss.func
        if isinstance(loss, nn.CrossEntropyLoss) or loss is functional.cross_entropy:
            return "softmax"
        if isinstance(loss, nn.BCEWithLogitsLoss) or loss is functional.binary_cross_entropy_with_logits:
            return "sigmoid"
        return "exp" if isinstance(loss, nn.NLLLoss) or loss is functional.nll_loss else None

    def _numbers(self, tensor: Tensor, wanted: Wanted) -> Reading | None:
        names = None if self.labels is None else list(self.labels)
        meaning = self._meaning
        classes = meaning in ("softmax", "exp")
        per_step = meaning == "sigmoid" and wanted.steps > 1 and (names is None or len(names) != wanted.steps)
        own = class_scores(tensor, wanted) if classes else last_outputs(tensor, wanted, per_step=per_step)
        if own is None:
            return _whole(tensor) if tensor.dim() else None
        vector, where = own
        if meaning is None and self.logits:
            meaning = "softmax" if vector.numel() > 1 else "sigmoid"
        if meaning is None:
            if names is not None and len(names) != vector.numel():
                names = None
            return _reading(vector, names, "raw output" + where, None)
        if meaning == "sigmoid" and names is not None and len(names) == 2 and vector.numel() == 1:
            names = names[1:]
        if names is not None and len(names) != vector.numel():
            has = counted(vector.numel(), "class", "classes")
            raise ValueError(f"labels has {counted(len(names), 'name')}, but the model's output has {has}")
        return _reading(_chances(vector, meaning), names, f"probability ({meaning} of the output){where}", (0.0, 1.0))

    def _next_token(self, tensor: Tensor, wanted: Wanted) -> Reading | None:
        names = self.vocabulary
        assert names is not None
        by_class = tensor.dim() > 2 and tensor.size(-1) != len(names) and tensor.size(1) == len(names)
        own = class_scores(tensor, wanted) if by_class else last_outputs(tensor, wanted, per_step=False)
        if own is None or own[0].numel() != len(names):
            found = "of another shape" if own is None else f"with {counted(own[0].numel(), 'number')} for one step"
            raise ValueError(f"vocabulary has {counted(len(names), 'token')}, but the model's output is {found}")
        vector, where = own
        meaning = "softmax" if self.logits else self._meaning
        if meaning is not None:
            words = f"probability ({meaning} of the output)"
            return Reading(names, _chances(vector, meaning), f"next token, {words}{where}", (0.0, 1.0))
        if bool((vector >= 0).all()) and abs(float(vector.sum()) - 1) < 1e-3:
            return Reading(names, vector, f"next token, probability (the output){where}", (0.0, 1.0))
        return Reading(names, vector, f"next token, raw output{where}", None)

    def _forecast(self, tensor: Tensor, wanted: Wanted) -> Reading | None:
        """A number or a series with its truth; None where the targets are of no such kind."""
        targets = self.targets
        numbers = isinstance(targets, Tensor) and targets.is_floating_point() and tensor.is_floating_point()
        if not numbers or self._meaning is not None or self.logits or self.labels is not None:
            return None
        assert isinstance(targets, Tensor)
        series, truth = (own_series(of, wanted) for of in (tensor, targets.detach()))
        if series is None or truth is None or series.numel() != truth.numel():
            return None
        truth = truth.reshape(series.shape).to(series)
        if series.size(1) < 3:
            reading = _reading(series.reshape(-1), None, "raw output, with the truth", None)
            return None if reading.nameless else replace(reading, truth=truth.reshape(-1))
        error = (series - truth).square().mean().sqrt().reshape(1)
        channels = series.size(0)
        caption = "forecast and truth" + (f", {CHANNELS} of {channels} channels" if channels > CHANNELS else "")
        return Reading(("error (RMS)",), error, caption, None, series[:CHANNELS], truth[:CHANNELS])


def tensor_in(output: object, wanted: Wanted) -> tuple[Tensor, Wanted] | None:
    """The numbers of an output, padded where they were packed, and how they are laid out; None if there are none."""
    found = first_tensor(output)
    if isinstance(found, PackedSequence):
        found, unpacked = pad_packed_sequence(found, batch_first=True)
        wanted = replace(wanted, lengths=unpacked.tolist(), batch_first=True)
    if found is None or found.numel() == 0 or found.is_complex():
        return None
    return found.detach(), wanted


def comparable(readings: tuple[Reading, Reading] | None) -> bool:
    """Whether before and after have numbers of the same names."""
    return why_not_comparable(readings) == ""


def why_not_comparable(readings: tuple[Reading, Reading] | None) -> str:
    """Why there are no numbers of before and after under the same names; empty where there are."""
    if readings is None:
        return "the output holds no number: answer= can say what the answer is"
    before, after = readings
    if before.widget is not None or after.widget is not None:
        return "the answer is a widget: there is no number to follow"
    if not before.names and not after.names:
        return "answer= gave no number"
    if before.names is after.names or before.labels == after.labels:
        return ""
    return "the answers before and after go by different names: there is nothing to compare"


def shortened(before: Reading, after: Reading, *also: int) -> tuple[Reading, Reading]:
    """All labels where they are few, else :data:`SHOWN`: those at the places in ``also`` and the largest in either run.

    Chances go by what they are, raw outputs by their magnitude.
    """
    count = len(before.names)
    if count <= FEW:
        return before, after
    sizes, late = (_sizes(reading) for reading in (before, after))
    largest = torch.maximum(sizes, late.to(sizes)).topk(SHOWN).indices.tolist()
    kept = list(dict.fromkeys([*also, *largest]))[:SHOWN]
    others = [isolated(before.names[place]) for place in kept if place not in largest]
    kept.sort(key=lambda place: -float(sizes[place]))
    named = "".join(f"{name} and " for name in others)
    caption = f"{before.caption}: {named}the {SHOWN - len(others)} largest of {count:,}"
    caption += "" if before.limits == (0.0, 1.0) else " by magnitude"
    one, other = (
        replace(reading, names=[reading.names[place] for place in kept], vector=reading.vector[kept], caption=caption)
        for reading in (before, after)
    )
    return one, other


def _sizes(reading: Reading) -> Tensor:
    vector = reading.vector if reading.limits == (0.0, 1.0) else reading.vector.abs()
    return torch.nan_to_num(vector, nan=-torch.inf)


def wants_sequence(answer: Callable[..., object]) -> bool:
    """Whether a person's ``answer`` takes the sequence on show as its second argument."""
    try:
        parameters = inspect.signature(answer).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    needed = [one for one in parameters if one.kind in positional and one.default is inspect.Parameter.empty]
    return len(needed) == 2


def _own(answer: AnswerOf, output: object, sequence: int) -> Reading:
    known = open_widgets()
    given = answer(output, sequence) if wants_sequence(answer) else answer(output)
    if isinstance(given, ipywidgets.Widget):
        made = tuple(part for part in with_parts(given) if part.comm is not None and part.model_id not in known)
        return Reading((), torch.empty(0, device="cpu"), "", None, widget=given, made=made)
    if isinstance(given, Mapping):
        numbers = [_number(value, f" for {name!r}") for name, value in given.items()]
        return Reading(tuple(map(str, given)), torch.tensor(numbers, dtype=torch.float64, device="cpu"), "answer", None)
    number = _number(given)
    return Reading(("answer",), torch.tensor([number], dtype=torch.float64, device="cpu"), "answer", None)


def _number(given: Any, of: str = "") -> float:
    try:
        return float(given)
    except (TypeError, ValueError, RuntimeError):
        kind = f"a tensor of shape {tuple(given.shape)}" if isinstance(given, Tensor) else f"{given!r:.60}"
        hint = (
            "; answer=lambda output, sequence: … is told which sequence is on show" if isinstance(given, Tensor) else ""
        )
        raise TypeError(
            f"answer must return a number, numbers by name, or a widget, got {kind} of type {type(given).__name__}{of}"
            + hint
        ) from None


def _whole(tensor: Tensor) -> Reading:
    shape = " × ".join(map(str, tensor.shape))
    caption = f"raw output, all of it ({shape}): which part is this sequence's cannot be told"
    return _reading(tensor.reshape(-1), None, caption, None)


def _chances(vector: Tensor, meaning: Meaning) -> Tensor:
    return {
        "softmax": lambda: torch.softmax(vector.float(), dim=0),
        "sigmoid": lambda: torch.sigmoid(vector.float()),
        "exp": lambda: vector.float().exp(),
    }[meaning]()


def _reading(vector: Tensor, names: Sequence[str] | None, caption: str, limits: tuple[float, float] | None) -> Reading:
    vector = vector if vector.is_floating_point() else vector.double()
    if names is not None:
        return Reading(tuple(names), vector, caption, limits)
    count = vector.numel()
    word = "output " if limits is None else ""
    named: Sequence[str] = ["output"] if count == 1 else [f"{word}{index}" for index in range(count)]
    return Reading(named, vector, caption, limits, nameless=limits is None and count > FEW)
