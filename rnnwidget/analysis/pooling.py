"""Matrices at the resolution of a screen: means with extremes, so that a lone spike is never lost."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rnnwidget.recording.coarse_levels import mean_and_extremes


@dataclass(frozen=True)
class Pooled:
    """A matrix in cells of ``row_factor`` × ``column_factor`` entries; NaN entries count only where nothing else is."""

    mean: Float[Tensor, "row column"]
    low: Float[Tensor, "row column"]
    high: Float[Tensor, "row column"]
    row_factor: int
    column_factor: int

    @property
    def exact(self) -> bool:
        """Whether every cell is one entry."""
        return self.row_factor == self.column_factor == 1


def pooled(matrix: Float[Tensor, "row column"], rows: int, columns: int) -> Pooled:
    """Pool ``matrix`` to at most ``rows`` × ``columns`` cells, the last ones possibly partly filled.

    Examples
    --------
    >>> import torch
    >>> small = pooled(torch.tensor([[0.0, 0.0, 9.0, 0.0]]), rows=1, columns=2)
    >>> small.mean.tolist(), small.high.tolist()
    ([[0.0, 4.5]], [[0.0, 9.0]])
    """
    row_factor, column_factor = -(-matrix.size(0) // rows) or 1, -(-matrix.size(1) // columns) or 1
    if row_factor == column_factor == 1:
        return Pooled(matrix, matrix, matrix, 1, 1)
    height, width = -(-matrix.size(0) // row_factor), -(-matrix.size(1) // column_factor)
    padded = matrix.new_full((height * row_factor, width * column_factor), torch.nan)
    padded[: matrix.size(0), : matrix.size(1)] = matrix
    blocks = padded.reshape(height, row_factor, width, column_factor).transpose(1, 2).flatten(2)
    return Pooled(*mean_and_extremes(blocks, dim=2), row_factor, column_factor)
