"""Keeps what chosen modules give while a model is recorded."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from rnnwidget.recording.clients import recomputing
from rnnwidget.recording.model_hook import ModelHook
from rnnwidget.recording.module_outputs import ModuleOutputs
from rnnwidget.recording.modules import path_of_each


@dataclass(frozen=True, eq=False)
class _Listener:
    path: str
    outputs: ModuleOutputs
    thread: int


# Changed at one stroke and without a lock: a collection of garbage may end a block in the middle of anything.
_listeners: weakref.WeakKeyDictionary[nn.Module, list[_Listener]] = weakref.WeakKeyDictionary()


class _Keep(ModelHook):
    def __call__(self, module: nn.Module, arguments: tuple[Any, ...], output: object) -> None:
        if recomputing():
            return
        for listener in list(_listeners.get(module, ())):
            if listener.thread == threading.get_ident():
                listener.outputs.keep(listener.path, output, arguments)


def chosen_modules(model: nn.Module, paths: Sequence[str]) -> dict[str, nn.Module]:
    """The modules at ``paths``, ``""`` being the model itself.

    Raises
    ------
    TypeError
        ``paths`` is a single word or no words.
    KeyError
        There is no module at a path; the message lists the paths there are.
    """
    if isinstance(paths, str) or not all(isinstance(path, str) for path in paths):
        raise TypeError(f"also= takes a list of module paths such as ['head'], got {paths!r:.80}")
    known = path_of_each(model)
    unknown = [path for path in paths if path not in known]
    if unknown:
        again = dict(model.named_modules(remove_duplicate=False)).get(unknown[0])
        first = next((path for path, module in known.items() if module is again), None)
        if again is not None and first is not None:
            raise KeyError(f"also=: {unknown[0]!r} is the module at {first!r}, where it is known: ask for that")
        raise KeyError(f"also=: no module at {unknown[0]!r}; there are {', '.join(repr(path) for path in known)}")
    return {path: known[path] for path in paths}


@contextlib.contextmanager
def listening(modules: Mapping[str, nn.Module], outputs: ModuleOutputs) -> Iterator[None]:
    """Keep what ``modules`` give to this thread inside the block."""
    handles: list[tuple[RemovableHandle, list[_Listener], _Listener]] = []
    try:
        for path, module in modules.items():
            listener, others = _Listener(path, outputs, threading.get_ident()), _listeners.setdefault(module, [])
            others.append(listener)
            handles.append((module.register_forward_hook(_Keep()), others, listener))
        yield
    finally:
        for handle, others, listener in handles:
            handle.remove()
            others.remove(listener)
