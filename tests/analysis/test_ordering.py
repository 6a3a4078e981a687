import torch
from hypothesis import given
from hypothesis import strategies as st

from rnnwidget.analysis import clustered_order, pooled


def test_units_of_one_group_stand_together_however_they_are_shuffled():
    generator = torch.Generator().manual_seed(0)
    groups = torch.arange(4).repeat_interleave(8)
    signals = torch.randn(300, 4, generator=generator)
    activity = signals[:, groups] + 0.3 * torch.randn(300, 32, generator=generator)
    shuffle = torch.randperm(32, generator=generator)
    ordered = groups[shuffle][clustered_order(activity[:, shuffle])]
    changes = int((ordered[1:] != ordered[:-1]).sum())
    assert changes == 3


@given(st.integers(0, 40), st.integers(1, 12), st.integers(0, 10_000))
def test_every_unit_has_one_place(samples, units, seed):
    activity = torch.randn(samples, units, generator=torch.Generator().manual_seed(seed))
    activity[:, 0] = 2.0
    activity[::3] = torch.nan
    assert sorted(clustered_order(activity).tolist()) == list(range(units))


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 10), st.integers(1, 10), st.integers(0, 10_000))
def test_pooling_keeps_means_and_extremes(height, width, rows, columns, seed):
    matrix = torch.randn(height, width, generator=torch.Generator().manual_seed(seed))
    small = pooled(matrix, rows, columns)
    assert small.mean.shape[0] <= rows
    assert small.mean.shape[1] <= columns
    assert small.high.max() == matrix.max()
    assert small.low.min() == matrix.min()
    block = matrix[: small.row_factor, : small.column_factor]
    torch.testing.assert_close(small.mean[0, 0], block.mean())


def test_a_lone_infinity_survives_pooling():
    matrix = torch.zeros(4, 4)
    matrix[2, 3] = torch.inf
    small = pooled(matrix, 2, 2)
    assert small.high[1, 1] == torch.inf
    assert small.low[1, 1] == 0
