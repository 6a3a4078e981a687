"""Weights of one layer that stand for edits, in memory that is used again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import forward_ad

from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.editing.clamped_rows import ClampedRows, view_of
from rnnwidget.editing.overflow import SAFE, far_from_overflow
from rnnwidget.editing.packed_matrices import PackedMatrices
from rnnwidget.recording.same_values import ORDINARY
from rnnwidget.recording.transforms import in_a_transform

MOST = 2**24
"""Bytes of the matrices of layers that run at once up to which their memory is kept for the next call."""

MUCH = 2**20
"""Bytes of a matrix from which it takes longer to copy rows that are at zero than to leave them out."""

VIEWS = 16
"""Gates and units of which the rows are remembered."""


class Rewriting(NamedTuple):
    """What edits do to a layer's weights, in this order; a rewriting that does nothing is falsy.

    ``shifts`` are added to rows of the input's bias. ``held`` are hidden units that nothing reads, each at one value,
    and ``spared`` is 0 in their columns of the recurrent matrix. ``clamped`` rows read nothing and give one value.
    """

    shifts: Sequence[tuple[slice, float | Float[Tensor, " row"]]] = ()
    held: tuple[Int[Tensor, " unit"], float] | None = None
    spared: Float[Tensor, " unit"] | None = None
    clamped: Sequence[ClampedRows] = ()

    def __bool__(self) -> bool:
        return bool(self.shifts or self.clamped) or self.held is not None

    @property
    def safe(self) -> bool:
        """Whether what is written is known to be far from overflow."""
        held = [] if self.held is None else [self.held[1]]
        written = [*[number for _, number in self.shifts], *held, *[each.bias for each in self.clamped]]
        return all([isinstance(number, float) and abs(number) <= SAFE for number in written])


class _Rows(NamedTuple):
    """One gate's rows of each of the kept weights."""

    matrices: list[Tensor]
    input_bias: Tensor
    hidden_bias: Tensor


