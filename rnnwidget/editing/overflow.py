"""Numbers that are not finite where weights stand for edits: whether there are any, and whether there can be."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SAFE = 1e9
"""The sum of a million products of two such numbers is below 1e24; single precision reaches to 3e38."""


def far_from_overflow(*tensors: Tensor) -> bool:
    """Whether every number is finite and at most :data:`SAFE`, in single or double precision."""
    return all([_is_exact(tensor) and bool((tensor.detach().abs() <= SAFE).all()) for tensor in tensors])


def _is_exact(tensor: Tensor) -> bool:
    return tensor.dtype in (torch.float32, torch.float64)


def has_nan(reached: Tensor) -> bool:
    """True where folding has put what is not finite beside a clamped row's zeros or infinite bias.

    No edited model has the NaN that comes of it; it stays in the state from then on, so the last hidden state tells.
    """
    return reached.numel() > 0 and math.isnan(reached.max().item())
