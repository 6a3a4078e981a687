"""Edited layers under autocast, which knows nothing of what we compute beside the kernels."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from rnnwidget.recording.clients import autocast_of
from rnnwidget.recording.recurrent_call import RecurrentCall
from rnnwidget.recording.sequences import SequenceLayout


def autocast_result(call: RecurrentCall, index: int, inputs: Tensor, initial: tuple[Tensor, ...]) -> torch.dtype:
    """The precision of what a layer gives under autocast: PyTorch decides, so one step of its kernel is asked."""
    states = tuple(state.new_zeros(state.size(0), 1, state.size(-1)) for state in initial)
    one = call._replace(layout=SequenceLayout(steps=1, batch=1, batch_first=False))
    return one.run_layer(call.weights[index], inputs.new_zeros(1, 1, inputs.size(-1)), states).output.dtype


def uncast(tensor: Tensor) -> AbstractContextManager[object]:
    """Autocast off: for our own steps, and for arranging sequences, which it refuses in the other half precision."""
    device = tensor.device.type
    return _NOTHING if autocast_of(device) is None else torch.autocast(device, enabled=False)


_NOTHING = nullcontext()
