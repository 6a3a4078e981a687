"""How a layer runs under edits: folded into its weights on the fused kernel, or stepped.

An edit over all time and the whole batch is a weight edit: clamping a gate of a unit to v zeroes the unit's rows and
sets its bias to logit(v), or atanh(v) for the candidate; a shift is a bias. What cannot be folded is stepped.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rnnwidget.cells.activations import RANGES, Activation
from rnnwidget.cells.edits import NO_EDITS, LayerEdits, SiteEdit
from rnnwidget.cells.family import Family
from rnnwidget.cells.layer_run import LayerRun, LayerWeights
from rnnwidget.recording.clients import autocast_of
from rnnwidget.recording.recurrent_call import LayerOutput, RecurrentCall, Weights


def run_edited_layer(
    call: RecurrentCall, index: int, inputs: Tensor, initial: tuple[Tensor, ...], edits: tuple[LayerEdits, ...]
) -> LayerOutput:
    """Run one layer under ``edits``, one for each direction; a direction is stepped only if it must be."""
    stepped = [of_side.stepped or not foldable(call, of_side) for of_side in edits]
    if all(stepped):
        return _stepped(call, index, inputs, initial, edits)
    kept = tuple(NO_EDITS if steps else of_side for steps, of_side in zip(stepped, edits, strict=True))
    weights: tuple[Weights, ...] = call.weights[index]
    if any(kept):
        matrices = [side for side in weights if isinstance(side, LayerWeights)]
        weights = tuple(folded(call.family, side, of_side) for side, of_side in zip(matrices, kept, strict=True))
    layer = call.run_layer(weights, inputs, initial)
    clamped = any(edit.operation == "clamp" for of_side in kept for edit in of_side.edits)
    if clamped and not bool(torch.isfinite(layer.output).all()):
        # Folding multiplies what is not finite by the clamped rows' zeros, which the edited model never does.
        return _stepped(call, index, inputs, initial, edits)
    if not any(stepped):
        return layer
    return _joined(stepped, _stepped(call, index, inputs, initial, edits), layer)


def foldable(call: RecurrentCall, edits: LayerEdits) -> bool:
    """Whether every edit can be carried out by other weights."""
    if call.form == "module":
        return not edits.edits
    return all(_edit_foldable(call.family, edit) for edit in edits.edits)


def _joined(stepped: list[bool], by_step: LayerOutput, fused: LayerOutput) -> LayerOutput:
    """Each direction from the run that is its own."""
    chosen = [(by_step if steps else fused) for steps in stepped]
    output = torch.cat([run.output.chunk(2, dim=-1)[side] for side, run in enumerate(chosen)], dim=-1)
    states = range(len(fused.finals))
    finals = tuple(torch.stack([run.finals[state][side] for side, run in enumerate(chosen)]) for state in states)
    return LayerOutput(output, finals)


def _edit_foldable(family: Family, edit: SiteEdit) -> bool:
    everywhere = edit.value.shape[:2] == (1, 1) and (edit.mask is None or edit.mask.shape[:2] == (1, 1))
    if not everywhere or edit.site not in family.activations:
        return False
    if edit.operation == "shift":
        return True
    low, high = RANGES[family.activations[edit.site]]
    return edit.operation == "clamp" and bool(((edit.value >= low) & (edit.value <= high)).all())


def folded(family: Family, weights: LayerWeights, edits: LayerEdits) -> LayerWeights:
    """Weights, always with biases, with which a layer computes what it would under ``edits``."""
    sites = list(family.activations)
    units = weights.hidden_hidden.size(0) // len(sites)
    zeros = weights.input_hidden.new_zeros(weights.input_hidden.size(0))
    result = replace(
        weights,
        input_bias=zeros if weights.input_bias is None else weights.input_bias,
        hidden_bias=zeros if weights.hidden_bias is None else weights.hidden_bias,
    )
    ordered = sorted(edits.edits, key=lambda edit: edit.operation == "clamp")
    for edit in ordered:
        offset = sites.index(edit.site) * units
        everyone = torch.arange(units, device=zeros.device)
        chosen = everyone if edit.mask is None else everyone[edit.mask.reshape(-1).expand(units)]
        value = edit.value.reshape(-1).to(zeros.dtype).expand(units)[chosen]
        result = _with_edit(result, edit, chosen + offset, value, family.activations[edit.site])
    return result


def _with_edit(
    weights: LayerWeights, edit: SiteEdit, rows: Tensor, value: Tensor, activation: Activation
) -> LayerWeights:
    input_bias, hidden_bias = weights.input_bias, weights.hidden_bias
    assert input_bias is not None
    assert hidden_bias is not None
    if edit.operation == "shift":
        return replace(weights, input_bias=input_bias.index_add(0, rows, value))
    return replace(
        weights,
        input_hidden=weights.input_hidden.index_fill(0, rows, 0),
        hidden_hidden=weights.hidden_hidden.index_fill(0, rows, 0),
        input_bias=input_bias.index_copy(0, rows, _inverse(activation, value)),
        hidden_bias=hidden_bias.index_fill(0, rows, 0),
    )


def _inverse(activation: Activation, value: Tensor) -> Tensor:
    match activation:
        case "sigmoid":
            return torch.logit(value.double()).to(value.dtype)
        case "tanh":
            return torch.atanh(value.double()).to(value.dtype)
        case "relu" | "identity":
            return value


def _stepped(
    call: RecurrentCall, index: int, inputs: Tensor, initial: tuple[Tensor, ...], edits: tuple[LayerEdits, ...]
) -> LayerOutput:
    layout = call.layout
    read = layout.to_time_first(inputs)
    if call.form != "module" and autocast_of(read.device.type) is not None:
        # What autocast casts inside a kernel, it would cast operation by operation here.
        with torch.autocast(read.device.type, enabled=False):
            like = next(side for side in call.weights[index] if isinstance(side, LayerWeights)).input_hidden
            return _stepped(call, index, inputs.to(like), tuple(state.to(like) for state in initial), edits)
    live = layout.live(read.device)
    outputs: list[Tensor] = []
    finals: list[tuple[Tensor, ...]] = []
    for side, (weights, of_side) in enumerate(zip(call.weights[index], edits, strict=True)):
        reverse = side == 1
        sequence = layout.flipped(read) if reverse else read
        ordered = of_side.reordered(layout.flipped) if reverse else of_side
        states = tuple(layout.to_user_order(state[side], dim=0) for state in initial)
        hidden: list[Tensor] = []
        none = states[0].new_empty(0, *states[0].shape)
        for step in range(layout.steps):
            run = LayerRun(sequence[step : step + 1], states, none, weights, ordered.at(step))
            found = call.family.quantities(run)
            reached = tuple(found[name][0] for name in call.family.states)
            hidden.append(reached[0])
            states = (
                reached
                if not layout.packed
                else tuple(torch.where(live[step], new, old) for new, old in zip(reached, states, strict=True))
            )
        output = torch.stack(hidden) if hidden else read.new_zeros(0, layout.batch, states[0].size(-1))
        outputs.append(layout.flipped(output) if reverse else output)
        finals.append(tuple(layout.to_call_order(state, dim=0) for state in states))
    stacked = tuple(torch.stack(list(sides)) for sides in zip(*finals, strict=True))
    return LayerOutput(layout.from_time_first(torch.cat(outputs, dim=-1)), stacked)
