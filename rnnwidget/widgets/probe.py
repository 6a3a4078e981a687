"""Runs a model on one input under any edits, and makes pictures of the runs."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnnwidget.editing import Edit
from rnnwidget.editing.edited import EditList
from rnnwidget.editing.intervention import BeforeAndAfter
from rnnwidget.recording.gradient_flow import GradientFlow
from rnnwidget.recording.model_capture import CapturedCall
from rnnwidget.recording.model_state import ModelState
from rnnwidget.recording.prefixes import TimeAxis, has_time, leaves
from rnnwidget.recording.recording import Recording
from rnnwidget.recording.twin import Twin
from rnnwidget.widgets.counted import counted
from rnnwidget.widgets.input_edits import Written, fitted, same_steps, words_moved
from rnnwidget.widgets.one_thread import is_small, is_small_run, one_thread
from rnnwidget.widgets.picture import Picture
from rnnwidget.widgets.training_mode import training_noise

MOVED = (
    "no gradient for the changed input: targets= seem to be values for each step, and words stand at other steps now"
)
PLAIN = (Tensor, PackedSequence, np.ndarray, str, bytes, int, float, complex, type(None))
"""What is the same whenever it is read."""
NO_LOSS = "give the inspector targets= and loss= to see where the gradient goes"


class Probe:
    """Keeps an input and its unedited run; reruns happen on a copy, in the grad mode of the first run."""

    def __init__(self, model: nn.Module, loss: Callable[..., Tensor] | None, targets: object) -> None:
        self.twin = Twin(model)
        self._loss, self._targets = loss, targets
        self._inputs: object = None
        self._written: tuple[Written, Written] | None = None
        self._grad_enabled = True
        self._first: BeforeAndAfter | None = None
        self._second: BeforeAndAfter | None = None
        self._fillings = 0
        self._attached = self._small = False
        self._state: ModelState | None = None
        self._unedited: weakref.WeakKeyDictionary[Recording, tuple[object, ModelState | None]] = (
            weakref.WeakKeyDictionary()
        )

    @property
    def version(self) -> tuple[object, ...]:
        """Differs after another call or after a step of an optimiser."""
        return self._fillings, self.twin.state

    @property
    def moved(self) -> bool:
        """Whether the model has been trained, or turned to train or eval, since the last picture was made."""
        return self._state is not None and self._state != self.twin.counted

    @property
    def unedited(self) -> frozenset[Recording]:
        """The recordings of runs without edits on the first input and the weights of the picture on show."""
        of_now = [each for each, (x, state) in self._unedited.items() if x is self._inputs and state == self._state]
        return frozenset(of_now)

    @property
    def may_ask(self) -> bool:
        """Whether runs that nobody asked for are harmless: a model that cannot be copied may be training."""
        return not (self._attached and self.twin.why_not_copied)

    def fill(self, inputs: object) -> Picture:
        """Run on inputs that were asked for, once: they may be of a kind that can be read only once.

        How large the batch was shows afterwards: what is no stream of data is then run again on the threads it wants.
        """
        self._inputs, self._written, self._grad_enabled = inputs, None, torch.is_grad_enabled()
        self._fillings += 1
        self._first = self._second = None
        self._small = self._loss is not None and is_small(self.twin.model, batch=1)
        with self.threads():
            first, _ = self._runs()
        small = is_small_run(self.twin.model, first.baseline[1])
        again = small != self._small and all(isinstance(leaf, PLAIN) for leaf in leaves(first.x))
        self._small = small if again else self._small
        with self.threads():
            self._first = self._made(first.x) if again else first
            baseline = self._first.baseline
            return self._picture(baseline, baseline, ())

    def take(self, captured: CapturedCall, edits: Sequence[Edit]) -> Picture:
        """Start from a call of the user's own; unedited, it is shown as it was."""
        self._inputs, self._written, self._grad_enabled = captured.arguments, None, captured.grad_enabled
        self._first = self._second = None
        self._fillings += 1
        self._attached = True
        self._small = is_small_run(self.twin.model, captured.recording)
        seen = (captured.output, captured.recording)
        with self.threads():
            return self.edited(edits) if _active(edits) else self._picture(seen, seen, edits)

    def threads(self) -> AbstractContextManager[None]:
        """What a run before and one after have in common: on how many threads they are made and looked at.

        A page that paints wants a core: a second thread of small steps is waited for longer than it works.
        """
        return one_thread() if self._small else nullcontext()

    @property
    def inputs(self) -> object:
        """The input in force: the one that was changed, or the first."""
        return self._inputs if self._written is None else self._written[1].inputs

    def rewrite(self, before: Written, after: Written, edits: Sequence[Edit]) -> tuple[Picture, Written]:
        """Run on another input, beside the first: the picture, and what was written with a word for every step."""
        kept = self._written, self._second
        self._written, self._second = None if after is before else (before, after), None
        try:
            picture = self.edited(edits)
        except Exception:
            self._written, self._second = kept
            raise
        self._fillings += 1
        return picture, before if self._written is None else self._written[1]

    def edited(self, edits: Sequence[Edit]) -> Picture:
        """Run under ``edits``.

        Before and after must come through one kernel path: a call of the user's own is run again, once.
        """
        active = [edit for edit in edits if not edit.identity]
        with self.threads(), torch.set_grad_enabled(self._grad_enabled):
            first, second = self._runs()
            runs = second or first
            before, after = runs.run(active) if active else (runs.baseline,) * 2
            return self._picture(before, after, edits) if second is None else self._beside(first.baseline, after, edits)

    def _runs(self) -> tuple[BeforeAndAfter, BeforeAndAfter | None]:
        """The first input under edits, and the one that was written."""
        self._first = self._first or self._made(self._inputs)
        if self._written is None:
            self._second = None
        else:
            self._second = self._second or self._made(self.inputs)
        return self._first, self._second

    def _made(self, inputs: object) -> BeforeAndAfter:
        with torch.set_grad_enabled(self._grad_enabled):
            return BeforeAndAfter(self.twin, inputs)

    def _beside(
        self, before: tuple[object, Recording], after: tuple[object, Recording], edits: Sequence[Edit]
    ) -> Picture:
        """The first input without edits, and the one that was written with them."""
        assert self._written is not None
        sequences = [int(run[run.layers[0]].lengths.numel()) if run.layers else 0 for _, run in (before, after)]
        if sequences[0] != sequences[1]:
            holds = counted(sequences[1], "sequence")
            raise ValueError(f"the input holds {holds}, the picture has {sequences[0]}: keep as many")
        self._written = (self._written[0], fitted(self._written[1], after[1]))
        return self._picture(before, after, edits)

    def output(self, edits: Sequence[Edit]) -> object:
        """What the model gives under ``edits``, and no picture of it."""
        active = [edit for edit in edits if not edit.identity]
        with self.threads(), torch.set_grad_enabled(self._grad_enabled):
            first, second = self._runs()
            runs = second or first
            return runs.run(active)[1][0] if active else runs.baseline[0]

    def _picture(
        self, before: tuple[object, Recording], after: tuple[object, Recording], edits: Sequence[Edit]
    ) -> Picture:
        flow, why = None, NO_LOSS
        if self._loss is not None:
            flow, why = self._flow(edits)
        self._state = self.twin.counted  # after the runs: a model may write to its parameters in its forward
        self._unedited[before[1]] = self._inputs, self._state
        training = training_noise(self.twin.parts, self._state.training)
        picture = Picture(before[0], after[0], before[1], after[1], tuple(edits), flow, why, training=training)
        return replace(picture, inputs_before=self._inputs, inputs=self.inputs, **self._changes(before[1], after[1]))

    def _flow(self, edits: Sequence[Edit]) -> tuple[GradientFlow | None, str]:
        first, second = self._runs()
        if self._written is not None and words_moved(*self._written) and self._targets_go_by_step(first.baseline[1]):
            return None, MOVED
        try:
            recording = self._with_gradients((second or first).x, edits)
        except Exception as error:
            if self._written is None:
                raise
            # Targets of the first input need not fit one of another length.
            return None, f"no gradient for the changed input: {type(error).__name__}: {error}"
        return recording.gradient_flow(), ""

    def _with_gradients(self, x: object, edits: Sequence[Edit]) -> Recording:
        state = self.twin.counted
        try:
            return self.twin.run(x, editor=_active(edits), loss=self._loss_of)[1]
        except RuntimeError:
            # Autograd refuses weights that another thread has stepped between forward and backward.
            if self.twin.is_at(state) or self.twin.why_not_copied:
                raise
            return self.twin.still().run(x, editor=_active(edits), loss=self._loss_of)[1]

    def _targets_go_by_step(self, recording: Recording) -> bool:
        time = TimeAxis.of(recording[recording.layers[0]])
        every = time.steps * len(time.lengths)
        return any(
            has_time(leaf, time) or (isinstance(leaf, Tensor) and leaf.dim() == 1 and leaf.numel() == every)
            for leaf in leaves(self._targets)
        )

    def _changes(self, before: Recording, after: Recording) -> dict[str, Any]:
        if self._written is None:
            return {}
        first, written = self._written
        return {"same_steps": same_steps(first, written, before, after), "told": written.told}

    def _loss_of(self, output: object) -> Tensor:
        assert self._loss is not None
        if self._targets is not None:
            return self._loss(output, self._targets)
        try:
            return self._loss(output)
        except TypeError as error:
            if not _wants_more(self._loss):
                raise
            raise TypeError(
                f"loss= was called with the model's output alone, since there are no targets=: {error}; give targets=, "
                "with which it is called as loss(output, targets), or a loss of the output alone"
            ) from error


def _wants_more(loss: Callable[..., Tensor]) -> bool:
    """Whether one argument is too few for ``loss``; False where it does not say."""
    try:
        takes = inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss, follow_wrapped=False)
    except (TypeError, ValueError):
        return False
    try:
        takes.bind(None)
    except TypeError:
        return True
    return False


def _active(edits: Sequence[Edit]) -> EditList | None:
    active = [edit for edit in edits if not edit.identity]
    return EditList(active) if active else None
