"""Tensors as the bytes that the page reads."""

from __future__ import annotations

import torch
from torch import Tensor

Frame = dict[str, object]
SHORT = 32767


def float_bytes(tensor: Tensor) -> bytes:
    """float32, little-endian, row by row."""
    return tensor.detach().to("cpu", torch.float32).contiguous().numpy().astype("<f4", copy=False).tobytes()


def int_bytes(tensor: Tensor) -> bytes:
    """int32, little-endian."""
    return tensor.to("cpu", torch.int32).numpy().astype("<i4", copy=False).tobytes()


def short_bytes(tensor: Tensor, limit: float) -> bytes:
    """int16, little-endian, row by row: ±32767 is ±``limit``, −32768 a value that is not finite."""
    shares = tensor.detach().to("cpu", torch.float32) / limit
    whole = (shares.clamp(-1, 1) * SHORT).round().masked_fill(~torch.isfinite(shares), -SHORT - 1)
    return whole.to(torch.int16).contiguous().numpy().astype("<i2", copy=False).tobytes()
