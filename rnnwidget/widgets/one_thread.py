"""Small steps on one thread: the threads of a short product wait for each other longer than they work."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from torch import nn

from rnnwidget.recording.recording import Recording
from rnnwidget.recording.shapeless import numbers_in

SMALL = 2**19
"""Products a step, below which a second thread gains little where cores are free, and costs much where they are not."""

LIBRARIES = {"linux": "libtorch_cpu.so", "darwin": "libtorch_cpu.dylib"}


@cache
def _libraries_setting(name: str) -> Callable[[int], int] | None:
    """A function of the libraries that came with PyTorch; None where there is none of that name."""
    path = Path(torch.__file__).parent / "lib" / LIBRARIES.get(sys.platform, "none")
    return getattr(ctypes.CDLL(str(path)), name, None) if path.exists() else None


@contextmanager
def one_thread() -> Iterator[None]:
    """What this thread computes meanwhile, it computes alone.

    ``torch.set_num_threads`` would hold for every thread that begins meanwhile as well, and for good.
    """
    openmp, mkl = _libraries_setting("omp_set_num_threads"), _libraries_setting("MKL_Set_Num_Threads_Local")
    if openmp is None:
        yield
        return
    threads, before = torch.get_num_threads(), None
    try:
        openmp(1)
        before = None if mkl is None else mkl(1)
        yield
    finally:
        openmp(threads)
        if mkl is not None and before is not None:
            mkl(before)


def is_small(model: nn.Module, batch: int) -> bool:
    """Whether one step of so many sequences is little work; looking something up in a table is none."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, (nn.Embedding, nn.EmbeddingBag))}
    weights = numbers_in(parameter for parameter in model.parameters() if id(parameter) not in tables)
    return weights * batch <= SMALL


def is_small_run(model: nn.Module, recording: Recording) -> bool:
    """Whether the steps of a run that was recorded were little work."""
    return is_small(model, max((call.call.layout.batch for call in recording.recorded_calls), default=1))
