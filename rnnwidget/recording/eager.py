"""Keeps ``torch.compile`` out of a block: compiled graphs call no hooks, and Dynamo would compile our own code too."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_OURS = ("recording", "editing", "gradients", "analysis", "widgets", "cells.large_memory")
_DYNAMO = "torch._dynamo"


class EagerBlock:
    """A block in which what ``torch.compile`` compiled, or would, runs as plain PyTorch on the thread that began it."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()


# No locks in this file: a collection of garbage may end a block in the middle of anything, and a thread that imports
# Dynamo comes here too. A set and a list change at one stroke.
_open: set[EagerBlock] = set()
_kept_out: list[ModuleType] = []


def begin_running_eagerly(block: EagerBlock) -> None:
    """From here to :func:`end_running_eagerly` the block's thread runs no compiled code."""
    _open.add(block)
    if _DYNAMO in sys.modules:
        _know_of_blocks()


def end_running_eagerly(block: EagerBlock) -> None:
    """Undo :func:`begin_running_eagerly`, on any thread."""
    _open.discard(block)


@contextlib.contextmanager
def not_compiled() -> Iterator[None]:
    """Have Dynamo leave alone what is called inside, where a hook of ours is called in the middle of compiled code."""
    eval_frame = _eval_frame()
    if eval_frame is None:
        yield
        return
    compiling = eval_frame.set_eval_frame(None)
    try:
        yield
    finally:
        eval_frame.set_eval_frame(compiling)


def keep_dynamo_out() -> None:
    """Have Dynamo, now or once it is loaded, leave our hooks and what they call out of what it compiles of the model.

    It would trace them otherwise, and fail in the user's own call. The layers that come with us may be compiled.
    """
    if _DYNAMO not in sys.modules:
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
    elif _eval_frame() is not None and (rules := sys.modules[f"{_DYNAMO}.trace_rules"]) not in _kept_out:
        _kept_out.append(rules)
        for ours in _OURS:
            rules.add(f"rnnwidget.{ours}")


class _Awaiting(MetaPathFinder):
    """Acts when another has loaded Dynamo: to load it ourselves would take a second."""

    def __init__(self) -> None:
        self._asked = threading.local()

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _DYNAMO or getattr(self._asked, "already", False):
            return None
        self._asked.already = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asked.already = False
        if spec is not None and spec.loader is not None:
            loader, run = spec.loader, spec.loader.exec_module

            def then(module: ModuleType) -> None:
                vars(loader).pop("exec_module", None)
                run(module)
                with contextlib.suppress(ValueError):
                    sys.meta_path.remove(self)
                keep_dynamo_out()
                _know_of_blocks()

            loader.exec_module = then  # type: ignore[method-assign]
        return spec


_finder = _Awaiting()


def _eval_frame() -> Any | None:
    """Dynamo's module of that name; None while Dynamo is not there, or another thread is loading it."""
    dynamo = sys.modules.get(_DYNAMO)
    # Past a module's own way of giving attributes: one that loads itself when it is asked would do so here.
    loaded = dynamo is not None and "set_stance" in object.__getattribute__(dynamo, "__dict__")
    return sys.modules[f"{_DYNAMO}.eval_frame"] if loaded else None


def _know_of_blocks() -> None:
    """Have Dynamo's stance be "force_eager" for threads that have a block, and what it was for all others.

    ``torch.compiler.set_stance`` holds for every thread, and what it puts back is undone by who ends later.
    """
    eval_frame = _eval_frame()
    if eval_frame is None or getattr(eval_frame._stance, "_knows_of_blocks", False):  # noqa: SLF001 - PyTorch has no stance of one thread
        return

    class Stance(eval_frame.DynamoStance):  # type: ignore[misc, name-defined]
        _knows_of_blocks = True

        def __init__(self, theirs: Any) -> None:
            self._theirs = theirs

        @property
        def stance(self) -> Any:
            here = threading.get_ident()
            return "force_eager" if any([block.thread == here for block in list(_open)]) else self._theirs.stance

        @property
        def skip_guard_eval_unsafe(self) -> Any:
            return self._theirs.skip_guard_eval_unsafe

        @property
        def backend(self) -> Any:
            return self._theirs.backend

    eval_frame._stance = Stance(eval_frame._stance)  # noqa: SLF001 - likewise
