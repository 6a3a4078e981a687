"""The ledger of a memory against products written out step by step."""

import inspect
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

import rnnwidget as rw
from rnnwidget.cells import LeakyRNN, MinGRU, PeepholeLSTM
from tests.cases import Case, assert_close, cases
from tests.edit_cases import EditCase, edited_cases

MEMORY = {"lstm": "cell", "gru": "hidden"}


def kept_and_written(layer: rw.LayerRecording) -> tuple[Tensor, Tensor]:
    if layer.family == "gru":
        return layer["z"], (1 - layer["z"]) * layer["n"]
    return layer["f"], layer["i"] * layer["g"]


def by_products(
    layer: rw.LayerRecording, order: list[int], sequence: int, *, state: str, edited: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Written and edited amounts and what is left of the initial state, by input position, with a loop over pairs."""
    kept, wrote = kept_and_written(layer)
    shape = layer[state][:, sequence].shape
    written, put_in = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
    before = layer.initial[state][sequence]
    for place, s in enumerate(order):
        product = torch.ones(shape[-1], dtype=torch.float64)
        for u in order[place + 1 :]:
            product = product * kept[u, sequence]
        written[s] = product * wrote[s, sequence]
        computed = kept[s, sequence] * before + wrote[s, sequence]
        if edited:
            put_in[s] = product * (layer[state][s, sequence] - computed)
        before = layer[state][s, sequence]
    left = layer.initial[state][sequence].clone()
    for u in order:
        left = left * kept[u, sequence]
    return written, put_in, left


def assert_accounted(
    case: Case, layer: rw.LayerRecording, ledger: rw.Ledger, step: int | None, *, edited: bool = False
) -> None:
    state = MEMORY[case.family]
    assert ledger.state == state
    for b, sequence in enumerate(case.sequences):
        length = len(sequence)
        if step is not None and step >= length:
            for found in (ledger.total, ledger.reached, ledger.initial, ledger.written[:, b], ledger.edited[:, b]):
                assert (found if found.dim() == 2 and found.size(0) != case.sequences_count else found[b]).isnan().all()
            continue
        order = list(range(length))
        if layer.name.endswith("_reverse"):
            order.reverse()
        order = order if step is None else order[: order.index(step) + 1]
        written, put_in, left = by_products(layer, order, b, state=state, edited=edited)
        written[length:] = put_in[length:] = torch.nan
        assert_close(ledger.written[:, b], written)
        assert_close(ledger.edited[:, b], put_in)
        assert_close(ledger.initial[b], left)
        assert int(ledger.steps[b]) == order[-1]
        assert_close(ledger.reached[b], layer[state][order[-1], b])
        assert_close(ledger.total[b], layer[state][order[-1], b])


memories = cases(family=st.sampled_from(["lstm", "gru"]), training=False)


@settings(max_examples=40)
@given(case=memories, step=st.none() | st.integers(0, 4))
def test_every_share_is_its_product_and_all_add_up(case: Case, step: int | None) -> None:
    with rw.record(case.module) as recording:
        case.call()
    step = None if step is None else min(step, case.steps - 1)
    for name in case.names:
        assert_accounted(case, recording[name], rw.cell_ledger(recording[name], step), step)


@settings(max_examples=40)
@given(drawn=edited_cases(memories), step=st.none() | st.integers(0, 4))
def test_an_edit_has_its_own_entry(drawn: tuple[Case, list[EditCase]], step: int | None) -> None:
    case, edits = drawn
    with rw.record(case.module) as recording, rw.edited(case.module, *(edit.ours() for edit in edits)):
        case.call()
    step = None if step is None else min(step, case.steps - 1)
    for name in case.names:
        assert_accounted(case, recording[name], rw.cell_ledger(recording[name], step), step, edited=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_long_runs_add_up_in_every_precision(kind: type[nn.RNNBase], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = kind(3, 16).to(dtype)
    with rw.record(model) as recording:
        model(torch.randn(600, 2, 3, dtype=dtype))
    ledger = rw.cell_ledger(recording["l0"])
    assert ledger.written.dtype == torch.float32
    # A GRU's state is the model's own, rounded to its precision at every step.
    rounding = torch.finfo(dtype).eps if kind is nn.GRU else 0
    assert ledger.error <= 1e-5 + 4 * rounding
    assert not ledger.edited.any()


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_stitched_calls_are_one_run(kind: type[nn.RNNBase], *, bidirectional: bool) -> None:
    torch.manual_seed(0)
    model = kind(3, 4, bidirectional=bidirectional, dtype=torch.float64)
    sequences = [[torch.randn(steps, 3, dtype=torch.float64) for steps in call] for call in ((2, 4), (3, 1), (2, 2))]
    state, site = None, "cell" if kind is nn.LSTM else "hidden"
    edit = rw.nudge(site, 0.5, steps=[1, 5], units=[2])
    with rw.record(model) as recording, rw.edited(model, edit):
        for call in sequences:
            _, state = model(pack_sequence(call, enforce_sorted=False), state)
    for layer in (recording[name] for name in recording.layers):
        ledger = rw.cell_ledger(layer)
        assert ledger.error <= 1e-12
        row = 0 if layer.name == "l0" else 1
        final = state[1] if kind is nn.LSTM else state
        assert_close(ledger.total, final[row])
        assert set(ledger.edited.nan_to_num().nonzero()[:, 2].tolist()) == {2}
        assert ledger.written.isnan().all(-1).T.tolist()[0] == [False, False, True, True] + 5 * [False]


def test_cells_in_a_loop() -> None:
    cell, state = nn.LSTMCell(3, 4).double(), None
    with rw.record(cell) as recording:
        for x in torch.randn(7, 2, 3, dtype=torch.float64):
            state = cell(x, state)
    ledger = rw.cell_ledger(recording["cell"])
    assert_close(ledger.total, state[1])


@pytest.mark.parametrize("kind", [MinGRU, PeepholeLSTM])
def test_registered_memories(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = kind(3, 4).double()
    with rw.record(model) as recording, rw.edited(model, rw.scale(recording_state(kind), 2.0, steps=[3])):
        model(torch.randn(7, 2, 3, dtype=torch.float64))
    ledger = rw.cell_ledger(recording["cell"])
    assert ledger.error <= 1e-12
    assert ledger.edited[3].abs().min() > 0


def recording_state(kind: type[nn.Module]) -> str:
    return "hidden" if kind is MinGRU else "cell"


def test_what_is_not_finite_stays_visible_and_later_steps_do_not_reach_back() -> None:
    model, x = nn.LSTM(3, 4), torch.randn(6, 2, 3)
    x[4, 0] = torch.nan
    with rw.record(model) as recording:
        model(x)
    last, before = rw.cell_ledger(recording["l0"]), rw.cell_ledger(recording["l0"], 3)
    assert last.total[0].isnan().all()
    assert last.written[:5, 0].isnan().all()
    assert last.error != last.error
    assert last.total[1].isfinite().all()
    assert before.error <= 1e-5
    assert (before.written[4:] == 0).all()


def test_a_saved_run_has_the_same_ledger(tmp_path: object) -> None:
    case = Case("gru", bidirectional=True, form="packed", batch=3)
    with rw.record(case.module) as recording, rw.edited(case.module, rw.nudge("hidden", 1.0, steps=[0])):
        case.call()
    recording.save(f"{tmp_path}/run.safetensors")
    loaded = rw.load(f"{tmp_path}/run.safetensors")
    for name in recording.layers:
        ours, theirs = rw.cell_ledger(recording[name]), rw.cell_ledger(loaded[name])
        assert_close(theirs.written, ours.written)
        assert_close(theirs.edited, ours.edited)


def test_refusals() -> None:
    x = torch.randn(5, 1, 3)
    for model in (nn.RNN(3, 4), LeakyRNN(3, 4)):
        with rw.record(model) as recording:
            model(x)
        with pytest.raises(ValueError, match=r"is of family .*; a ledger is there for lstm, .*gru"):
            rw.cell_ledger(recording[recording.layers[0]])
    model = nn.LSTM(3, 4)
    with rw.record(model) as recording:
        model(x)
    for step in (5, -1):
        with pytest.raises(IndexError, match="it has 5 steps"):
            rw.cell_ledger(recording["l0"], step)
    for wrong, found in ((recording, "a whole recording, which has 'l0'"), ("l0", "str: 'l0'")):
        with pytest.raises(TypeError, match=rf"reads one layer, such as recording\['lstm\.l0'\]; got {found}"):
            inspect.unwrap(rw.cell_ledger)(wrong)  # the tests' own check of types stands before ours


def test_it_is_told_in_one_line() -> None:
    model = torch.nn.LSTM(3, 4)
    with torch.no_grad(), rw.record(model) as recording:
        model(torch.randn(6, 2, 3))
    assert re.fullmatch(
        r"Ledger\('cell', steps=6, sequences=2, units=4; error \de[+-]\d\d\)", repr(rw.cell_ledger(recording["l0"]))
    )


@pytest.mark.parametrize("packed", [False, True])
def test_a_saved_run_of_stitched_calls_has_the_ledger_of_the_run(packed: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, state = torch.nn.LSTM(3, 4, bidirectional=True).double(), None

    def given(lengths: list[int]) -> object:
        if packed:
            return pack_sequence([torch.randn(steps, 3).double() for steps in lengths], enforce_sorted=False)
        return torch.randn(max(lengths), len(lengths), 3).double()

    with torch.no_grad(), rw.record(module) as recording:
        for lengths in ([2, 4], [3, 1], [1, 2]):
            _, state = module(given(lengths), state)
    recording.save(tmp_path / "run.safetensors")
    loaded = rw.load(tmp_path / "run.safetensors")
    for name in recording.layers:
        one, other = (rw.cell_ledger(run[name]) for run in (recording, loaded))
        assert one.error < 1e-12
        for part in ("steps", "written", "initial", "total"):
            torch.testing.assert_close(getattr(one, part), getattr(other, part), rtol=0, atol=0, equal_nan=True)
