"""A stack on the fused kernel at once, under edits, where nobody looks at what passes between the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from rnnwidget.cells.edits import LayerEdits, SiteEdit
from rnnwidget.cells.family import Family
from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.editing.carrying_out import SHORT
from rnnwidget.editing.folded import Folded
from rnnwidget.editing.folding import fold
from rnnwidget.editing.kept_weights import MOST, KeptWeights, bytes_of_matrices, kept_for_now
from rnnwidget.editing.prepared_stack import holds
from rnnwidget.recording.clients import autocast_of
from rnnwidget.recording.recurrent_call import LayerOutput, RecurrentCall


class WholeRun(NamedTuple):
    """What a stack gave, and what its edits came to in each layer and direction, in memory of that side.

    ``kept`` says that the memory is this thread's for the next call.
    """

    output: LayerOutput
    sides: Sequence[tuple[KeptWeights, Folded] | None]
    kept: bool


def run_whole_stack(call: RecurrentCall, edits: Sequence[LayerEdits]) -> WholeRun | None:
    """Run a call with ``edits``, of each layer and direction, in its weights; None where they do not fold into those.

    No autograd. A layer of its own costs what the kernel needs to begin and what Python needs between two kernels.
    """
    if not _is_plain(call) or any([of_side.path for of_side in edits]):
        return None
    top = len(edits) - 1 if call.directions == 1 and call.from_zero else len(edits)
    for place, of_side in enumerate(edits):
        if not all([_is_in_weights(edit, call.family, on_top=place == top) for edit in of_side.edits]):
            return None
    if call.weights[0][0].input_bias is None and not all([of_side.edits for of_side in edits]):
        return None  # an edit gives its layer a bias, and the kernel takes one for each layer or for none
    sides = [side for layer in call.weights for side in layer if isinstance(side, LayerWeights)]
    kept = sum([bytes_of_matrices(side) for side in sides]) <= MOST
    done: list[tuple[KeptWeights, Folded] | None] = []
    for place, (side, of_side) in enumerate(zip(sides, edits, strict=True)):
        if not of_side.edits:
            done.append(None)
            continue
        memory = kept_for_now(place) if kept else KeptWeights(weights_hold=False)
        folded = fold(call.family, side, of_side.edits, memory)
        if folded is None or (folded.begins_elsewhere and not (place == top and _begins_at_zero(folded))):
            return None
        done.append((memory, folded))
    weights = [side if each is None else each[1].weights for side, each in zip(sides, done, strict=True)]
    directions = call.directions
    by_layer = [tuple(weights[start : start + directions]) for start in range(0, len(weights), directions)]
    result = call._replace(weights=tuple(by_layer)).run_lowest(len(by_layer))
    held = None if done[-1] is None else done[-1][1].held
    clamps = any([each is not None and each[1].clamps for each in done])
    return WholeRun(result, done, kept) if holds(result.output, result.finals[0], held, clamps=clamps) else None


def _is_plain(call: RecurrentCall) -> bool:
    device, exact = call.input.device.type, call.input.dtype in (torch.float32, torch.float64)
    if device != "cpu" or not exact or torch.is_grad_enabled() or autocast_of(device) is not None:
        return False
    return call.form == "stack" and not call.drops and call.layout.steps > SHORT


def _is_in_weights(edit: SiteEdit, family: Family, *, on_top: bool) -> bool:
    """Whether an edit is one number for some rows of the weights at every step, or for hidden units on top."""
    if not edit.plain:
        return False
    if edit.operation == "clamp":
        return edit.site in family.gates or (on_top and edit.site == "hidden" and edit.units is not None)
    return edit.operation == "shift"


def _begins_at_zero(folded: Folded) -> bool:
    """Whether hidden units are held at zero, where a run begins from zero, and nothing else is to be turned."""
    return folded.factor is None and folded.cell is None and folded.reaches((), from_zero=True)
