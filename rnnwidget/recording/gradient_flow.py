"""Where the gradient goes: local and total gradients of the states of recorded layers.

A loss reaches a stack at its top output and at the final states. From there a reverse scan over the recorded gates
gives every total gradient of a layer and what it sends to the layer below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rnnwidget.cells.family import Family
from rnnwidget.cells.layer_run import Arrivals
from rnnwidget.recording.arithmetic import our_arithmetic
from rnnwidget.recording.modules import Layer
from rnnwidget.recording.randomness import PrivateRandomness
from rnnwidget.recording.readouts import gradient_through_readout
from rnnwidget.recording.recorded_call import RecordedCall
from rnnwidget.recording.stretches import Stretch, stretches


@dataclass(frozen=True, eq=False, repr=False)
class LayerGradient:
    """The gradients of one layer and direction in its last call, by input position; NaN at padding.

    ``cell`` is None for a family without a cell state; ``states`` has every state by name.
    """

    states: Mapping[str, Float[Tensor, "time batch _"]]
    hidden_local: Float[Tensor, "time batch hidden"]
    _preactivations: Mapping[str, Tensor]
    _family: Family

    @property
    def hidden(self) -> Float[Tensor, "time batch hidden"]:
        """∂L/∂h_t, total."""
        return self.states["hidden"]

    @property
    def cell(self) -> Float[Tensor, "time batch unit"] | None:
        """∂L/∂c_t, total, the path through h_t included; None for a family without a cell state."""
        return self.states.get("cell")

    def preactivation(self, site: str) -> Float[Tensor, "time batch unit"]:
        """∂L/∂(pre-activation) of a gate or candidate; for the rnn family of ``"hidden"``. KeyError otherwise."""
        return self._preactivations[self._family.site_with_preactivation(site)]

    def __repr__(self) -> str:
        steps, batch, units = self.hidden.shape
        return f"LayerGradient({self._family.name}, time={steps}, batch={batch}, units={units})"


class GradientFlow(Mapping[str, LayerGradient]):
    """∂L/∂h_t and ∂L/∂c_t of every layer, by layer name, in its last call that a gradient reached.

    ``hidden`` and ``cell`` are total: through time, through the layers above and, for ``cell``, through h_t.
    ``hidden_local`` leaves the layer's own recurrent edge out.
    """

    def __init__(self, runs: Sequence[Sequence[RecordedCall]], scale: float) -> None:
        reached = [run for run in runs if any(call.tap is not None and not call.tap.empty for call in run)]
        if not reached:
            raise RuntimeError(
                "no gradient has arrived: run backward() inside the record(model, gradients=True) block, "
                "on a loss that depends on the recurrent output"
            )
        self._layers: dict[str, LayerGradient] = {}
        own = any(isinstance(side, nn.Module) for run in reached for side in run[0].call.weights[0])
        # Where a registered step draws noise, a look leaves the process's generator alone.
        private: AbstractContextManager[object] = PrivateRandomness() if own else nullcontext()
        with our_arithmetic(reached[0][0].output.device.type), private:
            for run in reached:
                following = [*run[1:], None]
                parts = [_stack_gradients(call, after, scale) for call, after in zip(run, following, strict=True)]
                self._layers |= {name: _joined([part[name] for part in parts]) for name in parts[0]}

    def __getitem__(self, layer: str) -> LayerGradient:
        if layer not in self._layers:
            raise KeyError(f"no gradients for layer {layer!r}; there are some for {', '.join(self._layers)}")
        return self._layers[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __repr__(self) -> str:
        return f"GradientFlow({', '.join(self)})"


def _joined(parts: list[LayerGradient]) -> LayerGradient:
    """Calls that continue each other as one."""
    if len(parts) == 1:
        return parts[0]
    return LayerGradient(
        states={site: torch.cat([part.states[site] for part in parts]) for site in parts[0].states},
        hidden_local=torch.cat([part.hidden_local for part in parts]),
        _preactivations={
            site: torch.cat([part._preactivations[site] for part in parts])  # noqa: SLF001 - of the same class
            for site in parts[0]._preactivations  # noqa: SLF001 - likewise
        },
        _family=parts[0]._family,  # noqa: SLF001 - likewise
    )


def _stack_gradients(recorded: RecordedCall, after: RecordedCall | None, scale: float) -> dict[str, LayerGradient]:
    """Scan a stack from its top layer down; ``after`` is the call that went on from this one's final states."""
    assert recorded.tap is not None
    layout, noises = recorded.call.layout, recorded.trace.noises
    output, *finals = [None if gradient is None else gradient / scale for gradient in recorded.tap.arrived]
    onward = [] if after is None or after.tap is None else after.tap.left
    recurrent = [None if gradient is None else gradient / scale for gradient in onward]
    top = recorded.output
    received = torch.zeros_like(top) if output is None else output.reshape(top.shape)
    if any(gradient is not None for gradient in recorded.tap.arrived_beside):
        received = received + _through_readout(recorded, scale)
    arriving = layout.to_time_first(received)
    gradients: dict[str, LayerGradient] = {}
    for index in range(len(recorded.call.weights) - 1, -1, -1):
        below: Tensor | None = None
        for layer in [layer for layer in recorded.module.layers if layer.index == index]:
            row = layer.index * recorded.call.directions + int(layer.reverse)
            at_end = [_row(final, row, recorded, ordered=False) for final in finals]
            leaving = [_row(final, row, recorded, ordered=True) for final in recurrent]
            gradients[layer.name], sent = _layer_gradient(recorded, layer, arriving, at_end, leaving)
            below = sent if below is None else below + sent
        assert below is not None
        if index > 0:
            noise = noises[index - 1]
            arriving = below if noise is None else below * layout.to_time_first(noise)
    return {layer.name: gradients[layer.name] for layer in recorded.module.layers}


