"""Matrices at the resolution of a screen where what is largest must show: signed extremes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Strongest:
    """The entry farthest from zero of each block of ``row_factor`` × ``column_factor``, with its sign."""

    values: Float[Tensor, "row column"]
    row_factor: int
    column_factor: int


def strongest(matrix: Float[Tensor, "row column"], rows: int, columns: int) -> Strongest:
    """Pool ``matrix`` to at most ``rows`` × ``columns`` entries; a block with a NaN is NaN.

    Examples
    --------
    >>> import torch
    >>> strongest(torch.tensor([[0.1, -0.9, 0.3], [0.2, 0.2, 0.0]]), rows=1, columns=2).values
    tensor([[-0.9000,  0.3000]])
    """
    row_factor, column_factor = -(-matrix.size(0) // rows) or 1, -(-matrix.size(1) // columns) or 1
    if row_factor == column_factor == 1:
        return Strongest(matrix, 1, 1)
    height, width = -(-matrix.size(0) // row_factor), -(-matrix.size(1) // column_factor)
    padded = matrix.new_zeros(height * row_factor, width * column_factor)
    padded[: matrix.size(0), : matrix.size(1)] = matrix
    blocks = padded.reshape(height, row_factor, width, column_factor)
    low, high = blocks.amin(dim=(1, 3)), blocks.amax(dim=(1, 3))
    return Strongest(torch.where(-low > high, low, high), row_factor, column_factor)
