"""Long series at the resolution of a screen: means with extremes, so that a lone spike is never lost."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rnnwidget.recording.arithmetic import in_single

COLUMNS = 2048
"""A longer series is worth a coarse level."""

_COLUMNS_AT_ONCE = 64


@dataclass(frozen=True)
class CoarseLevel:
    """A gate or state in columns of ``steps`` steps each, the last one possibly partly filled; NaN as in ``mean``."""

    mean: Float[Tensor, "column batch unit"]
    low: Float[Tensor, "column batch unit"]
    high: Float[Tensor, "column batch unit"]
    steps: int

    @property
    def exact(self) -> bool:
        """Whether every column is one step."""
        return self.steps == 1


def steps_per_column(steps: int) -> int:
    """How many of ``steps`` steps one column of a coarse level covers."""
    return -(-steps // COLUMNS) or 1


def mean_and_extremes(blocks: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, least and greatest along ``dim``; NaN entries count only where nothing else is."""
    low = blocks.amin(dim=dim)
    if not torch.isnan(low).any():
        return blocks.mean(dim=dim), low, blocks.amax(dim=dim)
    missing = torch.isnan(blocks)
    empty = missing.all(dim=dim)
    low = blocks.masked_fill(missing, torch.inf).amin(dim=dim).masked_fill(empty, torch.nan)
    high = blocks.masked_fill(missing, -torch.inf).amax(dim=dim).masked_fill(empty, torch.nan)
    return blocks.nanmean(dim=dim), low, high


def coarse_level(values: Float[Tensor, "time batch unit"]) -> CoarseLevel:
    """The coarse level of a gate or state; reads it piece by piece, as a file on disk asks for.

    Examples
    --------
    >>> import torch
    >>> spike = torch.zeros(5000, 1, 1)
    >>> spike[1234] = 7.0
    >>> level = coarse_level(spike)
    >>> level.steps, level.mean.shape, level.high.max().item()
    (3, torch.Size([1667, 1, 1]), 7.0)
    """
    steps = steps_per_column(values.size(0))
    if steps == 1:
        same = in_single(values)
        return CoarseLevel(same, same, same, 1)
    whole = values.size(0) // steps * steps
    blocks = [part.unflatten(0, (-1, steps)) for part in values[:whole].split(_COLUMNS_AT_ONCE * steps)]
    if whole < values.size(0):
        blocks.append(values[whole:].unsqueeze(0))
    parts = [mean_and_extremes(in_single(block), dim=1) for block in blocks]
    mean, low, high = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
    return CoarseLevel(mean, low, high, steps)
