"""Runs a model on one input under any edits, and makes pictures of the runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from rnnwidget.editing import Edit
from rnnwidget.editing.edited import EditList
from rnnwidget.editing.intervention import BeforeAndAfter
from rnnwidget.recording.gradient_flow import GradientFlow
from rnnwidget.recording.model_capture import CapturedCall
from rnnwidget.recording.recording import Recording
from rnnwidget.recording.twin import Twin
from rnnwidget.widgets.picture import Picture

NO_LOSS = "give the inspector targets= and loss= to see where the gradient goes"


class Probe:
    """Keeps an input and its unedited run; reruns happen on a copy, in the grad mode of the first run."""

    def __init__(self, model: nn.Module, loss: Callable[..., Tensor] | None, targets: object) -> None:
        self.twin = Twin(model)
        self._loss, self._targets = loss, targets
        self._inputs: object = None
        self._grad_enabled = True
        self._baseline: tuple[object, Recording] | None = None

    def fill(self, inputs: object) -> Picture:
        """Run on inputs that were asked for."""
        self._inputs, self._grad_enabled = inputs, torch.is_grad_enabled()
        self._baseline = self._run()
        return self._picture(self._baseline, self._baseline, ())

    def take(self, captured: CapturedCall, edits: Sequence[Edit]) -> Picture:
        """Start from a call of the user's own; unedited, it is shown as it was."""
        self._inputs, self._grad_enabled, self._baseline = captured.arguments, captured.grad_enabled, None
        seen = (captured.output, captured.recording)
        return self.edited(edits) if _active(edits) else self._picture(seen, seen, edits)

    def edited(self, edits: Sequence[Edit]) -> Picture:
        """Run under ``edits``.

        Before and after must come through one kernel path: a call of the user's own is run again, once.
        """
        if self._baseline is None:
            self._baseline = self._run()
        active = _active(edits)
        if active is None:
            return self._picture(self._baseline, self._baseline, edits)
        with torch.set_grad_enabled(self._grad_enabled):
            before, after = BeforeAndAfter(self.twin, self._inputs, self._baseline).run(active.edits)
        return self._picture(before, after, edits)

    def _run(self) -> tuple[object, Recording]:
        with torch.set_grad_enabled(self._grad_enabled):
            return self.twin.run(self._inputs)

    def _picture(
        self, before: tuple[object, Recording], after: tuple[object, Recording], edits: Sequence[Edit]
    ) -> Picture:
        flow: GradientFlow | None = None
        if self._loss is not None:
            _, recording = self.twin.run(self._inputs, editor=_active(edits), loss=self._loss_of)
            flow = recording.gradient_flow()
        return Picture(before[0], after[0], before[1], after[1], tuple(edits), flow, "" if flow else NO_LOSS)

    def _loss_of(self, output: object) -> Tensor:
        assert self._loss is not None
        return self._loss(output) if self._targets is None else self._loss(output, self._targets)


def _active(edits: Sequence[Edit]) -> EditList | None:
    active = [edit for edit in edits if not edit.identity]
    return EditList(active) if active else None
