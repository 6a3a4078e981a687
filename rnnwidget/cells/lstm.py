"""Long short-term memory, in PyTorch's formulas.

i = σ(W_ii x + b_ii + W_hi h + b_hi), likewise f, g (with tanh) and o; c ← f ⊙ c + i ⊙ g; h ← o ⊙ tanh(c), and with a
projection h ← W_hr h (Hochreiter & Schmidhuber 1997; Gers et al. 2000; projection: Sak et al. 2014).
"""

from __future__ import annotations

from functools import cached_property
from types import MappingProxyType

import torch
from torch import Tensor

from rnnwidget.cells.activations import Activation
from rnnwidget.cells.family import Get, MatrixFamily, Quantities, by_gate
from rnnwidget.cells.large_memory import large_empty
from rnnwidget.cells.layer_run import Arrivals, LayerRun, affine, recurrent_affine, recurrent_affine_by_gate
from rnnwidget.cells.linear_scan import edited_scan, padded_scan, scan_in_place
from rnnwidget.cells.step_arithmetic import step_arithmetic


class LSTM(MatrixFamily):
    """The family ``"lstm"``."""

    name = "lstm"
    gates = ("input_gate", "forget_gate", "candidate", "output_gate")
    states = ("hidden", "cell")
    letters = MappingProxyType(
        {
            "input_gate": "i",
            "forget_gate": "f",
            "candidate": "g",
            "output_gate": "o",
            "hidden": "h",
            "cell": "c",
        }
    )

    @cached_property
    def activations(self) -> dict[str, Activation]:
        return {"input_gate": "sigmoid", "forget_gate": "sigmoid", "candidate": "tanh", "output_gate": "sigmoid"}

    def compute(self, run: LayerRun, site: str, get: Get) -> Tensor:
        match site:
            case "cell":
                return self._cell(run, get)
            case "hidden":
                hidden = get("output_gate") * torch.tanh(get("cell"))
                if run.matrices.projection is not None:
                    hidden = affine(hidden, run.matrices.projection, None)
                return run.edits.after("hidden", hidden)
            case _:
                return self.activated(run, site, self.preactivation(run, site, get))

    def _cell(self, run: LayerRun, get: Get) -> Tensor:
        edited = any(edit.site == "cell" for edit in run.edits.edits)
        if not (run.handed or edited or run.rounding is not None or torch.is_grad_enabled()):
            keep, written = self._kept_and_written(get)
            return scan_in_place(keep, written, run.initial[1])
        opened, candidate, keep = get("input_gate"), get("candidate"), get("forget_gate")
        if run.handed:
            return run.rounded(torch.addcmul(opened * candidate, keep, run.previous_others[0]))
        return edited_scan(keep, opened * candidate, run.initial[1], run.edits, "cell", run.rounded)

    def scan(self, get: Get, initial: Tensor, live: Tensor, *, reverse: bool) -> Tensor:
        return padded_scan(*self._kept_and_written(get), initial, live, reverse=reverse)

    def _kept_and_written(self, get: Get) -> tuple[Tensor, Tensor]:
        opened, candidate, keep = get("input_gate"), get("candidate"), get("forget_gate")
        return keep, torch.mul(opened, candidate, out=large_empty(tuple(keep.shape), keep))

    def all_gates(self, run: LayerRun) -> Quantities:
        if torch.is_grad_enabled():
            by_site = by_gate(recurrent_affine(run, run.matrices), self.gates)
        else:
            by_site = dict(zip(self.gates, recurrent_affine_by_gate(run, len(self.gates)).unbind(0), strict=True))
        return {site: self.activated(run, site, run.edits.before(site, rows)) for site, rows in by_site.items()}

    def backward(self, run: LayerRun, quantities: Quantities, arrivals: Arrivals) -> tuple[Quantities, Tensor]:
        input_gate, forget_gate, candidate, output_gate = (quantities[gate] for gate in self.gates)
        cell, squashed = quantities["cell"], torch.tanh(quantities["cell"])
        cell_before = torch.cat([run.initial[1].unsqueeze(0), cell[:-1]])
        slopes = self.slopes(run, quantities)
        by_cell = [candidate * slopes["input_gate"], cell_before * slopes["forget_gate"]]
        from_cell = torch.stack([*by_cell, input_gate * slopes["candidate"]], dim=-2)

        stacked = cell.new_empty(*cell.shape[:-1], 4 * cell.size(-1))
        sites = stacked.unflatten(-1, (4, -1))
        hidden_totals, cell_totals = torch.empty_like(arrivals.hidden), torch.empty_like(cell)
        with step_arithmetic(stacked[:1], None) as a:
            rows, by_cells, by_memories = (a.rows(part) for part in (stacked, sites[..., :3, :], sites[..., 3, :]))
            into_cell = a.rows(output_gate * (1 - squashed * squashed))
            from_cells, from_memories = a.rows(from_cell), a.rows(squashed * slopes["output_gate"])
            arriving, at_hidden, at_cell = (a.rows(each) for each in (arrivals.hidden, hidden_totals, cell_totals))
            carried = a.rows(arrivals.carried[0]) if arrivals.carried else None
            keep, recurrent = a.rows(forget_gate), a.array(run.matrices.hidden_hidden)
            projection = None if run.matrices.projection is None else a.array(run.matrices.projection)
            through_hidden, through_cell = (
                a.rows(run.edits.derivative(site, torch.ones_like(like))) if run.edits.touch(site) else None
                for site, like in (("hidden", arrivals.hidden), ("cell", cell))
            )
            hidden_carry = a.array(torch.zeros_like(arrivals.hidden[0]))
            cell_carry, projected, at_edited = (a.array(torch.zeros_like(cell[0])) for _ in range(3))
            hidden_now = a.array(torch.empty_like(arrivals.hidden[0]))
            for step in range(cell.size(0) - 1, -1, -1):
                hidden, total = at_hidden[step], at_cell[step]
                a.add(arriving[step], hidden_carry, hidden)
                if through_hidden is not None:
                    a.multiply(hidden, through_hidden[step], hidden_now)
                    hidden = hidden_now
                if projection is not None:
                    a.product(hidden, projection, projected)
                    hidden = projected
                a.add_product(cell_carry, hidden, into_cell[step], total)
                if carried is not None:
                    a.add(total, carried[step], total)
                if through_cell is not None:
                    a.multiply(total, through_cell[step], at_edited)
                    total = at_edited
                a.multiply(total[:, None], from_cells[step], by_cells[step])
                a.multiply(hidden, from_memories[step], by_memories[step])
                a.product(rows[step], recurrent, hidden_carry)
                a.multiply(total, keep[step], cell_carry)

        gradients = {f"preactivation:{site}": chunk for site, chunk in by_gate(stacked, self.gates).items()}
        return gradients | {"hidden": hidden_totals, "cell": cell_totals}, stacked @ run.matrices.input_hidden


lstm = LSTM()