class KeptWeights:
    """Of one layer and direction.

    ``weights_hold`` says that somebody else notices when the weights move: then matrices that were cleared for one
    value of a gate serve for every other.
    """

    def __init__(self, *, weights_hold: bool) -> None:
        self._weights_hold = weights_hold
        self.safe = False
        """Whether the weights that hold are known to be far from overflow."""
        self.packed: PackedMatrices | None = None
        """The matrices of what was given last, where nobody will write into them before they are asked for again."""
        self._memory: list[Tensor] = []
        self._known: LayerWeights | None = None
        self._form: tuple[object, ...] = ()
        self._cleared: tuple[object, ...] | None = None
        self._clamped: tuple[tuple[object, ...], tuple[object, ...]] | None = None
        self._written: Rewriting | None = None
        self._rows: dict[object, _Rows] = {}

    def of(self, weights: LayerWeights, rewriting: Rewriting) -> LayerWeights | None:
        """Rewritten weights that are good until the next time; None where memory cannot be used again."""
        named = all([each.name is not None and isinstance(each.bias, float) for each in rewriting.clamped])
        if not named or not may_be_kept() or not self._has_memory_like(weights):
            return None
        return self._rewritten(weights, rewriting)

    def again(self, weights: LayerWeights, rewriting: Rewriting) -> LayerWeights | None:
        """What :meth:`of` gave for an earlier ``rewriting``, of the weights as they are now; without its checks."""
        return self._rewritten(weights, rewriting) if _form(weights) == self._form else None

    def _rewritten(self, weights: LayerWeights, rewriting: Rewriting) -> LayerWeights:
        kept, given = self._memory, weights.tensors()
        cleared = [each for each in rewriting.clamped if not each.saturates]
        held, biased = rewriting.held, bool(rewriting.shifts or rewriting.clamped)
        adds = held is not None and held[1] != 0
        stay = self._weights_hold and rewriting is self._written
        if not stay:
            self._written = None
            stay = not self._write_matrices(given, cleared, rewriting.spared) and rewriting.spared is None
            self._write_biases(given, rewriting, cleared, adds=adds)
            self._written = rewriting if self._weights_hold else None
        rewritten = LayerWeights(
            kept[0] if cleared else given[0],
            kept[1] if cleared or rewriting.spared is not None else given[1],
            kept[2] if biased else given[2],
            kept[3] if cleared or adds else given[3],
            weights.projection,
        )
        if self._weights_hold and not (stay and self.packed is not None and self.packed.are_of(rewritten)):
            self.packed = PackedMatrices(rewritten.input_hidden, rewritten.hidden_hidden)
        return rewritten

    def _write_matrices(self, given: Sequence[Tensor], cleared: Sequence[ClampedRows], spared: Tensor | None) -> bool:
        """Write the matrices under edits; whether anything had to be written."""
        anew = self._copy_matrices(given, cleared, spared)
        for each in cleared if anew else ():
            for matrix in self._rows_of(each.name, each.rows).matrices:
                each.clear_rows(matrix)
        if anew and spared is None:
            self._cleared = _names(cleared)
        return anew

    def _write_biases(
        self, given: Sequence[Tensor], rewriting: Rewriting, cleared: Sequence[ClampedRows], *, adds: bool
    ) -> None:
        """Write both biases; only new values where the same gates and units were clamped, and nothing else done."""
        kept, clamped = self._memory, rewriting.clamped
        places = None
        if self._weights_hold and not (rewriting.shifts or adds):
            places = _names(cleared), _names(clamped)
        stay = places is not None and places == self._clamped
        self._clamped = None
        if not stay:
            if rewriting.shifts or clamped:
                kept[2].copy_(given[2])
            if cleared or adds:
                kept[3].copy_(given[3])
            if adds and rewriting.held is not None:
                units, value = rewriting.held
                kept[3] += value * given[1].index_select(1, units).sum(1)
            for rows, number in rewriting.shifts:
                self._rows_of((rows.start, None), rows).input_bias.add_(number)
            for each in cleared:
                each.clear_rows(self._rows_of(each.name, each.rows).hidden_bias)
        for each in clamped:
            each.write_rows(self._rows_of(each.name, each.rows).input_bias)
        self._clamped = places

    def _copy_matrices(self, given: Sequence[Tensor], cleared: Sequence[ClampedRows], spared: Tensor | None) -> bool:
        """Copy of the matrices what is to be changed there; whether rows are to be cleared that are not at zero."""
        kept = self._memory
        at_zero = bool(cleared) and spared is None and _names(cleared) == self._cleared
        if at_zero and self._weights_hold:
            return False
        if at_zero and (beside := self._beside(cleared)):
            for into, tensor in zip(kept[:2], given[:2], strict=True):
                for rows in beside:
                    into[rows].copy_(tensor[rows])
            return False
        if cleared or spared is not None:
            self._cleared = None
        if cleared:
            kept[0].copy_(given[0])
        if spared is not None:
            torch.mul(given[1], spared, out=kept[1])  # ∞ · 0 is NaN, as in the edited model
        elif cleared:
            kept[1].copy_(given[1])
        return bool(cleared)

    def _beside(self, cleared: Sequence[ClampedRows]) -> list[slice]:
        """The stretches of rows between those of whole gates that are at zero; none where to copy all is quicker."""
        recurrent = self._memory[1]
        if recurrent.nbytes < MUCH or not all([isinstance(each.rows, slice) for each in cleared]):
            return []
        gates = sorted((each.rows.start, each.rows.stop) for each in cleared if isinstance(each.rows, slice))
        edges = [0, *[edge for gate in gates for edge in gate], recurrent.size(0)]
        return [slice(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True) if start < stop]

    def _has_memory_like(self, weights: LayerWeights) -> bool:
        """Whether there is memory for such weights; it is made where it can be."""
        if self._weights_hold and weights is self._known:
            return True
        form = _form(weights)
        if form != self._form:
            if not _can_be_kept(weights):
                return False
            with torch.inference_mode(mode=False):
                memory = [torch.empty_like(weight.detach()) for weight in weights[:4] if weight is not None]
            if type(memory[0]) is not Tensor:  # a mode makes others, which nobody else can use
                return False
            self._memory, self._form, self._cleared, self._rows = memory, form, None, {}
            self._clamped, self._written = None, None
            self.safe = self._weights_hold and far_from_overflow(*weights.tensors())
        self._known = weights if self._weights_hold else None
        return True

    def _rows_of(self, name: object, rows: slice | Tensor) -> _Rows:
        """Views are made once: to make one takes as long as to write into it."""
        if name not in self._rows:
            if len(self._rows) >= VIEWS:
                self._rows.clear()
            read, recurrent, input_bias, hidden_bias = map(partial(view_of, rows), self._memory)
            self._rows[name] = _Rows([read, recurrent], input_bias, hidden_bias)
        return self._rows[name]


def _names(clamped: Sequence[ClampedRows]) -> tuple[object, ...]:
    return tuple([each.name for each in clamped])


def may_be_kept() -> bool:
    """Whether memory may be used again: a graph or a trace could hold it, tangents and transforms would be in it."""
    traced = torch._C._get_tracing_state() is not None  # noqa: SLF001 - is_tracing() is a function of Python's
    dual = forward_ad._current_level >= 0  # noqa: SLF001 - torch has no other way to ask
    return not (torch.is_grad_enabled() or traced or dual or in_a_transform())


def _can_be_kept(weights: LayerWeights) -> bool:
    """Whether we know how to keep such weights, and they are not too much to be held by us."""
    known = weights.input_bias is not None and weights.hidden_bias is not None
    known = known and all([type(tensor) in ORDINARY and tensor.is_contiguous() for tensor in weights.tensors()])
    return known and weights.input_hidden.device.type == "cpu" and bytes_of_matrices(weights) <= MOST


def bytes_of_matrices(weights: LayerWeights) -> int:
    """What counts against :data:`MOST`."""
    return weights.input_hidden.nbytes + weights.hidden_hidden.nbytes


def _form(weights: LayerWeights) -> tuple[object, ...]:
    """The same for weights for which the same memory serves."""
    tensors = weights.tensors()
    return tensors[0].device, *[(type(each), each.shape, each.dtype, each.is_contiguous()) for each in tensors]


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.of_place: dict[int, KeptWeights] = {}


_of_thread = _OfThread()


def kept_for_now(place: int) -> KeptWeights:
    """Memory of this thread for one of the layers and directions that are about to run at once."""
    if place not in _of_thread.of_place:
        _of_thread.of_place[place] = KeptWeights(weights_hold=False)
    return _of_thread.of_place[place]
