"""Models that run without a call of their recurrent modules being seen."""

from __future__ import annotations

import threading
import warnings
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from rnnwidget.recording.model_hook import ModelHook
from rnnwidget.recording.modules import RecurrentModule
from rnnwidget.recording.results import tensors_in

WHY_UNSEEN = (
    "they were not called, or by their .forward, of which PyTorch tells nobody (call the module itself), or their "
    "class steps in a forward of its own: such a class opens once its step is registered, see rnnwidget.register"
)


def none_seen(model: nn.Module) -> str:
    """What to say of a model that ran, and none of whose recurrent modules was seen."""
    return f"{type(model).__name__} ran, and none of its recurrent modules was seen: {WHY_UNSEEN}"


def warn_of_no_kernel(module: RecurrentModule, output: object) -> None:
    """Say that edits of a module did nothing: it ran, and called no kernel of PyTorch's."""
    if not any(tensor.numel() for tensor in tensors_in(output)):
        return
    warnings.warn(
        f"{module.called} was not edited: {type(module.module).__name__} called none of PyTorch's recurrent kernels. "
        "If it steps in a forward of its own, it opens once its step is registered: see rnnwidget.register",
        RuntimeWarning,
        stacklevel=2,
    )


# Changed at one stroke and without a lock: a collection of garbage may end a block in the middle of anything.
_watches: set[RunsOf] = set()


class _Ran(ModelHook):
    def __call__(self, module: nn.Module, arguments: tuple[Any, ...], output: object) -> None:
        if not any(tensor.numel() for tensor in tensors_in(output)):
            return  # an empty batch may go another way
        for watch in list(_watches):
            if watch.model is module and watch.thread == threading.get_ident():
                watch.ran = True


class RunsOf:
    """Notes whether a model runs on this thread, until it is left."""

    def __init__(self, model: nn.Module) -> None:
        self.ran, self.thread = False, threading.get_ident()
        self.model = model
        _watches.add(self)
        self._handle: RemovableHandle = model.register_forward_hook(_Ran())

    def leave(self) -> None:
        """Note no more."""
        self._handle.remove()
        _watches.discard(self)
