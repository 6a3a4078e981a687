"""The gated recurrent unit whose gates do not see the state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rnnwidget.cells.registry import register
from rnnwidget.cells.sequence_layer import SequenceLayer
from rnnwidget.cells.step_family import Sites


class MinGRU(SequenceLayer):
    """minGRU (Feng et al. 2024, arXiv 2410.01201).

    z = σ(W_z x + b_z), h̃ = W_h x + b_h, h ← (1 − z) ⊙ h + z ⊙ h̃. An update gate of 1 **replaces** the state and 0
    keeps it: the other way round than PyTorch's ``nn.GRU``, where 1 keeps.

    Neither gate nor candidate depends on h, which is why the paper can train it by a parallel scan; here it runs step
    by step, which gives the same numbers up to rounding. The candidate is linear, without bounds, and is called
    ``candidate_state``. ``to_update_gate`` and ``to_candidate`` are ``nn.Linear`` and start as ``nn.Linear`` does.

    Called on x (time, batch, feature), or (batch, time, feature) with ``batch_first``, and perhaps an initial state
    (batch, unit); returns the hidden state of every step in the layout of x, and the last one (batch, unit).

    Raises
    ------
    ValueError
        A size will not do; when called, the shape of the input or of the state.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> from rnnwidget.cells import MinGRU
    >>> model = MinGRU(3, 4)
    >>> with rw.record(model) as recording, rw.edited(model, rw.clamp("update_gate", 1.0)):
    ...     output, hidden = model(torch.randn(6, 2, 3))
    >>> layer = recording["cell"]
    >>> layer["update_gate"].shape, torch.allclose(layer.hidden, layer["candidate_state"])
    (torch.Size([6, 2, 4]), True)
    """

    def __init__(self, input_size: int, hidden_size: int, *, batch_first: bool = False) -> None:
        super().__init__(input_size, hidden_size, batch_first=batch_first)
        self.to_update_gate = nn.Linear(input_size, hidden_size)
        self.to_candidate = nn.Linear(input_size, hidden_size)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Hidden states of every step, and the final one."""
        output, (hidden,) = self.over_time(x, None if state is None else (state,), self._advance)
        return output, hidden

    def _advance(self, x: Tensor, hidden: Tensor) -> tuple[Tensor]:
        return (torch.lerp(hidden, self.to_candidate(x), torch.sigmoid(self.to_update_gate(x))),)


@register(
    MinGRU,
    name="min_gru",
    gates={"update_gate": "sigmoid", "candidate_state": "identity"},
    letters={"update_gate": "z", "candidate_state": "h\u0303"},
)
def min_gru_step(module: MinGRU, x: Tensor, hidden: Tensor, at: Sites) -> Tensor:
    """One step of a :class:`MinGRU`."""
    update = at.gate("update_gate", module.to_update_gate(x))
    candidate = at.gate("candidate_state", module.to_candidate(x))
    return (1 - update) * hidden + update * candidate
