"""What the inspector has in hand: a run without and with edits, and who asked for what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
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
    same_steps: tuple[Tensor, ...] | None = None
    """Where the input was changed: for each sequence the step before of every step after, −1 if there is none."""
    inputs_before: object = None
    inputs: object = None
    told: tuple[str, ...] = ()
    """What was changed of the input, in words."""
    training: str = ""
    """What computes otherwise since the model was in training mode, in words."""

    @property
    def edited(self) -> bool:
        """Whether before and after are different runs."""
        return self.recording is not self.baseline_recording

    def steps(self, layer: str, sequence: int) -> int:
        """How many steps a layer made of one sequence, after the edits."""
        return int(self.recording[layer].lengths[sequence])

    def reads_words(self, layer: str) -> bool:
        """Whether a layer may step with the words of the input: as many of them as the layer that is called first."""
        first = self.recording[self.recording.layers[0]].lengths
        return layer in self.recording and torch.equal(self.recording[layer].lengths, first)

    def after(self, layer: str, site: str, sequence: int) -> Float[Tensor, "time unit"]:
        """A gate or state of one sequence under the edits."""
        return self.recording[layer][site][: self.steps(layer, sequence), sequence].float().cpu()

    def before(self, layer: str, site: str, sequence: int) -> Float[Tensor, "time unit"]:
        """The same without edits, at the steps of the run after; NaN at a step that the run before does not have."""
        return self.aligned(self.whole_before(layer, site, sequence), sequence, self.steps(layer, sequence))

    def whole_before(self, layer: str, site: str, sequence: int) -> Float[Tensor, "time unit"]:
        """The same without edits, at the steps of its own."""
        run = self.baseline_recording[layer]
        return run[site][: int(run.lengths[sequence]), sequence].float().cpu()

    def aligned(self, before: Float[Tensor, "before *rest"], sequence: int, steps: int) -> Float[Tensor, "after *rest"]:
        """Values of the run before at the ``steps`` steps of the run after, NaN where it has none."""
        if self.same_steps is None and before.size(0) == steps:
            return before
        same = torch.arange(steps, device="cpu")
        if self.same_steps is not None and self.same_steps[sequence].numel() == steps:
            same = self.same_steps[sequence]
        here = (same >= 0) & (same < before.size(0))
        found = before.new_full((steps, *before.shape[1:]), torch.nan)
        found[here] = before[same[here]]
        return found

    def change(self, layer: str, site: str, sequence: int) -> Float[Tensor, "time unit"]:
        """After − before; zero where nothing was edited."""
        after = self.after(layer, site, sequence)
        return after - self.before(layer, site, sequence) if self.edited else torch.zeros_like(after)

    @cached_property
    def batch(self) -> int:
        """The number of sequences."""
        return int(self.recording[self.recording.layers[0]].lengths.numel())


class RowOrders:
    """The order of rows and the default unit of each layer, from the unedited run so that nothing jumps in a drag."""

    def __init__(self) -> None:
        self._recording: Recording | None = None
        self._orders: dict[tuple[str, int], Tensor] = {}
        self._liveliest: dict[str, int] = {}

    def order(self, recording: Recording, layer: str, width: int) -> Tensor:
        """The unit of each display row."""
        self._begin(recording)
        if (layer, width) not in self._orders:
            of_layer = recording[layer]
            state = next(state for state in of_layer.states if of_layer[state].size(-1) == width)
            self._orders[layer, width] = clustered_order(_samples(of_layer[state]))
        return self._orders[layer, width]

    def liveliest(self, recording: Recording, layer: str) -> int:
        """The unit whose hidden state varies most."""
        self._begin(recording)
        if layer not in self._liveliest:
            samples = _samples(recording[layer].hidden)
            spread = torch.nan_to_num(samples.float().std(dim=0, correction=0), nan=-1.0)
            self._liveliest[layer] = int(spread.argmax()) if spread.numel() else 0
        return self._liveliest[layer]

    def _begin(self, recording: Recording) -> None:
        if recording is not self._recording:
            self._recording, self._orders, self._liveliest = recording, {}, {}


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
