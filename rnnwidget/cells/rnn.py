"""The vanilla (Elman 1990) recurrent layer: h ← tanh(W_ih x + b_ih + W_hh h + b_hh), or ReLU in place of tanh."""

from __future__ import annotations

from functools import cached_property
from types import MappingProxyType

import torch
from torch import Tensor

from rnnwidget.cells.activations import Activation, activate, slope
from rnnwidget.cells.family import Get, MatrixFamily, Quantities
from rnnwidget.cells.layer_run import Arrivals, LayerRun
from rnnwidget.cells.step_arithmetic import step_arithmetic


class RNN(MatrixFamily):
    """The family ``"rnn"``; its one site behind a nonlinearity is the hidden state itself."""

    name = "rnn"
    gates = ()
    states = ("hidden",)
    letters = MappingProxyType({"hidden": "h"})

    def __init__(self, nonlinearity: Activation = "tanh") -> None:
        self.nonlinearity: Activation = nonlinearity

    @cached_property
    def activations(self) -> dict[str, Activation]:
        return {"hidden": self.nonlinearity}

    def compute(self, run: LayerRun, site: str, get: Get) -> Tensor:
        return self.activated(run, site, self.preactivation(run, site, get))

    def backward(self, run: LayerRun, quantities: Quantities, arrivals: Arrivals) -> tuple[Quantities, Tensor]:
        hidden = quantities["hidden"]
        if run.edits:
            hidden = activate(self.nonlinearity, self.preactivations(run)["hidden"])
        through = run.edits.derivative("hidden", slope(self.nonlinearity, hidden))

        totals, rows = torch.empty_like(hidden), torch.empty_like(hidden)
        with step_arithmetic(hidden[:1], None) as a:
            arriving, slopes, at_hidden, at_row = (a.rows(each) for each in (arrivals.hidden, through, totals, rows))
            carry, recurrent = a.array(torch.zeros_like(hidden[0])), a.array(run.matrices.hidden_hidden)
            for step in range(hidden.size(0) - 1, -1, -1):
                a.add(arriving[step], carry, at_hidden[step])
                a.multiply(at_hidden[step], slopes[step], at_row[step])
                a.product(at_row[step], recurrent, carry)
        return {"hidden": totals, "preactivation:hidden": rows}, rows @ run.matrices.input_hidden


rnn = RNN()
rnn_relu = RNN("relu")
