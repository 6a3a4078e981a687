"""What the steps of a loop over time are made of: PyTorch's operators, or NumPy's where a step is small.

Small steps cost the calls and not the arithmetic, and NumPy's calls take a third of the time. Arrays share the memory
of the tensors that they are made of; every operation writes where it is told to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnwidget.cells.activations import Activation, activate_in_place

Array = Any
SMALL = 2**11
"""Numbers of all gates up to which a step is small."""


class StepArithmetic(ABC):
    """The operations of a step on arrays of one kind."""

    @abstractmethod
    def array(self, tensor: Tensor) -> Array:
        """The array in the memory of a tensor."""

    @abstractmethod
    def rows(self, tensor: Tensor) -> Sequence[Array]:
        """The arrays along the first axis of a tensor."""

    @abstractmethod
    def affine(self, given: Array, hidden: Array, recurrent: Array, out: Array) -> None:
        """Out ← given + hidden · recurrent."""

    @abstractmethod
    def product(self, one: Array, matrix: Array, out: Array) -> None:
        """Out ← one · matrix."""

    @abstractmethod
    def activate(self, activation: Activation, array: Array) -> None:
        """Apply a nonlinearity in place."""

    @abstractmethod
    def tanh(self, array: Array, out: Array) -> None:
        """Out ← tanh(array)."""

    @abstractmethod
    def multiply(self, one: Array, other: Array, out: Array) -> None:
        """Out ← one ⊙ other."""

    @abstractmethod
    def add(self, one: Array, other: Array, out: Array) -> None:
        """Out ← one + other."""

    @abstractmethod
    def subtract(self, one: Array, other: Array, out: Array) -> None:
        """Out ← one − other."""

    @abstractmethod
    def add_product(self, base: Array, one: Array, other: Array, out: Array) -> None:
        """Out ← base + one ⊙ other."""

    @abstractmethod
    def put(self, array: Array, value: Array, where: Array | None) -> None:
        """Write a value into an array, all over or where a mask says so."""


class TorchSteps(StepArithmetic):
    """On tensors, of any size and on any device."""

    def array(self, tensor: Tensor) -> Array:
        return tensor

    def rows(self, tensor: Tensor) -> Sequence[Array]:
        return tensor.unbind(0)

    def affine(self, given: Array, hidden: Array, recurrent: Array, out: Array) -> None:
        torch.addmm(given, hidden, recurrent, out=out)

    def product(self, one: Array, matrix: Array, out: Array) -> None:
        torch.mm(one, matrix, out=out)

    def activate(self, activation: Activation, array: Array) -> None:
        activate_in_place(activation, array)

    def tanh(self, array: Array, out: Array) -> None:
        torch.tanh(array, out=out)

    def multiply(self, one: Array, other: Array, out: Array) -> None:
        torch.mul(one, other, out=out)

    def add(self, one: Array, other: Array, out: Array) -> None:
        torch.add(one, other, out=out)

    def subtract(self, one: Array, other: Array, out: Array) -> None:
        torch.sub(one, other, out=out)

    def add_product(self, base: Array, one: Array, other: Array, out: Array) -> None:
        torch.addcmul(base, one, other, out=out)

    def put(self, array: Array, value: Array, where: Array | None) -> None:
        if where is None:
            array.copy_(value)
        else:
            torch.where(where, value, array, out=array)


class NumpySteps(StepArithmetic):
    """On NumPy's arrays."""

    def __init__(self) -> None:
        self._between: dict[tuple[int, ...], Array] = {}

    def array(self, tensor: Tensor) -> Array:
        return tensor.detach().numpy()

    def rows(self, tensor: Tensor) -> Sequence[Array]:
        return list(tensor.detach().numpy())

    def affine(self, given: Array, hidden: Array, recurrent: Array, out: Array) -> None:
        np.matmul(hidden, recurrent, out)
        np.add(out, given, out)

    def product(self, one: Array, matrix: Array, out: Array) -> None:
        np.matmul(one, matrix, out)

    def activate(self, activation: Activation, array: Array) -> None:
        match activation:
            case "sigmoid":
                np.multiply(array, -1, array)  # np.negative is wrong in columns 16 or 64 bytes apart, before NumPy 2.5
                np.exp(array, array)
                np.add(array, 1, array)
                np.reciprocal(array, array)
            case "tanh":
                np.tanh(array, array)
            case "relu":
                np.maximum(array, 0, out=array)
            case "identity":
                pass

    def tanh(self, array: Array, out: Array) -> None:
        np.tanh(array, out)

    def multiply(self, one: Array, other: Array, out: Array) -> None:
        np.multiply(one, other, out)

    def add(self, one: Array, other: Array, out: Array) -> None:
        np.add(one, other, out)

    def subtract(self, one: Array, other: Array, out: Array) -> None:
        np.subtract(one, other, out)

    def add_product(self, base: Array, one: Array, other: Array, out: Array) -> None:
        between = self._between.get(one.shape)
        if between is None:
            between = self._between[one.shape] = np.empty_like(one)
        np.multiply(one, other, between)
        np.add(base, between, out)

    def put(self, array: Array, value: Array, where: Array | None) -> None:
        np.copyto(array, value, where=True if where is None else where)


@contextmanager
def step_arithmetic(gates: Tensor, live: Tensor | None) -> Iterator[StepArithmetic]:
    """The arithmetic for steps with so many numbers in their gates; where sequences end, that of PyTorch."""
    known = type(gates) is Tensor and gates.device.type == "cpu" and gates.dtype in (torch.float32, torch.float64)
    if live is not None or not known or gates.numel() > SMALL:
        yield TorchSteps()
        return
    with np.errstate(all="ignore"):  # what is not finite goes its way here as it does in PyTorch
        yield NumpySteps()
