"""Lesions of many units, each on its own: in one batch where that gives the same, else one run after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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

Answered = tuple[Tensor, Float[Tensor, " unit"]]
"""The answers with a unit lesioned, and how far each is from the answer without."""


class UnitLesions:
    """Lesions of units of the layer that was recorded in ``called``, in a model on one input; ``whole`` is its run."""

    def __init__(
        self, twin: Twin, x: object, whole: tuple[object, Recording], called: LayerRecording, answer: AnswerOf | None
    ) -> None:
        self._called, self._answer = called, answer
        self._lesion = clamp("hidden", 0.0, layer=called.name)
        self._runs = BeforeAndAfter(twin, x, whole)
        self._variants = Variants(twin, x, whole[0], called, self._one_answer, whole=answer is not None)

    def all(
        self, units: Int[Tensor, " unit"], values: Float[Tensor, " unit"], progress: bool | None
    ) -> tuple[Tensor, Float[Tensor, " unit"]]:
        """Answers and effects of every lesion, along the units first; a lesioned unit has its value at every step."""
        rows = max(1, NUMBERS_AT_ONCE // max(1, self._called.hidden.numel()))
        parts = list(zip(units.split(rows), values.split(rows), strict=True))
        try:
            found = [self._at_once(*part) for part in watched(parts, name="lesions", progress=progress)]
        except NotReplicable:
            singly = list(zip(units.tolist(), values.tolist(), strict=True))
            found = [self._alone(unit, value) for unit, value in watched(singly, name="lesions", progress=progress)]
        return torch.cat([answers for answers, _ in found]), torch.cat([effects for _, effects in found])

    def _edit(self, unit: int, value: float) -> Edit:
        return replace(self._lesion, value=value, units=(unit,))

    def _alone(self, unit: int, value: float) -> Answered:
        (before, _), (after, _) = self._runs.run([self._edit(unit, value)])
        return _answered([self._one_answer(after)], self._one_answer(before))

    def _at_once(self, units: Tensor, values: Tensor) -> Answered:
        """Answers and effects from one batch."""
        singly = zip(units.tolist(), values.tolist(), strict=True)
        before, after = self._variants.at_once([[self._edit(unit, value)] for unit, value in singly])
        return _answered(after, before)

    def _one_answer(self, output: object) -> Tensor:
        return one_answer(output, self._answer)


def one_answer(output: object, answer: AnswerOf | None) -> Tensor:
    """The answer as one tensor, detached; TypeError for a dict of them."""
    found = answer_of(output, answer)
    if isinstance(found, dict):
        raise TypeError(f"the effect of a lesion is on one number or tensor; answer gives a dict of {', '.join(found)}")
    return found.detach()


def _answered(after: Sequence[Tensor], before: Tensor) -> Answered:
    together = torch.stack([before, *after])
    differences = (together[1:].double() - together[0].double()).reshape(len(after), before.numel())
    return together[1:], differences.squeeze(1) if before.numel() == 1 else differences.norm(dim=1)
