"""Edits as other weights, with which the fused kernel computes the edited run.

Clamping a gate of a unit to v zeroes the unit's rows and sets its bias to logit(v), or atanh(v) behind a tanh; where
that is infinite the rows may stay, since nothing finite moves the sum. A shift is a bias; a cell held at v keeps all
(f = 1), is written nothing (i = 0) and begins at v. What multiplies or adds to the hidden state, h = s ⊙ h′ + d, is
carried out in the coordinates h′: the recurrent matrix reads s ⊙ h′, W d joins its bias, and states are turned on the
way in and out. A clamp of the hidden state is s = 0, d = v.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rnnwidget.cells.activations import RANGES, Activation, within
from rnnwidget.cells.edits import SiteEdit
from rnnwidget.cells.family import Family
from rnnwidget.cells.layer_run import LayerWeights

# Beyond these factors, turning a state into other coordinates and back would lose digits.
LEAST, MOST = 1e-3, 1e3

States = tuple[Tensor, ...]


@dataclass(frozen=True)
class Folded:
    """Weights for the kernel, and how states are turned on the way into it and out.

    ``factor`` and ``offset`` are s and d of h = s ⊙ h′ + d; ``cell`` is a mask and the values of cells held fast.
    """

    weights: LayerWeights
    factor: Float[Tensor, " unit"] | None = None
    offset: Float[Tensor, " unit"] | None = None
    cell: tuple[Tensor, Tensor] | None = None
    clamps: bool = False

    @property
    def turns(self) -> bool:
        """Whether states are other ones inside the kernel."""
        return self.factor is not None or self.cell is not None

    def reaches(self, states: States) -> bool:
        """Whether the first step can be made from ``states``, which no edit has touched.

        A unit that the recurrent matrix no longer reads must already be where the edit will hold it.
        """
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
        if self.factor is None or self.offset is None:
            return hidden
        return torch.addcmul(self.offset, hidden, self.factor)


def fold(family: Family, weights: LayerWeights, edits: Sequence[SiteEdit]) -> Folded | None:
    """Fold edits that are the same at every step and in every sequence; None where one of them has to be stepped."""
    if not all(_uniform(edit) for edit in edits) or any(edit.value.requires_grad for edit in edits):
        return None  # the way from a value to what it holds has gradients only where it is stepped
    after: dict[str, list[SiteEdit]] = {}
    for edit in edits:
        if edit.operation != "shift":
            after.setdefault(edit.site, []).append(edit)
    if any(len(of_site) > 1 and any(edit.operation != "clamp" for edit in of_site) for of_site in after.values()):
        return None
    folding = _Folding(family, weights)
    for edit in edits:
        if edit.operation == "shift":
            folding.shift(edit)
    # What holds a state comes last: it decides over the gates that would have led there.
    for site in (*family.gates, *reversed(family.states)):
        if not all(folding.take(edit) for edit in after.get(site, [])):
            return None
    return folding.result()


def _uniform(edit: SiteEdit) -> bool:
    return edit.value.shape[:2] == (1, 1) and (edit.mask is None or edit.mask.shape[:2] == (1, 1))


@dataclass(frozen=True)
class _ClampedRows:
    """The rows of one gate, of the units in ``mask`` or of all, and what their bias is to be."""

    rows: slice
    mask: Tensor | None
    bias: Tensor

    @property
    def saturates(self) -> bool:
        """Whether nothing finite that is added to the bias makes a difference."""
        return bool(self.bias.isinf().all())

    def clear(self, matrix: Tensor) -> None:
        """Zero the rows of a matrix, or of a bias."""
        rows = matrix[self.rows]
        if self.mask is None:
            rows.zero_()
        else:
            rows.index_fill_(0, self.mask.expand(rows.size(0)).nonzero().flatten(), 0)

    def write(self, bias: Tensor) -> None:
        """Set what the rows give."""
        rows = bias[self.rows]
        rows.copy_(self.bias if self.mask is None else torch.where(self.mask, self.bias, rows))


class _Folding:
    """Gathers what edits do to rows, biases and coordinates."""

    def __init__(self, family: Family, weights: LayerWeights) -> None:
        self._family, self._weights = family, weights
        self._sites = list(family.activations)
        like, rows = weights.hidden_hidden, weights.hidden_hidden.size(0)
        self._units = rows // len(self._sites)
        self._exact = like.dtype in (torch.float32, torch.float64)
        self._shifts: list[tuple[slice, Tensor]] = []
        self._clamped: list[_ClampedRows] = []
        self._recurrent: Tensor | None = None
        self._projected: Tensor | None = None
        self._factor: Tensor | None = None
        self._offset: Tensor | None = None
        self._cell: tuple[Tensor, Tensor] | None = None

    def shift(self, edit: SiteEdit) -> None:
        self._shifts.append((self._rows(edit.site), self._spread(edit, 0)))

    def take(self, edit: SiteEdit) -> bool:  # noqa: PLR0911 - a case for each site
        """Fold one edit that comes after a nonlinearity; False if it cannot be."""
        held = edit.site in self._family.states and self._factor is not None
        if edit.site in self._sites and edit.operation == "clamp" and not held and self._reached(edit):
            self._clamp_rows(edit)
            return True
        match self._family.name, edit.site, edit.operation:
            case "lstm", "cell", "clamp":
                return self._hold_cell(edit)
            case "lstm", "output_gate", "scale":
                return self._scale_output(edit)
            case "gru", "reset_gate", "scale":
                return self._scale_reset(edit)
            case "gru", "candidate", "scale":
                return self._scale_candidate(edit)
            case "lstm" | "gru" | "rnn", "hidden", "clamp":
                return self._hold_hidden(edit)
            case "lstm" | "rnn", "hidden", "scale" | "nudge":
                return self._turn(edit)
        return False

    def result(self) -> Folded:
        weights = self._weights
        input_bias, hidden_bias = self._biases()
        for rows, value in self._shifts:
            input_bias[rows] += value
        if self._offset is not None and bool(self._offset.any()):
            hidden_bias += weights.hidden_hidden @ self._offset
        recurrent = weights.hidden_hidden if self._factor is None else weights.hidden_hidden * self._factor
        if self._recurrent is not None:
            recurrent, hidden_bias = recurrent * self._recurrent[:, None], hidden_bias * self._recurrent
        read = weights.input_hidden
        # Backward, an infinite weight would meet the zero that comes back through a clamped gate.
        cleared = [clamped for clamped in self._clamped if torch.is_grad_enabled() or not clamped.saturates]
        if cleared:
            read, recurrent = read.clone(), recurrent.clone() if recurrent is weights.hidden_hidden else recurrent
        for clamped in cleared:
            for tensor in (read, recurrent, hidden_bias):
                clamped.clear(tensor)
        for clamped in self._clamped:
            clamped.write(input_bias)
        projection = weights.projection
        if projection is not None and self._projected is not None:
            projection = projection * self._projected
        changed = LayerWeights(read, recurrent, input_bias, hidden_bias, projection)
        return Folded(changed, self._factor, self._offset, self._cell, self._offset is not None or bool(self._clamped))

    def _biases(self) -> tuple[Tensor, Tensor]:
        """Both biases in memory of their own, where one of them is to be written."""
        weights = self._weights
        if weights.input_bias is None or weights.hidden_bias is None:
            return self._vector(0), self._vector(0)
        if not (self._shifts or self._clamped or self._offset is not None):
            return weights.input_bias, weights.hidden_bias
        return weights.input_bias.clone(), weights.hidden_bias.clone()

    def _reached(self, edit: SiteEdit) -> bool:
        """Whether a nonlinearity can give the value; what a gate is clamped to has been checked before."""
        return edit.site in self._family.gates or within(edit.value, *RANGES[self._family.activations[edit.site]])

    def _clamp_rows(self, edit: SiteEdit) -> None:
        value = _inverse(self._family.activations[edit.site], self._values(edit, 0.5))
        mask = None if edit.mask is None else edit.mask.reshape(-1)
        self._clamped.append(_ClampedRows(self._rows(edit.site), mask, value))

    def _hold_cell(self, edit: SiteEdit) -> bool:
        if not self._exact:
            return False
        for site, gate in (("forget_gate", 1.0), ("input_gate", 0.0)):
            self._clamp_rows(SiteEdit(site, "clamp", edit.value.new_full((1, 1, 1), gate), edit.mask))
        mask, value = self._mask(edit), self._values(edit, 0)
        if self._cell is not None:
            value, mask = torch.where(mask, value, self._cell[1]), mask | self._cell[0]
        self._cell = (mask, value)
        return True

    def _scale_output(self, edit: SiteEdit) -> bool:
        if self._weights.projection is None:
            return self._turn(edit)
        self._projected = self._spread(edit, 1)
        return True

    def _scale_reset(self, edit: SiteEdit) -> bool:
        self._recurrent = self._vector(1)
        self._recurrent[self._rows("candidate")] = self._spread(edit, 1)
        return True

    def _scale_candidate(self, edit: SiteEdit) -> bool:
        factors = self._spread(edit, 1)
        gone = (factors == 0).reshape(1, 1, -1)
        if bool(gone.any()):
            self._clamp_rows(SiteEdit("candidate", "clamp", edit.value.new_zeros(1, 1, 1), gone))
        rest = torch.where(factors == 0, 1, factors).reshape(1, 1, -1)
        return self._turn(SiteEdit("candidate", "scale", rest))

    def _hold_hidden(self, edit: SiteEdit) -> bool:
        if not self._exact:
            return False
        factor, offset = self._turned()
        mask, value = self._mask(edit), self._values(edit, 0)
        self._factor, self._offset = torch.where(mask, 0, factor), torch.where(mask, value, offset)
        return True

    def _turn(self, edit: SiteEdit) -> bool:
        """s and d after one more factor or summand."""
        if not self._exact:
            return False
        factor, offset = self._turned()
        if edit.operation == "nudge":
            self._factor, self._offset = factor, offset + self._spread(edit, 0)
            return True
        factors = self._spread(edit, 1)
        self._factor, self._offset = factor * factors, offset * factors
        size = factors.abs()
        return bool(((size == 0) | ((size >= LEAST) & (size <= MOST))).all())

    def _turned(self) -> tuple[Tensor, Tensor]:
        """s and d so far."""
        if self._factor is not None and self._offset is not None:
            return self._factor, self._offset
        width = self._weights.hidden_hidden.size(1)
        return self._vector(1)[:width], self._vector(0)[:width]

    def _rows(self, site: str) -> slice:
        start = self._sites.index(site) * self._units
        return slice(start, start + self._units)

    def _vector(self, value: float) -> Tensor:
        return self._weights.hidden_hidden.detach().new_full((self._weights.hidden_hidden.size(0),), value)

    def _mask(self, edit: SiteEdit) -> Tensor:
        """Which units the edit reaches, one for each or one for all."""
        return edit.value.new_ones(1, dtype=torch.bool) if edit.mask is None else edit.mask.reshape(-1)

    def _values(self, edit: SiteEdit, elsewhere: float) -> Tensor:
        """The value of each unit that the edit reaches, one for each or one for all."""
        value = edit.value.reshape(-1).to(self._weights.hidden_hidden.dtype)
        return value if value.size(0) == 1 or edit.mask is None else torch.where(self._mask(edit), value, elsewhere)

    def _spread(self, edit: SiteEdit, elsewhere: float) -> Tensor:
        """The value of each unit, ``elsewhere`` where the edit does not reach."""
        value = self._values(edit, elsewhere)
        return value if edit.mask is None else torch.where(self._mask(edit), value, elsewhere)


def _inverse(activation: Activation, value: Tensor) -> Tensor:
    match activation:
        case "sigmoid":
            return torch.logit(value.double()).to(value.dtype)
        case "tanh":
            return torch.atanh(value.double()).to(value.dtype)
        case "relu" | "identity":
            return value
