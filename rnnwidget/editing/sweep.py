"""One edit at many values: the answer as a curve over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnnwidget.editing.batch_sizes import size_of_batches
from rnnwidget.editing.edit import Edit
from rnnwidget.editing.intervention import Intervention
from rnnwidget.editing.progress import watched
from rnnwidget.editing.replicas import NotReplicable
from rnnwidget.editing.targets import validated
from rnnwidget.editing.variants import Variants
from rnnwidget.recording.module_outputs import first_tensor
from rnnwidget.recording.modules import recurrent_modules

Answer = Tensor | dict[str, Tensor]
AnswerOf = Callable[[Any], object]
EditOf = Callable[[Any], Edit | Sequence[Edit]]


@dataclass(frozen=True, eq=False)
class Sweep:
    """The answers of a model under one edit at many values, and ``baseline``, its answer without the edit.

    ``answers`` is one tensor, along the values first, or one for each name where the answer is a dict; ``baseline`` is
    the same without the values. Iterating gives each value with its answer.
    """

    values: tuple[Any, ...]
    answers: Shaped[Tensor, "value ..."] | dict[str, Shaped[Tensor, "value ..."]]
    baseline: Answer

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[tuple[Any, Answer]]:
        for place, value in enumerate(self.values):
            if isinstance(self.answers, Tensor):
                yield value, self.answers[place]
            else:
                yield value, {name: along[place] for name, along in self.answers.items()}


def sweep(
    model: nn.Module,
    x: object,
    *,
    edit_of: EditOf,
    values: Iterable[Any],
    answer: AnswerOf | None = None,
    progress: bool | None = None,
) -> Sweep:
    """Run ``model`` on ``x`` under ``edit_of(value)`` for each of ``values``; the answers, and the one without edits.

    Works on a copy, in the caller's grad mode. ``edit_of`` gives an edit or a list of edits, and each is checked before
    the first run. ``answer`` makes of the model's output a number, a tensor, or a dict of either; None takes the
    output's first tensor, detached. A bar shows ``progress`` once a second has passed; False never shows it, True also
    where no person seems to look.

    Many values run as one batch, up to rounding, where no gradient is asked for and the model gives the same that way,
    for which the unedited sequences and two of the values are compared with runs of their own; otherwise one after the
    other. A value that changes nothing has the baseline's answer.

    Raises
    ------
    ValueError
        There are no values, or the answers differ in shape or names.
    TypeError
        An answer is neither number, tensor nor dict of them.

    Errors of edits are as for :func:`rnnwidget.edited`; the model's own exceptions pass through.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model, x = torch.nn.LSTM(3, 4), torch.randn(5, 1, 3)
    >>> curve = rw.sweep(
    ...     model,
    ...     x,
    ...     edit_of=lambda v: rw.shift("forget_gate", v),
    ...     values=[-2.0, 0.0, 2.0],
    ...     answer=lambda output: output[0][-1].norm(),
    ... )
    >>> curve.values, curve.answers.shape, bool(curve.answers[1] == curve.baseline)
    ((-2.0, 0.0, 2.0), torch.Size([3]), True)
    """
    if isinstance(values, Tensor):
        values = values.unbind() if values.dim() > 1 else values.tolist()
    chosen = tuple(values)
    if not chosen:
        raise ValueError("values is empty: a sweep needs a value to try")
    modules = recurrent_modules(model)
    edits = [validated(_listed(edit_of(value)), modules) for value in chosen]
    runner = Intervention(model, x)
    baseline = answer_of(runner.baseline, answer)
    changing = [own for own in edits if not _changes_nothing(own)]
    found = _answers(runner, x, changing, answer)
    answers = (baseline if _changes_nothing(own) else next(found) for own in edits)
    every = list(watched(answers, name="sweep", total=len(chosen), progress=progress))
    return Sweep(chosen, _along_values(chosen, every), baseline)


def _changes_nothing(edits: Sequence[Edit]) -> bool:
    return all(edit.identity for edit in edits)


def _answers(
    runner: Intervention, x: object, variants: Sequence[Sequence[Edit]], answer: AnswerOf | None
) -> Iterator[Answer]:
    """The answer under each of ``variants``, many of them from one run where that pays and gives the same."""
    done, size = 0, size_of_batches(runner, x, variants)
    if size:
        recording, read = runner.baseline_recording, partial(answer_of, answer=answer)
        called = recording.calls(recording.layers[0])[0]
        side_by_side = Variants(runner.twin, x, runner.baseline, called, read, whole=answer is not None)
        try:
            while done < len(variants):
                _, found = side_by_side.at_once(variants[done : done + size])
                done += len(found)
                yield from found
        except NotReplicable:
            pass
    for edits in variants[done:]:
        yield answer_of(runner.run(edits).output, answer)


def sweep_steps(
    runner: Intervention, edit_of: EditOf, values: Iterable[Any], answer: AnswerOf | None = None
) -> Iterator[tuple[Any, Answer]]:
    """Each value and the answer under its edit, run when it is asked for; see :func:`sweep`.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> runner = rw.Intervention(torch.nn.GRU(3, 4), torch.randn(5, 1, 3))
    >>> track = rw.sweep_steps(runner, lambda v: rw.shift("update_gate", v), [-1.0, 1.0])
    >>> value, output = next(track)
    >>> value, output.shape
    (-1.0, torch.Size([5, 1, 4]))
    """
    for value in values:
        yield value, answer_of(runner.run(_listed(edit_of(value))).output, answer)


def _listed(edits: Edit | Sequence[Edit]) -> list[Edit]:
    if isinstance(edits, Edit):
        return [edits]
    if not isinstance(edits, (list, tuple)):
        raise TypeError(f"edit_of gives an edit or a list of edits; got {type(edits).__name__}: {edits!r:.80}")
    return list(edits)


def answer_of(output: object, answer: AnswerOf | None) -> Answer:
    """What ``answer`` says of a model's output, as a tensor or a dict of tensors; numbers are float64."""
    if answer is None:
        found = first_tensor(output)
        if found is None:
            raise TypeError(f"the output has no tensor to take for an answer, it is {output!r:.80}: give answer=")
        return (found.data if isinstance(found, PackedSequence) else found).detach()
    given = answer(output)
    if isinstance(given, Mapping):
        return {str(name): _as_tensor(value) for name, value in given.items()}
    return _as_tensor(given)


