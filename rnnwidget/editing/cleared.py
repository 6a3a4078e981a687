"""Matrices of a layer with the rows of clamped gates at zero, in memory that is used again."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from rnnwidget.editing.clamped_rows import ClampedRows

Matrices = tuple[Tensor, Tensor]
MOST = 2**24
"""Bytes of both matrices up to which their memory is kept for the next call."""


class ClearedMatrices:
    """Of one layer and direction, the input matrix and the recurrent one.

    ``weights_hold`` says that somebody else notices when the weights move: then what was cleared for one value of a
    gate serves for every other. Memory is written again only where no graph can hold it.
    """

    def __init__(self, *, weights_hold: bool) -> None:
        self._weights_hold = weights_hold
        self._names: tuple[object, ...] | None = None
        self._known: Matrices | None = None
        self._in_graphs = False

    def of(self, rows: Sequence[ClampedRows], read: Tensor, recurrent: Tensor) -> Matrices:
        """Both matrices with ``rows`` at zero."""
        names = tuple([each.name for each in rows])
        if self._weights_hold and self._known is not None and names == self._names and None not in names:
            self._in_graphs = self._in_graphs or torch.is_grad_enabled()
            return self._known
        matrices = self._copies(read, recurrent)
        for each in rows:
            for matrix in matrices:
                each.clear(matrix)
        self._names = names
        return matrices

    def _copies(self, read: Tensor, recurrent: Tensor) -> Matrices:
        if torch.is_grad_enabled() or read.device.type != "cpu" or read.nbytes + recurrent.nbytes > MOST:
            copies = read.clone(), recurrent.clone()
            self._known, self._in_graphs = (copies, torch.is_grad_enabled()) if self._weights_hold else (None, False)
            return copies
        known = self._known
        if known is None or self._in_graphs or not (_alike(known[0], read) and _alike(known[1], recurrent)):
            with torch.inference_mode(mode=False):
                known = self._known = torch.empty_like(read.detach()), torch.empty_like(recurrent.detach())
            self._in_graphs = False
        return known[0].copy_(read), known[1].copy_(recurrent)


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and one.stride() == other.stride()


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.of_side: dict[int, ClearedMatrices] = {}


_of_thread = _OfThread()


def cleared_for_now(side: int) -> ClearedMatrices:
    """Memory of this thread for one direction of the layer that is about to run."""
    return _of_thread.of_side.setdefault(side, ClearedMatrices(weights_hold=False))
