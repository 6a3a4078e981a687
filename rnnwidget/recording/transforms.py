"""Calls inside the transforms of ``torch.func``: the tensors there are wrappers, gone with the transform."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.recording.clients import SeenCall
from rnnwidget.recording.recurrent_call import LayerOutput, RecurrentCall, StackTrace, Weights

_functorch = torch._C._functorch  # noqa: SLF001 - torch has no public way to look inside
REFUSED = (
    "inside a transform of torch.func {} cannot be recorded; call the model outside of it, or edit it there: "
    "rnnwidget.edited works inside"
)


def in_a_transform() -> bool:
    """Whether this thread is inside ``torch.func.grad`` or its like."""
    return _functorch.peek_interpreter_stack() is not None


def outside_of_transforms() -> AbstractContextManager[object]:
    """What is computed inside the block on plain tensors is plain."""
    return temporarily_clear_interpreter_stack() if in_a_transform() else _NOTHING


_NOTHING = nullcontext()


def plain(tensor: Tensor) -> Tensor:
    """The tensor in a wrapper, or in wrappers inside each other; NotImplementedError where it is one of many."""
    if not _functorch.is_functorch_wrapped_tensor(tensor):
        return tensor
    while _functorch.is_functorch_wrapped_tensor(tensor):
        if _functorch.is_batchedtensor(tensor):
            raise NotImplementedError(REFUSED.format("a call under vmap, which has no values of its own,"))
        tensor = _functorch.get_unwrapped(tensor)
    with outside_of_transforms():
        return tensor.detach()


def plainly_seen(seen: SeenCall) -> SeenCall:
    """A call with plain tensors in it."""
    return seen._replace(
        call=_plain_call(seen.call), result=_plain_output(seen.result), trace=seen.trace and _plain_trace(seen.trace)
    )


def _plain_call(call: RecurrentCall) -> RecurrentCall:
    return call._replace(
        input=plain(call.input),
        initial=tuple(plain(state) for state in call.initial),
        weights=tuple(tuple(_plain_weights(side) for side in layer) for layer in call.weights),
    )


def _plain_weights(side: Weights) -> Weights:
    if isinstance(side, LayerWeights):
        return side.map(plain)
    if any(_functorch.is_functorch_wrapped_tensor(weight) for weight in side.parameters()):
        raise NotImplementedError(REFUSED.format(f"{type(side).__name__}, whose weights are the transform's,"))
    return side


def _plain_output(output: LayerOutput) -> LayerOutput:
    return LayerOutput(plain(output.output), tuple(plain(state) for state in output.finals))


def _plain_trace(trace: StackTrace) -> StackTrace:
    return StackTrace(
        [plain(tensor) for tensor in trace.inputs],
        [plain(tensor) for tensor in trace.outputs],
        [None if noise is None else plain(noise) for noise in trace.noises],
        tuple(plain(state) for state in trace.finals),
    )
