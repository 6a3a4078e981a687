"""One recurrent call as a recording keeps it: clones of what went in and came out, the rest rebuilt when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from rnnwidget.cells.edits import LayerEdits
from rnnwidget.cells.large_memory import large_copy
from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.recording.clients import SeenCall, is_half
from rnnwidget.recording.gradient_tap import GradientTap
from rnnwidget.recording.modules import Layer, RecurrentModule
from rnnwidget.recording.packed_rows import PackedPlaces
from rnnwidget.recording.recurrent_call import RecurrentCall, StackTrace, run_stack
from rnnwidget.recording.snapshots import WeightSnapshot, snapshot

LITTLE = 0.1
"""The share of a call's input, output and weights up to which what passed between its layers is kept beside them."""


@dataclass(eq=False)
class RecordedCall:
    """A call that owns its tensors: nothing the user changes in place later reaches it.

    ``cut`` says that the state it goes on from came back without its graph. ``reached`` are the final states beside the
    hidden one, kept in half precision, where what is rebuilt may end elsewhere.
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
    reached: tuple[Tensor, ...] = ()
    ran_by_layer: StackTrace | None = field(default=None, repr=False)
    inference: bool = False
    tensor_kinds: tuple[tuple[bool, bool], ...] = ()
    _unpacked: dict[int, Tensor] = field(init=False, default_factory=dict, repr=False)

    @classmethod
    def of(cls, seen: SeenCall, tap: GradientTap | None, *, cut: bool, whole: bool) -> RecordedCall:
        """Clone what a later look needs; with grad mode off, so that no clone has a graph.

        What passed between the layers of a stack is kept where it is little beside the rest, where ``whole`` asks for
        it, and where the layers cannot be run again to the same end.
        """
        weights = snapshot(seen.module.module, seen.call.weights)
        call = seen.call._replace(
            # The interception core has cloned the input of a module that could have changed it meanwhile.
            input=seen.call.input.detach() if seen.call.form == "module" else large_copy(seen.call.input),
            initial=tuple([state.clone() for state in seen.call.initial]),
            weights=weights.weights,
        )
        output, trace = large_copy(seen.result.output), None
        if seen.trace is not None and (whole or _is_little_between(seen, weights) or not _can_run_again(seen, call)):
            trace = StackTrace(
                inputs=[call.input, *[tensor.detach() for tensor in seen.trace.inputs[1:]]],
                outputs=[*[tensor.detach() for tensor in seen.trace.outputs[:-1]], output],
                noises=seen.trace.noises,
                finals=(),
            )
        called_with = _tensors_of(seen.call) if trace is None and len(call.weights) > 1 else []
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
            reached=tuple([state.clone() for state in seen.result.finals[1:]]) if is_half(output.dtype) else (),
            ran_by_layer=trace,
            inference=seen.inference,
            tensor_kinds=tuple([(tensor.requires_grad, tensor.is_inference()) for tensor in called_with]),
        )

    def under(self, edits: Mapping[str, LayerEdits], output: Tensor, trace: StackTrace) -> RecordedCall:
        """The same call as edits made it, without gradients."""
        modes = self.grad_enabled, self.autocast
        return RecordedCall(self.module, self.call, self.snapshot, output, edits, *modes, ran_by_layer=trace)

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
        called = self._called
        below = called._replace(weights=called.weights[:-1])
        device = self.call.input.device.type
        with (
            torch.inference_mode(mode=self.inference),
            torch.set_grad_enabled(self.grad_enabled),
            torch.autocast(device, self.autocast, enabled=self.autocast is not None),
        ):
            replayed = run_stack(below)
        with torch.inference_mode(mode=False):
            outputs = [output.clone() if self.inference else output.detach() for output in replayed.outputs]
        inputs = [self.call.input, *outputs]
        return StackTrace(inputs, [*outputs, self.output], [*replayed.noises, None], ())

    @property
    def _called(self) -> RecurrentCall:
        """The call as it was made, to the last bit of its result.

        PyTorch folds matrix products otherwise for tensors that require a gradient, grad mode or not, and for those of
        inference mode; and bits depend on how memory is aligned: the weights of a snapshot lie in one piece.
        """
        kinds = iter(self.tensor_kinds)

        def as_it_was(tensor: Tensor) -> Tensor:
            requires_grad, inference = next(kinds)
            with torch.inference_mode(mode=inference):
                return tensor.clone().requires_grad_(requires_grad)

        return self.call._replace(
            input=as_it_was(self.call.input),
            initial=tuple([as_it_was(state) for state in self.call.initial]),
            weights=tuple(
                tuple(side.map(as_it_was) if isinstance(side, LayerWeights) else side for side in layer)
                for layer in self.call.weights
            ),
        )

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
        return self._of_direction(self._by_time(self.trace.outputs[layer.index]), layer)

    def output_of(self, layer: Layer) -> Tensor:
        """The hidden state that the model gave, in the call's layout."""
        return self._of_direction(self.trace.outputs[layer.index], layer)

    def _of_direction(self, output: Tensor, layer: Layer) -> Tensor:
        if self.call.directions == 1:
            return output
        width = output.size(-1) // 2
        return output[..., width:] if layer.reverse else output[..., :width]

    @cached_property
    def packed_places(self) -> PackedPlaces:
        """Where the rows of a packed call lie."""
        return PackedPlaces(self.call.layout, self.output.device)

    def reached_of(self, layer: Layer) -> tuple[Tensor, ...]:
        """The final states beside the hidden one, each (batch, unit) in the user's order; none where none are kept."""
        row = layer.index * self.call.directions + int(layer.reverse)
        return tuple([self.call.layout.to_user_order(state[row], dim=0) for state in self.reached])

    def initial_of(self, layer: Layer) -> tuple[Tensor, ...]:
        """The state before the layer's first step, each (batch, unit) in the user's order."""
        side, order = int(layer.reverse), self.call.layout.to_user_order
        return tuple([order(state[side], dim=0) for state in self.call.initial_of(layer.index)])


