"""One recurrent call as a recording keeps it: clones of what went in and came out, the rest rebuilt when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from rnnwidget.cells.edits import LayerEdits
from rnnwidget.cells.large_memory import large_copy
from rnnwidget.recording.clients import SeenCall
from rnnwidget.recording.gradient_tap import GradientTap
from rnnwidget.recording.modules import Layer, RecurrentModule
from rnnwidget.recording.recurrent_call import RecurrentCall, StackTrace, run_stack
from rnnwidget.recording.snapshots import WeightSnapshot, snapshot


@dataclass(eq=False)
class RecordedCall:
    """A call that owns its tensors: nothing the user changes in place later reaches it.

    ``cut`` says that the state it goes on from came back without its graph.
    """

    module: RecurrentModule
    call: RecurrentCall
    snapshot: WeightSnapshot
    output: Tensor
    edits: Mapping[str, LayerEdits]
    grad_enabled: bool
    autocast: torch.dtype | None = None
    tap: GradientTap | None = None
    cut: bool = False
    ran_by_layer: StackTrace | None = field(default=None, repr=False)
    _unpacked: dict[int, Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, seen: SeenCall, tap: GradientTap | None, *, cut: bool) -> RecordedCall:
        """Clone what a later look needs."""
        weights = snapshot(seen.module.module, seen.call.weights)
        call = replace(
            seen.call,
            # The interception core has cloned the input of a module that could have changed it meanwhile.
            input=seen.call.input.detach() if seen.call.form == "module" else large_copy(seen.call.input.detach()),
            initial=tuple([state.detach().clone() for state in seen.call.initial]),
            weights=weights.weights,
        )
        output, trace = large_copy(seen.result.output.detach()), None
        if seen.trace is not None:
            trace = StackTrace(
                inputs=[call.input, *(tensor.detach() for tensor in seen.trace.inputs[1:])],
                outputs=[*(tensor.detach() for tensor in seen.trace.outputs[:-1]), output],
                noises=seen.trace.noises,
                finals=(),
            )
        return cls(
            module=seen.module,
            call=call,
            snapshot=weights,
            output=output,
            edits=seen.edits,
            grad_enabled=seen.grad_enabled,
            autocast=seen.autocast,
            tap=tap,
            cut=cut,
            ran_by_layer=trace,
        )

    @property
    def replayed(self) -> bool:
        """Whether what passed between the layers has to be run again to be seen."""
        return self.ran_by_layer is None and len(self.call.weights) > 1

    @cached_property
    def trace(self) -> StackTrace:
        """What went into and came out of each layer; the layers below the top are run again on the same kernel."""
        if self.ran_by_layer is not None:
            return self.ran_by_layer
        if len(self.call.weights) == 1:
            return StackTrace([self.call.input], [self.output], [], ())
        below = replace(self.call, weights=self.call.weights[:-1])
        device = self.call.input.device.type
        # Bits differ between grad mode and no_grad, so the replay runs in the mode of the call.
        with (
            torch.inference_mode(mode=False),
            torch.set_grad_enabled(self.grad_enabled),
            torch.autocast(device, self.autocast, enabled=self.autocast is not None),
        ):
            replayed = run_stack(below)
        inputs = [self.call.input, *replayed.inputs[1:], replayed.outputs[-1]]
        return StackTrace(inputs, [*replayed.outputs, self.output], [*replayed.noises, None], ())

    def _by_time(self, tensor: Tensor) -> Tensor:
        """(time, batch, …) in the user's order; unpacked once for all that look at the same tensor."""
        if not self.call.layout.packed:
            return self.call.layout.to_time_first(tensor)
        if id(tensor) not in self._unpacked:
            self._unpacked[id(tensor)] = self.call.layout.to_time_first(tensor)
        return self._unpacked[id(tensor)]

    def inputs_of(self, layer: Layer) -> Tensor:
        """What the layer read, (time, batch, feature) by input position, zeros at padding."""
        return self._by_time(self.trace.inputs[layer.index])

    def hidden_of(self, layer: Layer) -> Tensor:
        """The hidden state that the model gave, (time, batch, unit) by input position, zeros at padding."""
        output = self._by_time(self.trace.outputs[layer.index])
        if self.call.directions == 1:
            return output
        width = output.size(-1) // 2
        return output[..., width:] if layer.reverse else output[..., :width]

    def initial_of(self, layer: Layer) -> tuple[Tensor, ...]:
        """The state before the layer's first step, each (batch, unit) in the user's order."""
        return tuple(
            self.call.layout.to_user_order(state[int(layer.reverse)], dim=0)
            for state in self.call.initial_of(layer.index)
        )
