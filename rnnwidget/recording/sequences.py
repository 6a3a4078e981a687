"""From the layouts in which PyTorch passes sequences to ``(time, batch, unit)`` in the user's order, and back."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

Window = tuple[int, int]
"""A run of steps: the first, and the one after the last."""


class SequenceLayout(NamedTuple):
    """How one call lays its sequences out.

    ``batch_sizes``, ``sorted_indices`` and ``unsorted_indices`` are a ``PackedSequence``'s, None for a dense call.
    """

    steps: int
    batch: int
    batch_first: bool
    batch_sizes: Int[Tensor, " steps"] | None = None
    sorted_indices: Int[Tensor, " batch"] | None = None
    unsorted_indices: Int[Tensor, " batch"] | None = None

    @property
    def packed(self) -> bool:
        return self.batch_sizes is not None

    def lengths(self, device: torch.device | None = None) -> Int[Tensor, " batch"]:
        """The number of steps of each sequence, in the user's order."""
        if self.batch_sizes is None:
            return torch.full((self.batch,), self.steps, dtype=torch.int64, device=device or "cpu")
        counts = _counts(self.batch_sizes, self.batch).to(device)
        return counts if self.unsorted_indices is None else counts[self.unsorted_indices.to(device)]

    def live(self, device: torch.device) -> Bool[Tensor, "time batch 1"]:
        """True where a step exists, False at padding."""
        steps = torch.arange(self.steps, device=device).unsqueeze(1)
        return (steps < self.lengths(device)).unsqueeze(-1)

    def to_time_first(self, tensor: Shaped[Tensor, "..."]) -> Shaped[Tensor, "time batch unit"]:
        """A call's input or output as (time, batch, unit) in the user's order; padding is zero."""
        if self.batch_sizes is not None:
            packed = PackedSequence(tensor, self.batch_sizes, self.sorted_indices, self.unsorted_indices)
            return pad_packed_sequence(packed)[0]
        return tensor.transpose(0, 1) if self.batch_first else tensor

    def from_time_first(self, tensor: Shaped[Tensor, "time batch unit"]) -> Shaped[Tensor, "..."]:
        """The inverse of :meth:`to_time_first`."""
        if self.batch_sizes is not None:
            ordered = self.to_call_order(tensor, dim=1)
            return pack_padded_sequence(ordered, _counts(self.batch_sizes, self.batch)).data
        return tensor.transpose(0, 1) if self.batch_first else tensor

    def to_user_order(self, tensor: Shaped[Tensor, "..."], dim: int) -> Shaped[Tensor, "..."]:
        """Undo a packed call's sorting of the batch along ``dim``."""
        return tensor if self.unsorted_indices is None else tensor.index_select(dim, self.unsorted_indices)

    def to_call_order(self, tensor: Shaped[Tensor, "..."], dim: int) -> Shaped[Tensor, "..."]:
        """The order in which a packed call holds the batch along ``dim``."""
        return tensor if self.sorted_indices is None else tensor.index_select(dim, self.sorted_indices)

    def flipped(self, tensor: Shaped[Tensor, "time #batch unit"]) -> Shaped[Tensor, "time batch unit"]:
        """Every sequence read backwards within its own length; padding stays at the end. Its own inverse."""
        if self.batch_sizes is None:
            return tensor.flip(0)
        if tensor.size(1) == 1 and self.batch > 1:
            tensor = tensor.expand(-1, self.batch, -1)
        return tensor.flatten(0, 1).index_select(0, self._mirrored(tensor.device)).view(tensor.shape)

    def _mirrored(self, device: torch.device) -> Int[Tensor, " rows"]:
        """For every step of every sequence the row, time after time, that it is exchanged with."""
        steps = torch.arange(self.steps, device=device).unsqueeze(1)
        lengths = self.lengths(device)
        source = torch.where(steps < lengths, lengths - 1 - steps, steps)
        return (source * self.batch + torch.arange(self.batch, device=device)).flatten()


def _counts(batch_sizes: Int[Tensor, " steps"], batch: int) -> Int[Tensor, " batch"]:
    """The number of steps of each sequence, in the packed order."""
    return (batch_sizes.unsqueeze(1) > torch.arange(batch, device=batch_sizes.device)).sum(0)
