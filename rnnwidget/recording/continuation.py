"""Tells a call that goes on from the state its module last handed out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class _Kept(NamedTuple):
    """A state that was handed out, held so that its memory is not used again meanwhile.

    Inference tensors have no version: their values are kept.
    """

    tensor: Tensor
    version: int | None
    had_graph: bool
    values: Tensor | None

    def is_given_back_as(self, given: Tensor) -> bool:
        return (
            given.numel() > 0
            and _layout(given) == _layout(self.tensor)
            and given.data_ptr() == self.tensor.data_ptr()
            and _version(given) == self.version
            and (self.values is None or torch.equal(given.reshape(-1), self.values.reshape(-1)))
        )


class HandedOut:
    """The final states that modules gave last."""

    def __init__(self) -> None:
        self._states: dict[nn.Module, tuple[_Kept, ...]] = {}

    def is_continued_by(self, module: nn.Module, given: tuple[Tensor, ...]) -> bool:
        """Whether the states handed in share storage and version with those handed out."""
        kept = self._states.get(module)
        if not kept or not given:
            return False
        return len(kept) == len(given) > 0 and all(
            state.is_given_back_as(tensor) for state, tensor in zip(kept, given, strict=True)
        )

    def is_cut_by(self, module: nn.Module, given: tuple[Tensor, ...]) -> bool:
        """Whether states that had a graph come back without one: truncated backpropagation through time."""
        return any(
            state.had_graph and not tensor.requires_grad
            for state, tensor in zip(self._states.get(module, ()), given, strict=True)
        )

    def keep(self, module: nn.Module, states: tuple[Tensor, ...]) -> None:
        """Remember what a call has handed out."""
        self._states[module] = tuple([_kept(state) for state in states])


def _kept(state: Tensor) -> _Kept:
    if state.is_inference():
        return _Kept(state.detach(), None, had_graph=False, values=state.clone())
    return _Kept(state.detach(), state._version, had_graph=state.grad_fn is not None, values=None)


def _layout(tensor: Tensor) -> list[tuple[int, int]]:
    """Sizes and strides; dimensions of one are nothing."""
    return [(size, step) for size, step in zip(tensor.shape, tensor.stride(), strict=True) if size > 1]


def _version(tensor: Tensor) -> int | None:
    return None if tensor.is_inference() else tensor._version
