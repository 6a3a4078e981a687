"""Where the rows of a packed call lie, and what is computed on them, against plain loops over sequences."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_sequence

import rnnwidget as rw
from rnnwidget.recording.packed_rows import PackedPlaces
from rnnwidget.recording.sequences import SequenceLayout
from tests.cases import WRITERS, Case, assert_same_bits

LENGTHS = st.lists(st.integers(1, 5), min_size=1, max_size=5)


def recorded(case: Case) -> rw.Recording:
    with rw.record(case.module) as recording:
        case.call()
    return recording


def packed(lengths: list[int]) -> tuple[PackedPlaces, list[torch.Tensor], torch.Tensor, SequenceLayout]:
    sequences = [100.0 * number + torch.arange(length).unsqueeze(1) for number, length in enumerate(lengths, start=1)]
    rows = pack_sequence(sequences, enforce_sorted=False)
    layout = SequenceLayout(max(lengths), len(lengths), False, *rows[1:])
    return PackedPlaces(layout, torch.device("cpu")), sequences, rows.data, layout


@given(LENGTHS)
def test_rows_lie_at_their_steps_and_ended_sequences_are_blank(lengths: list[int]) -> None:
    places, sequences, rows, _ = packed(lengths)
    padded = places.padded(rows)
    for number, (length, sequence) in enumerate(zip(lengths, sequences, strict=True)):
        torch.testing.assert_close(padded[:length, number], sequence)
        assert padded[length:, number].isnan().all()
    assert torch.equal(places.rows(padded), rows)


@given(LENGTHS, st.booleans())
def test_the_row_before_is_that_of_the_sequence(lengths: list[int], reverse: bool) -> None:
    places, sequences, rows, layout = packed(lengths)
    initial = -torch.arange(1.0, len(lengths) + 1).unsqueeze(1)
    before = places.padded(places.previous(rows, layout.to_call_order(initial, dim=0), reverse=reverse))
    for number, (length, sequence) in enumerate(zip(lengths, sequences, strict=True)):
        read = sequence.flip(0) if reverse else sequence
        expected = torch.cat([initial[number : number + 1], read[:-1]])
        torch.testing.assert_close(before[:length, number], expected.flip(0) if reverse else expected)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("name", ["l0", "l0_reverse"])
@pytest.mark.parametrize("erase", WRITERS.values(), ids=WRITERS)
def test_what_is_changed_in_place_is_not_computed_from(
    kind: str, name: str, erase: Callable[[torch.Tensor], object]
) -> None:
    case = Case(kind, bidirectional=True, form="packed", batch=3)
    layer, plain = recorded(case)[name], recorded(case)[name]
    *_, changed, asked = layer.gates
    for look in (
        lambda of: of.preactivation(asked),
        lambda of: torch.tensor(of.replay_error),
        lambda of: of[of.states[-1]],
    ):
        erase(layer[changed])
        assert_same_bits(look(layer).nan_to_num(), look(plain).nan_to_num())


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh"])
def test_a_window_is_a_part_of_the_whole_and_holds_no_more(kind: str) -> None:
    case = Case(kind, bidirectional=True, form="packed", batch=3, steps=6)
    for name in case.names:
        layer = recorded(case)[name]
        for site in layer.gates + layer.states:
            part, other = layer.window(site, slice(2, 4)), recorded(case)[name][site][2:4]
            assert part.isnan().equal(other.isnan())
            assert_same_bits(part.nan_to_num(), other.nan_to_num())
        hidden = layer.window("hidden", slice(2, 4))
        assert hidden.untyped_storage().nbytes() == hidden.nbytes


def test_a_cell_that_is_not_finite_has_no_residual() -> None:
    lstm = nn.LSTM(2, 3, bidirectional=True)
    packed_input = pack_sequence([torch.randn(length, 2) for length in (2, 4)], enforce_sorted=False)
    cell = torch.zeros(2, 2, 3)
    cell[1, 0, 0] = torch.inf
    with rw.record(lstm) as recording:
        output, _ = lstm(packed_input, (torch.zeros(2, 2, 3), cell))
    assert output.data.isfinite().all()
    assert recording["l0"].replay_error < 1e-5
    assert math.isnan(recording["l0_reverse"].replay_error)


def test_weights_that_moved_behind_our_back_show_in_the_residual() -> None:
    case = Case("gru", bidirectional=True, form="packed", batch=3)
    recording = recorded(case)
    (call,) = recording.recorded_calls
    call.snapshot.weights[0][1].input_hidden.add_(0.1)
    assert recording["l0"].replay_error <= 1e-12
    assert recording["l0_reverse"].replay_error > 1e-3
