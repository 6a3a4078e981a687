"""One call of a recurrent module, and the same call run layer by layer.

A stack run as one fused call per layer gives the bits of the one call (on CPU also with dropout, since the noise is
drawn in the same order), so the hidden states between layers come at no cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from rnnwidget.cells import Family
from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.recording.sequences import SequenceLayout

Kernel = Callable[..., Any]
Form = Literal["stack", "cell", "module"]
Weights = LayerWeights | nn.Module


class LayerOutput(NamedTuple):
    """What one layer gives: output in the call's layout and final states (directions, batch, unit) in call order."""

    output: Tensor
    finals: tuple[Tensor, ...]


class RecurrentCall(NamedTuple):
    """One call: of the fused kernel of a stack, of a cell's kernel, or of a registered module that steps by itself.

    ``weights`` is indexed by layer, then direction. States are (layers · directions, batch, unit) in call order;
    ``from_zero`` says that all that it begins from is known to be zero.
    """

    form: Form
    kernel: Kernel | None
    family: Family
    layout: SequenceLayout
    input: Tensor
    initial: tuple[Tensor, ...]
    weights: tuple[tuple[Weights, ...], ...]
    dropout: float = 0.0
    training: bool = False
    from_zero: bool = False

    @property
    def directions(self) -> int:
        return len(self.weights[0])

    @property
    def drops(self) -> bool:
        """Whether dropout between layers draws random numbers in this call."""
        return self.training and self.dropout > 0 and len(self.weights) > 1

    def initial_of(self, layer: int) -> tuple[Tensor, ...]:
        """The initial states of one layer, (directions, batch, unit) in call order."""
        directions = self.directions
        if self.initial[0].size(0) == directions:
            return self.initial
        rows = slice(layer * directions, (layer + 1) * directions)
        return tuple([state[rows] for state in self.initial])

    def read(self, returned: Any) -> LayerOutput:
        """What the kernel itself returned."""
        if self.form == "stack":
            return LayerOutput(returned[0], returned[1:])
        reached = tuple(state.unsqueeze(0) for state in (returned if isinstance(returned, tuple) else (returned,)))
        return LayerOutput(reached[0], reached)

    def run_layer(self, weights: tuple[Weights, ...], inputs: Tensor, initial: tuple[Tensor, ...]) -> LayerOutput:
        """One layer on the kernel."""
        assert self.kernel is not None
        every = [side for side in weights if isinstance(side, LayerWeights)]
        if self.form == "cell":
            given = tuple(state[0] for state in initial)
            cell = every[0]
            returned = self.kernel(
                inputs[0],
                given if len(given) > 1 else given[0],
                cell.input_hidden,
                cell.hidden_hidden,
                cell.input_bias,
                cell.hidden_bias,
            )
            return self.read(returned)
        return self._run_stack(every, 1, inputs, initial, 0.0, self.layout)

    def run_direction(
        self, weights: LayerWeights, inputs: Tensor, initial: tuple[Tensor, ...], batch_sizes: Tensor | None
    ) -> LayerOutput:
        """One direction of a layer over some steps on the kernel: time first, or packed in ``batch_sizes``."""
        if self.form == "cell":
            return self.run_layer((weights,), inputs, initial)
        layout = SequenceLayout(inputs.size(0), initial[0].size(1), batch_first=False, batch_sizes=batch_sizes)
        return self._run_stack((weights,), 1, inputs, initial, 0.0, layout)

    def run_lowest(self, layers: int) -> LayerOutput:
        """The lowest layers on the kernel as one stack, dropout between them drawn as the kernel draws it."""
        every = [side for layer in self.weights[:layers] for side in layer if isinstance(side, LayerWeights)]
        initial = self.initial
        if layers < len(self.weights):
            initial = tuple([state[: layers * self.directions] for state in initial])
        return self._run_stack(every, layers, self.input, initial, self.dropout, self.layout)

    def _run_stack(
        self,
        sides: Sequence[LayerWeights],
        layers: int,
        inputs: Tensor,
        initial: tuple[Tensor, ...],
        dropout: float,
        layout: SequenceLayout,
    ) -> LayerOutput:
        assert self.kernel is not None
        flat = [tensor for side in sides for tensor in side.tensors()]
        states, both = initial if len(initial) > 1 else initial[0], len(sides) == 2 * layers
        common = (states, flat, sides[0].input_bias is not None, layers, dropout, self.training, both)
        if layout.packed:
            return self.read(self.kernel(inputs, layout.batch_sizes, *common))
        return self.read(self.kernel(inputs, *common, layout.batch_first))

    def returned(self, result: LayerOutput) -> Any:
        """What the kernel itself would have returned."""
        if self.form == "stack":
            return (result.output, *result.finals)
        states = tuple(state[0].clone() for state in result.finals)  # a cell returns no views: detach_() refuses them
        return states if len(states) > 1 else states[0]


