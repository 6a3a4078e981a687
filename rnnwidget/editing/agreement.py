"""Whether two ways of running a model gave the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}
"""How far runs of one computation may lie apart, relative to numbers above 1; 1e-2 in half precision."""

SMALL = 0.1
"""Where all numbers of a tensor are smaller, they may lie apart by so much less."""


def agree(one: Any, other: Any) -> bool:
    """Whether two outputs of a model have the same numbers up to rounding, tensor by tensor; NaN agrees with NaN."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and _close(one, other)
    if isinstance(one, PackedSequence):
        return (
            isinstance(other, PackedSequence)
            and torch.equal(one.batch_sizes, other.batch_sizes)
            and _close(one.data, other.data)
        )
    if isinstance(one, Mapping):
        return (
            isinstance(other, Mapping)
            and one.keys() == other.keys()
            and all(agree(value, other[name]) for name, value in one.items())
        )
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(agree, one, other))
    return type(one) is type(other) and bool(one == other)


def _close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    one, other = one.detach(), other.detach()
    if not (one.is_floating_point() or one.is_complex()):
        return torch.equal(one, other)
    tolerance = TOLERANCES.get(one.dtype, 1e-2)
    finite = other[torch.isfinite(other)]
    largest = float(finite.abs().max()) if finite.numel() else SMALL
    return torch.allclose(one, other, rtol=tolerance, atol=tolerance * min(1.0, largest / SMALL), equal_nan=True)
