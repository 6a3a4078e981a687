"""Edits as other weights, with which the fused kernel computes the edited run.

Clamping a gate of a unit to v zeroes the unit's rows and sets its bias to logit(v), or atanh(v) behind a tanh; where
that is infinite the rows may stay, since nothing finite moves the sum. A shift is a bias; a cell held at v keeps all
(f = 1), is written nothing (i = 0) and begins at v. What multiplies or adds to the hidden state, h = s ⊙ h′ + d, is
carried out in the coordinates h′: the recurrent matrix reads s ⊙ h′, W d joins its bias, and states are turned on the
way in and out. A clamp of the hidden state is s = 0, d = v.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rnnwidget.cells.activations import RANGES, within
from rnnwidget.cells.edits import SiteEdit
from rnnwidget.cells.family import Family
from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.editing.clamped_rows import ClampedRows
from rnnwidget.editing.folded import Folded
from rnnwidget.editing.kept_weights import KeptWeights, Rewriting

# Beyond these factors and summands, turning a state into other coordinates and back would lose digits.
LEAST, MOST, FAR = 1e-3, 1e3, 64

States = tuple[Tensor, ...]


def fold(family: Family, weights: LayerWeights, edits: Sequence[SiteEdit], kept: KeptWeights) -> Folded | None:
    """Fold edits that are the same at every step and in every sequence; None where one of them has to be stepped.

    What comes out is good until ``kept`` is asked for the next time.
    """
    folding = _Folding(family, weights, kept)
    after: dict[str, list[SiteEdit]] = {}
    for edit in edits:
        if not edit.plain and not _uniform(edit):
            return None
        if edit.operation == "shift":
            folding.shift(edit)
        else:
            after.setdefault(edit.site, []).append(edit)
    if any([len(of_site) > 1 and not all(edit.operation == "clamp" for edit in of_site) for of_site in after.values()]):
        return None
    # What holds a state comes last: it decides over the gates that would have led there.
    for site in (*family.gates, *reversed(family.states)):
        if site in after and not folding.take_all(after[site]):
            return None
    return folding.result()


def _uniform(edit: SiteEdit) -> bool:
    """Whether an edit is the same at every step of every sequence.

    The way from a value to what it holds has gradients only where it is stepped.
    """
    alike = edit.value.shape[:2] == (1, 1) and (edit.mask is None or edit.mask.shape[:2] == (1, 1))
    return alike and not edit.value.requires_grad


class _Folding:
    """Gathers what edits do to rows, biases and coordinates."""

    def __init__(self, family: Family, weights: LayerWeights, kept: KeptWeights) -> None:
        self._family, self._weights = family, weights
        self._sites = list(family.activations)
        like, rows = weights.hidden_hidden, weights.hidden_hidden.size(0)
        self._units = rows // len(self._sites)
        self._kept = kept
        self._exact = like.dtype in (torch.float32, torch.float64)
        self._shifts: list[tuple[slice, float | Tensor]] = []
        self._clamped: list[ClampedRows] = []
        self._recurrent: Tensor | None = None
        self._projected: Tensor | None = None
        self._factor: Tensor | None = None
        self._offset: Tensor | None = None
        self._cell: tuple[Tensor, Tensor] | None = None
        self._held: tuple[Tensor, float] | None = None
        self._spared: Tensor | None = None

    def shift(self, edit: SiteEdit) -> None:
        number = edit.number if edit.mask is None else None
        self._shifts.append((self._rows(edit.site), self._spread(edit, 0) if number is None else number))

    def take_all(self, of_site: Sequence[SiteEdit]) -> bool:
        """Fold what comes after one nonlinearity, in order; False if it cannot be."""
        edit = of_site[0]
        alone = len(of_site) == 1 and self._factor is None and self._exact
        holds = (edit.site, edit.operation) == ("hidden", "clamp") and edit.site not in self._sites
        if alone and holds and edit.units is not None and edit.number is not None:
            self._held, self._spared = (edit.places, edit.number), edit.spared
            return True
        return all(map(self._take, of_site))

    def _take(self, edit: SiteEdit) -> bool:  # noqa: PLR0911 - a case for each site
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
        weights, kept = self._weights, self._in_kept_memory()
        if kept is not None:
            return kept
        input_bias, hidden_bias = self._turned_biases()
        # Backward, an infinite weight would meet the zero that comes back through a clamped gate.
        cleared = [clamped for clamped in self._clamped if torch.is_grad_enabled() or not clamped.saturates]
        for clamped in cleared:
            clamped.clear(hidden_bias)
        for clamped in self._clamped:
            clamped.write(input_bias)
        read, recurrent = weights.input_hidden, self._turned_matrix()
        if cleared:
            read, recurrent = read.clone(), recurrent.clone() if recurrent is weights.hidden_hidden else recurrent
        for clamped in cleared:
            clamped.clear(read)
            clamped.clear(recurrent)
        projection = weights.projection
        if projection is not None and self._projected is not None:
            projection = projection * self._projected
        changed = LayerWeights(read, recurrent, input_bias, hidden_bias, projection)
        holds = self._offset is not None or self._held is not None
        return Folded(changed, self._factor, self._offset, self._cell, self._held, holds or bool(self._clamped))

    def _in_kept_memory(self) -> Folded | None:
        """The result in memory that is used again, where states keep their coordinates."""
        turned = self._factor is not None or self._recurrent is not None or self._projected is not None
        rewriting = Rewriting(self._shifts, self._held, self._spared, self._clamped)
        if turned or not rewriting:
            return None
        weights = self._kept.of(self._weights, rewriting)
        if weights is None:
            return None
        holds = self._held is not None or bool(self._clamped)
        packed, safe = self._kept.packed, self._kept.safe and rewriting.safe and self._cell is None
        safe = safe and "relu" not in self._family.activations.values()  # whose states have no bounds
        return Folded(weights, None, None, self._cell, self._held, holds, rewriting, safe=safe, packed=packed)

    def _turned_matrix(self) -> Tensor:
        """The recurrent matrix as it reads the state inside the kernel."""
        recurrent = self._weights.hidden_hidden
        if self._factor is not None:
            recurrent = recurrent * self._factor
        if self._spared is not None:
            recurrent = recurrent * self._spared  # ∞ · 0 is NaN, as in the edited model
        return recurrent if self._recurrent is None else recurrent * self._recurrent[:, None]

    def _turned_biases(self) -> tuple[Tensor, Tensor]:
        """Both biases with shifts, and with what held units give."""
        input_bias, hidden_bias = self._biases()
        for rows, value in self._shifts:
            input_bias[rows].add_(value)
        if self._offset is not None and bool(self._offset.any()):
            hidden_bias += self._weights.hidden_hidden @ self._offset
        if self._held is not None and self._held[1] != 0:
            units, value = self._held
            hidden_bias += value * self._weights.hidden_hidden.index_select(1, units).sum(1)
        return input_bias, hidden_bias if self._recurrent is None else hidden_bias * self._recurrent

    def _biases(self) -> tuple[Tensor, Tensor]:
        """Both biases in memory of their own, where one of them is to be written."""
        weights = self._weights
        if weights.input_bias is None or weights.hidden_bias is None:
            return self._vector(0), self._vector(0)
        held_elsewhere = self._offset is not None or (self._held is not None and self._held[1] != 0)
        if not (self._shifts or self._clamped or held_elsewhere):
            return weights.input_bias, weights.hidden_bias
        return weights.input_bias.clone(), weights.hidden_bias.clone()

    def _reached(self, edit: SiteEdit) -> bool:
        """Whether a nonlinearity can give the value; what a gate is clamped to has been checked before."""
        return edit.site in self._family.gates or within(edit.value, *RANGES[self._family.activations[edit.site]])

    def _clamp_rows(self, edit: SiteEdit) -> None:
        activation, dtype = self._family.activations[edit.site], self._weights.hidden_hidden.dtype
        self._clamped.append(ClampedRows.of(edit, self._rows(edit.site), activation, dtype))

    def _hold_cell(self, edit: SiteEdit) -> bool:
        if not self._exact:
            return False
        for gate, bias in (("forget_gate", math.inf), ("input_gate", -math.inf)):
            self._clamped.append(ClampedRows.saying(bias, edit, self._rows(gate)))
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
            self._clamp_rows(SiteEdit("candidate", "clamp", edit.value.new_zeros(1, 1, 1), gone, number=0.0))
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
            added = self._spread(edit, 0)
            self._factor, self._offset = factor, offset + added
            return bool((added.abs() <= FAR).all())
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
