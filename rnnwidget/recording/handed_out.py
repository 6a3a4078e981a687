"""What was computed and handed out: somebody may have written into it since."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnnwidget.cells.family import Quantities

SAMPLED = 2**12
"""How many numbers of a tensor are looked at, about."""


class _Mark(NamedTuple):
    """What changes when a tensor is written into.

    A write through NumPy or ``.data`` moves no version: then a sample of the numbers tells, unless few are written.
    """

    version: int
    sample: int

    @classmethod
    def of(cls, tensor: Tensor) -> _Mark:
        if tensor.device.type != "cpu" or tensor.dtype not in (torch.float32, torch.float64):
            return cls(tensor._version, 0)
        bits = tensor.detach().numpy().reshape(-1).view(np.int32)
        stride, step = 1 | bits.size // SAMPLED, max(1, bits.size // max(1, tensor.size(0)))
        while math.gcd(stride, step) > 1:  # or the same units would be looked at in every step
            stride += 2
        return cls(tensor._version, zlib.crc32(bits[::stride].tobytes()))


class HandedOut:
    """Quantities of which nothing is computed from again once one of them has been changed in place."""

    def __init__(self) -> None:
        self._known: Quantities = {}
        self._marks: dict[str, _Mark] = {}

    def get(self, site: str) -> Tensor | None:
        """What was handed out, as it is now."""
        return self._known.get(site)

    @contextmanager
    def unchanged(self) -> Iterator[Quantities]:
        """All that is known, to be computed from and added to, or nothing; after the block it is out of our hands."""
        if any([_Mark.of(tensor) != self._marks.get(site) for site, tensor in self._known.items()]):
            self._known.clear()
            self._marks.clear()
        try:
            yield self._known
        finally:
            for site, tensor in self._known.items():
                if site not in self._marks or self._marks[site].version != tensor._version:
                    self._marks[site] = _Mark.of(tensor)
