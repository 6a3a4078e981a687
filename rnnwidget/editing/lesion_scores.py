"""What each unit of a layer is worth to the answer: lesions, with matched units as controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from rnnwidget.editing.scopes import Indices, chosen
from rnnwidget.editing.sweep import AnswerOf
from rnnwidget.editing.unit_lesions import UnitLesions, one_answer
from rnnwidget.recording.layer_recording import LayerRecording
from rnnwidget.recording.recording import Recording
from rnnwidget.recording.twin import Twin


@dataclass(frozen=True, eq=False, repr=False)
class LesionScores:
    """What the answer does without each unit, beside what it does without units that behave alike.

    ``effects`` is the answer with a unit lesioned less the answer without edits, for an answer of several numbers the
    norm of that difference. ``controls`` are the units whose mean of \\|h\\| and standard deviation of h come closest
    to the unit's, closest first, and ``control_effects`` what lesions of theirs do. ``baseline`` is the answer without
    edits, ``answers`` those with each unit lesioned.
    """

    layer: str
    to: Literal["zero", "mean"]
    units: Int[Tensor, " unit"]
    baseline: Shaped[Tensor, "..."]
    answers: Shaped[Tensor, "unit ..."]
    effects: Float[Tensor, " unit"]
    controls: Int[Tensor, "unit control"]
    control_effects: Float[Tensor, "unit control"]

    def __repr__(self) -> str:
        sizes = self.effects.abs()
        found = torch.nan_to_num(sizes, nan=-1.0)
        largest = int(found.argmax())
        told = f"largest |effect| {float(sizes[largest]):.3g}, unit {int(self.units[largest])}"
        return f"LesionScores({self.layer!r}, to={self.to!r}, units={len(self.units)}; {told})"

    @property
    def excess(self) -> Float[Tensor, " unit"]:
        """\\|effect\\| less the mean \\|effect\\| of the unit's controls: what is due to more than how active it is."""
        return self.effects.abs() - self.control_effects.abs().mean(dim=1)

    @property
    def rank(self) -> Int[Tensor, " unit"]:
        """How many of a unit's controls have at least its \\|effect\\|: 0 where no control comes up to it.

        If a unit were one like its controls, each rank from 0 to the number of controls would be as likely as any
        other, so with 5 controls one unit in six has rank 0 by chance. It is no finding about a single unit among many.
        """
        return (self.control_effects.abs() >= self.effects.abs().unsqueeze(1)).sum(dim=1)


def lesion_scores(
    model: nn.Module,
    x: object,
    *,
    layer: str,
    answer: AnswerOf | None = None,
    units: Indices = None,
    to: Literal["zero", "mean"] = "zero",
    controls: int = 5,
    progress: bool | None = None,
) -> LesionScores:
    """Lesion units of ``layer`` one at a time; what that does to the answer, beside matched control units.

    A lesion holds the unit's hidden state at zero, or at its mean over the unedited run, at every step: a unit that is
    always active is missed because it is a constant to others, which a lesion to the mean leaves in place. A unit's
    effect tells little without units that are as active (Morcos et al. 2018), and an effect in one unit does not make
    it the seat of anything (Donnelly & Roegiest 2019).

    ``answer`` makes of the model's output a number or a tensor; None takes the output's first tensor. Works on a copy
    and without gradients. Many lesions run as one batch where the model gives the same that way, for which the
    unedited sequences and two of the lesions are compared with runs of their own; otherwise one after the other.

    Raises
    ------
    KeyError, IndexError
        A layer or unit does not exist, or the layer was not called.
    ValueError
        ``to`` or ``controls`` is none that the layer allows, or ``units`` names none.
    TypeError
        An answer is neither a number nor a tensor.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model, x = torch.nn.LSTM(3, 16), torch.randn(20, 4, 3)
    >>> scores = rw.lesion_scores(model, x, layer="l0", answer=lambda output: output[0][-1].mean())
    >>> scores.effects.shape, scores.controls.shape, scores.excess.shape
    (torch.Size([16]), torch.Size([16, 5]), torch.Size([16]))
    """
    if to not in ("zero", "mean"):
        raise ValueError(f"to is 'zero' or 'mean', got {to!r:.40}")
    twin = Twin(model)
    with torch.no_grad():
        whole = twin.run(x)
        calls = _calls(twin, whole[1], layer)
        activity = _activity(calls)
        asked = _asked(units, activity.size(1), layer)
        matched = matched_controls(activity, _count(controls, activity.size(1), layer)).cpu()[asked]
        tried = torch.cat([asked, matched.flatten()]).unique()
        values = activity.double().mean(0).to(activity) if to == "mean" else torch.zeros_like(activity[0])
        lesions = UnitLesions(twin, x, whole, calls[0], answer)
        answers, effects = lesions.all(tried, values[tried.to(values.device)], progress)
    place_of = torch.zeros(activity.size(1), dtype=torch.int64, device="cpu")
    place_of[tried] = torch.arange(len(tried), device="cpu")
    return LesionScores(
        layer=layer,
        to=to,
        units=asked,
        baseline=one_answer(whole[0], answer),
        answers=answers[place_of[asked]],
        effects=effects[place_of[asked]],
        controls=matched,
        control_effects=effects[place_of[matched]],
    )


