"""Lesions of many units, each on its own: in one batch where that gives the same, else one run after the other."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rnnwidget.editing.edit import Edit
from rnnwidget.editing.edits import clamp
from rnnwidget.editing.intervention import BeforeAndAfter
from rnnwidget.editing.progress import watched
from rnnwidget.editing.replicas import NotReplicable
from rnnwidget.editing.sweep import AnswerOf, answer_of
from rnnwidget.editing.variants import NUMBERS_AT_ONCE, Variants
from rnnwidget.recording.layer_recording import LayerRecording
from rnnwidget.recording.recording import Recording
from rnnwidget.recording.twin import Twin

Answered = tuple[Tensor, Tensor]
"""An answer with a unit lesioned, and how far that is from the answer without."""


class UnitLesions:
    """Lesions of units of the layer that was recorded in ``called``, in a model on one input; ``whole`` is its run."""

    def __init__(
        self, twin: Twin, x: object, whole: tuple[object, Recording], called: LayerRecording, answer: AnswerOf | None
    ) -> None:
        self._called, self._answer = called, answer
        self._runs = BeforeAndAfter(twin, x, whole)
        self._variants = Variants(twin, x, whole[0], called, self._one_answer, whole=answer is not None)

    def all(
        self, units: Int[Tensor, " unit"], values: Float[Tensor, " unit"], progress: bool | None
    ) -> tuple[Tensor, Float[Tensor, " unit"]]:
        """Answers and effects of every lesion, along the units first; a lesioned unit has its value at every step."""
        rows = max(1, NUMBERS_AT_ONCE // max(1, self._called.hidden.numel()))
        parts = list(zip(units.split(rows), values.split(rows), strict=True))
        try:
            found = [each for part in watched(parts, progress=progress) for each in self._at_once(*part)]
        except NotReplicable:
            singly = list(zip(units.tolist(), values.tolist(), strict=True))
            found = [self._alone(unit, value) for unit, value in watched(singly, progress=progress)]
        return torch.stack([answer for answer, _ in found]), torch.stack([effect for _, effect in found])

    def _edit(self, unit: int, value: float) -> Edit:
        return clamp("hidden", value, layer=self._called.name, units=[unit])

    def _alone(self, unit: int, value: float) -> Answered:
        (before, _), (after, _) = self._runs.run([self._edit(unit, value)])
        answer = self._one_answer(after)
        return answer, _effect(answer, self._one_answer(before))

    def _at_once(self, units: Tensor, values: Tensor) -> list[Answered]:
        """Answers and effects from one batch."""
        singly = zip(units.tolist(), values.tolist(), strict=True)
        before, after = self._variants.at_once([[self._edit(unit, value)] for unit, value in singly])
        return [(answer, _effect(answer, before)) for answer in after]

    def _one_answer(self, output: object) -> Tensor:
        return one_answer(output, self._answer)


def one_answer(output: object, answer: AnswerOf | None) -> Tensor:
    """The answer as one tensor, detached; TypeError for a dict of them."""
    found = answer_of(output, answer)
    if isinstance(found, dict):
        raise TypeError(f"the effect of a lesion is on one number or tensor; answer gives a dict of {', '.join(found)}")
    return found.detach()


def _effect(after: Tensor, before: Tensor) -> Tensor:
    difference = after.double() - before.double()
    return difference.reshape(()) if difference.numel() == 1 else difference.norm()
