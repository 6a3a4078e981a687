import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from rnnwidget.analysis.strongest import strongest

SIZES = st.integers(1, 12)


@given(SIZES, SIZES, SIZES, SIZES, st.integers(0, 2**16), st.booleans())
def test_every_block_shows_the_entry_farthest_from_zero(height, width, rows, columns, seed, odd):
    matrix = torch.randn(height, width, generator=torch.Generator().manual_seed(seed))
    if odd:
        matrix[seed % height, seed % width] = torch.nan
    pooled = strongest(matrix, rows, columns)
    assert pooled.values.size(0) <= rows
    assert pooled.values.size(1) <= columns
    for row in range(pooled.values.size(0)):
        for column in range(pooled.values.size(1)):
            block = [
                float(matrix[i, j])
                for i in range(row * pooled.row_factor, min(height, (row + 1) * pooled.row_factor))
                for j in range(column * pooled.column_factor, min(width, (column + 1) * pooled.column_factor))
            ]
            shown = float(pooled.values[row, column])
            if any(math.isnan(value) for value in block):
                assert math.isnan(shown)
            else:
                assert shown in block
                assert abs(shown) == max(map(abs, block))
