"""One input many times over in one batch, and the output of each copy again.

Copies of a sequence stand next to each other, so that an output that joins time and batch, time first, can be told
apart too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from rnnwidget.recording.prefixes import leaves
from rnnwidget.recording.sequences import SequenceLayout


class NotReplicable(Exception):  # noqa: N818 - nothing went wrong: the runs are made one by one then
    """The sequences of an input or an output cannot be told apart from the rest."""


def replicated(x: object, copies: int, *, batch: int, batch_first: bool | None) -> object:
    """``x`` with each of its ``batch`` sequences ``copies`` times; what has no axis for them is passed on."""
    if not any(_batch_axis(leaf, batch, batch_first) is not None for leaf in leaves(x)):
        raise NotReplicable
    return _many(x, copies, batch, batch_first)


def _batch_axis(leaf: object, batch: int, batch_first: bool | None) -> int | None:
    if isinstance(leaf, PackedSequence):
        return 0
    if not isinstance(leaf, Tensor):
        return None
    found = [axis for axis in range(min(leaf.dim(), 2)) if leaf.size(axis) == batch]
    if len(found) == 2:
        return 1 if batch_first is False else 0
    return found[0] if found else None


def _many(value: Any, copies: int, batch: int, batch_first: bool | None) -> Any:
    if isinstance(value, PackedSequence):
        return _packed(value, copies)
    axis = _batch_axis(value, batch, batch_first)
    if axis is not None:
        # Of a single sequence no memory is copied.
        return value.unsqueeze(axis + 1).expand(*_times(value, copies, axis)).flatten(axis, axis + 1)
    if type(value) is dict:
        return {name: _many(part, copies, batch, batch_first) for name, part in value.items()}
    if type(value) not in (list, tuple):
        return value
    if len(value) == batch and all(type(item) is int for item in value):
        return type(value)(item for item in value for _ in range(copies))
    return type(value)(_many(part, copies, batch, batch_first) for part in value)


def _times(value: Tensor, copies: int, axis: int) -> list[int]:
    shape = [-1] * (value.dim() + 1)
    shape[axis + 1] = copies
    return shape


def _packed(sequence: PackedSequence, copies: int) -> PackedSequence:
    places = torch.arange(copies, device=sequence.data.device)

    def spread(indices: Tensor | None) -> Tensor | None:
        return None if indices is None else (indices.unsqueeze(1) * copies + places).flatten()

    data, sizes = sequence.data.repeat_interleave(copies, 0), sequence.batch_sizes * copies
    return PackedSequence(data, sizes, spread(sequence.sorted_indices), spread(sequence.unsorted_indices))


def replica(output: Any, single: Any, copies: int, place: int) -> Any:
    """The output of one copy, laid out as ``single``, the output of the input itself."""
    if type(output) is not type(single):
        raise NotReplicable
    if isinstance(output, PackedSequence):
        return _unpacked(output, single, copies, place)
    if isinstance(output, Tensor):
        return _strided(output, single, copies, place)
    if type(output) is dict and output.keys() == single.keys():
        return {name: replica(part, single[name], copies, place) for name, part in output.items()}
    if isinstance(output, (list, tuple)) and len(output) == len(single):
        parts = [replica(part, other, copies, place) for part, other in zip(output, single, strict=True)]
        return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)
    if isinstance(output, (bool, int, float, str, type(None))) and output == single:
        return output
    raise NotReplicable


def _unpacked(output: PackedSequence, single: PackedSequence, copies: int, place: int) -> PackedSequence:
    """Packing may have sorted copies, which are of one length, in any order: they are found in the user's."""
    if not torch.equal(output.batch_sizes, single.batch_sizes * copies):
        raise NotReplicable
    own = pad_packed_sequence(output)[0][:, place::copies]
    layout = SequenceLayout(len(own), own.size(1), False, *single[1:])
    return single._replace(data=layout.from_time_first(own))


def _strided(output: Tensor, single: Tensor, copies: int, place: int) -> Tensor:
    if output.dim() != single.dim():
        raise NotReplicable
    longer = [axis for axis in range(output.dim()) if output.size(axis) != single.size(axis)]
    if len(longer) != 1 or output.size(longer[0]) != copies * single.size(longer[0]):
        raise NotReplicable
    found: Tensor = output.unflatten(longer[0], (-1, copies)).select(longer[0] + 1, place)
    return found.contiguous()  # as a run's own output is, which may be viewed in other shapes
