"""What was computed and handed out: somebody may have written into it since."""

from __future__ import annotations

import math
import threading
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

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


class _Alone:
    """One thread at a time; a copy is another."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[_Alone], tuple[()]]:
        return _Alone, ()


class KnownQuantities(dict[str, Tensor]):
    """Quantities to be computed from: what was lent out is in it as long as nobody has written into it.

    Whoever looks is ``alone`` from what he finds to what he is handed. Before Python 3.12 a cached property has a lock
    as well: one that waits to be ``alone`` is not asked for from inside.
    """

    def __init__(self) -> None:
        super().__init__()
        self.alone = _Alone()
        self._marks: dict[str, tuple[Tensor, _Mark]] = {}
        self._given_away: set[str] = set()

    def __contains__(self, site: object) -> bool:
        if not (isinstance(site, str) and super().__contains__(site)):
            return False
        lent = self._marks.get(site)
        if lent is None or lent[0] is not self[site] or lent[1] == _Mark.of(self[site]):
            return True
        del self[site]
        return False

    def lend(self, site: str, shown: Callable[[Tensor], Tensor] = lambda own: own, *, for_good: bool = False) -> Tensor:
        """What is ``shown`` of a quantity, in other hands from now on; ``shown`` may write where nobody computes.

        ``for_good`` costs nothing, and nothing is computed from it again.
        """
        if site in self._given_away:
            return shown(self[site].clone())
        own = self[site]
        given = shown(own)
        if given.data_ptr() != own.data_ptr():
            return given
        if for_good:
            del self[site]
            self._given_away.add(site)
            return _by_itself(given)
        self._marks[site] = own, _Mark.of(own)
        return given.detach()  # whose form may be changed in place


def _by_itself(part: Tensor) -> Tensor:
    """The same memory, and no way from it to what lies beside."""
    if part.untyped_storage().nbytes() == part.nbytes:
        return part
    return torch.from_numpy(part.numpy()) if part.device.type == "cpu" else from_dlpack(part)
