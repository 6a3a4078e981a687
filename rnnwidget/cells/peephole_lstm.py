"""Long short-term memory whose gates see the cell state."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rnnwidget.cells.registry import register
from rnnwidget.cells.sequence_layer import SequenceLayer, States
from rnnwidget.cells.step_family import Sites


class PeepholeLSTM(SequenceLayer):
    """An LSTM with peepholes: Gers & Schmidhuber (2000).

    i = σ(W_i x + U_i h + p_i ⊙ c + b_i) and f likewise with p_f, from the cell state before the step;
    g = tanh(W_g x + U_g h + b_g); c ← f ⊙ c + i ⊙ g; o = σ(W_o x + U_o h + p_o ⊙ c + b_o) from the new cell state;
    h ← o ⊙ tanh(c), with h the output of the step before in every formula for a gate.

    ``weight_ih`` (4 · unit, feature), ``weight_hh`` (4 · unit, unit) and ``bias`` hold the rows of i, f, g and o in the
    order of ``nn.LSTM``; ``weight_peephole`` (3, unit) those of i, f and o. All start as those of ``nn.LSTM`` do,
    uniform on ±1/√hidden_size. With peepholes of zero this is ``nn.LSTM``.

    Called on x (time, batch, feature), or (batch, time, feature) with ``batch_first``, and perhaps initial states
    (hidden, cell), (batch, unit) each; returns the hidden state of every step in the layout of x, within (−1, 1), and
    the final states.

    Raises
    ------
    ValueError
        A size will not do; when called, the shape of the input or of a state.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> from rnnwidget.cells import PeepholeLSTM
    >>> model = PeepholeLSTM(3, 4)
    >>> with rw.record(model) as recording:
    ...     output, (hidden, cell) = model(torch.randn(6, 2, 3))
    >>> recording["cell"]["forget_gate"].shape, recording["cell"].replay_error < 1e-5
    (torch.Size([6, 2, 4]), True)
    """

    state_names = ("hidden", "cell")

    def __init__(self, input_size: int, hidden_size: int, *, batch_first: bool = False) -> None:
        super().__init__(input_size, hidden_size, batch_first=batch_first)
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))
        self.weight_peephole = nn.Parameter(torch.empty(3, hidden_size))
        self.draw_uniformly()

    def affine(
        self, x: Float[Tensor, "batch feature"], hidden: Float[Tensor, "batch unit"]
    ) -> tuple[Float[Tensor, "batch unit"], ...]:
        """W x + U h + b of i, f, g and o, still without the cell state."""
        rows = nn.functional.linear(x, self.weight_ih, self.bias) + nn.functional.linear(hidden, self.weight_hh)
        return rows.chunk(4, dim=-1)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Hidden states of every step, and the final (hidden, cell)."""
        output, (hidden, cell) = self.over_time(x, state, self._advance)
        return output, (hidden, cell)

    def _advance(self, x: Tensor, hidden: Tensor, cell: Tensor) -> States:
        i, f, g, o = self.affine(x, hidden)
        to_input, to_forget, to_output = self.weight_peephole
        kept = torch.sigmoid(f + to_forget * cell) * cell
        cell = kept + torch.sigmoid(i + to_input * cell) * torch.tanh(g)
        return torch.sigmoid(o + to_output * cell) * torch.tanh(cell), cell


@register(
    PeepholeLSTM,
    name="peephole_lstm",
    states=("hidden", "cell"),
    gates={"input_gate": "sigmoid", "forget_gate": "sigmoid", "candidate": "tanh", "output_gate": "sigmoid"},
    letters={"candidate": "g", "cell": "c"},
)
def peephole_step(module: PeepholeLSTM, x: Tensor, state: tuple[Tensor, Tensor], at: Sites) -> tuple[Tensor, Tensor]:
    """One step of a :class:`PeepholeLSTM`."""
    hidden, before = state
    i, f, g, o = module.affine(x, hidden)
    to_input, to_forget, to_output = module.weight_peephole
    written = at.gate("input_gate", i + to_input * before) * at.gate("candidate", g)
    cell = at.state("cell", at.gate("forget_gate", f + to_forget * before) * before + written)
    return at.gate("output_gate", o + to_output * cell) * torch.tanh(cell), cell
