"""The gated recurrent unit, in PyTorch's formulas.

r = σ(W_ir x + b_ir + W_hr h + b_hr), likewise z; n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn));
h ← (1 − z) ⊙ n + z ⊙ h (Cho et al. 2014, with the reset gate applied after the product as in cuDNN; z = 1 keeps).
"""

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
    activate_in_place,
    affine,
    gate_chunks,
    register,
)


class GRU(Family):
    """The family ``"gru"``."""

    name = "gru"
    gates = ("reset_gate", "update_gate", "candidate")
    states = ("hidden",)
    letters: ClassVar[dict[str, str]] = {"reset_gate": "r", "update_gate": "z", "candidate": "n", "hidden": "h"}

    @property
    def activations(self) -> dict[str, Activation]:
        return {"reset_gate": "sigmoid", "update_gate": "sigmoid", "candidate": "tanh"}

    def preactivations(self, run: LayerRun) -> Quantities:
        from_input = gate_chunks(affine(run.inputs, run.weights.input_hidden, run.weights.input_bias), self.gates)
        from_hidden = gate_chunks(affine(run.previous, run.weights.hidden_hidden, run.weights.hidden_bias), self.gates)
        found = {
            site: run.edits.before(site, from_input[site] + from_hidden[site]) for site in ("reset_gate", "update_gate")
        }
        reset = run.edits.after("reset_gate", torch.sigmoid(found["reset_gate"]))
        candidate = from_input["candidate"] + reset * from_hidden["candidate"]
        return found | {"candidate": run.edits.before("candidate", candidate)}

    def quantities(self, run: LayerRun) -> Quantities:
        preactivations = self.preactivations(run)
        found = {
            site: run.edits.after(site, activate_in_place(kind, preactivations[site]))
            for site, kind in self.activations.items()
        }
        update = found["update_gate"]
        hidden = torch.lerp(found["candidate"], run.previous, update)
        return found | {"hidden": run.edits.after("hidden", hidden)}

    def backward(self, run: LayerRun, quantities: Quantities, arrivals: Arrivals) -> tuple[Quantities, Tensor]:
        reset, update, candidate = (quantities[gate] for gate in self.gates)
        recurrent = gate_chunks(affine(run.previous, run.weights.hidden_hidden, run.weights.hidden_bias), self.gates)
        slopes = self.slopes(run, quantities)
        through_hidden = run.edits.derivative("hidden", torch.ones_like(arrivals.hidden))
        to_update = (run.previous - candidate) * slopes["update_gate"]
        to_candidate = (1 - update) * slopes["candidate"]
        to_reset = recurrent["candidate"] * slopes["reset_gate"]

        totals = torch.empty_like(arrivals.hidden)
        stacked = candidate.new_empty(*candidate.shape[:-1], 3 * candidate.size(-1))
        carry = torch.zeros_like(arrivals.hidden[0])
        for step in range(candidate.size(0) - 1, -1, -1):
            total = arrivals.hidden[step] + carry
            computed = total * through_hidden[step]
            at_candidate = computed * to_candidate[step]
            at_reset, at_update = at_candidate * to_reset[step], computed * to_update[step]
            recurrent_row = torch.cat([at_reset, at_update, at_candidate * reset[step]], dim=-1)
            carry = computed * update[step] + recurrent_row @ run.weights.hidden_hidden
            totals[step], stacked[step] = total, torch.cat([at_reset, at_update, at_candidate], dim=-1)

        gradients = {f"preactivation:{site}": chunk for site, chunk in gate_chunks(stacked, self.gates).items()}
        return gradients | {"hidden": totals}, stacked @ run.weights.input_hidden


gru = register(GRU())
