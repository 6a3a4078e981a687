"""Edits that take their values from another run, and lesions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import rnnwidget as rw
from rnnwidget.cells import LeakyRNN
from tests.cases import PREACTIVATIONS, STATES, Case, assert_close, assert_same_bits, cases
from tests.edit_cases import EditCase
from tests.editing.test_against_step_loop import assert_edited


def recorded(case: Case, *edits: rw.Edit) -> rw.Recording:
    with rw.record(case.module) as recording, rw.edited(case.module, *edits):
        case.call()
    return recording


@settings(max_examples=50)
@given(st.data(), cases())
def test_a_lesion_holds_the_hidden_state(data: st.DataObject, case: Case) -> None:
    units = data.draw(st.lists(st.integers(0, case.width - 1), min_size=1, unique=True))
    layer = data.draw(st.none() | st.sampled_from(case.names))
    assert_edited(case, [EditCase("clamp", "hidden", "hidden", 0.0, layer, units, None, None)])
    held, lesioned = recorded(case, rw.clamp("h", 0.0, layer=layer, units=units)), None
    lesioned = recorded(case, rw.lesion(units, layer=layer))
    for name in case.names:
        assert_same_bits(lesioned[name].hidden, held[name].hidden)


def test_to_the_mean_over_live_steps_and_every_call() -> None:
    case = Case("lstm", layers=2, form="packed", steps=6, batch=3)
    with rw.record(case.module) as healthy:
        case.call()
        case.call()
    for name in case.names:
        rows = healthy[name].hidden
        mean = rows[~rows.isnan().any(dim=-1)].mean(dim=0)
        lesioned = recorded(case, rw.lesion([1, 3], layer=name, to="mean", recording=healthy))[name].hidden
        live = ~lesioned.isnan()
        assert_close(
            lesioned[..., [1, 3]][live[..., [1, 3]]], mean[[1, 3]].expand_as(rows[..., [1, 3]])[live[..., [1, 3]]]
        )
    everywhere = recorded(case, rw.lesion([0], to="mean", recording=healthy))
    means = [healthy[name].hidden[..., 0].nanmean() for name in case.names]
    assert means[0] != means[1]
    for name, mean in zip(case.names, means, strict=True):
        assert_close(everywhere[name].hidden[0, :, 0], mean.expand(3))


@settings(max_examples=60)
@given(st.data(), cases())
def test_a_patch_is_a_clamp_to_what_was_recorded(data: st.DataObject, case: Case) -> None:
    sites = tuple(dict.fromkeys(PREACTIVATIONS[case.family] + STATES[case.family]))
    site, name = data.draw(st.sampled_from(sites)), data.draw(st.sampled_from(case.names))
    units = data.draw(st.none() | st.lists(st.integers(0, case.width_of(site) - 1), min_size=1, unique=True))
    steps = data.draw(st.none() | st.lists(st.integers(0, case.steps), min_size=1, unique=True))
    donor = recorded(case, rw.shift(PREACTIVATIONS[case.family][0], 0.7), rw.nudge("hidden", 0.3))
    values = donor[name][site]
    chosen = values[[step for step in steps if step < case.steps]] if steps is not None else values
    chosen = (chosen if units is None else chosen[..., units]).nan_to_num()
    if steps is None or any(step < case.steps for step in steps):
        live = None if steps is None else [step for step in steps if step < case.steps]
        assert_edited_like(
            case, donor, EditCase("clamp", site, site, chosen, name, units, live, None), name, units, steps
        )


def assert_edited_like(
    case: Case, donor: rw.Recording, spelled: EditCase, name: str, units: list[int] | None, steps: list[int] | None
) -> None:
    patched = recorded(case, rw.patch(spelled.site, donor, layer=name, units=units, steps=steps))
    expected = case.reference((spelled.spelled_out(case),))
    for layer in case.names:
        for site in patched[layer].gates + patched[layer].states:
            assert_close(patched[layer][site], expected.layers[layer][site])
        assert patched[layer].replay_error <= 1e-12


def test_a_recording_of_one_sequence_goes_into_every_sequence() -> None:
    one, several = Case("gru", batch=1, steps=3), Case("gru", batch=3, steps=5)
    donor = recorded(one)
    patched = recorded(several, rw.patch("hidden", donor))
    assert_close(patched["l0"].hidden[:3], donor["l0"].hidden.expand(3, 3, 4))
    assert not torch.equal(patched["l0"].hidden[3], patched["l0"].hidden[2])


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_along_a_loop_of_cells(kind: str) -> None:
    torch.manual_seed(0)
    cell = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}[kind](3, 4)
    x, other = torch.randn(2, 7, 2, 3)

    def run(inputs: torch.Tensor) -> None:
        state = None
        for now in inputs:
            state = cell(now, state)

    with rw.record(cell) as donor:
        run(other)
    with rw.record(cell) as patched, rw.edited(cell, rw.patch("h", donor, steps=slice(2, 5), units=[1])):
        run(x)
    assert_same_bits(patched["cell"].hidden[2:5, :, 1], donor["cell"].hidden[2:5, :, 1])
    with rw.record(cell) as plain:
        run(x)
    assert_close(patched["cell"].hidden[:2], plain["cell"].hidden[:2], 1e-6)
    assert patched["cell"].replay_error < 1e-5


def test_each_call_takes_from_the_call_of_its_place() -> None:
    torch.manual_seed(0)
    model, x = torch.nn.GRU(3, 4), torch.randn(2, 5, 1, 3)
    with rw.record(model) as donor:
        model(x[0])
        model(x[1])
    with rw.record(model) as patched, rw.edited(model, rw.patch("hidden", donor)):
        for _ in range(3):
            model(torch.zeros(5, 1, 3))
    first, second, third = (call.hidden for call in patched.calls("l0"))
    assert_same_bits(first, donor.calls("l0")[0].hidden)
    assert_same_bits(second, donor.calls("l0")[1].hidden)
    assert_same_bits(third, second)


def test_what_was_not_finite_is_patched_as_it_was() -> None:
    case, sick = Case("lstm"), Case("lstm")
    sick.sequences[0][2] = torch.nan
    donor = recorded(sick)
    patched = recorded(case, rw.patch("hidden", donor, layer="l0"))
    assert_same_bits(patched["l0"].hidden, donor["l0"].hidden)


def test_words() -> None:
    case = Case("lstm")
    healthy = recorded(case)
    assert repr(rw.lesion([3, 1], layer="l0")) == "lesion([3, 1], layer='l0', to='zero')"
    assert repr(rw.lesion(2, to="mean", recording=healthy)) == "lesion([2], to='mean', recording=Recording(l0))"
    assert repr(rw.patch("c", healthy, steps=[1])) == "patch('cell', Recording(l0), steps=[1])"
    assert rw.lesion([1, 3]) == rw.lesion([3, 1])
    assert rw.lesion([1]) != rw.clamp("hidden", 0.0, units=[1])
    assert rw.patch("c", healthy) == rw.patch("cell", healthy)
    assert rw.patch("c", healthy) != rw.patch("c", recorded(case))
    assert not rw.patch("c", healthy).identity


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda healthy: rw.lesion([0], to="median"), ValueError, "'zero' or to 'mean'"),
        (lambda healthy: rw.lesion([0], to="mean"), TypeError, "recording=.*NoneType"),
        (lambda healthy: rw.patch("cell", healthy["l0"]), TypeError, "Recording.*LayerRecording"),
        (lambda healthy: rw.lesion([-1]), IndexError, "count from 0"),
        (lambda healthy: rw.patch("nowhere", healthy), KeyError, "no site 'nowhere'"),
    ],
)
def test_bad_arguments(make, error: type[Exception], words: str) -> None:
    healthy = recorded(Case("lstm"))
    with pytest.raises(error, match=words):
        make(healthy)


@pytest.mark.parametrize(
    ("family", "layers", "batch", "edit", "error", "words"),
    [
        ("lstm", 2, 2, lambda r: rw.patch("cell", r), ValueError, "no layer 'l1'; it has l0"),
        ("gru", 1, 2, lambda r: rw.patch("candidate", r), ValueError, None),
        ("lstm", 1, 3, lambda r: rw.patch("cell", r), ValueError, "2 sequences, this call has 3"),
        ("lstm", 1, 2, lambda r: rw.patch("cell", r, units=[4]), IndexError, "units 0 to 3"),
        ("gru", 1, 2, lambda r: rw.patch("update_gate", r), ValueError, "its family is another"),
    ],
)
def test_a_recording_that_does_not_fit(
    family: str, layers: int, batch: int, edit, error: type[Exception], words: str | None
) -> None:
    donor = recorded(Case("lstm", batch=2))
    case = Case(family, layers=layers, batch=batch)
    if words is None:
        recorded(case, edit(donor))  # both families have a candidate of the same width
        return
    with pytest.raises(error, match=words):
        recorded(case, edit(donor))
    assert not case.module._forward_hooks


def test_in_a_registered_family() -> None:
    torch.manual_seed(0)
    model = LeakyRNN(3, 4, tau=60.0, nonlinearity="tanh")
    x, other = torch.randn(2, 6, 2, 3)
    with rw.record(model) as donor:
        model(other)
    name = donor.layers[0]
    for edit, clamp in (
        (rw.lesion([1, 2]), rw.clamp("hidden", 0.0, units=[1, 2])),
        (rw.patch("hidden", donor, units=[0]), rw.clamp("hidden", donor[name].hidden[..., :1], units=[0])),
        (
            rw.lesion([3], to="mean", recording=donor),
            rw.clamp("hidden", donor[name].hidden[..., 3].double().mean().float(), units=[3]),
        ),
    ):
        one, same = (rw.intervene(model, x, made) for made in (edit, clamp))
        assert_same_bits(one.recording[name].hidden, same.recording[name].hidden)
        assert one.change[name].abs().max() > 0


@pytest.mark.parametrize("stored", [False, True])
def test_padding_inside_a_run_of_packed_calls_is_no_value(stored: bool, tmp_path: Path) -> None:
    module = torch.nn.GRU(3, 4).double()

    def packed(steps: int, lengths: list[int]) -> torch.nn.utils.rnn.PackedSequence:
        x = torch.randn(steps, 3, 3, generator=torch.Generator().manual_seed(steps)).double()
        return torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)

    with torch.no_grad(), rw.record(module) as recording:
        _, h = module(packed(3, [2, 3, 1]))
        _, h2 = module(packed(2, [1, 2, 2]), h)
    donor = recording["l0"].hidden
    if stored:
        recording.save(tmp_path / "run.safetensors")
        recording = rw.load(tmp_path / "run.safetensors")
        torch.testing.assert_close(rw.cell_ledger(recording["l0"]).total, h2[0])
    x = torch.randn(5, 3, 3).double()
    with torch.no_grad(), rw.edited(module, rw.lesion([0], to="mean", recording=recording)):
        lesioned = module(x)[0]
    torch.testing.assert_close(lesioned[..., 0], donor[..., 0].nanmean().expand(5, 3))
    with torch.no_grad(), rw.edited(module, rw.patch("hidden", recording)):
        patched = module(x)[0]
    padding = donor.isnan()
    torch.testing.assert_close(patched[~padding], donor[~padding])
    assert patched.isfinite().all()


def test_units_steps_and_sequences_may_be_numpy_arrays() -> None:
    for units in (np.array([1, 2]), np.int64(1)):
        assert rw.lesion(units) == rw.lesion(np.atleast_1d(units).tolist())
    made = rw.clamp("f", 1.0, steps=np.arange(3), batch=np.array([0]))
    assert made == rw.clamp("f", 1.0, steps=[0, 1, 2], batch=[0])
    for odd in (np.array([0.5]), np.array([True]), np.array(["a"])):
        with pytest.raises(TypeError, match="units must be integers"):
            rw.lesion(odd)
    with pytest.raises(IndexError, match="count from 0"):
        rw.lesion(np.array([-1]))


def loop(cell: nn.GRUCell, x: Tensor) -> Tensor:
    h, states = None, []
    for now in x:
        h = cell(now, h)
        states.append(h)
    return torch.stack(states)


@torch.no_grad()
def test_along_a_loop_a_recording_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """At every step it would take as long as the loop is."""
    cell, x, other = nn.GRUCell(3, 4), torch.randn(30, 2, 3), torch.randn(30, 2, 3)
    with rw.record(cell) as donor:
        given_off = loop(cell, other)
    asked, calls = [], rw.Recording.calls
    monkeypatch.setattr(rw.Recording, "calls", lambda recording, layer: asked.append(layer) or calls(recording, layer))
    with rw.edited(cell, rw.patch("hidden", donor, steps=slice(5, 9))):
        states = loop(cell, x)
    assert_same_bits(states[5:9], given_off[5:9])
    assert_same_bits(states[:5], loop(cell, x)[:5])
    assert len(asked) <= 2


@torch.no_grad()
def test_a_recording_that_goes_on_is_looked_up_again() -> None:
    cell, patched, x = nn.GRUCell(3, 4), nn.GRUCell(3, 4), torch.randn(2, 2, 3)
    with rw.record(cell) as donor:
        first = cell(x[0])
        edit = rw.patch("hidden", donor)
        with rw.edited(patched, edit):
            assert_same_bits(loop(patched, x)[0], first)
        second = cell(x[1], first)
    with rw.edited(patched, edit):
        assert_same_bits(loop(patched, x), torch.stack([first, second]))
