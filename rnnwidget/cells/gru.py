"""The gated recurrent unit, in PyTorch's formulas.

r = σ(W_ir x + b_ir + W_hr h + b_hr), likewise z; n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn));
h ← (1 − z) ⊙ n + z ⊙ h (Cho et al. 2014, with the reset gate applied after the product as in cuDNN; z = 1 keeps).
"""

from __future__ import annotations

from functools import cached_property
from types import MappingProxyType

import torch
from torch import Tensor

from rnnwidget.cells.activations import Activation
from rnnwidget.cells.family import Get, MatrixFamily, Quantities, by_gate
from rnnwidget.cells.layer_run import (
    Arrivals,
    LayerRun,
    affine,
    input_by_gate,
    input_part,
    recurrent_affine,
    recurrent_by_gate,
    recurrent_part,
)


class GRU(MatrixFamily):
    """The family ``"gru"``."""

    name = "gru"
    gates = ("reset_gate", "update_gate", "candidate")
    states = ("hidden",)
    letters = MappingProxyType({"reset_gate": "r", "update_gate": "z", "candidate": "n", "hidden": "h"})

    @cached_property
    def activations(self) -> dict[str, Activation]:
        return {"reset_gate": "sigmoid", "update_gate": "sigmoid", "candidate": "tanh"}

    def preactivation(self, run: LayerRun, site: str, get: Get) -> Tensor:
        rows = self.rows(run, site)
        if site != "candidate":
            return run.edits.before(site, recurrent_affine(run, rows))
        from_input = input_part(run, rows)
        from_hidden = recurrent_part(run, rows)
        return run.edits.before(site, self._candidate(from_input, get("reset_gate"), from_hidden))

    def _candidate(self, from_input: Tensor, reset: Tensor, from_hidden: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return torch.addcmul(from_input, reset, from_hidden)
        return from_input.addcmul_(reset, from_hidden)

    def compute(self, run: LayerRun, site: str, get: Get) -> Tensor:
        if site == "hidden":
            hidden = torch.lerp(get("candidate"), run.previous, get("update_gate"))
            return run.edits.after("hidden", hidden)
        return self.activated(run, site, self.preactivation(run, site, get))

    def all_gates(self, run: LayerRun) -> Quantities:
        weights, known = run.matrices, Quantities()
        if torch.is_grad_enabled():
            from_input = by_gate(affine(run.inputs, weights.input_hidden, weights.input_bias), self.gates)
            from_hidden = by_gate(recurrent_part(run, weights), self.gates)
        else:
            parts = input_by_gate(run, len(self.gates)), recurrent_by_gate(run, len(self.gates))
            from_input, from_hidden = (dict(zip(self.gates, part.unbind(0), strict=True)) for part in parts)
        for site in ("reset_gate", "update_gate"):
            known[site] = self.activated(run, site, run.edits.before(site, from_input[site] + from_hidden[site]))
        candidate = self._candidate(from_input["candidate"], known["reset_gate"], from_hidden["candidate"])
        known["candidate"] = self.activated(run, "candidate", run.edits.before("candidate", candidate))
        return known

    def backward(self, run: LayerRun, quantities: Quantities, arrivals: Arrivals) -> tuple[Quantities, Tensor]:
        reset, update, candidate = (quantities[gate] for gate in self.gates)
        recurrent = by_gate(recurrent_part(run, run.matrices), self.gates)
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
            carry = computed * update[step] + recurrent_row @ run.matrices.hidden_hidden
            totals[step], stacked[step] = total, torch.cat([at_reset, at_update, at_candidate], dim=-1)

        gradients = {f"preactivation:{site}": chunk for site, chunk in by_gate(stacked, self.gates).items()}
        return gradients | {"hidden": totals}, stacked @ run.matrices.input_hidden


gru = GRU()
