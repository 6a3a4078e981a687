"""How the kernel that a recurrent module calls is seen, from the module's pre-hook to its forward hook.

The forward of PyTorch's own modules takes its kernels from one name of one file. While such a module runs, what stands
there asks first whether a call on the same thread wants the kernel. Any other forward is watched by a function mode,
under which every operation takes some microseconds longer: too much beside a short sequence.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import nn, overrides
from torch.nn.modules import rnn
from torch.overrides import TorchFunctionMode

from rnnwidget.recording.kernels import KERNELS
from rnnwidget.recording.recurrent_call import Kernel


class SeesKernels(Protocol):
    """Makes the calls of kernels that it sees, while it is the innermost call on its thread."""

    def is_innermost(self) -> bool: ...

    def see(self, func: Kernel, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...


class KernelWatch(Protocol):
    """In force until it is left."""

    def leave(self) -> None: ...


def watched_by(call: SeesKernels, module: nn.Module) -> KernelWatch:
    """Have ``call`` see the kernels that ``module`` calls on this thread from now on."""
    return _AtTheName(call) if is_pytorchs_forward(module) else _Mode(call)


def is_pytorchs_forward(module: nn.Module) -> bool:
    """Whether a module's forward looks its kernels up where we can stand, and finds PyTorch's own there."""
    forward = type(module).forward
    return (
        "forward" not in vars(module)
        and getattr(forward, "__globals__", None) is _FILE
        and _FILE["_VF"] in (_PYTORCHS, _STAND_IN)
        and _NAMES.isdisjoint(vars(_PYTORCHS))
    )


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.calls: list[SeesKernels] = []


_of_thread = _OfThread()
_FILE: dict[str, Any] = vars(rnn)
_PYTORCHS = torch._VF
_NAMES = frozenset(kernel.__name__ for kernel in KERNELS)


def _seen(kernel: Kernel) -> Kernel:
    def seen(*args: Any, **kwargs: Any) -> Any:
        for call in reversed(_of_thread.calls):
            if call.is_innermost():
                return call.see(kernel, args, kwargs)
        return kernel(*args, **kwargs)

    return seen


class _StandIn:
    """Stands for ``torch._VF`` in the file of PyTorch's recurrent modules; threads that watch nothing only pass."""

    def __init__(self) -> None:
        vars(self).update({kernel.__name__: _seen(kernel) for kernel in KERNELS})

    def __getattr__(self, name: str) -> Any:
        return getattr(_PYTORCHS, name)


_STAND_IN = _StandIn()
_lock = threading.RLock()  # a collection of garbage may leave a watch while another is entered
_in_force: set[int] = set()


class _AtTheName:
    """A watch over PyTorch's own forward. The last that is left, on whatever thread, puts PyTorch's name back."""

    _call: SeesKernels | None = None

    def __init__(self, call: SeesKernels) -> None:
        self._calls, self._call = _of_thread.calls, call
        with _lock:
            _in_force.add(id(self))
            _FILE["_VF"] = _STAND_IN
        self._calls.append(call)

    def leave(self) -> None:
        call, self._call = self._call, None
        if call is None:
            return
        if call in self._calls:
            self._calls.remove(call)
        with _lock:
            _in_force.discard(id(self))
            if not _in_force:
                _FILE["_VF"] = _PYTORCHS

    def __del__(self) -> None:
        self.leave()  # a thread has ended in the middle of a call


class _Mode(TorchFunctionMode):
    """A watch over any other forward."""

    def __init__(self, call: SeesKernels) -> None:
        super().__init__()
        self._call = call
        self._depth = len(overrides._get_current_function_mode_stack())  # noqa: SLF001 - torch has no other name
        self.__enter__()  # type: ignore[no-untyped-call]

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in KERNELS and self._call.is_innermost():
            return self._call.see(func, args, kwargs or {})
        return func(*args, **kwargs) if kwargs else func(*args)

    def leave(self) -> None:
        """An interrupted call is found out when something else has begun.

        A mode's own exit takes whichever is on top, so that a block around the call may have taken this one and left
        its own, just below, behind.
        """
        stack = overrides._get_current_function_mode_stack()  # noqa: SLF001 - likewise
        place = stack.index(self) if self in stack else self._depth - 1
        above = [overrides._pop_mode() for _ in stack[place:]] if place >= 0 else []  # noqa: SLF001 - likewise
        for other in reversed(above[:-1]):
            overrides._push_mode(other)  # noqa: SLF001 - likewise
