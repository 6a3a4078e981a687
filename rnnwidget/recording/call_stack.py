"""Which calls of modules run on this thread: after a KeyboardInterrupt PyTorch calls no hook, but frames do end."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Iterator
from dis import opmap
from types import FrameType
from typing import NamedTuple

from torch import nn
from torch.nn.modules import rnn
from torch.nn.utils.rnn import PackedSequence


def level_of_caller() -> int:
    """The ``stacklevel`` with which a warning given by the function that asks points at the user's line."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - likewise
    level = 1
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in ("rnnwidget", "torch"):
        frame, level = frame.f_back, level + 1
    return level


def is_on_stack(frame: FrameType | None) -> bool:
    """Whether a frame has not ended."""
    other: FrameType | None = sys._getframe(1)  # noqa: SLF001 - only the stack tells who is still running
    while other is not None:
        if other is frame:
            return True
        other = other.f_back
    return False


class WithStatement(NamedTuple):
    """A ``with`` of this thread that is under way, and its greenlet, where there are any."""

    frame: FrameType
    greenlet: object

    @property
    def is_over(self) -> bool:
        """Whether its frame has ended; False where that cannot be told."""
        return self.greenlet is _greenlet() and not is_on_stack(self.frame)


def with_statement() -> WithStatement | None:
    """The ``with`` that is beginning the block of ours that asks.

    None where the block was begun otherwise, and in generators and coroutines, which leave the stack with their blocks
    open.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - likewise
    while frame is not None and frame.f_code.co_name == "__enter__" and _is_ours(frame):
        frame = frame.f_back
    # Python 3.14 has another instruction, by which a with is not told from a call.
    if frame is None or frame.f_code.co_code[frame.f_lasti] != opmap.get("BEFORE_WITH"):
        return None
    return None if frame.f_code.co_flags & _MAY_PAUSE else WithStatement(frame, _greenlet())


def _greenlet() -> object:
    """Who has this stack of the thread's several."""
    current = getattr(sys.modules.get("greenlet"), "getcurrent", None)
    return None if current is None else current()


def interrupted_ends() -> Iterator[FrameType]:
    """The ``__enter__`` and ``__exit__`` that ended in the exception that this thread is handling."""
    error = sys.exc_info()[1]
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_name in ("__enter__", "__exit__") and not is_on_stack(frame):
                yield frame
        error = error.__context__


_MAY_PAUSE = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith("rnnwidget.")


def call_on_stack(module: nn.Module) -> FrameType | None:
    """The innermost call of ``module`` on this thread's stack."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - likewise
    while frame is not None:
        if frame.f_code.co_name == "_call_impl" and frame.f_locals.get("self") is module:
            return frame
        frame = frame.f_back
    return None


def packed_on_stack() -> PackedSequence | None:
    """What PyTorch's own forward was given, where a subclass packs its input on the way there."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - likewise
    while frame is not None:
        if frame.f_globals is vars(rnn) and frame.f_code.co_name == "forward":
            given = frame.f_locals.get("orig_input")
            return given if isinstance(given, PackedSequence) else None
        frame = frame.f_back
    return None
