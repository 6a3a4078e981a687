"""Keeps ``torch.compile`` out of a block: compiled graphs call no hooks, and Dynamo would compile our own code too."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

import torch

_lock = threading.Lock()
_open: list[Any] = []
_kept_out: list[Any] = []
_OURS = ("recording", "editing", "gradients", "analysis", "widgets", "cells.large_memory")


_RULES = "torch._dynamo.trace_rules"


class _Awaiting(MetaPathFinder):
    """Acts once, when Dynamo is loaded: to load it ourselves would take a second."""

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        if name != _RULES:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def then(module: Any) -> None:
                run(module)
                keep_dynamo_out()

            spec.loader.exec_module = then  # type: ignore[method-assign]
        return spec


def keep_dynamo_out_from_now_on() -> None:
    """Like :func:`keep_dynamo_out`, for hooks that stay: Dynamo may be loaded later."""
    if _RULES not in sys.modules and not any(isinstance(finder, _Awaiting) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Awaiting())
    keep_dynamo_out()


def keep_dynamo_out() -> None:
    """Have Dynamo leave the hooks of an inspector, and what they call, out of what it compiles of the user's model.

    It would trace them otherwise, and fail in the user's own call. The layers that come with us may be compiled.
    """
    rules = sys.modules.get(_RULES)
    if rules is None or rules in _kept_out or not hasattr(rules, "add"):
        return
    with _lock:
        _kept_out.append(rules)
        for ours in _OURS:
            rules.add(f"rnnwidget.{ours}")


def compiled_code_runs_eagerly() -> AbstractContextManager[None] | None:
    """What ``torch.compile`` compiled, or would, runs as plain PyTorch inside the block; None where nothing does.

    The stance is the process's, not a thread's: the first block that begins sets it, the last that ends puts it back.
    """
    if "torch._dynamo.eval_frame" not in sys.modules or not hasattr(torch.compiler, "set_stance"):
        return None
    return _eager()


@contextlib.contextmanager
def _eager() -> Iterator[None]:
    with _lock:
        _open.append(torch.compiler.set_stance("force_eager"))
    try:
        yield
    finally:
        with _lock:
            # Undone in the order in which they were set, whichever block ends first.
            stance = _open.pop()
            stance.__exit__(None, None, None)
