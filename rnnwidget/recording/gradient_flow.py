"""Where the gradient goes: local and total gradients of the states of recorded layers.

A loss reaches a stack at its top output and at the final states. From there a reverse scan over the recorded gates
gives every total gradient of a layer and what it sends to the layer below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rnnwidget.cells.family import Arrivals
from rnnwidget.recording.modules import Layer
from rnnwidget.recording.recorded_call import RecordedCall


@dataclass(frozen=True, eq=False)
class LayerGradient:
    """The gradients of one layer and direction in its last call, by input position; NaN at padding."""

    hidden: Float[Tensor, "time batch hidden"]
    hidden_local: Float[Tensor, "time batch hidden"]
    cell: Float[Tensor, "time batch unit"] | None
    _preactivations: Mapping[str, Tensor]
    _layer: Layer

    def preactivation(self, site: str) -> Float[Tensor, "time batch unit"]:
        """∂L/∂(pre-activation) of a gate or candidate; for the rnn family of ``"hidden"``. KeyError otherwise."""
        return self._preactivations[self._layer.family.site_with_preactivation(site)]


class GradientFlow(Mapping[str, LayerGradient]):
    """∂L/∂h_t and ∂L/∂c_t of every layer, by layer name, in its last call that a gradient reached.

    ``hidden`` and ``cell`` are total: through time, through the layers above and, for ``cell``, through h_t.
    ``hidden_local`` leaves the layer's own recurrent edge out.
    """

    def __init__(self, recorded: Sequence[RecordedCall], scale: float) -> None:
        if all(call.tap is None or call.tap.empty for call in recorded):
            raise RuntimeError(
                "no gradient has arrived: run backward() inside the record(model, gradients=True) block, "
                "on a loss that depends on the recurrent output"
            )
        self._layers: dict[str, LayerGradient] = {}
        with torch.no_grad():
            for call in recorded:
                if call.tap is not None and not call.tap.empty:
                    self._layers |= _stack_gradients(call, scale)

    def __getitem__(self, layer: str) -> LayerGradient:
        if layer not in self._layers:
            raise KeyError(f"no gradients for layer {layer!r}; there are some for {', '.join(self._layers)}")
        return self._layers[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)


def _stack_gradients(recorded: RecordedCall, scale: float) -> dict[str, LayerGradient]:
    """Scan a stack from its top layer down."""
    assert recorded.tap is not None
    layout, noises = recorded.call.layout, recorded.trace.noises
    output, *finals = [None if gradient is None else gradient / scale for gradient in recorded.tap.arrived]
    top = recorded.output
    arriving = layout.to_time_first(torch.zeros_like(top) if output is None else output)
    gradients: dict[str, LayerGradient] = {}
    for index in range(len(recorded.call.weights) - 1, -1, -1):
        below: Tensor | None = None
        for layer in [layer for layer in recorded.module.layers if layer.index == index]:
            gradients[layer.name], sent = _layer_gradient(recorded, layer, arriving, finals)
            below = sent if below is None else below + sent
        assert below is not None
        if index > 0:
            noise = noises[index - 1]
            arriving = below if noise is None else below * layout.to_time_first(noise)
    return {layer.name: gradients[layer.name] for layer in recorded.module.layers}


def _layer_gradient(
    recorded: RecordedCall, layer: Layer, arriving: Tensor, finals: Sequence[Tensor | None]
) -> tuple[LayerGradient, Tensor]:
    layout, run = recorded.call.layout, recorded.run_of(layer)
    quantities = layer.family.quantities(run)
    width = layer.projected_size
    hidden_local = (arriving[..., width:] if layer.reverse else arriving[..., :width]).to(quantities["hidden"].dtype)
    local = layout.flipped(hidden_local) if layer.reverse else hidden_local
    row = layer.index * recorded.call.directions + int(layer.reverse)
    at_end = [None if final is None else layout.to_user_order(final[row], dim=0).to(local.dtype) for final in finals]
    local = _add_at_end(local, at_end[0], recorded)
    at_cell = None
    if "cell" in layer.family.states:
        at_cell = _add_at_end(torch.zeros_like(quantities["cell"]), at_end[1], recorded)
    found, sent = layer.family.backward(run, quantities, Arrivals(local, at_cell))

    def placed(tensor: Tensor) -> Tensor:
        return recorded.blank_padding(recorded.by_position(layer, tensor))

    gradient = LayerGradient(
        hidden=placed(found["hidden"]),
        hidden_local=placed(local),
        cell=placed(found["cell"]) if "cell" in found else None,
        _preactivations={
            key.removeprefix("preactivation:"): placed(value) for key, value in found.items() if ":" in key
        },
        _layer=layer,
    )
    return gradient, recorded.by_position(layer, sent)


def _add_at_end(gradient: Tensor, final: Tensor | None, recorded: RecordedCall) -> Tensor:
    """Add what arrived at a final state to each sequence's last live step, in the layer's own order."""
    if final is None or gradient.size(0) == 0:
        return gradient
    last = recorded.call.layout.lengths(gradient.device) - 1
    gradient = gradient.clone()
    gradient[last, torch.arange(gradient.size(1), device=gradient.device)] += final
    return gradient