def _through_readout(recorded: RecordedCall, scale: float) -> Tensor:
    """What arrives at the hidden states of a registered module by what it returns beside them."""
    tap, registration, module = recorded.tap, recorded.module.registration, recorded.call.weights[0][0]
    assert tap is not None
    assert registration is not None
    assert isinstance(module, nn.Module)
    hidden = recorded.output if tap.shape is None else recorded.output.reshape(tap.shape)
    arrived = [None if gradient is None else gradient / scale for gradient in tap.arrived_beside]
    with torch.autocast(hidden.device.type, recorded.autocast, enabled=recorded.autocast is not None):
        return gradient_through_readout(registration, module, hidden, arrived).reshape(recorded.output.shape)


def _row(final: Tensor | None, row: int, recorded: RecordedCall, *, ordered: bool) -> Tensor | None:
    """A state's gradient of one layer and direction, in the user's order; ``ordered`` if it is so already."""
    if final is None:
        return None
    own = final.reshape(-1, recorded.call.layout.batch, final.size(-1))[row]
    return own if ordered else recorded.call.layout.to_user_order(own, dim=0)


def _layer_gradient(
    recorded: RecordedCall,
    layer: Layer,
    arriving: Tensor,
    at_end: Sequence[Tensor | None],
    leaving: Sequence[Tensor | None],
) -> tuple[LayerGradient, Tensor]:
    family = layer.family
    (stretch,) = stretches([recorded], layer)
    run = stretch.run
    quantities = family.quantities(run)
    width = quantities["hidden"].size(-1)
    arriving_here = (arriving[..., width:] if layer.reverse else arriving[..., :width]).to(quantities["hidden"].dtype)
    received = _add_at_end(stretch.by_reading(arriving_here), at_end[0] if at_end else None, stretch)
    carried = tuple(
        _add_at_end(torch.zeros_like(quantities[state]), at_end[place] if place < len(at_end) else None, stretch)
        for place, state in enumerate(family.states[1:], start=1)
    )
    found, sent = family.backward(run, quantities, Arrivals(received, carried))
    back = leaving[0] if leaving else None
    local = _add_at_end(received, None if back is None else -back, stretch)

    def placed(tensor: Tensor) -> Tensor:
        return stretch.blank(stretch.by_reading(tensor))

    gradient = LayerGradient(
        states={state: placed(found[state]) for state in family.states},
        hidden_local=placed(local),
        _preactivations={
            key.removeprefix("preactivation:"): placed(value) for key, value in found.items() if ":" in key
        },
        _family=family,
    )
    return gradient, stretch.by_reading(sent)


def _add_at_end(gradient: Tensor, final: Tensor | None, stretch: Stretch) -> Tensor:
    """Add what arrived at a final state to each sequence's last live step, in the layer's own order."""
    if final is None or gradient.size(0) == 0:
        return gradient
    last = stretch.layout.lengths(gradient.device) - 1
    gradient = gradient.clone()
    gradient[last, torch.arange(gradient.size(1), device=gradient.device)] += final.to(gradient.dtype)
    return gradient
