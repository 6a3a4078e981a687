"""Which calls of modules run on this thread: after a KeyboardInterrupt PyTorch calls no hook, but frames do end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType

from torch import nn


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - only the stack tells who is still running
    while frame is not None:
        yield frame
        frame = frame.f_back


def is_on_stack(frame: FrameType | None) -> bool:
    """Whether a frame has not ended."""
    return any(other is frame for other in _frames())


def calls_on_stack(module: nn.Module) -> Iterator[FrameType]:
    """The calls of ``module`` that are on this thread's stack, innermost first."""
    return (
        frame for frame in _frames() if frame.f_code.co_name == "_call_impl" and frame.f_locals.get("self") is module
    )
