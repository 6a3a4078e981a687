"""Which part of an output is one sequence's, and which axis of it is time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Wanted:
    """The sequence to find in an output; ``steps`` is the length of the longest, 0 if unknown.

    ``classes`` is how many the last axis has, 0 if unknown; ``axis`` the batch's, where a longer output has told it.
    """

    sequence: int
    batch: int
    lengths: Sequence[int]
    batch_first: bool | None
    classes: int = 0
    axis: int | None = None

    @property
    def steps(self) -> int:
        return max(self.lengths, default=0)

    @property
    def own_steps(self) -> int:
        return self.lengths[self.sequence] if self.lengths else 0


def class_scores(tensor: Tensor, wanted: Wanted) -> tuple[Tensor, str] | None:
    """Scores as cross entropy takes them: (class), (N, class) or (N, class, position...)."""
    batch, steps = wanted.batch, wanted.steps
    if tensor.dim() < 2:
        return (tensor.reshape(-1), "") if batch == 1 else None
    first = tensor.size(0) == batch
    third = tensor.dim() > 2 and tensor.size(2) == batch and tensor.size(0) == steps
    if batch > 1 and (first == third and not (first and wanted.batch_first)):
        return None
    if first:
        own = tensor[wanted.sequence].movedim(0, -1)
    else:
        own = (tensor.select(2, wanted.sequence) if third else tensor).movedim(1, -1)
    return at_last_step(own, range(own.dim() - 1), wanted)


def last_outputs(tensor: Tensor, wanted: Wanted, *, per_step: bool) -> tuple[Tensor, str] | None:
    """The last outputs of any other shape; ``per_step`` if a vector as long as the sequence has one for each step."""
    axis = batch_axis(tensor, wanted)
    if axis is None and wanted.batch > 1:
        return None
    own = tensor if axis is None else tensor.select(axis, wanted.sequence)
    if axis == 1:
        return at_last_step(own, range(1), wanted)
    return at_last_step(own, range(own.dim() if own.dim() > 1 or per_step else 0), wanted)


def batch_axis(tensor: Tensor, wanted: Wanted) -> int | None:
    """The axis that counts the sequences, None if it cannot be told."""
    batch, steps = wanted.batch, wanted.steps
    if wanted.axis is not None and tensor.dim() > wanted.axis and tensor.size(wanted.axis) == batch:
        return wanted.axis
    first = tensor.dim() > 0 and tensor.size(0) == batch
    # Time or layers may come before the batch, but of two axes the first is time or the batch.
    second = tensor.dim() > 1 and tensor.size(1) == batch and (tensor.dim() > 2 or tensor.size(0) == steps)
    if not (first and second) or batch == 1:
        return 0 if first else 1 if second else None
    if steps not in {0, batch} or wanted.batch_first is None:
        return None
    if wanted.batch_first:
        return 0
    # A square of two axes may as well be (sequence, class) after a time-first layer.
    square = 0 if wanted.classes == tensor.size(-1) else None
    return 1 if tensor.dim() > 2 else square


def at_last_step(own: Tensor, may_be_time: range, wanted: Wanted) -> tuple[Tensor, str]:
    """The vector along the last axis that is left: the sequence's own last step, the last of any other axis."""
    where = ""
    time = next((axis for axis in may_be_time if own.size(axis) == wanted.steps), None)
    if time is not None:
        own, where = own.select(time, wanted.own_steps - 1), ", last step"
    while own.dim() > 1:
        own, where = own[-1], where or (", last position" if wanted.lengths else ", last step")
    return own.reshape(-1), where


@dataclass(frozen=True)
class SeriesAxes:
    """Which axis of an output counts the sequences, None if there is one, and which axis of what is left the steps."""

    batch: int | None
    time: int
    steps: int

    def of(self, tensor: Tensor, sequence: int) -> Tensor | None:
        """One sequence of an output of this layout as (channel, step); None if it has another."""
        if tensor.dim() <= (self.batch or 0) or (self.batch is not None and sequence >= tensor.size(self.batch)):
            return None
        own = tensor if self.batch is None else tensor.select(self.batch, sequence)
        if not self.time < own.dim() <= 2:
            return None
        return own.unsqueeze(0) if own.dim() == 1 else own.movedim(self.time, 1)


def series_axes(tensor: Tensor, wanted: Wanted) -> SeriesAxes | None:
    """Where the series of one sequence lies; None where there is none."""
    axis = batch_axis(tensor, wanted)
    if axis is None and wanted.batch > 1:
        return None
    own = tensor if axis is None else tensor.select(axis, wanted.sequence)
    if own.dim() not in (1, 2):
        return None
    time = 1 if own.dim() == 2 and own.size(0) != wanted.steps == own.size(1) else 0
    return SeriesAxes(axis, time, own.size(time))


def own_series(tensor: Tensor, wanted: Wanted) -> Tensor | None:
    """One sequence's values as (channel, step), cut to its own steps; None where they are no series."""
    axes = series_axes(tensor, wanted)
    own = None if axes is None else axes.of(tensor, wanted.sequence)
    return own if own is None or own.size(1) != wanted.steps else own[:, : wanted.own_steps]
