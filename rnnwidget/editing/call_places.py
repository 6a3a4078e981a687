"""Where each call stands in the run of its module: in a forward, and when a backward makes it once more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnnwidget.editing.laying_out import BEGINNING, CallPlace
from rnnwidget.recording.continuation import HandedOut
from rnnwidget.recording.same_values import same_values

States = tuple[Tensor, ...]


class _Begun(NamedTuple):
    """A call of a forward; its tensors are held, so that their memory is not used again for another call's."""

    module: nn.Module
    place: CallPlace
    tensors: States

    def is_of(self, module: nn.Module, tensors: States) -> bool:
        """Whether a call is made of the same values."""
        return (
            self.module is module and len(self.tensors) == len(tensors) and all(map(same_values, self.tensors, tensors))
        )


class CallPlaces:
    """Steps count on where a call goes on from the state that its module handed out last.

    Activation checkpointing makes calls again in a backward, segment by segment from the last one on, and those of a
    segment in their order: the first is found by its memory or its values, and the next one comes after it.
    """

    def __init__(self) -> None:
        self._handed_out = HandedOut()
        self._forward: dict[nn.Module, CallPlace] = {}
        self._again: dict[nn.Module, CallPlace] = {}
        self._now = self._forward
        self._begun: list[_Begun] = []
        self._by_memory: dict[tuple[object, ...], int] = {}
        self._segment = self._next = 0

    def begin(self, module: nn.Module, given: States, sequence: object, *, again: bool) -> None:
        """A call begins with the states ``given``; ``again`` says that a backward makes it."""
        tensors = (*given, *_tensors_of(sequence))
        if again:
            self._now = self._again
            self._again[module] = self._place_again(module, tensors)
            return
        self._now = self._forward
        if not self._handed_out.is_continued_by(module, given):
            before = self._forward.get(module)
            self._forward[module] = BEGINNING if before is None else CallPlace(0, before.ordinal + 1)
        self._by_memory[_memory(module, tensors)] = len(self._begun)
        self._begun.append(_Begun(module, self._forward[module], tensors))

    def returned(self, module: nn.Module, states: States, *, again: bool) -> None:
        """Remember the states that a call handed out to the user."""
        if not again:
            self._handed_out.keep(module, states)

    def advance(self, module: nn.Module, steps: int) -> CallPlace:
        """Where the call that has begun stands; its run has come so many ``steps`` further."""
        place = self._now.get(module, BEGINNING)
        self._now[module] = CallPlace(place.done + steps, place.ordinal)
        return place

    def _place_again(self, module: nn.Module, tensors: States) -> CallPlace:
        follows = self._next < len(self._begun) and self._begun[self._next].module is module
        found = self._by_memory.get(_memory(module, tensors))
        if found is None:
            tried = (index for index in self._likely() if self._begun[index].is_of(module, tensors))
            found = next(tried, self._next if follows else None)
        if found is None:
            return BEGINNING
        if found != self._next:
            self._segment = found
        self._next = found + 1
        return self._begun[found].place

    def _likely(self) -> Iterator[int]:
        """The call after the last one, then those of the segments before, then all others."""
        if self._next < len(self._begun):
            yield self._next
        yield from range(self._segment - 1, -1, -1)
        yield from range(len(self._begun) - 1, self._segment - 1, -1)


def _memory(module: nn.Module, tensors: States) -> tuple[object, ...]:
    """Tells a call by where its tensors lie."""
    return module, *(tensor.data_ptr() for tensor in tensors)


def _tensors_of(sequence: object) -> States:
    if isinstance(sequence, PackedSequence):
        return (sequence.data,)
    return (sequence,) if isinstance(sequence, Tensor) else ()
