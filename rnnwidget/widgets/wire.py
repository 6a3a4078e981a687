"""Tensors as the bytes that the page reads."""

from __future__ import annotations

import torch
from torch import Tensor

Frame = dict[str, object]


def float_bytes(tensor: Tensor) -> bytes:
    """float32, little-endian, row by row."""
    return tensor.detach().to("cpu", torch.float32).contiguous().numpy().astype("<f4", copy=False).tobytes()


def int_bytes(tensor: Tensor) -> bytes:
    """int32, little-endian."""
    return tensor.to("cpu", torch.int32).numpy().astype("<i4", copy=False).tobytes()
