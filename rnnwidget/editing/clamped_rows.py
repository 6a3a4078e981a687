"""Rows of weights that give one value whatever is read: zeros, and the value's inverse as a bias."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rnnwidget.cells.activations import Activation
from rnnwidget.cells.edits import SiteEdit


class ClampedRows(NamedTuple):
    """Rows of one gate, all of them or some by number, and what their bias is to be: one for all or for each.

    ``name`` is the same for the same rows, None where nobody knows.
    """

    rows: slice | Int[Tensor, " row"]
    bias: float | Float[Tensor, " row"]
    name: tuple[int, tuple[int, ...] | None] | None = None

    @classmethod
    def of(cls, edit: SiteEdit, gate: slice, activation: Activation, dtype: torch.dtype) -> ClampedRows:
        """What a clamp makes of the rows of its gate; it is the same at every step and in every sequence."""
        if edit.number is not None:
            return cls.saying(_inverse_of_number(activation, edit.number), edit, gate)
        units, value = _reached(edit, gate.stop - gate.start), edit.value.reshape(-1).to(dtype)
        if units is None:
            return cls(gate, _inverse(activation, value))
        return cls(units + gate.start, _inverse(activation, value if value.size(0) == 1 else value[units]))

    @classmethod
    def saying(cls, bias: float, edit: SiteEdit, gate: slice) -> ClampedRows:
        """The rows of a gate that belong to the units of an edit, with one bias."""
        units = _reached(edit, gate.stop - gate.start)
        name = (gate.start, edit.units) if units is None or edit.units is not None else None
        return cls(gate if units is None else units + gate.start, bias, name)

    @property
    def saturates(self) -> bool:
        """Whether nothing finite that is added to the bias makes a difference."""
        return math.isinf(self.bias) if isinstance(self.bias, float) else bool(self.bias.isinf().all())

    def clear(self, matrix: Tensor) -> None:
        """Zero the rows of a matrix, or of a bias."""
        self.clear_rows(view_of(self.rows, matrix))

    def write(self, bias: Tensor) -> None:
        """Set what the rows give."""
        if isinstance(self.bias, float):
            self.write_rows(view_of(self.rows, bias))
        else:
            bias[self.rows] = self.bias

    def clear_rows(self, view: Tensor) -> None:
        """Zero the rows."""
        if isinstance(self.rows, slice):
            view.zero_()
        else:
            view.index_fill_(0, self.rows, 0)

    def write_rows(self, view: Tensor) -> None:
        """Set what the rows give, where that is one number for all."""
        assert isinstance(self.bias, float)
        if isinstance(self.rows, slice):
            view.fill_(self.bias)
        else:
            view.index_fill_(0, self.rows, self.bias)


def view_of(rows: slice | Int[Tensor, " row"], matrix: Tensor) -> Tensor:
    """What ``clear_rows`` and ``write_rows`` take: rows of a matrix or a bias, or all of it to index."""
    return matrix.narrow(0, rows.start, rows.stop - rows.start) if isinstance(rows, slice) else matrix


def _reached(edit: SiteEdit, units: int) -> Int[Tensor, " unit"] | None:
    """The units of a layer that an edit reaches, None where it reaches all."""
    if edit.mask is None:
        return None
    return edit.places if edit.units is not None else edit.mask.reshape(-1).expand(units).nonzero().flatten()


def _inverse_of_number(activation: Activation, value: float) -> float:
    match activation:
        case "sigmoid":
            if 0 < value < 1:
                return math.log(value) - math.log1p(-value)
            return math.inf if value >= 1 else -math.inf
        case "tanh":
            return math.atanh(value) if abs(value) < 1 else math.copysign(math.inf, value)
        case "relu" | "identity":
            return value


def _inverse(activation: Activation, value: Tensor) -> Tensor:
    match activation:
        case "sigmoid":
            return torch.logit(value.double()).to(value.dtype)
        case "tanh":
            return torch.atanh(value.double()).to(value.dtype)
        case "relu" | "identity":
            return value
