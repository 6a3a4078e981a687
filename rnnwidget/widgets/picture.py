"""What the inspector has in hand: a run without and with edits, and who asked for what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rnnwidget.analysis import clustered_order
from rnnwidget.editing import Edit
from rnnwidget.recording import LayerRecording, Recording
from rnnwidget.recording.gradient_flow import GradientFlow

SAMPLES = 4096


@dataclass(frozen=True, eq=False)
class Picture:
    """One model call before and after edits; without edits both are the same."""

    baseline_output: object
    output: object
    baseline_recording: Recording
    recording: Recording
    edits: tuple[Edit, ...]
    flow: GradientFlow | None
    flow_message: str

    @property
    def edited(self) -> bool:
        """Whether before and after are different runs."""
        return self.recording is not self.baseline_recording

    @cached_property
    def batch(self) -> int:
        """The number of sequences."""
        return int(self.recording[self.recording.layers[0]].lengths.numel())


class RowOrders:
    """The order of rows and the default unit of each layer, from the unedited run so that nothing jumps in a drag."""

    def __init__(self) -> None:
        self._recording: Recording | None = None
        self._orders: dict[tuple[str, int], Tensor] = {}

    def order(self, recording: Recording, layer: str, width: int) -> Tensor:
        """The unit of each display row."""
        if recording is not self._recording:
            self._recording, self._orders = recording, {}
        if (layer, width) not in self._orders:
            of_layer = recording[layer]
            state = next(state for state in of_layer.states if of_layer[state].size(-1) == width)
            self._orders[layer, width] = clustered_order(_samples(of_layer[state]))
        return self._orders[layer, width]

    def liveliest(self, recording: Recording, layer: str) -> int:
        """The unit whose hidden state varies most."""
        samples = _samples(recording[layer].hidden)
        spread = torch.nan_to_num(samples.float().std(dim=0), nan=-1.0)
        return int(spread.argmax()) if spread.numel() else 0


def _samples(state: Tensor) -> Tensor:
    rows = state.reshape(-1, state.size(-1))
    rows = rows[~torch.isnan(rows).all(dim=1)]
    return rows[:: max(1, rows.size(0) // SAMPLES)]


def gradient_norms(flow: GradientFlow, layer: LayerRecording, sequence: int) -> tuple[Tensor, Tensor]:
    """‖∂L/∂state_t‖, total over all states of the layer, and local of h alone, for one sequence."""
    gradient = flow[layer.name]
    steps = int(layer.lengths[sequence])
    total = torch.cat([state[:steps, sequence].cpu().double() for state in gradient.states.values()], dim=-1)
    return total.norm(dim=-1), gradient.hidden_local[:steps, sequence].cpu().double().norm(dim=-1)
