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
from rnnwidget.cells.step_arithmetic import step_arithmetic


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
        to_update = (run.previous - candidate) * slopes["update_gate"]
        to_candidate = (1 - update) * slopes["candidate"]
        to_reset = recurrent["candidate"] * slopes["reset_gate"]

        totals = torch.empty_like(arrivals.hidden)
        stacked = candidate.new_empty(*candidate.shape[:-1], 3 * candidate.size(-1))
        sites = stacked.unflatten(-1, (3, -1)).unbind(-2)
        with step_arithmetic(stacked[:1], None) as a:
            by_reset, by_update, by_candidate = (a.rows(site) for site in sites)
            to_resets, to_updates, to_candidates = (a.rows(each) for each in (to_reset, to_update, to_candidate))
            arriving, at_hidden, resets, updates = (a.rows(each) for each in (arrivals.hidden, totals, reset, update))
            through_hidden = None
            if run.edits.touch("hidden"):
                through_hidden = a.rows(run.edits.derivative("hidden", torch.ones_like(arrivals.hidden)))
            carry, kept, edited = (a.array(torch.zeros_like(arrivals.hidden[0])) for _ in range(3))
            backwards, weights = torch.empty_like(stacked[0]), a.array(run.matrices.hidden_hidden)
            row = a.array(backwards)
            reset_row, update_row, candidate_row = (
                a.array(part) for part in backwards.unflatten(-1, (3, -1)).unbind(-2)
            )
            for step in range(candidate.size(0) - 1, -1, -1):
                computed = at_hidden[step]
                a.add(arriving[step], carry, computed)
                if through_hidden is not None:
                    a.multiply(computed, through_hidden[step], edited)
                    computed = edited
                a.multiply(computed, to_candidates[step], by_candidate[step])
                a.multiply(by_candidate[step], to_resets[step], by_reset[step])
                a.multiply(computed, to_updates[step], by_update[step])
                # The candidate's own rows read the state through the reset gate.
                a.multiply(by_candidate[step], resets[step], candidate_row)
                a.put(reset_row, by_reset[step], None)
                a.put(update_row, by_update[step], None)
                a.multiply(computed, updates[step], kept)
                a.affine(kept, row, weights, carry)

        gradients = {f"preactivation:{site}": chunk for site, chunk in by_gate(stacked, self.gates).items()}
        return gradients | {"hidden": totals}, stacked @ run.matrices.input_hidden


gru = GRU()
