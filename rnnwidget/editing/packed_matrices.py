"""An LSTM's matrices as oneDNN's kernel reads them.

Given plain ones, the kernel packs them in every call, which takes as long as some thirty steps of 128 units.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.recording.clients import autocast_of
from rnnwidget.recording.recurrent_call import Kernel, LayerOutput
from rnnwidget.recording.same_values import same_values

States = tuple[Tensor, ...]

SHAPES = 16
"""How many shapes of inputs are remembered."""

LSTM_MODE = 2  # what oneDNN's kernel is called with for an LSTM


class PackedMatrices:
    """The matrices of one direction, which nobody writes into: packed when inputs of one shape are read again.

    Whether packed ones give the bits of plain ones is looked at once for each shape. The plain ones are not held.
    """

    def __init__(self, input_hidden: Float[Tensor, "rows feature"], hidden_hidden: Float[Tensor, "rows unit"]) -> None:
        self._matrices = weakref.ref(input_hidden), weakref.ref(hidden_hidden)  # which may be a model's own
        self._packed: tuple[Tensor, Tensor] | None = None
        self._same_bits: dict[torch.Size, bool | None] = {}

    def are_of(self, weights: LayerWeights) -> bool:
        """Whether it is these matrices that are packed."""
        input_hidden, hidden_hidden = self._matrices
        return weights.input_hidden is input_hidden() and weights.hidden_hidden is hidden_hidden()

    def run(
        self,
        weights: LayerWeights,
        inputs: Float[Tensor, "time batch feature"],
        states: States,
        *,
        training: bool,
        plainly: Callable[[], LayerOutput],
    ) -> LayerOutput:
        """One direction over some steps, as ``plainly`` gives it; for inputs that :func:`are_packed`."""
        shape = inputs.shape
        if shape not in self._same_bits:
            if len(self._same_bits) >= SHAPES:
                self._same_bits.clear()
            self._same_bits[shape] = None
            return plainly()
        if self._same_bits[shape] is None:
            plain = plainly()
            self._same_bits[shape] = self._gives(plain, weights, inputs, states, training=training)
            return plain
        if not self._same_bits[shape]:
            return plainly()
        return self._run_packed(weights, inputs, states, training=training)

    def _gives(
        self, plain: LayerOutput, weights: LayerWeights, inputs: Tensor, states: States, *, training: bool
    ) -> bool:
        try:
            packed = self._run_packed(weights, inputs, states, training=training)
        except RuntimeError:  # a build of PyTorch for another processor may know the operator and refuse it
            return False
        pairs = zip((packed.output, *packed.finals), (plain.output, *plain.finals), strict=True)
        return all([same_values(one, other) for one, other in pairs])

    def _run_packed(self, weights: LayerWeights, inputs: Tensor, states: States, *, training: bool) -> LayerOutput:
        units = weights.hidden_hidden.size(1)
        if self._packed is None:
            assert _PACK is not None
            read, recurrent = _PACK(weights.input_hidden, weights.hidden_hidden, units, False, True, False)
            self._packed = read, recurrent
        given, (hidden, cell) = inputs.contiguous(), [state.contiguous() for state in states]
        biases, kind = (weights.input_bias, weights.hidden_bias), (LSTM_MODE, units, 1, True, False, False, training)
        output, hidden, cell, _ = _ONE_LAYER(given, *self._packed, *biases, hidden, cell, False, (), *kind)
        return LayerOutput(output, (hidden, cell))


_PACK: Kernel | None = getattr(torch.ops.mkldnn, "_reorder_mkldnn_rnn_layer_weight", None)
_ONE_LAYER: Kernel = torch.mkldnn_rnn_layer


def are_packed(kernel: Kernel | None, weights: LayerWeights, inputs: Tensor) -> bool:
    """Whether PyTorch has oneDNN run a kernel on matrices that it packs, as far as is known beforehand."""
    return (
        kernel is torch._VF.lstm
        and _PACK is not None
        and weights.projection is None
        and inputs.dtype == torch.float32
        and inputs.device.type == "cpu"
        and autocast_of("cpu") is None
        and bool(torch.backends.mkldnn.enabled)
    )
