"""Weights that stand for edits, and how states are turned on the way into the kernel and out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.editing.kept_weights import Rewriting
from rnnwidget.editing.packed_matrices import PackedMatrices

States = tuple[Tensor, ...]


class Folded(NamedTuple):
    """Weights for the kernel, and what states are inside it.

    ``factor`` and ``offset`` are s and d of h = s ⊙ h′ + d; ``cell`` is a mask and the values of cells held fast.
    ``held`` are hidden units that nothing reads inside the kernel, and what they are outside. ``rewriting`` is there if
    the weights are the layer's own, rewritten in memory that is used again; ``safe`` says that no step from safe
    inputs and states leads to what is not finite; ``packed`` are the matrices where they will serve again.
    """

    weights: LayerWeights
    factor: Float[Tensor, " unit"] | None = None
    offset: Float[Tensor, " unit"] | None = None
    cell: tuple[Tensor, Tensor] | None = None
    held: tuple[Int[Tensor, " unit"], float] | None = None
    clamps: bool = False
    rewriting: Rewriting | None = None
    safe: bool = False
    packed: PackedMatrices | None = None

    @property
    def begins_elsewhere(self) -> bool:
        """Whether states are to be turned, or looked at, before the kernel begins from them."""
        return self.factor is not None or self.cell is not None or self.held is not None

    @property
    def ends_elsewhere(self) -> bool:
        """Whether hidden states come out of the kernel as other ones."""
        return self.factor is not None or self.held is not None

    def reaches(self, states: States, *, from_zero: bool) -> bool:
        """Whether the first step can be made from ``states``, which no edit has touched.

        A unit that the recurrent matrix no longer reads must already be where the edit will hold it.
        """
        if self.held is not None:
            units, value = self.held
            if from_zero:
                return value == 0
            return bool((states[0].index_select(-1, units) == value).all())
        if self.factor is None or self.offset is None:
            return True
        return bool(((states[0] == self.offset) | (self.factor != 0)).all())

    def handed_in(self, states: States) -> States:
        """States as the kernel has to be given them."""
        hidden, *rest = states
        if self.factor is not None and self.offset is not None:
            inside = (hidden - self.offset) / torch.where(self.factor == 0, 1, self.factor)
            hidden = torch.where(self.factor == 0, 0, inside)
        if self.cell is not None:
            rest = [torch.where(self.cell[0], self.cell[1], rest[0])]
        return hidden, *rest

    def handed_out(self, hidden: Tensor) -> Tensor:
        """Hidden states as the edited layer has them."""
        if self.held is not None:
            units, value = self.held
            fill = hidden.index_fill if torch.is_grad_enabled() else hidden.index_fill_
            return fill(-1, units, value)
        if self.factor is None or self.offset is None:
            return hidden
        return torch.addcmul(self.offset, hidden, self.factor)
