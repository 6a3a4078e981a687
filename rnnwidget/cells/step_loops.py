"""A layer run one step after another under its edits, where no fused kernel can: in place, without a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rnnwidget.cells.activations import Activation
from rnnwidget.cells.edits import SiteEdit
from rnnwidget.cells.layer_run import LayerRun, LayerWeights, affine
from rnnwidget.cells.step_arithmetic import Array, StepArithmetic, step_arithmetic

InPlace = Callable[[int, Array], object]
Live = Bool[Tensor, "time batch 1"]
Stepped = tuple[Float[Tensor, "time batch hidden"], tuple[Float[Tensor, "batch _"], ...]]


@dataclass(frozen=True)
class _Sites:
    """The edits after each nonlinearity, made in the memory of the site."""

    of_site: dict[str, list[InPlace]]

    @classmethod
    def of(cls, run: LayerRun, states: tuple[str, ...], arithmetic: StepArithmetic) -> _Sites:
        """Of a run whose ``states`` are named as its initial ones come; a gate is as wide as the last of them."""
        found: dict[str, list[InPlace]] = {}
        like = dict(zip(states, run.initial, strict=True))
        for edit in run.edits.edits:
            if edit.operation != "shift":
                made = _in_place(edit, like.get(edit.site, run.initial[-1]), arithmetic)
                found.setdefault(edit.site, []).append(made)
        return cls(found)

    def __getitem__(self, site: str) -> list[InPlace]:
        return self.of_site.get(site, [])


def _in_place(edit: SiteEdit, like: Tensor, arithmetic: StepArithmetic) -> InPlace:
    value, mask = edit.value.detach().to(like.dtype), edit.mask
    if edit.operation == "clamp":
        return _clamp(value, mask, arithmetic)
    if mask is not None:
        value = torch.where(mask, value, 1.0 if edit.operation == "scale" else 0.0)
    change = arithmetic.multiply if edit.operation == "scale" else arithmetic.add
    if value.size(0) > 1:
        rows = arithmetic.rows(value)
        return lambda step, array: change(array, rows[step], array)
    row = arithmetic.array(value[0].expand_as(like).contiguous())  # what is spread out takes longer at every step
    return lambda _, array: change(array, row, array)


def _clamp(value: Tensor, mask: Tensor | None, arithmetic: StepArithmetic) -> InPlace:
    values, put = arithmetic.rows(value), arithmetic.put
    if mask is None:
        return lambda step, array: put(array, values[step if len(values) > 1 else 0], None)
    masks, touched = arithmetic.rows(mask), mask.flatten(1).any(dim=1).tolist()

    def clamped(step: int, array: Array) -> None:
        place = step if len(masks) > 1 else 0
        if touched[place]:
            put(array, values[step if len(values) > 1 else 0], masks[place])

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


def _turned(run: LayerRun, matrix: Tensor) -> Tensor:
    """A matrix for rows to be multiplied by, in the order of memory in which one row is multiplied sooner."""
    return matrix.t().contiguous() if run.inputs.size(0) >= MANY and run.inputs.size(1) == 1 else matrix.t()


def _with_candidate_last(weights: LayerWeights) -> LayerWeights:
    """An LSTM's rows in the order i, f, o, g: one sigmoid is then enough for all three gates."""

    def arranged(rows: Tensor) -> Tensor:
        input_and_forget, candidate, output = rows.tensor_split((rows.size(0) // 2, rows.size(0) // 4 * 3))
        return torch.cat([input_and_forget, output, candidate])

    return weights._replace(projection=None).map(arranged)._replace(projection=weights.projection)


def lstm_steps(run: LayerRun, live: Live | None = None) -> Stepped:
    """Hidden states and the final (h, c) of an LSTM; where ``live`` is False a sequence keeps its state."""
    weights = run.matrices
    names = ["input_gate", "forget_gate", "candidate", "output_gate"]
    if run.inputs.size(0) >= MANY:
        weights, names = _with_candidate_last(weights), ["input_gate", "forget_gate", "output_gate", "candidate"]
    from_input = _with_shifts(run, names, affine(run.inputs, weights.input_hidden, _both_biases(weights)))
    outputs, gates = _memory(run, from_input)
    final_cell, between = run.initial[1].clone(), torch.empty_like(run.initial[1])
    by_name = dict(zip(names, gates.chunk(4, dim=-1), strict=True))
    units = final_cell.size(-1)
    together = [gates[:, : 3 * units]] if names[-1] == "candidate" else [gates[:, : 2 * units], by_name["output_gate"]]
    with step_arithmetic(gates, live) as a:
        after = _Sites.of(run, ("hidden", "cell"), a)
        hidden, cell, squashed, all_gates = (a.array(part) for part in (run.initial[0], final_cell, between, gates))
        arrays, sigmoids = {name: a.array(gate) for name, gate in by_name.items()}, [a.array(part) for part in together]
        input_gate, forget_gate, output_gate, candidate = (
            arrays[name] for name in ("input_gate", "forget_gate", "output_gate", "candidate")
        )
        recurrent = a.array(_turned(run, weights.hidden_hidden))
        projection = None if weights.projection is None else a.array(_turned(run, weights.projection))
        at_gates = [(edit, gate) for name, gate in arrays.items() for edit in after[name]]
        at_cell, at_hidden = after["cell"], after["hidden"]
        for step, (given, output) in enumerate(zip(a.rows(from_input), a.rows(outputs), strict=True)):
            a.affine(given, hidden, recurrent, all_gates)
            for part in sigmoids:
                a.activate("sigmoid", part)
            a.tanh(candidate, candidate)
            for edit, gate in at_gates:
                edit(step, gate)
            before = cell if live is None else cell.clone()
            a.multiply(cell, forget_gate, cell)
            a.add_product(cell, input_gate, candidate, cell)
            for edit in at_cell:
                edit(step, cell)
            a.tanh(cell, squashed)
            if projection is None:
                a.multiply(output_gate, squashed, output)
            else:
                a.multiply(output_gate, squashed, squashed)
                a.product(squashed, projection, output)
            for edit in at_hidden:
                edit(step, output)
            if live is not None:
                torch.where(live[step], cell, before, out=cell)
            hidden = _going_on(live, step, output, hidden)
    return outputs, (_last(run, outputs, hidden, live), final_cell)


def gru_steps(run: LayerRun, live: Live | None = None) -> Stepped:
    """Hidden states and the final h of a GRU; where ``live`` is False a sequence keeps its state."""
    weights, names = run.matrices, ["reset_gate", "update_gate", "candidate"]
    from_input = _with_shifts(run, names, affine(run.inputs, weights.input_hidden, weights.input_bias))
    outputs, gates = _memory(run, from_input)
    units = gates.size(-1) // 3
    bias = gates.new_zeros(1) if weights.hidden_bias is None else weights.hidden_bias
    with step_arithmetic(gates, live) as a:
        after = _Sites.of(run, ("hidden",), a)
        hidden, all_gates, early = a.array(run.initial[0]), a.array(gates), a.array(gates[:, : 2 * units])
        reset, update, last = (a.array(gate) for gate in gates.chunk(3, dim=-1))
        candidate, recurrent = a.array(torch.empty_like(run.initial[0])), a.array(_turned(run, weights.hidden_hidden))
        constant = a.array(bias.expand_as(gates).contiguous())
        at_gates = [(edit, gate) for name, gate in zip(names[:2], (reset, update), strict=True) for edit in after[name]]
        of_gates, of_candidate = (a.rows(part) for part in from_input.split([2 * units, units], dim=-1))
        for step, output in enumerate(a.rows(outputs)):
            a.affine(constant, hidden, recurrent, all_gates)
            a.add(early, of_gates[step], early)
            a.activate("sigmoid", early)
            for edit, gate in at_gates:
                edit(step, gate)
            a.add_product(of_candidate[step], reset, last, candidate)
            a.tanh(candidate, candidate)
            for edit in after["candidate"]:
                edit(step, candidate)
            # As the kernel has it, (h − n) z + n: an infinite state stays one, which lerp makes NaN.
            a.subtract(hidden, candidate, output)
            a.add_product(candidate, update, output, output)
            for edit in after["hidden"]:
                edit(step, output)
            hidden = _going_on(live, step, output, hidden)
    return outputs, (_last(run, outputs, hidden, live),)


def rnn_steps(run: LayerRun, nonlinearity: Activation, live: Live | None = None) -> Stepped:
    """Hidden states and the final h of a simple RNN; where ``live`` is False a sequence keeps its state."""
    weights = run.matrices
    from_input = _with_shifts(run, ["hidden"], affine(run.inputs, weights.input_hidden, _both_biases(weights)))
    outputs, gates = _memory(run, from_input)
    with step_arithmetic(gates, live) as a:
        after = _Sites.of(run, ("hidden",), a)
        hidden, recurrent = a.array(run.initial[0]), a.array(_turned(run, weights.hidden_hidden))
        for step, (given, output) in enumerate(zip(a.rows(from_input), a.rows(outputs), strict=True)):
            a.affine(given, hidden, recurrent, output)
            a.activate(nonlinearity, output)
            for edit in after["hidden"]:
                edit(step, output)
            hidden = _going_on(live, step, output, hidden)
    return outputs, (_last(run, outputs, hidden, live),)


def _memory(run: LayerRun, from_input: Tensor) -> tuple[Tensor, Tensor]:
    """For the hidden states of all steps, and for the gates of one."""
    return run.inputs.new_empty(run.inputs.size(0), *run.initial[0].shape), from_input.new_empty(from_input.shape[1:])


def _going_on(live: Live | None, step: int, output: Array, hidden: Array) -> Array:
    """The state that the next step begins with."""
    return output if live is None else torch.where(live[step], output, hidden)


def _last(run: LayerRun, outputs: Tensor, hidden: Array, live: Live | None) -> Tensor:
    """The hidden state after the last step, in memory of its own."""
    if live is not None:
        outputs = hidden.unsqueeze(0)
    return (outputs[-1] if outputs.size(0) else run.initial[0]).clone()
