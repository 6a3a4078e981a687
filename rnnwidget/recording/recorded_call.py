"""One recurrent call as a recording keeps it: clones of what went in and came out, the rest rebuilt when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from rnnwidget.cells.edits import NO_EDITS, LayerEdits
from rnnwidget.cells.family import LayerRun, Quantities
from rnnwidget.recording.fused import FusedCall, StackTrace, dropout_noise, run_stack
from rnnwidget.recording.gradient_tap import GradientTap
from rnnwidget.recording.interception import SeenCall
from rnnwidget.recording.modules import Layer, RecurrentModule
from rnnwidget.recording.snapshots import WeightSnapshot, snapshot


def _full_precision(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


@dataclass(eq=False)
class RecordedCall:
    """A call that owns its tensors: nothing the user changes in place later reaches it."""

    module: RecurrentModule
    call: FusedCall
    snapshot: WeightSnapshot
    output: Tensor
    edits: Mapping[str, LayerEdits]
    grad_enabled: bool
    random_state: Tensor | None = None
    tap: GradientTap | None = None
    ran_by_layer: StackTrace | None = field(default=None, repr=False)

    @classmethod
    def of(cls, seen: SeenCall, tap: GradientTap | None) -> RecordedCall:
        """Clone what a later look needs."""
        weights = snapshot(seen.module.module, seen.call.weights)
        call = replace(
            seen.call,
            input=seen.call.input.detach().clone(),
            initial=tuple(state.detach().clone() for state in seen.call.initial),
            weights=weights.weights,
        )
        trace = None
        if seen.trace is not None:
            trace = StackTrace(
                inputs=[call.input, *(tensor.detach() for tensor in seen.trace.inputs[1:])],
                outputs=[
                    *(tensor.detach() for tensor in seen.trace.outputs[:-1]),
                    seen.trace.outputs[-1].detach().clone(),
                ],
                noises=seen.trace.noises,
                finals=(),
            )
        return cls(
            module=seen.module,
            call=call,
            snapshot=weights,
            output=trace.outputs[-1] if trace is not None else seen.result[0].detach().clone(),
            edits=seen.edits,
            grad_enabled=seen.grad_enabled,
            random_state=seen.random_state,
            tap=tap,
            ran_by_layer=trace,
        )

    @cached_property
    def trace(self) -> StackTrace:
        """What went into and came out of each layer; the layers below the top are run again on the same kernel."""
        if self.ran_by_layer is not None:
            return self.ran_by_layer
        if len(self.call.weights) == 1:
            return StackTrace([self.call.input], [self.output], [], ())
        generator = None
        if self.random_state is not None:
            generator = torch.Generator()
            generator.set_state(self.random_state)
        below = replace(self.call, weights=self.call.weights[:-1])
        # float32 bits differ between grad mode and no_grad, so the replay runs in the mode of the call.
        with torch.inference_mode(mode=False), torch.set_grad_enabled(self.grad_enabled):
            replayed = run_stack(below, generator=generator)
            top = replayed.outputs[-1]
            noise = dropout_noise(top, self.call.dropout, generator) if self.call.drops else None
            read = top if noise is None else top * noise
        return StackTrace([*replayed.inputs, read], [*replayed.outputs, self.output], [*replayed.noises, noise], ())

    def run_of(self, layer: Layer) -> LayerRun:
        """One layer and direction in the order in which it reads, zeros at padding."""
        layout, trace = self.call.layout, self.trace
        inputs = _full_precision(layout.to_time_first(trace.inputs[layer.index]))
        side = int(layer.reverse)
        initial = tuple(
            _full_precision(layout.to_user_order(state[side], dim=0)) for state in self.call.initial_of(layer.index)
        )
        hidden = _full_precision(self.hidden_of(layer))
        edits = self.edits.get(layer.name, NO_EDITS)
        if layer.reverse:
            inputs, hidden, edits = layout.flipped(inputs), layout.flipped(hidden), edits.reordered(layout.flipped)
        return LayerRun(
            inputs=inputs,
            previous=torch.cat([initial[0].unsqueeze(0), hidden[:-1]]),
            initial=initial,
            weights=self.call.weights[layer.index][side].map(_full_precision),
            edits=edits,
        )

    def hidden_of(self, layer: Layer) -> Tensor:
        """The hidden state that the model gave, (time, batch, unit) by input position, zeros at padding."""
        output = self.call.layout.to_time_first(self.trace.outputs[layer.index])
        width = layer.projected_size
        return output[..., width:] if layer.reverse else output[..., :width]

    def by_position(self, layer: Layer, tensor: Tensor) -> Tensor:
        """From a layer's own order of time to input positions."""
        return self.call.layout.flipped(tensor) if layer.reverse else tensor

    def blank_padding(self, tensor: Tensor) -> Tensor:
        """NaN where a sequence has ended."""
        if not self.call.layout.packed:
            return tensor
        return tensor.masked_fill(~self.call.layout.live(tensor.device), torch.nan)

    @torch.no_grad()
    def quantities(self, layer: Layer) -> Quantities:
        """Gates and states in the layer's own order, ``hidden`` rebuilt from the gates."""
        return layer.family.quantities(self.run_of(layer))
