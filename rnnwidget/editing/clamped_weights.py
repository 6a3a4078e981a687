"""Weights of a layer with the rows of clamped gates at zero, in memory that is used again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.editing.clamped_rows import ClampedRows

MOST = 2**24
"""Bytes of a layer's weights up to which their memory is kept for the next call."""

VIEWS = 16
"""Gates and units of which the rows are remembered."""


class _Rows(NamedTuple):
    """One gate's rows of each of the kept weights."""

    matrices: list[Tensor]
    input_bias: Tensor
    hidden_bias: Tensor


class ClampedWeights:
    """Of one layer and direction.

    ``weights_hold`` says that somebody else notices when the weights move: then matrices that were cleared for one
    value of a gate serve for every other.
    """

    def __init__(self, *, weights_hold: bool) -> None:
        self._weights_hold = weights_hold
        self._memory: LayerWeights | None = None
        self._cleared: tuple[object, ...] | None = None
        self._rows: dict[object, _Rows] = {}

    def of(self, weights: LayerWeights, clamped: Sequence[ClampedRows]) -> LayerWeights | None:
        """Weights that stand for ``clamped``, good until the next time; None where memory cannot be used again."""
        named = all([each.name is not None and isinstance(each.bias, float) for each in clamped])
        if not named or not _can_be_kept(weights):
            return None
        memory = self._memory_like(weights)
        cleared = [each for each in clamped if not each.saturates]
        names = tuple([each.name for each in cleared])
        same_matrices = not cleared or (self._weights_hold and names == self._cleared)
        kept, given = memory.tensors(), weights.tensors()
        torch._foreach_copy_(*((kept[2:4], given[2:4]) if same_matrices else (kept[:4], given[:4])))
        for each in cleared:
            rows = self._rows_of(each, memory)
            for part in (rows.hidden_bias,) if same_matrices else (rows.hidden_bias, *rows.matrices):
                each.clear_rows(part)
        for each in clamped:
            each.write_rows(self._rows_of(each, memory).input_bias)
        if not cleared:
            return memory._replace(input_hidden=weights.input_hidden, hidden_hidden=weights.hidden_hidden)
        self._cleared = names
        return memory

    def _memory_like(self, weights: LayerWeights) -> LayerWeights:
        if self._memory is None or not all(map(_alike, self._memory.tensors(), weights.tensors())):
            with torch.inference_mode(mode=False):
                self._memory = weights._replace(projection=None).map(lambda weight: torch.empty_like(weight.detach()))
            self._cleared, self._rows = None, {}
        return self._memory._replace(projection=weights.projection)

    def _rows_of(self, clamped: ClampedRows, memory: LayerWeights) -> _Rows:
        """Views are made once: to make one takes as long as to write into it."""
        if clamped.name not in self._rows:
            if len(self._rows) >= VIEWS:
                self._rows.clear()
            matrices = [clamped.view(memory.input_hidden), clamped.view(memory.hidden_hidden)]
            assert memory.input_bias is not None
            assert memory.hidden_bias is not None
            biases = clamped.view(memory.input_bias), clamped.view(memory.hidden_bias)
            self._rows[clamped.name] = _Rows(matrices, *biases)
        return self._rows[clamped.name]


def _can_be_kept(weights: LayerWeights) -> bool:
    """Whether no graph can hold the memory, and it is not too much to be held by us."""
    matrix = weights.input_hidden
    known = weights.input_bias is not None and weights.hidden_bias is not None
    return known and not torch.is_grad_enabled() and matrix.device.type == "cpu" and 2 * matrix.nbytes <= MOST


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and one.stride() == other.stride()


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.of_side: dict[int, ClampedWeights] = {}


_of_thread = _OfThread()


def clamped_for_now(side: int) -> ClampedWeights:
    """Memory of this thread for one direction of the layer that is about to run."""
    if side not in _of_thread.of_side:
        _of_thread.of_side[side] = ClampedWeights(weights_hold=False)
    return _of_thread.of_side[side]
