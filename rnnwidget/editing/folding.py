"""Edits as other weights, with which the fused kernel computes the edited run.

Clamping a gate of a unit to v zeroes the unit's rows and sets its bias to logit(v), or atanh(v) behind a tanh; a shift
is a bias; a cell held at v keeps all (f = 1), is written nothing (i = 0) and begins at v. What multiplies or adds to
the hidden state, h = s ⊙ h′ + d, is carried out in the coordinates h′: the recurrent matrix reads s ⊙ h′, W d joins its
bias, and states are turned on the way in and out. A clamp of the hidden state is s = 0, d = v.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from rnnwidget.cells.activations import RANGES, Activation
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
    if not all(_uniform(edit) for edit in edits):
        return None
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


class _Folding:
    """Gathers what edits do to rows, biases and coordinates."""

    def __init__(self, family: Family, weights: LayerWeights) -> None:
        self._family, self._weights = family, weights
        self._sites = list(family.activations)
        like, rows = weights.hidden_hidden, weights.hidden_hidden.size(0)
        self._units = rows // len(self._sites)
        self._exact = like.dtype in (torch.float32, torch.float64)
        self._shifts: Tensor | None = None
        self._biases: Tensor | None = None
        self._kept: Tensor | None = None
        self._recurrent: Tensor | None = None
        self._projected: Tensor | None = None
        self._factor: Tensor | None = None
        self._offset: Tensor | None = None
        self._cell: tuple[Tensor, Tensor] | None = None
        self._clamps = False

    def shift(self, edit: SiteEdit) -> None:
        if self._shifts is None:
            self._shifts = self._vector(0)
        self._shifts[self._rows(edit.site)] += self._spread(edit, self._units, 0)

    def take(self, edit: SiteEdit) -> bool:
        """Fold one edit that comes after a nonlinearity; False if it cannot be."""
        if edit.site in self._sites and edit.operation == "clamp" and self._reached(edit):
            self._clamp_rows(edit, self._family.activations[edit.site])
            return True
        folds: dict[tuple[str, str, str], Callable[[SiteEdit], bool]] = {
            ("lstm", "cell", "clamp"): self._hold_cell,
            ("lstm", "output_gate", "scale"): self._scale_output,
            ("gru", "reset_gate", "scale"): self._scale_reset,
            ("gru", "candidate", "scale"): self._scale_candidate,
            **{(family, "hidden", "clamp"): self._hold_hidden for family in ("lstm", "gru", "rnn")},
            **{(family, "hidden", way): self._turn for family in ("lstm", "rnn") for way in ("scale", "nudge")},
        }
        known = folds.get((self._family.name, edit.site, edit.operation))
        return known is not None and known(edit)

    def result(self) -> Folded:
        weights, kept = self._weights, self._kept
        input_bias, hidden_bias = weights.input_bias, weights.hidden_bias
        if input_bias is None or hidden_bias is None:
            input_bias = hidden_bias = weights.input_hidden.new_zeros(weights.input_hidden.size(0))
        if self._shifts is not None:
            input_bias = input_bias + self._shifts
        if self._offset is not None and bool(self._offset.any()):
            hidden_bias = hidden_bias + weights.hidden_hidden @ self._offset
        recurrent = weights.hidden_hidden if self._factor is None else weights.hidden_hidden * self._factor
        if self._recurrent is not None:
            recurrent, hidden_bias = recurrent * self._recurrent[:, None], hidden_bias * self._recurrent
        read = weights.input_hidden
        if kept is not None and self._biases is not None:
            recurrent, read = recurrent * kept[:, None], read * kept[:, None]
            input_bias, hidden_bias = input_bias * kept + self._biases, hidden_bias * kept
        projection = weights.projection
        if projection is not None and self._projected is not None:
            projection = projection * self._projected
        changed = replace(
            weights,
            input_hidden=read,
            hidden_hidden=recurrent,
            input_bias=input_bias,
            hidden_bias=hidden_bias,
            projection=projection,
        )
        return Folded(changed, self._factor, self._offset, self._cell, self._clamps)

    def _reached(self, edit: SiteEdit) -> bool:
        """Whether a nonlinearity can give the value; what a gate is clamped to has been checked before."""
        if edit.site in self._family.gates:
            return True
        low, high = RANGES[self._family.activations[edit.site]]
        return bool(((edit.value >= low) & (edit.value <= high)).all())

    def _clamp_rows(self, edit: SiteEdit, activation: Activation) -> None:
        if self._kept is None or self._biases is None:
            self._kept, self._biases = self._vector(1), self._vector(0)
        mask, rows = self._mask(edit, self._units), self._rows(edit.site)
        value = _inverse(activation, self._spread(edit, self._units, 0.5))
        self._kept[rows] = torch.where(mask, 0, self._kept[rows])
        self._biases[rows] = torch.where(mask, value, self._biases[rows])
        self._clamps = True

    def _hold_cell(self, edit: SiteEdit) -> bool:
        if not self._exact:
            return False
        mask = self._mask(edit, self._units)
        for site, gate in (("forget_gate", 1.0), ("input_gate", 0.0)):
            held = SiteEdit(site, "clamp", edit.value.new_full((1, 1, 1), gate), mask.reshape(1, 1, -1))
            self._clamp_rows(held, self._family.activations[site])
        value = self._spread(edit, self._units, 0)
        if self._cell is not None:
            value, mask = torch.where(mask, value, self._cell[1]), mask | self._cell[0]
        self._cell = (mask, value)
        return True

    def _scale_output(self, edit: SiteEdit) -> bool:
        if self._weights.projection is None:
            return self._turn(edit)
        self._projected = self._spread(edit, self._units, 1)
        return True

    def _scale_reset(self, edit: SiteEdit) -> bool:
        self._recurrent = self._vector(1)
        self._recurrent[self._rows("candidate")] = self._spread(edit, self._units, 1)
        return True

    def _scale_candidate(self, edit: SiteEdit) -> bool:
        factors = self._spread(edit, self._units, 1)
        gone = (factors == 0).reshape(1, 1, -1)
        if bool(gone.any()):
            self._clamp_rows(SiteEdit("candidate", "clamp", edit.value.new_zeros(1, 1, 1), gone), "tanh")
        rest = torch.where(factors == 0, 1, factors).reshape(1, 1, -1)
        return self._turn(SiteEdit("candidate", "scale", rest))

    def _hold_hidden(self, edit: SiteEdit) -> bool:
        if not self._exact:
            return False
        factor, offset = self._turned()
        mask, value = self._mask(edit, factor.size(0)), self._spread(edit, factor.size(0), 0)
        self._factor, self._offset = torch.where(mask, 0, factor), torch.where(mask, value, offset)
        self._clamps = True
        return True

    def _turn(self, edit: SiteEdit) -> bool:
        """s and d after one more factor or summand."""
        if not self._exact:
            return False
        factor, offset = self._turned()
        if edit.operation == "nudge":
            self._factor, self._offset = factor, offset + self._spread(edit, factor.size(0), 0)
            return True
        factors = self._spread(edit, factor.size(0), 1)
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

    def _mask(self, edit: SiteEdit, units: int) -> Tensor:
        if edit.mask is None:
            return torch.ones(units, dtype=torch.bool, device=edit.value.device)
        return edit.mask.reshape(-1).expand(units)

    def _spread(self, edit: SiteEdit, units: int, elsewhere: float) -> Tensor:
        """The value of each unit, ``elsewhere`` where the edit does not reach."""
        value = edit.value.reshape(-1).to(self._weights.hidden_hidden.dtype).expand(units)
        return value if edit.mask is None else torch.where(self._mask(edit, units), value, elsewhere)


def _inverse(activation: Activation, value: Tensor) -> Tensor:
    match activation:
        case "sigmoid":
            return torch.logit(value.double()).to(value.dtype)
        case "tanh":
            return torch.atanh(value.double()).to(value.dtype)
        case "relu" | "identity":
            return value
