"""Weights of a layer with the rows of clamped gates at zero, in memory that is used again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.editing.clamped_rows import ClampedRows
from rnnwidget.recording.transforms import in_a_transform

MOST = 2**24
"""Bytes of the matrices of layers that run at once up to which their memory is kept for the next call."""

MUCH = 2**20
"""Bytes of a matrix from which it takes longer to copy rows that are at zero than to leave them out."""

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
        self._form: tuple[object, ...] = ()
        self._cleared: tuple[object, ...] | None = None
        self._rows: dict[object, _Rows] = {}

    def of(self, weights: LayerWeights, clamped: Sequence[ClampedRows]) -> LayerWeights | None:
        """Weights that stand for ``clamped``, good until the next time; None where memory cannot be used again."""
        named = all([each.name is not None and isinstance(each.bias, float) for each in clamped])
        # A graph could hold the memory, and inside a transform it would be the transform's.
        usable = named and not torch.is_grad_enabled() and not in_a_transform()
        memory = self._memory_like(weights) if usable else None
        if memory is None:
            return None
        cleared = [each for each in clamped if not each.saturates]
        names = tuple([each.name for each in cleared])
        at_zero = bool(cleared) and names == self._cleared
        kept, given = memory.tensors(), weights.tensors()
        if not cleared or (at_zero and self._weights_hold):
            torch._foreach_copy_(kept[2:4], given[2:4])
        elif at_zero and kept[1].nbytes >= MUCH and all([isinstance(each.rows, slice) for each in cleared]):
            others = _rows_beside(cleared, kept[1].size(0))
            parts = [[tensor[rows] for tensor in tensors[:2] for rows in others] for tensors in (kept, given)]
            torch._foreach_copy_(parts[0] + kept[2:4], parts[1] + given[2:4])
        else:
            at_zero, self._cleared = False, None
            torch._foreach_copy_(kept[:4], given[:4])
        for each in cleared:
            rows = self._rows_of(each, memory)
            for part in (rows.hidden_bias,) if at_zero else (rows.hidden_bias, *rows.matrices):
                each.clear_rows(part)
        for each in clamped:
            each.write_rows(self._rows_of(each, memory).input_bias)
        if not cleared:
            return memory._replace(input_hidden=weights.input_hidden, hidden_hidden=weights.hidden_hidden)
        self._cleared = names
        return memory

    def _memory_like(self, weights: LayerWeights) -> LayerWeights | None:
        form = _form(weights)
        if form != self._form:
            if not _can_be_kept(weights):
                return None
            with torch.inference_mode(mode=False):
                self._memory = weights._replace(projection=None).map(lambda weight: torch.empty_like(weight.detach()))
            self._form, self._cleared, self._rows = form, None, {}
        assert self._memory is not None
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


def _rows_beside(cleared: Sequence[ClampedRows], count: int) -> list[slice]:
    """The stretches of rows between those of whole gates."""
    gates = sorted((each.rows.start, each.rows.stop) for each in cleared if isinstance(each.rows, slice))
    edges = [0, *[edge for gate in gates for edge in gate], count]
    return [slice(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True) if start < stop]


def _can_be_kept(weights: LayerWeights) -> bool:
    """Whether we know how to keep such weights, and they are not too much to be held by us."""
    known = weights.input_bias is not None and weights.hidden_bias is not None
    return known and weights.input_hidden.device.type == "cpu" and bytes_of_matrices(weights) <= MOST


def bytes_of_matrices(weights: LayerWeights) -> int:
    """What counts against :data:`MOST`."""
    return weights.input_hidden.nbytes + weights.hidden_hidden.nbytes


def _form(weights: LayerWeights) -> tuple[object, ...]:
    """The same for weights for which the same memory serves."""
    tensors = weights.tensors()
    return tensors[0].device, *[(tensor.shape, tensor.stride(), tensor.dtype) for tensor in tensors]


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.of_place: dict[int, ClampedWeights] = {}


_of_thread = _OfThread()


def clamped_for_now(place: int) -> ClampedWeights:
    """Memory of this thread for one of the layers and directions that are about to run at once."""
    if place not in _of_thread.of_place:
        _of_thread.of_place[place] = ClampedWeights(weights_hold=False)
    return _of_thread.of_place[place]
