"""Legs whose edits no weights can stand for, one step after another."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnwidget.cells.edits import LayerEdits
from rnnwidget.cells.family import Family
from rnnwidget.cells.layer_run import LayerRun
from rnnwidget.cells.rnn import RNN
from rnnwidget.cells.step_loops import gru_steps, lstm_steps, rnn_steps
from rnnwidget.recording.recurrent_call import LayerOutput, RecurrentCall, Weights

States = tuple[Tensor, ...]


def stepped(
    family: Family,
    weights: Weights,
    inputs: Tensor,
    states: States,
    edits: LayerEdits,
    live: Tensor | None,
    *,
    graph: bool,
) -> tuple[Tensor, States]:
    """Hidden states (time, batch, unit) and final states of one direction in its own order of reading.

    Where ``live`` is False a sequence has ended and keeps its state. ``graph`` asks for a run that autograd follows.
    """
    none = states[0].new_empty(0, *states[0].shape)
    if not graph and family.name in ("lstm", "gru", "rnn"):
        run = LayerRun(inputs, states, none, weights, edits)
        with torch.no_grad():
            match family.name:
                case "lstm":
                    return lstm_steps(run, live)
                case "gru":
                    return gru_steps(run, live)
            assert isinstance(family, RNN)
            return rnn_steps(run, family.nonlinearity, live)
    hidden: list[Tensor] = []
    for step in range(inputs.size(0)):
        found = family.quantities(LayerRun(inputs[step : step + 1], states, none, weights, edits.at(step)))
        reached = tuple(found[name][0] for name in family.states)
        hidden.append(reached[0])
        if live is not None:
            reached = tuple(torch.where(live[step], new, old) for new, old in zip(reached, states, strict=True))
        states = reached
    return torch.stack(hidden) if hidden else none, states


def stepped_module(
    call: RecurrentCall, index: int, inputs: Tensor, initial: States, edits: tuple[LayerEdits, ...]
) -> LayerOutput:
    """A registered module's whole call; it has one layer and one direction."""
    read = call.layout.to_time_first(inputs)
    states = tuple(state[0] for state in initial)
    output, finals = stepped(call.family, call.weights[index][0], read, states, edits[0], None, graph=True)
    return LayerOutput(call.layout.from_time_first(output), tuple(state.unsqueeze(0) for state in finals))
