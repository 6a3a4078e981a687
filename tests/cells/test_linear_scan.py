"""The cell state over time against a plain loop, in blocks and step by step, in small memory and in large."""

from unittest.mock import patch

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnnwidget.cells import linear_scan
from rnnwidget.cells.large_memory import LARGE, large_copy, large_empty
from rnnwidget.cells.linear_scan import padded_scan, scan_in_place

SHORT = st.sampled_from([64, linear_scan.SHORT])


def scan(keep: Tensor, opened: Tensor, candidate: Tensor, first: Tensor) -> Tensor:
    return scan_in_place(keep, opened * candidate, first)


def looped(keep: Tensor, opened: Tensor, candidate: Tensor, state: Tensor) -> Tensor:
    states = []
    for f, i, g in zip(keep, opened, candidate, strict=True):
        state = f * state + i * g
        states.append(state)
    return torch.stack(states)


def drawn(seed: int, steps: int, batch: int, units: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    keep, opened, candidate = torch.randn(3, steps, batch, units, generator=generator, dtype=torch.float64)
    first = torch.randn(batch, units, generator=generator, dtype=torch.float64)
    return (3 * keep).sigmoid(), opened.sigmoid(), candidate.tanh(), first


@given(SHORT, st.integers(0, 99), st.integers(1, 400), st.integers(1, 3), st.integers(1, 5), st.booleans())
@settings(deadline=None, max_examples=100)
def test_it_is_the_loop(short: int, seed: int, steps: int, batch: int, units: int, grows: bool) -> None:
    keep, *others = drawn(seed, steps, batch, units)
    keep = keep * (1.2 if grows else 1)
    with patch.object(linear_scan, "SHORT", short):
        found = scan(keep, *others)
    torch.testing.assert_close(found, looped(keep, *others), rtol=1e-12, atol=1e-12)


@given(
    SHORT,
    st.sampled_from([0, linear_scan.NARROW]),
    st.integers(0, 99),
    st.lists(st.sampled_from([1, 2, 30, 80]), min_size=1, max_size=4),
    st.integers(1, 5),
    st.booleans(),
)
@settings(deadline=None)
def test_with_padding_it_is_the_loop_over_each_sequence(
    short: int, narrow: int, seed: int, lengths: list[int], units: int, reverse: bool
) -> None:
    keep, opened, candidate, first = drawn(seed, max(lengths), len(lengths), units)
    live = (torch.arange(max(lengths)).unsqueeze(1) < torch.tensor(lengths)).unsqueeze(-1)
    keep = keep.masked_fill(~live, torch.nan)
    before = keep.clone()
    with patch.object(linear_scan, "SHORT", short), patch.object(linear_scan, "NARROW", narrow):
        found = padded_scan(keep, opened * candidate, first, live, reverse=reverse)
    assert torch.equal(keep.nan_to_num(), before.nan_to_num())
    for number, length in enumerate(lengths):
        read = [tensor[:length, number] for tensor in (keep, opened, candidate)]
        if reverse:
            expected = looped(*(tensor.flip(0) for tensor in read), first[number]).flip(0)
        else:
            expected = looped(*read, first[number])
        torch.testing.assert_close(found[:length, number], expected, rtol=1e-12, atol=1e-12)
        assert found[length:, number].isnan().all()


@given(
    SHORT,
    st.integers(0, 99),
    st.integers(1, 200),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 199), st.sampled_from([torch.inf, -torch.inf, torch.nan]))),
    st.booleans(),
)
@settings(deadline=None, max_examples=100)
def test_what_is_not_finite_stands_where_the_loop_has_it(
    short: int, seed: int, steps: int, places: list[tuple[int, int, float]], closes: bool
) -> None:
    keep, opened, candidate, first = drawn(seed, steps, 1, 3)
    if closes:
        keep[steps // 2 :] = 1e-200  # products of these are zero before long
    for which, step, value in places:
        if which == 3:
            first[0, step % 3] = value
        elif which == 0:
            keep[step % steps, 0, step % 3] = torch.nan
        else:
            (opened, candidate)[which - 1][step % steps, 0, step % 3] = value
    with patch.object(linear_scan, "SHORT", short):
        found = scan(keep, opened, candidate, first)
    torch.testing.assert_close(found, looped(keep, opened, candidate, first), rtol=1e-12, atol=1e-12, equal_nan=True)


def test_wide_states_are_the_loop() -> None:
    keep, *others = drawn(0, 40, 2, linear_scan.NARROW)
    torch.testing.assert_close(scan(keep, *others), looped(keep, *others), rtol=1e-12, atol=1e-12)


@given(st.integers(0, 5), st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bool]))
@settings(deadline=None, max_examples=20)
def test_large_memory_is_plain_memory(more: int, dtype: torch.dtype) -> None:
    like = torch.zeros(1, dtype=dtype)
    rows = LARGE // 8 // dtype.itemsize + more
    memory = large_empty((rows, 2, 5), like)
    assert memory.shape == (rows, 2, 5)
    assert memory.dtype == dtype
    assert memory.is_contiguous()
    values = torch.arange(rows * 10).view(rows, 2, 5).to(dtype)
    copied = large_copy(values.transpose(0, 1))
    assert copied.equal(values.transpose(0, 1))
    assert copied.data_ptr() != values.data_ptr()