@runtime_checkable
class LayerRunner(Protocol):
    """Runs layer ``index`` of a call on the given inputs."""

    def __call__(
        self, call: RecurrentCall, index: int, inputs: Tensor, initial: tuple[Tensor, ...], /
    ) -> LayerOutput: ...


class StackTrace(NamedTuple):
    """A stack run layer by layer: what went into and came out of each layer, and the dropout noise above it."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    noises: list[Tensor | None]
    finals: tuple[Tensor, ...]

    @property
    def result(self) -> LayerOutput:
        """What the whole stack gives."""
        return LayerOutput(self.outputs[-1], self.finals)


def plain_layer(call: RecurrentCall, index: int, inputs: Tensor, initial: tuple[Tensor, ...], /) -> LayerOutput:
    """Run a layer as it is."""
    return call.run_layer(call.weights[index], inputs, initial)


def run_stack(call: RecurrentCall, run_layer: LayerRunner = plain_layer) -> StackTrace:
    """Run a call layer by layer; dropout draws from the process's generator, as the kernel does."""
    if len(call.weights) == 1:
        layer = run_layer(call, 0, call.input, call.initial_of(0))
        return StackTrace([call.input], [layer.output], [], layer.finals)
    inputs, outputs, noises, finals = [call.input], [], [], []
    zero = call.initial_of(0) if call.from_zero else None
    for index in range(len(call.weights)):
        layer = run_layer(call, index, inputs[index], zero or call.initial_of(index))
        outputs.append(layer.output)
        finals.append(layer.finals)
        if index + 1 < len(call.weights):
            noise = dropout_noise(layer.output, call) if call.drops else None
            noises.append(noise)
            given = layer.output if noise is None else _dropped_out(layer.output, noise, call)
            inputs.append(given.to(call.input.dtype) if _is_single_in_half(given, call) else given)
    return StackTrace(inputs, outputs, noises, tuple([torch.cat(states) for states in zip(*finals, strict=True)]))


def _is_single_in_half(given: Tensor, call: RecurrentCall) -> bool:
    """Whether an LSTM in half precision handed on single: between two half precisions, where oneDNN lacks one of them.

    A layer by itself would then be run on another kernel than in the stack, or on none.
    """
    halves = call.input.dtype in (torch.float16, torch.bfloat16)
    return halves and given.dtype == torch.float32 and call.family.name == "lstm"


def grown_stack(call: RecurrentCall, result: LayerOutput, random_state: Tensor | None) -> StackTrace:
    """What passed between the layers of a stack that PyTorch computes otherwise than layer by layer.

    Each is the result of the layers below it, run as one stack; ``random_state`` is that before the call, which gave
    ``result``, and is set for a moment where dropout drew.
    """
    outputs: list[Tensor] = []
    noises: list[Tensor | None] = [None] * (len(call.weights) - 1)
    after = None if random_state is None else torch.get_rng_state()
    for layers in range(1, len(call.weights)):
        if random_state is not None:
            torch.set_rng_state(random_state)
        outputs.append(call.run_lowest(layers).output)
    if random_state is not None and after is not None:
        torch.set_rng_state(random_state)
        noises = [dropout_noise(output, call) for output in outputs]
        torch.set_rng_state(after)
    above = [output if noise is None else output * noise for output, noise in zip(outputs, noises, strict=True)]
    return StackTrace([call.input, *above], [*outputs, result.output], noises, result.finals)


def dropout_noise(like: Tensor, call: RecurrentCall) -> Tensor:
    """The factors by which dropout multiplies, drawn in the order in which PyTorch's CPU kernel draws them."""
    noise = torch.empty_like(like)
    if call.dropout == 1:
        return noise.zero_()
    return noise.bernoulli_(1 - call.dropout).div_(1 - call.dropout)


def _dropped_out(output: Tensor, noise: Tensor, call: RecurrentCall) -> Tensor:
    """Time first, as the kernel does it: activation checkpointing compares the shapes of what a backward needs."""
    if call.layout.packed or not call.layout.batch_first:
        return output * noise
    return (output.transpose(0, 1) * noise.transpose(0, 1)).transpose(0, 1)
