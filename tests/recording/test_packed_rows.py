"""Where the rows of a packed call lie, and what is computed on them, against plain loops over sequences."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

import rnnwidget as rw
from rnnwidget.recording.packed_rows import PackedPlaces
from rnnwidget.recording.sequences import SequenceLayout
from tests.cases import Case, assert_same_bits

LENGTHS = st.lists(st.integers(1, 5), min_size=1, max_size=5)


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


def test_what_is_changed_in_place_is_not_computed_from_in_a_reverse_layer() -> None:
    case = Case("lstm", bidirectional=True, form="packed", batch=3)
    with rw.record(case.module) as recording:
        case.call()
    with rw.record(case.module) as expected:
        case.call()
    layer, plain = recording["l0_reverse"], expected["l0_reverse"]
    for site in ("f", "i", "h"):
        layer[site].zero_()
    assert_same_bits(layer.cell, plain.cell)
    layer.cell.zero_()
    assert layer.replay_error == plain.replay_error


def test_weights_that_moved_behind_our_back_show_in_the_residual() -> None:
    case = Case("gru", bidirectional=True, form="packed", batch=3)
    with rw.record(case.module) as recording:
        case.call()
    (call,) = recording.recorded_calls
    call.snapshot.weights[0][1].input_hidden.add_(0.1)
    assert recording["l0"].replay_error <= 1e-12
    assert recording["l0_reverse"].replay_error > 1e-3
