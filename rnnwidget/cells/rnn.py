"""The vanilla (Elman 1990) recurrent layer: h ← tanh(W_ih x + b_ih + W_hh h + b_hh), or ReLU in place of tanh."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rnnwidget.cells.family import (
    Activation,
    Arrivals,
    Family,
    LayerRun,
    Quantities,
    activate,
    activate_in_place,
    recurrent_affine,
    register,
    slope,
)


class RNN(Family):
    """The family ``"rnn"``; its one site behind a nonlinearity is the hidden state itself."""

    name = "rnn"
    gates = ()
    states = ("hidden",)
    letters: ClassVar[dict[str, str]] = {"hidden": "h"}

    def __init__(self, nonlinearity: Activation = "tanh") -> None:
        self.nonlinearity: Activation = nonlinearity

    @property
    def activations(self) -> dict[str, Activation]:
        return {"hidden": self.nonlinearity}

    def preactivations(self, run: LayerRun) -> Quantities:
        return {"hidden": run.edits.before("hidden", recurrent_affine(run))}

    def quantities(self, run: LayerRun) -> Quantities:
        hidden = activate_in_place(self.nonlinearity, self.preactivations(run)["hidden"])
        return {"hidden": run.edits.after("hidden", hidden)}

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
            carry = row @ run.weights.hidden_hidden
            totals[step], rows[step] = total, row
        return {"hidden": totals, "preactivation:hidden": rows}, rows @ run.weights.input_hidden


rnn = register(RNN())
rnn_relu = RNN("relu")