def _tensors_of(call: RecurrentCall) -> list[Tensor]:
    """The input, the initial states and the weights of a call."""
    return [call.input, *call.initial, *_weights_of(call)]


def _weights_of(call: RecurrentCall) -> list[Tensor]:
    sides = [side for layer in call.weights for side in layer if isinstance(side, LayerWeights)]
    return [tensor for side in sides for tensor in side.tensors()]


ALIGNMENT = 64
"""Bytes at whose multiples PyTorch's own memory begins."""


def _can_run_again(seen: SeenCall, call: RecurrentCall) -> bool:
    """Whether the layers give the same bits again: a chaotic layer would make much of the last one.

    Matrix products depend on how tensors lie in memory, and those of a person may lie in any way.
    """
    if seen.edits or seen.call.drops or seen.mixes_halves or _is_unusual_arithmetic():
        return False
    pairs = zip(_tensors_of(seen.call), _tensors_of(call), strict=True)
    return all(theirs.stride() == ours.stride() and theirs.data_ptr() % ALIGNMENT == 0 for theirs, ours in pairs)


def _is_unusual_arithmetic() -> bool:
    """Whether the process computes otherwise for the moment than it may when somebody looks."""
    if not torch.backends.mkldnn.enabled:
        return True
    try:
        return torch.get_float32_matmul_precision() != "highest"
    except RuntimeError:  # PyTorch's older and newer settings disagree
        return True


def _is_little_between(seen: SeenCall, weights: WeightSnapshot) -> bool:
    assert seen.trace is not None
    between = sum([tensor.nbytes for tensor in (*seen.trace.outputs[:-1], *seen.call.initial)])
    rest = seen.call.input.nbytes + seen.result.output.nbytes
    return between <= LITTLE * rest or between <= LITTLE * (rest + weights.nbytes)
