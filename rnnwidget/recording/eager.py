"""Keeps ``torch.compile`` out of a block: compiled graphs call no hooks, and Dynamo would compile our own code too."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_OURS = ("recording", "editing", "gradients", "analysis", "widgets", "cells.large_memory")
_DYNAMO = "torch._dynamo"

# Nothing is imported while it is held: a thread that imports Dynamo comes here in the middle of that.
_lock = threading.Lock()
_blocks: list[Any] = []
_kept_out: list[ModuleType] = []


class _Awaiting(MetaPathFinder):
    """Acts when another has loaded Dynamo: to load it ourselves would take a second."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _DYNAMO:
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def then(module: ModuleType) -> None:
                run(module)
                sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]
                keep_dynamo_out()
                with _lock:
                    _force_eager()

            spec.loader.exec_module = then  # type: ignore[method-assign]
        return spec


def keep_dynamo_out() -> None:
    """Have Dynamo, now or once it is loaded, leave our hooks and what they call out of what it compiles of the model.

    It would trace them otherwise, and fail in the user's own call. The layers that come with us may be compiled.
    """
    with _lock:
        if _DYNAMO not in sys.modules:
            if not any(isinstance(finder, _Awaiting) for finder in sys.meta_path):
                sys.meta_path.insert(0, _Awaiting())
        elif _set_stance() and (rules := sys.modules[f"{_DYNAMO}.trace_rules"]) not in _kept_out:
            _kept_out.append(rules)
            for ours in _OURS:
                rules.add(f"rnnwidget.{ours}")


def begin_running_eagerly() -> None:
    """From here to :func:`end_running_eagerly`, what ``torch.compile`` compiled, or would, runs as plain PyTorch.

    The stance is the process's, not a thread's: the first block that begins sets it, the last that ends puts it back.
    """
    with _lock:
        _blocks.append(None)
        try:
            _force_eager()
        except BaseException:
            _blocks.pop()
            raise


def end_running_eagerly() -> None:
    """Undo one :func:`begin_running_eagerly`, of whichever block."""
    with _lock:
        # Undone in the order in which they were set, whichever block ends first.
        stance = _blocks.pop()
        if stance is not None:
            stance.__exit__(None, None, None)


def _force_eager() -> None:
    if set_stance := _set_stance():
        for index, stance in enumerate(_blocks):
            _blocks[index] = set_stance("force_eager") if stance is None else stance


def _set_stance() -> Callable[[str], Any] | None:
    """Dynamo's; None while it is not there, or another thread is loading it, for which ``torch.compiler``'s waits."""
    return getattr(sys.modules.get(_DYNAMO), "set_stance", None)
