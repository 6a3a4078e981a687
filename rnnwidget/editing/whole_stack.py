"""A stack on the fused kernel at once, its gates edited, where nobody looks at what passes between the layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rnnwidget.cells.edits import LayerEdits, SiteEdit
from rnnwidget.cells.family import Family
from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.editing.carrying_out import SHORT, is_finite
from rnnwidget.editing.clamped_weights import MOST, ClampedWeights, bytes_of_matrices, clamped_for_now
from rnnwidget.editing.folding import fold
from rnnwidget.recording.clients import autocast_of
from rnnwidget.recording.recurrent_call import LayerOutput, RecurrentCall


def run_whole_stack(call: RecurrentCall, edits: Sequence[LayerEdits]) -> LayerOutput | None:
    """Run a call with ``edits``, of each layer and direction, in its weights; None where they do not fold into those.

    No autograd. A layer of its own costs what the kernel needs to begin and what Python needs between two kernels.
    """
    if not _is_plain(call) or any([of_side.path for of_side in edits]):
        return None
    if not all([_is_in_weights(edit, call.family) for of_side in edits for edit in of_side.edits]):
        return None
    if call.weights[0][0].input_bias is None and not all([of_side.edits for of_side in edits]):
        return None  # an edit gives its layer a bias, and the kernel takes one for each layer or for none
    sides = [side for layer in call.weights for side in layer if isinstance(side, LayerWeights)]
    kept = sum([bytes_of_matrices(side) for side in sides]) <= MOST
    weights, clamps = [], False
    for place, (side, of_side) in enumerate(zip(sides, edits, strict=True)):
        if of_side.edits:
            memory = clamped_for_now(place) if kept else ClampedWeights(weights_hold=False)
            folded = fold(call.family, side, of_side.edits, memory)
            if folded is None or folded.begins_elsewhere or folded.ends_elsewhere:
                return None
            side, clamps = folded.weights, clamps or folded.clamps  # noqa: PLW2901 - the side as it is edited
        weights.append(side)
    directions = call.directions
    by_layer = [tuple(weights[start : start + directions]) for start in range(0, len(weights), directions)]
    result = call._replace(weights=tuple(by_layer)).run_lowest(len(by_layer))
    return None if clamps and not is_finite(result.finals[0]) else result


def _is_plain(call: RecurrentCall) -> bool:
    device, exact = call.input.device.type, call.input.dtype in (torch.float32, torch.float64)
    if device != "cpu" or not exact or torch.is_grad_enabled() or autocast_of(device) is not None:
        return False
    return call.form == "stack" and not call.drops and call.layout.steps > SHORT


def _is_in_weights(edit: SiteEdit, family: Family) -> bool:
    """Whether an edit is one number for some rows of the weights at every step."""
    return edit.plain and (edit.operation == "shift" or (edit.operation == "clamp" and edit.site in family.gates))
