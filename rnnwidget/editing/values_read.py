"""Whether what a model computes decides what it does next, as where a decoder stops at the end of a text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from rnnwidget.recording.kernels import KERNELS

_READS = frozenset(
    {
        Tensor.__bool__,
        Tensor.__int__,
        Tensor.__float__,
        Tensor.__index__,
        Tensor.__contains__,
        Tensor.item,
        Tensor.tolist,
        Tensor.numpy,
        Tensor.__array__,
        Tensor.__format__,
        Tensor.nonzero,
        Tensor.is_nonzero,
        Tensor.equal,
        Tensor.allclose,
        Tensor.unique,
        Tensor.masked_select,
        torch.nonzero,
        torch.is_nonzero,
        torch.equal,
        torch.allclose,
        torch.unique,
        torch.masked_select,
        torch.argwhere,
        torch.bincount,
        torch.unique_consecutive,
        torch.repeat_interleave,
        nn.functional.one_hot,
    }
)
_PACKING = ("_pack_padded_sequence", "_pad_packed_sequence")
_WEIGHTS, _GIVEN = 1, 2
_COMPUTED = _WEIGHTS | _GIVEN


class ValuesRead(TorchFunctionMode):
    """Inside the block :attr:`any` tells whether Python was handed values that the model had computed from its input.

    Lengths and masks that were given, and parameters, may be read: they are the same in every variant of a run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.any = False
        self._sources: Mapping[Tensor, int] = WeakTensorKeyDictionary()

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = list(_tensors_in((args, kwargs or {})))
        sources = _COMPUTED if func in KERNELS else 0
        for tensor in given:
            sources |= self._source(tensor)
        if sources == _COMPUTED and (func in _READS or self._selects(func, args)):
            self.any = True
        result = func(*args, **(kwargs or {}))
        lengths = self._lengths(given) if getattr(func, "__name__", "") in _PACKING else sources
        for tensor in (*_tensors_in(result), *(given[:1] if result is None else ())):
            self._sources[tensor] = sources if tensor.is_floating_point() else lengths  # type: ignore[index]
            whole = tensor._base  # noqa: SLF001 - torch has no public name for what a tensor is a view of
            if whole is not None:
                self._sources[whole] = self._source(whole) | sources  # type: ignore[index]
        return result

    def _selects(self, func: Any, args: tuple[Any, ...]) -> bool:
        """Whether an index that was computed decides how much is taken."""
        if func is torch.where:
            return len(args) == 1
        if func is not Tensor.__getitem__:
            return False
        return any(self._source(t) == _COMPUTED for t in _tensors_in(args[1:]) if t.dtype is torch.bool or t.dim() == 0)

    def _lengths(self, given: Iterable[Tensor]) -> int:
        """Where the lengths of packed sequences come from: not from the values that are packed."""
        sources = 0
        for tensor in given:
            sources |= 0 if tensor.is_floating_point() else self._source(tensor)
        return sources

    def _source(self, tensor: Tensor) -> int:
        return self._sources.get(tensor, _WEIGHTS if isinstance(tensor, nn.Parameter) else _GIVEN)


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, PackedSequence):
        yield value.data
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors_in(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors_in(part)
