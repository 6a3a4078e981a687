"""Our own arithmetic, whatever modes the user's code is in."""

from __future__ import annotations

from types import TracebackType

import torch
from torch import Tensor


class our_arithmetic:  # noqa: N801 - reads as the block that it is
    """No gradients, no casting and no inference tensors, so that a look gives the same wherever it is made.

    A class, and modes only where they change something: around a short call the modes would cost as much as the call.
    """

    def __init__(self, device: str) -> None:
        self._modes: tuple[torch.inference_mode | torch.autocast, ...] = ()
        if torch.is_inference_mode_enabled():
            self._modes = (torch.inference_mode(mode=False),)
        if torch.is_autocast_enabled(device):
            self._modes = (*self._modes, torch.autocast(device, enabled=False))

    def __enter__(self) -> None:
        for mode in self._modes:
            mode.__enter__()
        self._grad_enabled = torch.is_grad_enabled()
        if self._grad_enabled:
            torch.set_grad_enabled(False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._grad_enabled:
            torch.set_grad_enabled(True)
        for mode in reversed(self._modes):
            mode.__exit__(kind, error, trace)


def in_single(tensor: Tensor) -> Tensor:
    """Half precision as float32, anything else as it is."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
