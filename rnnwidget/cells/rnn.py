"""The vanilla (Elman 1990) recurrent layer: h ← tanh(W_ih x + b_ih + W_hh h + b_hh), or ReLU in place of tanh."""

from __future__ import annotations

from functools import cached_property
from types import MappingProxyType

import torch
from torch import Tensor

from rnnwidget.cells.activations import Activation, activate, slope
from rnnwidget.cells.family import Get, MatrixFamily, Quantities
from rnnwidget.cells.layer_run import Arrivals, LayerRun


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
        carry = torch.zeros_like(hidden[0])
        for step in range(hidden.size(0) - 1, -1, -1):
            total = arrivals.hidden[step] + carry
            row = total * through[step]
            carry = row @ run.matrices.hidden_hidden
            totals[step], rows[step] = total, row
        return {"hidden": totals, "preactivation:hidden": rows}, rows @ run.matrices.input_hidden


rnn = RNN()
rnn_relu = RNN("relu")
