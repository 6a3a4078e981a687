"""The nonlinearities of gates and states, by name."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Activation = Literal["sigmoid", "tanh", "relu", "identity"]

RANGES: dict[Activation, tuple[float, float]] = {
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, float("inf")),
    "identity": (-float("inf"), float("inf")),
}


def within(value: float | Tensor, low: float, high: float) -> bool:
    """Whether a number, or every number of a tensor, lies in a range; NaN lies in none."""
    if isinstance(value, Tensor):
        return bool(((value >= low) & (value <= high)).all())
    return low <= value <= high


def activate(activation: Activation, preactivation: Tensor) -> Tensor:
    """Apply a nonlinearity by name."""
    match activation:
        case "sigmoid":
            return torch.sigmoid(preactivation)
        case "tanh":
            return torch.tanh(preactivation)
        case "relu":
            return torch.relu(preactivation)
        case "identity":
            return preactivation


def activate_in_place(activation: Activation, preactivation: Tensor) -> Tensor:
    """Like :func:`activate`, over the memory of ``preactivation`` where autograd does not need it."""
    if torch.is_grad_enabled():
        return activate(activation, preactivation)
    match activation:
        case "sigmoid":
            return preactivation.sigmoid_()
        case "tanh":
            return preactivation.tanh_()
        case "relu":
            return preactivation.relu_()
        case "identity":
            return preactivation


def slope(activation: Activation, value: Tensor) -> Tensor:
    """The derivative of a nonlinearity, from its value."""
    match activation:
        case "sigmoid":
            return value * (1 - value)
        case "tanh":
            return 1 - value * value
        case "relu":
            return (value > 0).to(value.dtype)
        case "identity":
            return torch.ones_like(value)
