"""Tells a call that goes on from the state its module last handed out."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from rnnwidget.recording.same_values import same_values
from rnnwidget.recording.transforms import outside_of_transforms, plain


class _Kept(NamedTuple):
    """A state that was handed out, held so that its memory is not used again meanwhile.

    Its values are kept too: what is written through ``.data`` or NumPy does not touch a version, and inference tensors
    have none.
    """

    tensor: Tensor
    version: int | None
    had_graph: bool
    values: Tensor

    def is_given_back_as(self, given: Tensor) -> bool:
        given = plain(given)
        if _memory(given) != _memory(self.tensor) or _version(given) != self.version:
            return False
        if given.shape != self.tensor.shape or given.stride() != self.tensor.stride():
            if _layout(given) != _layout(self.tensor):
                return False
            given = given.reshape(self.values.shape)
        return same_values(given, self.values)


class HandedOut:
    """The final states that modules gave last."""

    def __init__(self) -> None:
        self._states: dict[nn.Module, tuple[_Kept, ...]] = {}

    def is_continued_by(self, module: nn.Module, given: tuple[Tensor, ...]) -> bool:
        """Whether the states handed in share storage and version with those handed out."""
        kept = self._states.get(module)
        if not kept or not given:
            return False
        if len(kept) != len(given):
            return False
        with outside_of_transforms():
            return all(state.is_given_back_as(tensor) for state, tensor in zip(kept, given, strict=True))

    def is_cut_by(self, module: nn.Module, given: tuple[Tensor, ...]) -> bool:
        """Whether states that had a graph come back without one: truncated backpropagation through time."""
        return any(
            state.had_graph and tensor.grad_fn is None
            for state, tensor in zip(self._states.get(module, ()), given, strict=True)
        )

    def keep(self, module: nn.Module, states: tuple[Tensor, ...]) -> None:
        """Remember what a call has handed out."""
        with outside_of_transforms():
            self._states[module] = tuple([_kept(state) for state in states])


def _kept(state: Tensor) -> _Kept:
    held = plain(state)
    detached = held.detach()
    return _Kept(detached, _version(held), had_graph=state.grad_fn is not None, values=detached.clone())


def _layout(tensor: Tensor) -> list[tuple[int, int]]:
    """Sizes and strides; dimensions of one are nothing."""
    return [(size, step) for size, step in zip(tensor.shape, tensor.stride(), strict=True) if size > 1]


def _memory(tensor: Tensor) -> int:
    """Where a tensor begins; one without elements has no address, but its storage is somebody's."""
    return tensor.data_ptr() if tensor.numel() else tensor.untyped_storage()._cdata  # noqa: SLF001 - nothing else tells them apart


def _version(tensor: Tensor) -> int | None:
    return None if tensor.is_inference() else tensor._version
