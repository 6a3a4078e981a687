"""An LSTM's matrices as oneDNN's kernel reads them.

Given plain ones, the kernel packs them in every call, which takes as long as some thirty steps of 128 units.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.recording.clients import autocast_of
from rnnwidget.recording.recurrent_call import Kernel, LayerOutput, RecurrentCall
from rnnwidget.recording.same_values import same_values

States = tuple[Tensor, ...]

SHAPES = 16
"""How many shapes of inputs are remembered."""

LSTM_MODE = 2  # what oneDNN's kernel is called with for an LSTM


class PackedMatrices:
    """The matrices of one direction, which nobody writes into: packed when inputs of one shape are read again.

    Whether packed ones give the bits of plain ones is looked at once for each shape.
    """

    def __init__(self, input_hidden: Float[Tensor, "rows feature"], hidden_hidden: Float[Tensor, "rows unit"]) -> None:
        self._matrices = input_hidden, hidden_hidden
        self._packed: tuple[Tensor, Tensor] | None = None
        self._same_bits: dict[torch.Size, bool | None] = {}

    def are_of(self, weights: LayerWeights) -> bool:
        """Whether it is these matrices that are packed."""
        return weights.input_hidden is self._matrices[0] and weights.hidden_hidden is self._matrices[1]

    def run(
        self, call: RecurrentCall, weights: LayerWeights, inputs: Float[Tensor, "time batch feature"], states: States
    ) -> LayerOutput | None:
        """One direction over some steps; None where the kernel is to be given plain matrices."""
        if not _is_onednns(call, weights, inputs):
            return None
        if inputs.shape not in self._same_bits:
            if len(self._same_bits) >= SHAPES:
                self._same_bits.clear()
            self._same_bits[inputs.shape] = None
            return None
        if self._same_bits[inputs.shape] is None:
            plain = call.run_direction(weights, inputs, states, None)
            self._same_bits[inputs.shape] = self._gives(plain, call, weights, inputs, states)
            return plain
        return self._run_packed(call, weights, inputs, states) if self._same_bits[inputs.shape] else None

    def _gives(
        self, plain: LayerOutput, call: RecurrentCall, weights: LayerWeights, inputs: Tensor, states: States
    ) -> bool:
        try:
            packed = self._run_packed(call, weights, inputs, states)
        except RuntimeError:  # a build of PyTorch for another processor may know the operator and refuse it
            return False
        pairs = zip((packed.output, *packed.finals), (plain.output, *plain.finals), strict=True)
        return all([same_values(one, other) for one, other in pairs])

    def _run_packed(self, call: RecurrentCall, weights: LayerWeights, inputs: Tensor, states: States) -> LayerOutput:
        units = weights.hidden_hidden.size(1)
        if self._packed is None:
            assert _PACK is not None
            read, recurrent = _PACK(*self._matrices, units, False, True, False)
            self._packed = read, recurrent
        biases = weights.input_bias, weights.hidden_bias
        output, hidden, cell, _ = _ONE_LAYER(
            inputs, *self._packed, *biases, *states, False, (), LSTM_MODE, units, 1, True, False, False, call.training
        )
        return LayerOutput(output, (hidden, cell))


_PACK: Kernel | None = getattr(torch.ops.mkldnn, "_reorder_mkldnn_rnn_layer_weight", None)
_ONE_LAYER: Kernel = torch.mkldnn_rnn_layer


def _is_onednns(call: RecurrentCall, weights: LayerWeights, inputs: Tensor) -> bool:
    """Whether PyTorch has oneDNN compute a call, as far as is known beforehand."""
    return (
        _PACK is not None
        and bool(torch.backends.mkldnn.enabled)
        and call.family.name == "lstm"
        and call.form == "stack"
        and not call.layout.packed
        and weights.projection is None
        and inputs.dtype == torch.float32
        and inputs.device.type == "cpu"
        and autocast_of("cpu") is None
    )
