"""One layer many times side by side, its hidden state clamped somewhere else in each."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rnnwidget.cells.activations import Activation, activate_in_place
from rnnwidget.cells.family import Family
from rnnwidget.cells.gru import GRU
from rnnwidget.cells.layer_run import LayerWeights, affine
from rnnwidget.cells.lstm import LSTM
from rnnwidget.cells.rnn import RNN

Step = Callable[[Tensor], None]


def clamped_layer(
    family: Family,
    weights: LayerWeights,
    inputs: Float[Tensor, "time batch feature"],
    initial: tuple[Float[Tensor, "row unit"], ...],
    places: Int[Tensor, " clamp"],
    values: Float[Tensor, " clamp"],
) -> tuple[Float[Tensor, "time row unit"], tuple[Float[Tensor, "row unit"], ...]]:
    """Run ``row`` = batch · copies sequences, the copies of one next to each other, which all read the same inputs.

    ``places`` counts units, then rows: after each step the hidden state has ``values`` there. Rows are the last axis
    while it runs, so that a gate of all of them is one stretch of memory, and what the inputs contribute is computed
    once. No autograd.
    """
    steps, batch = inputs.shape[:2]
    rows, units = initial[0].shape
    # Clones, since the transpose of a single row would be the caller's own memory.
    states = [state.t().clone(memory_format=torch.contiguous_format) for state in initial]
    bias = weights.input_bias
    if bias is not None and weights.hidden_bias is not None and not isinstance(family, GRU):
        bias = bias + weights.hidden_bias
    arriving = affine(inputs, weights.input_hidden, bias)
    if isinstance(family, LSTM):
        arriving = torch.cat(_sigmoids_first(arriving), dim=-1)
    hidden = inputs.new_empty(units + batch, rows)
    hidden[:units] = states[0]
    hidden[units:] = torch.eye(batch, dtype=inputs.dtype, device=inputs.device).repeat_interleave(rows // batch, 1)
    step = _step_of(family, weights, hidden, states[1:])
    output = inputs.new_empty(steps, rows, units)
    given_off = hidden[:units]
    for now, from_inputs in zip(output.unbind(0), arriving.transpose(1, 2).unbind(0), strict=True):
        step(from_inputs)
        given_off.view(-1).index_copy_(0, places, values)
        now.copy_(given_off.t())
    return output, tuple(state.t() for state in (given_off, *states[1:]))


def _step_of(family: Family, weights: LayerWeights, hidden: Tensor, others: list[Tensor]) -> Step:
    """A step in place; ``hidden`` has below the hidden state a row for each sequence, 1 at its copies."""
    match family:
        case LSTM():
            return _lstm(weights, hidden, *others)
        case GRU():
            return _gru(weights, hidden)
        case RNN():
            return _rnn(weights, hidden, family.nonlinearity)
    raise NotImplementedError(f"family {family.name!r} has no such loop")


def _with_inputs(recurrent: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """The recurrent weights with room for what the inputs contribute, so that one product gives the sum; the room."""
    units = recurrent.size(1)
    both = recurrent.new_empty(recurrent.size(0), hidden.size(0))
    both[:, :units] = recurrent
    return both, both[:, units:]


def _sigmoids_first(rows: Tensor) -> tuple[Tensor, ...]:
    """Input, forget and output gate before the candidate, along the last axis."""
    input_gate, forget_gate, candidate, output_gate = rows.chunk(4, dim=-1)
    return input_gate, forget_gate, output_gate, candidate


def _lstm(weights: LayerWeights, hidden: Tensor, cell: Tensor) -> Step:
    recurrent = torch.cat(_sigmoids_first(weights.hidden_hidden.t()), dim=-1).t()
    both, room = _with_inputs(recurrent, hidden)
    gates, split = hidden.new_empty(both.size(0), hidden.size(1)), 3 * cell.size(0)
    sigmoids, candidate = gates[:split], gates[split:]
    input_gate, forget_gate, output_gate = sigmoids.chunk(3)
    given_off = hidden[: cell.size(0)]

    def step(from_inputs: Tensor) -> None:
        room.copy_(from_inputs)
        torch.mm(both, hidden, out=gates)
        sigmoids.sigmoid_()
        candidate.tanh_()
        cell.mul_(forget_gate).addcmul_(input_gate, candidate)
        torch.tanh(cell, out=given_off)
        given_off.mul_(output_gate)

    return step


def _gru(weights: LayerWeights, hidden: Tensor) -> Step:
    units = weights.hidden_hidden.size(1)
    split = 2 * units
    # The reset gate is between what comes from the state and what comes from the input: the candidate adds it later.
    both, room = _with_inputs(weights.hidden_hidden, hidden)
    bias = 0 if weights.hidden_bias is None else weights.hidden_bias.unsqueeze(-1)
    gates, drive = hidden.new_empty(both.size(0), hidden.size(1)), hidden.new_empty(units, hidden.size(1))
    sigmoids, candidate = gates[:split], gates[split:]
    reset, update = sigmoids.chunk(2)
    given_off, sequences = hidden[:units], hidden[units:]

    def step(from_inputs: Tensor) -> None:
        room[:] = bias
        room[:split].add_(from_inputs[:split])
        torch.mm(both, hidden, out=gates)
        sigmoids.sigmoid_()
        torch.mm(from_inputs[split:], sequences, out=drive)
        torch.addcmul(drive, candidate, reset, out=candidate).tanh_()
        torch.lerp(candidate, given_off, update, out=given_off)

    return step


def _rnn(weights: LayerWeights, hidden: Tensor, nonlinearity: Activation) -> Step:
    both, room = _with_inputs(weights.hidden_hidden, hidden)
    given_off = hidden[: both.size(0)]
    gates = torch.empty_like(given_off)

    def step(from_inputs: Tensor) -> None:
        room.copy_(from_inputs)
        torch.mm(both, hidden, out=gates)
        given_off.copy_(activate_in_place(nonlinearity, gates))

    return step
