"""A model that is one recurrent module: its only call is made again under edits, with nothing around it.

What a run goes through for the sake of a person's own forward, hooks, noise and arguments, does not arise there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rnnwidget.editing.edit import Edit
from rnnwidget.editing.edited import EditList
from rnnwidget.recording.clients import is_half
from rnnwidget.recording.kernel_watch import is_pytorchs_forward
from rnnwidget.recording.kernels import PYTORCHS_OWN, weights_of
from rnnwidget.recording.modules import RecurrentModule
from rnnwidget.recording.recorded_call import RecordedCall
from rnnwidget.recording.recording import Recording
from rnnwidget.recording.recurrent_call import LayerOutput, RecurrentCall, StackTrace, run_stack
from rnnwidget.recording.same_values import KnownValues
from rnnwidget.recording.transforms import in_a_transform

Run = tuple[object, Recording]


@dataclass(frozen=True, eq=False)
class OnlyCall:
    """The one call of a model, as its unedited run made it and recorded it."""

    module: RecurrentModule
    call: RecurrentCall
    recorded: RecordedCall
    weights: Sequence[KnownValues]

    @classmethod
    def of(cls, model: nn.Module, unedited: Run) -> OnlyCall | None:
        """None where something else than the module's own kernel has to run, or draws random numbers."""
        calls, output = unedited[1].recorded_calls, unedited[0][0] if isinstance(unedited[0], tuple) else None
        if not isinstance(model, nn.RNNBase) or type(model) not in PYTORCHS_OWN:
            return None
        if len(calls) != 1 or calls[0].module.module is not model:
            return None
        (recorded,) = calls
        call = recorded.call
        if not isinstance(output, Tensor) or output.dim() != call.input.dim() or output.requires_grad:
            return None
        if call.drops or is_half(output.dtype) or recorded.inference:
            return None
        weights = weights_of(model)
        known = [KnownValues(tensor) for layer in weights for side in layer for tensor in side.tensors()]
        return cls(recorded.module, call._replace(weights=weights), recorded, known)

    def _holds_for(self, model: nn.Module, edits: Sequence[Edit]) -> bool:
        """Whether the call can be made for ``model`` now."""
        if model is not self.module.module or _is_called_otherwise(model):
            return False
        if torch.is_inference_mode_enabled() or in_a_transform():
            return False
        values = (edit.value for edit in edits)
        return not (torch.is_grad_enabled() and any(isinstance(v, Tensor) and v.requires_grad for v in values))

    def run(self, editor: EditList, model: nn.Module) -> Run | None:
        """What a run of the model gives; None where it has to be called itself, or its weights have moved."""
        if not self._holds_for(model, editor.edits):
            return None
        edits = editor.call_edits(self.module, self.call)

        def run_layer(call: RecurrentCall, index: int, inputs: Tensor, initial: tuple[Tensor, ...], /) -> LayerOutput:
            of_layer = edits[index * call.directions : (index + 1) * call.directions]
            return editor.run_layer(self.module, call, index, inputs, initial, of_layer)

        trace = run_stack(self.call, run_layer)
        if not all(map(KnownValues.are_those_of, self.recorded.snapshot.known, self.weights)):
            return None
        named = {layer.name: own for layer, own in zip(self.module.layers, edits, strict=True) if own.edits}
        kept = StackTrace(trace.inputs, trace.outputs, trace.noises, ())
        recording = Recording.of(self.recorded.under(named, trace.outputs[-1], kept))
        states = trace.finals if len(trace.finals) > 1 else trace.finals[0]
        return (trace.outputs[-1].clone(), states), recording


_CALL = nn.Module.__call__


def _is_called_otherwise(model: nn.Module) -> bool:
    """Whether something of a person's own stands between a call of the model and its kernel."""
    globally = nn.modules.module
    hooked = globally._global_forward_pre_hooks or globally._global_forward_hooks  # noqa: SLF001 - no other way to ask
    watched = torch._C._len_torch_function_stack() > 0  # noqa: SLF001 - likewise
    return bool(hooked) or watched or nn.Module.__call__ is not _CALL or not is_pytorchs_forward(model)
