"""Tells a call that goes on from the state its module last handed out."""

from __future__ import annotations

from torch import Tensor, nn

from rnnwidget.recording.fused import FusedCall


class HandedOut:
    """The final states that modules gave last, held so that their memory is not used again meanwhile."""

    def __init__(self) -> None:
        self._states: dict[nn.Module, list[tuple[Tensor, int | None]]] = {}

    def is_continued_by(self, module: nn.Module, call: FusedCall) -> bool:
        """Whether a state handed in shares storage and version with the one handed out."""
        return any(
            given.numel() > 0
            and given.untyped_storage().data_ptr() == kept.untyped_storage().data_ptr()
            and _version(given) == version
            for given, (kept, version) in zip(call.initial, self._states.get(module, ()), strict=False)
        )

    def keep(self, module: nn.Module, finals: tuple[Tensor, ...]) -> None:
        """Remember what a call has handed out."""
        self._states[module] = [(state.detach(), _version(state)) for state in finals]


def _version(tensor: Tensor) -> int | None:
    return None if tensor.is_inference() else tensor._version