def matched_controls(activity: Float[Tensor, "sample unit"], controls: int) -> Int[Tensor, "unit control"]:
    """For each unit the others that come closest in mean \\|h\\| and standard deviation of h, closest first.

    Both are measured in their own standard deviations over units. A unit with values that are not finite is like none.

    Examples
    --------
    >>> import torch
    >>> quiet, loud = torch.randn(100, 1), 5 * torch.randn(100, 1)
    >>> matched_controls(torch.cat([quiet, loud, 1.01 * quiet, 1.01 * loud], dim=1), 1).tolist()
    [[2], [3], [0], [1]]
    """
    wide = activity.double()
    features = torch.stack([wide.abs().mean(0), wide.std(0, correction=0)], dim=1)
    finite = features.isfinite().all(1)
    spread = features[finite].std(0, correction=0) if bool(finite.any()) else torch.ones_like(features[0])
    scaled = features / torch.where(spread > 0, spread, 1.0)
    distances = (scaled.unsqueeze(0) - scaled.unsqueeze(1)).norm(dim=-1).nan_to_num(nan=torch.inf)
    distances.fill_diagonal_(torch.inf)
    order = distances.argsort(dim=1, stable=True)
    # Where other units are infinitely far as well, the unit itself must not come before them.
    others: Tensor = order[order != torch.arange(len(order), device=order.device).unsqueeze(1)].view(len(order), -1)
    return others[:, :controls]


def _calls(twin: Twin, recording: Recording, layer: str) -> tuple[LayerRecording, ...]:
    known = [each.name for module in twin.modules for each in module.layers]
    if layer not in known:
        raise KeyError(f"no layer {layer!r}; the model has {', '.join(known)}")
    return recording.calls(layer)


def _activity(calls: Sequence[LayerRecording]) -> Float[Tensor, "sample unit"]:
    """The hidden states of every live step of every sequence and call."""
    return torch.cat([call.hidden[call.source.live] for call in calls])


def _asked(units: Indices, width: int, layer: str) -> Int[Tensor, " unit"]:
    listed = range(*units.indices(width)) if isinstance(units, slice) else chosen("units", units)
    found = list(range(width) if listed is None else listed)
    outside = [unit for unit in found if unit >= width]
    if outside:
        raise IndexError(f"units {outside} do not exist; {layer!r} has units 0 to {width - 1}")
    if not found:
        raise ValueError(f"units={units!r} names no unit; {layer!r} has units 0 to {width - 1}, None means all")
    return torch.tensor(found, dtype=torch.int64, device="cpu")


def _count(controls: int, width: int, layer: str) -> int:
    if width == 1:
        raise ValueError(
            f"layer {layer!r} has one unit, and a lesion is compared with those of other units of its layer: "
            "rnnwidget.intervene(model, x, rnnwidget.lesion([0])) tells what it does"
        )
    if not 1 <= controls < width:
        raise ValueError(
            f"controls={controls}: layer {layer!r} has {width} units, so that a unit can have 1 to {width - 1} controls"
        )
    return controls
