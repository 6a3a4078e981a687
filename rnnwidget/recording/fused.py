"""One call of PyTorch's fused recurrent kernel, and the same call run layer by layer.

A stack run as one fused call per layer gives the bits of the one call (on CPU also with dropout, since the noise is
drawn in the same order), so the hidden states between layers come at no cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnnwidget.cells import Family
from rnnwidget.cells.family import LayerWeights
from rnnwidget.recording.sequences import SequenceLayout

Kernel = Callable[..., tuple[Tensor, ...]]
KERNELS: frozenset[object] = frozenset({torch._VF.lstm, torch._VF.gru, torch._VF.rnn_tanh, torch._VF.rnn_relu})


@dataclass(frozen=True)
class FusedCall:
    """The arguments of one fused call. ``weights`` is indexed by layer, then direction."""

    kernel: Kernel
    family: Family
    layout: SequenceLayout
    input: Tensor
    initial: tuple[Tensor, ...]
    weights: tuple[tuple[LayerWeights, ...], ...]
    dropout: float
    training: bool

    @property
    def directions(self) -> int:
        return len(self.weights[0])

    @property
    def drops(self) -> bool:
        """Whether dropout between layers draws random numbers in this call."""
        return self.training and self.dropout > 0 and len(self.weights) > 1

    def initial_of(self, layer: int) -> tuple[Tensor, ...]:
        """The initial states of one layer, (directions, batch, unit) in call order."""
        rows = slice(layer * self.directions, (layer + 1) * self.directions)
        return tuple(state[rows] for state in self.initial)

    def run_layer(self, weights: tuple[LayerWeights, ...], inputs: Tensor, initial: tuple[Tensor, ...]) -> LayerOutput:
        """Run one layer on the fused kernel: output in the call's layout, then the final states."""
        states = initial if len(initial) > 1 else initial[0]
        biased = weights[0].input_bias is not None
        flat = [tensor for direction in weights for tensor in direction.tensors()]
        common = (states, flat, biased, 1, 0.0, self.training, self.directions == 2)
        if self.layout.packed:
            output, *finals = self.kernel(inputs, self.layout.batch_sizes, *common)
        else:
            output, *finals = self.kernel(inputs, *common, self.layout.batch_first)
        return LayerOutput(output, tuple(finals))


@dataclass(frozen=True)
class LayerOutput:
    """What one layer gives: output in the call's layout and final states (directions, batch, unit) in call order."""

    output: Tensor
    finals: tuple[Tensor, ...]


@runtime_checkable
class LayerRunner(Protocol):
    """Runs layer ``index`` of a call on the given inputs."""

    def __call__(self, call: FusedCall, index: int, inputs: Tensor, initial: tuple[Tensor, ...], /) -> LayerOutput: ...


@dataclass(frozen=True)
class StackTrace:
    """A stack run layer by layer: what went into and came out of each layer, and the dropout noise above it."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    noises: list[Tensor | None]
    finals: tuple[Tensor, ...]

    @property
    def result(self) -> tuple[Tensor, ...]:
        """The tensors that the fused call would have returned."""
        return self.outputs[-1], *self.finals


def plain_layer(call: FusedCall, index: int, inputs: Tensor, initial: tuple[Tensor, ...], /) -> LayerOutput:
    """Run a layer as it is."""
    return call.run_layer(call.weights[index], inputs, initial)


def run_stack(
    call: FusedCall,
    run_layer: LayerRunner = plain_layer,
    *,
    generator: torch.Generator | None = None,
) -> StackTrace:
    """Run a call layer by layer. Dropout draws from ``generator``, None being the process's own."""
    inputs, outputs, noises, finals = [call.input], [], [], []
    for index in range(len(call.weights)):
        layer = run_layer(call, index, inputs[index], call.initial_of(index))
        outputs.append(layer.output)
        finals.append(layer.finals)
        if index + 1 < len(call.weights):
            noise = dropout_noise(layer.output, call.dropout, generator) if call.drops else None
            noises.append(noise)
            inputs.append(layer.output if noise is None else layer.output * noise)
    stacked = tuple(torch.cat(states) for states in zip(*finals, strict=True))
    return StackTrace(inputs, outputs, noises, stacked)


def dropout_noise(like: Tensor, probability: float, generator: torch.Generator | None) -> Tensor:
    """The factors by which dropout multiplies, drawn in the order in which PyTorch's CPU kernel draws them."""
    noise = torch.empty_like(like)
    if probability == 1:
        return noise.zero_()
    return noise.bernoulli_(1 - probability, generator=generator).div_(1 - probability)


def parse_fused_call(
    kernel: Kernel, arguments: tuple[Any, ...], module: nn.RNNBase, family: Family, sequence: object
) -> FusedCall:
    """Read the positional arguments of a fused kernel; ``sequence`` is what the module was called with."""
    packed = not isinstance(arguments[3], bool)
    if packed and not isinstance(sequence, PackedSequence):
        raise NotImplementedError(
            f"{type(module).__name__} packs its input inside its own forward, which hides the order of the batch; "
            "pass it a PackedSequence to record or edit it"
        )
    if isinstance(sequence, PackedSequence):
        data, batch_sizes, states, flat, biased, layers, dropout, training, bidirectional = arguments
        layout = SequenceLayout(
            steps=len(batch_sizes),
            batch=int(batch_sizes[0]),
            batch_first=False,
            batch_sizes=batch_sizes,
            sorted_indices=sequence.sorted_indices,
            unsorted_indices=sequence.unsorted_indices,
        )
    else:
        data, states, flat, biased, layers, dropout, training, bidirectional, batch_first = arguments
        steps, batch = (data.size(1), data.size(0)) if batch_first else (data.size(0), data.size(1))
        layout = SequenceLayout(steps=steps, batch=batch, batch_first=batch_first)
    initial = tuple(states) if isinstance(states, (tuple, list)) else (states,)
    return FusedCall(
        kernel=kernel,
        family=family,
        layout=layout,
        input=data,
        initial=initial,
        weights=_by_layer(flat, layers, 2 if bidirectional else 1, biased=biased, projected=module.proj_size > 0),
        dropout=dropout,
        training=training,
    )


def _by_layer(
    flat: list[Tensor], layers: int, directions: int, *, biased: bool, projected: bool
) -> tuple[tuple[LayerWeights, ...], ...]:
    each = 2 + 2 * biased + projected

    def one(position: int) -> LayerWeights:
        tensors = flat[position * each : (position + 1) * each]
        input_bias, hidden_bias = tensors[2:4] if biased else (None, None)
        return LayerWeights(tensors[0], tensors[1], input_bias, hidden_bias, tensors[-1] if projected else None)

    return tuple(tuple(one(layer * directions + side) for side in range(directions)) for layer in range(layers))
