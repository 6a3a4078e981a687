"""Long short-term memory, in PyTorch's formulas.

i = σ(W_ii x + b_ii + W_hi h + b_hi), likewise f, g (with tanh) and o; c ← f ⊙ c + i ⊙ g; h ← o ⊙ tanh(c), and with a
projection h ← W_hr h (Hochreiter & Schmidhuber 1997; Gers et al. 2000; projection: Sak et al. 2014).
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
    recurrent_affine,
    register,
)


class LSTM(Family):
    """The family ``"lstm"``."""

    name = "lstm"
    gates = ("input_gate", "forget_gate", "candidate", "output_gate")
    states = ("hidden", "cell")
    letters: ClassVar[dict[str, str]] = {
        "input_gate": "i",
        "forget_gate": "f",
        "candidate": "g",
        "output_gate": "o",
        "hidden": "h",
        "cell": "c",
    }

    @property
    def activations(self) -> dict[str, Activation]:
        return {"input_gate": "sigmoid", "forget_gate": "sigmoid", "candidate": "tanh", "output_gate": "sigmoid"}

    def preactivations(self, run: LayerRun) -> Quantities:
        chunks = gate_chunks(recurrent_affine(run), self.gates)
        return {site: run.edits.before(site, chunk) for site, chunk in chunks.items()}

    def quantities(self, run: LayerRun) -> Quantities:
        preactivations = self.preactivations(run)
        found = {
            site: run.edits.after(site, activate_in_place(kind, preactivations[site]))
            for site, kind in self.activations.items()
        }
        cell = _scan_cell(run, found["input_gate"] * found["candidate"], found["forget_gate"])
        hidden = found["output_gate"] * torch.tanh(cell)
        if run.weights.projection is not None:
            hidden = affine(hidden, run.weights.projection, None)
        return found | {"hidden": run.edits.after("hidden", hidden), "cell": cell}

    def backward(self, run: LayerRun, quantities: Quantities, arrivals: Arrivals) -> tuple[Quantities, Tensor]:
        input_gate, forget_gate, candidate, output_gate = (quantities[gate] for gate in self.gates)
        cell, squashed = quantities["cell"], torch.tanh(quantities["cell"])
        cell_before = torch.cat([run.initial[1].unsqueeze(0), cell[:-1]])
        slopes = self.slopes(run, quantities)
        ones = torch.ones_like(cell)
        through_cell = run.edits.derivative("cell", ones)
        through_hidden = run.edits.derivative("hidden", torch.ones_like(arrivals.hidden))
        into_cell = output_gate * (1 - squashed * squashed)
        from_cell = torch.cat(
            [
                candidate * slopes["input_gate"],
                cell_before * slopes["forget_gate"],
                input_gate * slopes["candidate"],
            ],
            dim=-1,
        )
        from_memory = squashed * slopes["output_gate"]

        hidden_totals, cell_totals = torch.empty_like(arrivals.hidden), torch.empty_like(cell)
        stacked = cell.new_empty(*cell.shape[:-1], 4 * cell.size(-1))
        hidden_carry, cell_carry = torch.zeros_like(arrivals.hidden[0]), torch.zeros_like(cell[0])
        for step in range(cell.size(0) - 1, -1, -1):
            hidden_total = arrivals.hidden[step] + hidden_carry
            memory = hidden_total * through_hidden[step]
            if run.weights.projection is not None:
                memory = memory @ run.weights.projection
            cell_total = cell_carry + memory * into_cell[step]
            if arrivals.cell is not None:
                cell_total = cell_total + arrivals.cell[step]
            computed = cell_total * through_cell[step]
            row = torch.cat([computed.repeat(1, 3) * from_cell[step], memory * from_memory[step]], dim=-1)
            hidden_carry, cell_carry = row @ run.weights.hidden_hidden, computed * forget_gate[step]
            hidden_totals[step], cell_totals[step], stacked[step] = hidden_total, cell_total, row

        gradients = {f"preactivation:{site}": chunk for site, chunk in gate_chunks(stacked, self.gates).items()}
        return gradients | {"hidden": hidden_totals, "cell": cell_totals}, stacked @ run.weights.input_hidden


def _scan_cell(run: LayerRun, written: Tensor, forget_gate: Tensor) -> Tensor:
    """c_t = f_t c_{t−1} + (i g)_t, the one recurrence that the fused kernel does not hand out; may overwrite i g."""
    cell = run.initial[1]
    edited = any(edit.site == "cell" for edit in run.edits.edits)
    if not edited and not torch.is_grad_enabled():
        for forget, write in zip(forget_gate.unbind(0), written.unbind(0), strict=True):
            cell = write.addcmul_(forget, cell)
        return written
    cells = []
    for step, (forget, write) in enumerate(zip(forget_gate.unbind(0), written.unbind(0), strict=True)):
        cell = torch.addcmul(write, forget, cell)
        if edited:
            cell = run.edits.at(step).after("cell", cell.unsqueeze(0)).squeeze(0)
        cells.append(cell)
    return torch.stack(cells) if cells else torch.empty_like(written)


lstm = register(LSTM())
