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

Step = Callable[[Tensor, Tensor], None]


def clamped_layer(
    family: Family,
    weights: LayerWeights,
    inputs: Float[Tensor, "time batch feature"],
    initial: tuple[Float[Tensor, "row unit"], ...],
    places: Int[Tensor, " clamp"],
    values: Float[Tensor, " clamp"],
) -> tuple[Float[Tensor, "time row unit"], tuple[Float[Tensor, "row unit"], ...]]:
    """Run ``row`` = batch · copies sequences, the copies of one next to each other, which all read the same inputs.

    ``places`` counts rows, then units: after each step the hidden state has ``values`` there. Each gate of all rows is
    one stretch of memory, and what the inputs contribute is computed once. No autograd.
    """
    steps, batch = inputs.shape[:2]
    rows, units = initial[0].shape
    others = [state.clone() for state in initial[1:]]
    bias = weights.input_bias
    if bias is not None and weights.hidden_bias is not None and not isinstance(family, GRU):
        bias = bias + weights.hidden_bias
    arriving = _by_gate(family, affine(inputs, weights.input_hidden, bias), units)
    # Right of the hidden state a column for each sequence, 1 at its copies.
    hidden = inputs.new_empty(rows, units + batch)
    given_off = hidden[:, :units].copy_(initial[0])
    hidden[:, units:] = torch.eye(batch, dtype=inputs.dtype, device=inputs.device).repeat_interleave(rows // batch, 0)
    step = _step_of(family, weights, hidden, others)
    output = inputs.new_empty(steps, rows, units)
    for now, from_inputs in zip(output.unbind(0), arriving.unbind(0), strict=True):
        step(from_inputs, now)
        now.view(-1).index_copy_(0, places, values)
        given_off.copy_(now)
    return output, (given_off.contiguous(), *others)


def _by_gate(family: Family, along_rows: Tensor, units: int) -> Tensor:
    """What lies along the rows of the weights as (..., gate, any, unit); an LSTM's candidate comes last."""
    gates: Tensor = along_rows.unflatten(-1, (-1, units)).movedim(-2, -3)
    return gates[..., [0, 1, 3, 2], :, :] if isinstance(family, LSTM) else gates


def _step_of(family: Family, weights: LayerWeights, hidden: Tensor, others: list[Tensor]) -> Step:
    """A step, which writes the hidden state after it."""
    recurrent = _by_gate(family, weights.hidden_hidden.t(), weights.hidden_hidden.size(1))
    match family:
        case LSTM():
            return _lstm(recurrent, hidden, *others)
        case GRU():
            return _gru(recurrent, hidden, weights.hidden_bias)
        case RNN():
            return _rnn(recurrent, hidden, family.nonlinearity)
    raise NotImplementedError(f"family {family.name!r} has no such loop")


def _with_inputs(recurrent: Float[Tensor, "gate unit unit"], hidden: Tensor) -> tuple[Tensor, Tensor]:
    """The recurrent weights with room for what the inputs contribute, so that one product gives the sum; the room."""
    gates, units = recurrent.shape[:2]
    both = recurrent.new_empty(gates, hidden.size(1), units)
    both[:, :units] = recurrent
    return both, both[:, units:]


def _lstm(recurrent: Tensor, hidden: Tensor, cell: Tensor) -> Step:
    both, room = _with_inputs(recurrent, hidden)
    given, gates = hidden.expand(4, -1, -1), hidden.new_empty(4, *cell.shape)
    sigmoids, candidate = gates[:3], gates[3]
    input_gate, forget_gate, output_gate = sigmoids

    def step(from_inputs: Tensor, now: Tensor) -> None:
        room.copy_(from_inputs)
        torch.bmm(given, both, out=gates)
        sigmoids.sigmoid_()
        candidate.tanh_()
        cell.mul_(forget_gate).addcmul_(input_gate, candidate)
        torch.tanh(cell, out=now)
        now.mul_(output_gate)

    return step


def _gru(recurrent: Tensor, hidden: Tensor, bias: Tensor | None) -> Step:
    both, room = _with_inputs(recurrent, hidden)
    units, batch = recurrent.size(1), room.size(1)
    given, gates = hidden.expand(3, -1, -1), hidden.new_empty(3, hidden.size(0), units)
    sigmoids, candidate = gates[:2], gates[2]
    reset, update = sigmoids
    given_off = hidden[:, :units]
    # The reset gate is between what comes from the state and what comes from the input: the candidate adds it later.
    room[:] = 0 if bias is None else bias.view(3, 1, units)
    constant = room[:2].clone()
    by_sequence = [part.unflatten(0, (batch, -1)) for part in (candidate, reset)]

    def step(from_inputs: Tensor, now: Tensor) -> None:
        torch.add(constant, from_inputs[:2], out=room[:2])
        torch.bmm(given, both, out=gates)
        sigmoids.sigmoid_()
        torch.addcmul(from_inputs[2].unsqueeze(1), *by_sequence, out=by_sequence[0])
        candidate.tanh_()
        torch.lerp(candidate, given_off, update, out=now)

    return step


def _rnn(recurrent: Tensor, hidden: Tensor, nonlinearity: Activation) -> Step:
    both, room = _with_inputs(recurrent, hidden)

    def step(from_inputs: Tensor, now: Tensor) -> None:
        room.copy_(from_inputs)
        torch.mm(hidden, both[0], out=now)
        activate_in_place(nonlinearity, now)

    return step
