"""A layer run one step after another under its edits, where no fused kernel can: in place, without a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rnnwidget.cells.activations import Activation, activate_in_place
from rnnwidget.cells.edits import LayerEdits, SiteEdit
from rnnwidget.cells.layer_run import LayerRun, LayerWeights, affine

InPlace = Callable[[int, Tensor], object]
Live = Bool[Tensor, "time batch 1"]
Stepped = tuple[Float[Tensor, "time batch hidden"], tuple[Float[Tensor, "batch _"], ...]]


@dataclass(frozen=True)
class _Sites:
    """The edits after each nonlinearity, made in the memory of the site."""

    of_site: dict[str, list[InPlace]]

    @classmethod
    def of(cls, edits: LayerEdits, dtype: torch.dtype) -> _Sites:
        found: dict[str, list[InPlace]] = {}
        for edit in edits.edits:
            if edit.operation != "shift":
                found.setdefault(edit.site, []).append(_in_place(edit, dtype))
        return cls(found)

    def __getitem__(self, site: str) -> list[InPlace]:
        return self.of_site.get(site, [])


def _in_place(edit: SiteEdit, dtype: torch.dtype) -> InPlace:
    value, mask = edit.value.to(dtype), edit.mask
    if edit.operation == "clamp":
        return _clamp(value, mask)
    if mask is not None:
        value = torch.where(mask, value, 1.0 if edit.operation == "scale" else 0.0)
    rows = value.unbind(0)
    if edit.operation == "scale":
        return lambda step, tensor: tensor.mul_(rows[step if len(rows) > 1 else 0])
    return lambda step, tensor: tensor.add_(rows[step if len(rows) > 1 else 0])


def _clamp(value: Tensor, mask: Tensor | None) -> InPlace:
    values = value.unbind(0)
    if mask is None:
        return lambda step, tensor: tensor.copy_(values[step if len(values) > 1 else 0])
    masks = mask.unbind(0)
    touched = mask.flatten(1).any(dim=1).tolist()

    def clamped(step: int, tensor: Tensor) -> None:
        place = step if len(masks) > 1 else 0
        if touched[place]:
            torch.where(masks[place], values[step if len(values) > 1 else 0], tensor, out=tensor)

    return clamped


def _with_shifts(run: LayerRun, sites: list[str], from_input: Tensor) -> Tensor:
    """A shift adds to what comes from the input, for all steps at once."""
    if any(edit.operation == "shift" for edit in run.edits.edits):
        for site, rows in zip(sites, from_input.chunk(len(sites), dim=-1), strict=True):
            rows.copy_(run.edits.before(site, rows))
    return from_input


def _both_biases(weights: LayerWeights) -> Tensor | None:
    if weights.input_bias is None or weights.hidden_bias is None:
        return weights.input_bias
    return weights.input_bias + weights.hidden_bias


MANY = 16
"""Steps from which rearranging the weights once saves more than it costs."""


def _with_candidate_last(weights: LayerWeights) -> LayerWeights:
    """An LSTM's rows in the order i, f, o, g: one sigmoid is then enough for all three gates."""

    def arranged(rows: Tensor) -> Tensor:
        input_and_forget, candidate, output = rows.tensor_split((rows.size(0) // 2, rows.size(0) // 4 * 3))
        return torch.cat([input_and_forget, output, candidate])

    return weights._replace(projection=None).map(arranged)._replace(projection=weights.projection)


def lstm_steps(run: LayerRun, live: Live | None = None) -> Stepped:
    """Hidden states and the final (h, c) of an LSTM; where ``live`` is False a sequence keeps its state."""
    weights, after = run.matrices, _Sites.of(run.edits, run.inputs.dtype)
    names = ["input_gate", "forget_gate", "candidate", "output_gate"]
    if run.inputs.size(0) >= MANY:
        weights, names = _with_candidate_last(weights), ["input_gate", "forget_gate", "output_gate", "candidate"]
    from_input = _with_shifts(run, names, affine(run.inputs, weights.input_hidden, _both_biases(weights)))
    hidden, cell = run.initial[0], run.initial[1].clone()
    recurrent = weights.hidden_hidden.t()
    outputs = hidden.new_empty(run.inputs.size(0), *hidden.shape)
    gates = from_input.new_empty(from_input.shape[1:])
    units, squashed = cell.size(-1), torch.empty_like(cell)
    by_name = dict(zip(names, gates.chunk(4, dim=-1), strict=True))
    input_gate, forget_gate, output_gate, candidate = (
        by_name[name] for name in ("input_gate", "forget_gate", "output_gate", "candidate")
    )
    sigmoids = [gates[:, : 3 * units]] if names[-1] == "candidate" else [gates[:, : 2 * units], output_gate]
    at_gates = [(edit, gate) for name, gate in by_name.items() for edit in after[name]]
    at_cell, at_hidden = after["cell"], after["hidden"]
    for step, (given, output) in enumerate(zip(from_input.unbind(0), outputs.unbind(0), strict=True)):
        torch.addmm(given, hidden, recurrent, out=gates)
        for part in sigmoids:
            part.sigmoid_()
        candidate.tanh_()
        for edit, gate in at_gates:
            edit(step, gate)
        before = cell.clone() if live is not None else cell
        cell.mul_(forget_gate).addcmul_(input_gate, candidate)
        for edit in at_cell:
            edit(step, cell)
        torch.tanh(cell, out=squashed)
        if weights.projection is None:
            torch.mul(output_gate, squashed, out=output)
        else:
            torch.mm(squashed.mul_(output_gate), weights.projection.t(), out=output)
        for edit in at_hidden:
            edit(step, output)
        if live is None:
            hidden = output
        else:
            torch.where(live[step], cell, before, out=cell)
            hidden = torch.where(live[step], output, hidden)
    return outputs, (hidden.clone(), cell)


def gru_steps(run: LayerRun, live: Live | None = None) -> Stepped:
    """Hidden states and the final h of a GRU; where ``live`` is False a sequence keeps its state."""
    weights, after = run.matrices, _Sites.of(run.edits, run.inputs.dtype)
    names = ["reset_gate", "update_gate", "candidate"]
    from_input = _with_shifts(run, names, affine(run.inputs, weights.input_hidden, weights.input_bias))
    hidden = run.initial[0]
    recurrent = weights.hidden_hidden.t()
    outputs = hidden.new_empty(run.inputs.size(0), *hidden.shape)
    gates = from_input.new_empty(from_input.shape[1:])
    units = hidden.size(-1)
    early, last = gates[:, : 2 * units], gates[:, 2 * units :]
    reset, update = early.chunk(2, dim=-1)
    candidate = torch.empty_like(hidden)
    for step, (given, output) in enumerate(zip(from_input.unbind(0), outputs.unbind(0), strict=True)):
        if weights.hidden_bias is None:
            torch.mm(hidden, recurrent, out=gates)
        else:
            torch.addmm(weights.hidden_bias, hidden, recurrent, out=gates)
        early.add_(given[:, : 2 * units]).sigmoid_()
        for name, gate in (("reset_gate", reset), ("update_gate", update)):
            for edit in after[name]:
                edit(step, gate)
        torch.addcmul(given[:, 2 * units :], reset, last, out=candidate)
        candidate.tanh_()
        for edit in after["candidate"]:
            edit(step, candidate)
        # As the kernel has it, (h − n) z + n: an infinite state stays one, which lerp makes NaN.
        torch.sub(hidden, candidate, out=output)
        torch.addcmul(candidate, update, output, out=output)
        for edit in after["hidden"]:
            edit(step, output)
        hidden = output if live is None else torch.where(live[step], output, hidden)
    return outputs, (hidden.clone(),)


def rnn_steps(run: LayerRun, nonlinearity: Activation, live: Live | None = None) -> Stepped:
    """Hidden states and the final h of a simple RNN; where ``live`` is False a sequence keeps its state."""
    weights, after = run.matrices, _Sites.of(run.edits, run.inputs.dtype)
    from_input = _with_shifts(run, ["hidden"], affine(run.inputs, weights.input_hidden, _both_biases(weights)))
    hidden, recurrent = run.initial[0], weights.hidden_hidden.t()
    outputs = hidden.new_empty(run.inputs.size(0), *hidden.shape)
    for step, (given, output) in enumerate(zip(from_input.unbind(0), outputs.unbind(0), strict=True)):
        torch.addmm(given, hidden, recurrent, out=output)
        activate_in_place(nonlinearity, output)
        for edit in after["hidden"]:
            edit(step, output)
        hidden = output if live is None else torch.where(live[step], output, hidden)
    return outputs, (hidden.clone(),)
