"""Memory for large results, in huge pages: touching small ones for the first time can cost as much as computing."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from functools import cache

from torch import Tensor

LARGE = HUGE_PAGE = 2**21
"""Bytes from which memory is asked for in huge pages, and the size of one."""


def large_empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Memory of a shape, not filled, on the device and in the dtype of ``like``.

    Examples
    --------
    >>> import torch
    >>> large_empty((1000, 2, 512), torch.zeros(1)).shape
    torch.Size([1000, 2, 512])
    """
    memory = like.new_empty(shape)
    size = memory.numel() * memory.element_size()
    if size >= LARGE and memory.device.type == "cpu" and hasattr(mmap, "MADV_HUGEPAGE"):
        start = memory.data_ptr() // HUGE_PAGE * HUGE_PAGE
        stop = -(-(memory.data_ptr() + size) // HUGE_PAGE) * HUGE_PAGE
        # Advice: what has been touched stays as it is, and a system without huge pages says no.
        _madvise()(start, stop - start, mmap.MADV_HUGEPAGE)
    return memory


def large_copy(tensor: Tensor) -> Tensor:
    """A clone in such memory."""
    if tensor.numel() * tensor.element_size() < LARGE:
        return tensor.clone()
    return large_empty(tuple(tensor.shape), tensor).copy_(tensor)


@cache
def _madvise() -> Callable[[int, int, int], int]:
    function = ctypes.CDLL(None).madvise
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function
