"""One layer on the fused kernel with a shift of its own in each row of the batch.

The kernel has one bias for all rows. A feature more in the inputs, which is each row's own, adds like a bias.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rnnwidget.cells.edits import LayerEdits
from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.recording.recurrent_call import LayerOutput, RecurrentCall


def shifted_layer(
    call: RecurrentCall, index: int, inputs: Tensor, initial: tuple[Tensor, ...], edits: Sequence[LayerEdits]
) -> LayerOutput | None:
    """Run one layer under shifts that are the same at every step; None where ``edits`` are none such."""
    sides = call.weights[index]
    if call.form != "stack" or not all(_shifts_of_all_time(of_side) for of_side in edits):
        return None
    features, weights = [], []
    added = [_factors(_shifts(call, of_side, side)) for of_side, side in zip(edits, sides, strict=True)]
    widths = [columns.size(1) for _, columns in added]
    for place, (side, (rows, columns)) in enumerate(zip(sides, added, strict=True)):
        assert isinstance(side, LayerWeights)
        if not bool(torch.isfinite(rows).all() and torch.isfinite(columns).all()):
            return None  # would be multiplied by the other rows' zeros
        nothing = [columns.new_zeros(columns.size(0), width) for width in widths]
        nothing[place] = columns
        weights.append(side._replace(input_hidden=torch.cat([side.input_hidden, *nothing], dim=1)))
        features.append(rows)
    wide = torch.cat(features, dim=1).expand(call.layout.steps, -1, -1)
    given = torch.cat([inputs, call.layout.from_time_first(wide).to(inputs.dtype)], dim=-1)
    return call.run_layer(tuple(weights), given, initial)


def _shifts_of_all_time(edits: LayerEdits) -> bool:
    return all(
        edit.operation == "shift" and edit.value.size(0) == 1 and (edit.mask is None or edit.mask.size(0) == 1)
        for edit in edits.edits
    )


def _shifts(call: RecurrentCall, edits: LayerEdits, side: object) -> Float[Tensor, "batch row"]:
    """What each sequence adds to each row of the weights."""
    assert isinstance(side, LayerWeights)
    sites = list(call.family.activations)
    total = side.input_hidden.new_zeros(1, call.layout.batch, side.input_hidden.size(0))
    for site, rows in zip(sites, total.chunk(len(sites), dim=-1), strict=True):
        rows.copy_(edits.before(site, rows))
    return total[0]


def _factors(shifts: Float[Tensor, "batch row"]) -> tuple[Float[Tensor, "batch feature"], Float[Tensor, "row feature"]]:
    """Two factors of ``shifts``, as few features as show at once: a number for each sequence, or a feature for each."""
    touched = (shifts != 0).any(dim=0).to(shifts.dtype)
    numbers = shifts.gather(1, shifts.abs().argmax(dim=1, keepdim=True))
    if torch.equal(numbers * touched, shifts):
        return numbers, touched.unsqueeze(1)
    return torch.eye(len(shifts), dtype=shifts.dtype, device=shifts.device), shifts.t()