def _as_tensor(value: object) -> Tensor:
    if isinstance(value, Tensor):
        return value
    try:
        return torch.as_tensor(value, dtype=torch.float64, device="cpu")
    except (TypeError, ValueError, RuntimeError):
        kind = type(value).__name__
        raise TypeError(f"an answer is a number, a tensor or a dict of them, got {kind}: {value!r:.80}") from None


def _along_values(values: Sequence[Any], answers: Sequence[Answer]) -> Tensor | dict[str, Tensor]:
    named = [found for found in answers if isinstance(found, dict)]
    if not named:
        return _stacked(values, [found for found in answers if isinstance(found, Tensor)], "")
    names = list(named[0])
    for value, found in zip(values, answers, strict=True):
        if not isinstance(found, dict) or set(found) != set(names):
            other = list(found) if isinstance(found, dict) else "a tensor"
            raise ValueError(f"the answer is {names} at {values[0]!r:.40} and {other} at {value!r:.40}")
    return {name: _stacked(values, [found[name] for found in named], f" {name!r}") for name in names}


def _stacked(values: Sequence[Any], answers: Sequence[Tensor], name: str) -> Tensor:
    for value, found in zip(values, answers, strict=True):
        if found.shape != answers[0].shape:
            raise ValueError(
                f"the answer{name} has shape {tuple(answers[0].shape)} at {values[0]!r:.40} "
                f"and {tuple(found.shape)} at {value!r:.40}"
            )
    return torch.stack(list(answers))
