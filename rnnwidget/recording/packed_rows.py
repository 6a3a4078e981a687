"""The rows of a packed call: which step of which sequence each is, and which one its sequence read before it."""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rnnwidget.cells.large_memory import large_empty
from rnnwidget.recording.sequences import SequenceLayout


class PackedPlaces:
    """Where the rows of a packed call lie in (time, batch), the batch in the user's order."""

    def __init__(self, layout: SequenceLayout, device: torch.device) -> None:
        assert layout.batch_sizes is not None
        sizes = layout.batch_sizes
        self.steps, self.batch, self.live = layout.steps, layout.batch, layout.live(device)
        step = torch.repeat_interleave(torch.arange(self.steps, device="cpu"), sizes)
        start = sizes.cumsum(0) - sizes
        sequence = torch.arange(len(step), device="cpu") - start[step]
        before, after = (step - 1).clamp(min=0), (step + 1).clamp(max=self.steps - 1)
        last = (step + 1 == self.steps) | (sequence >= sizes[after])
        into_before, into_after = start[before] + sequence, torch.where(last, 0, start[after] + sequence)
        self._before = into_before.to(device), (step == 0).nonzero().squeeze(1).to(device)
        self._after = into_after.to(device), last.nonzero().squeeze(1).to(device)
        self._sequence = sequence.to(device)
        order = self._sequence if layout.sorted_indices is None else layout.sorted_indices.to(device)[self._sequence]
        self._of_row = step.to(device) * self.batch + order

    @cached_property
    def _row_of(self) -> Int[Tensor, " place"]:
        rows = self._of_row.new_zeros(self.steps * self.batch)
        rows[self._of_row] = torch.arange(len(self._of_row), device=rows.device)
        return rows

    @cached_property
    def _ended(self) -> Int[Tensor, " place"]:
        return (~self.live).flatten().nonzero().squeeze(1)

    def window(self, rows: Float[Tensor, "row unit"], start: int, stop: int) -> Float[Tensor, "time batch unit"]:
        """Some steps of :meth:`padded`."""
        chosen = rows.index_select(0, self._row_of[start * self.batch : stop * self.batch])
        shown = chosen.view(-1, self.batch, rows.size(1))
        return shown.masked_fill_(~self.live[start:stop], torch.nan)

    def padded(self, rows: Float[Tensor, "row unit"]) -> Float[Tensor, "time batch unit"]:
        """Rows at their places, NaN where a sequence has ended."""
        placed = large_empty((self.steps * self.batch, rows.size(1)), rows)
        torch.index_select(rows, 0, self._row_of, out=placed)
        return placed.index_fill_(0, self._ended, torch.nan).view(self.steps, self.batch, -1)

    def rows(self, padded: Float[Tensor, "time batch unit"]) -> Float[Tensor, "row unit"]:
        """The inverse of :meth:`padded`."""
        return padded.flatten(0, 1).index_select(0, self._of_row)

    def previous(
        self, rows: Float[Tensor, "row unit"], initial: Float[Tensor, "batch unit"], *, reverse: bool
    ) -> Float[Tensor, "row unit"]:
        """For each row the one that its sequence read before it; ``initial``, in the call's order, before the first."""
        source, first = self._after if reverse else self._before
        before = large_empty(tuple(rows.shape), rows)
        torch.index_select(rows, 0, source, out=before)
        before[first] = initial[self._sequence[first]]
        return before
