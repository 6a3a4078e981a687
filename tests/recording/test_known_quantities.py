"""What was lent out and written into is not computed from, however it was written."""

import copy
import itertools
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw
from rnnwidget.recording.known_quantities import KnownQuantities
from rnnwidget.recording.layer_source import LayerSource
from tests.cases import PREACTIVATIONS, WRITERS, Case, assert_close, assert_same_bits
from tests.registered import registrations_of_their_own  # noqa: F401 - a fixture for every test


def known(gate: Tensor) -> KnownQuantities:
    quantities = KnownQuantities()
    quantities["gate"] = gate
    return quantities


@pytest.mark.parametrize("steps", [1, 512, 4000, 4096])
@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("units", [1, 15, 32, 33, 65])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_unit_written_at_every_step_shows(steps: int, batch: int, units: int, dtype: torch.dtype) -> None:
    quantities = known(torch.rand(steps, batch, units, dtype=dtype))
    gate = quantities.lend("gate")
    assert "gate" in quantities
    assert quantities["gate"].data_ptr() == gate.data_ptr()
    gate.numpy()[:, :, units // 2] = 0
    assert "gate" not in quantities


def test_what_is_shown_of_a_copy_stays_known() -> None:
    quantities = known(torch.rand(5, 2, 3))
    quantities.lend("gate", lambda own: own.flip(0)).zero_()
    assert "gate" in quantities


def test_what_is_computed_again_is_known() -> None:
    quantities = known(torch.rand(5, 2, 3))
    quantities.lend("gate").zero_()
    quantities |= {"gate": torch.zeros(5, 2, 3)}
    assert "gate" in quantities


@pytest.mark.parametrize("erase", WRITERS.values(), ids=WRITERS)
def test_what_was_lent_for_good_is_never_computed_from_nor_seen_again(erase: Callable[[Tensor], object]) -> None:
    values = torch.rand(5, 2, 3)
    quantities = known(values.clone())
    first = quantities.lend("gate", for_good=True)
    assert "gate" not in quantities
    quantities["gate"] = values
    erase(quantities.lend("gate", for_good=True))
    erase(first)
    assert quantities.lend("gate", for_good=True).equal(values)
    assert quantities["gate"] is values


def recorded(case: Case, edits: list[rw.Edit]) -> rw.Recording:
    with rw.edited(case.module, *edits), rw.record(case.module) as recording:
        case.call()
    return recording


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("erase", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("edited", [False, True])
@pytest.mark.parametrize("form", ["dense", "packed"])
@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh"])
def test_looks_after_a_write_are_what_they_were(
    kind: str, form: str, edited: bool, erase: Callable[[Tensor], object]
) -> None:
    case = Case(kind, form=form, bidirectional=True, layers=1, batch=3, steps=6)
    edits = [rw.shift(PREACTIVATIONS[kind][0], 0.5)] if edited else []
    for name, backwards in itertools.product(case.names, (True, False)):
        layer, plain = (recorded(case, edits)[name] for _ in range(2))
        sites = (*layer.gates, *layer.states)
        for site in sites[::-1] if backwards else sites:
            erase(layer[site])
            for other in sites:
                part = layer.source.site(other, (1, 4))
                assert_close(part, plain[other][1:4])
                erase(part)
                whole = layer.source.site(other)
                assert_same_bits(whole, plain[other])
                erase(layer.source.site(other, (1, 4)))
                assert_same_bits(whole, plain[other])


class Adder(nn.Module):
    """h ← h / 2 + x."""

    def forward(self, x: Tensor) -> Tensor:
        h, states = torch.zeros_like(x[0]), []
        for now in x:
            h = h / 2 + now
            states.append(h)
        return torch.stack(states)


def test_what_a_registered_step_shows_is_memory_of_its_own() -> None:
    rw.register(Adder, gates={"read": "identity"})(lambda _, x, h, at: h / 2 + at.gate("read", x))
    x = torch.rand(5, 2, 3)
    model = Adder()
    with rw.record(model) as recording:
        model(x)
    layer = recording["cell"]
    layer["read"].zero_()
    assert layer.inputs.equal(x)
    assert layer.preactivation("read").equal(x)
    layer.preactivation("read").zero_()
    assert layer.source.site("read").equal(x)
    assert layer.replay_error < 1e-6


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_memory_beside_a_gate_is_out_of_reach(kind: str) -> None:
    case = Case(kind, steps=6)
    for gate in recorded(case, [])["l0"].gates:
        layer, plain = recorded(case, [])["l0"], recorded(case, [])["l0"]
        layer[gate].untyped_storage().fill_(0)
        for site in layer.gates + layer.states:
            if site != gate:
                assert_same_bits(layer[site], plain[site])


@pytest.mark.usefixtures("at_once")
def test_the_form_of_a_gate_may_be_changed_in_place() -> None:
    case = Case("lstm", steps=1, batch=1, units=1)
    layer, plain = recorded(case, [])["l0"], recorded(case, [])["l0"]
    for gate in layer.gates:
        layer[gate].squeeze_()
    assert_same_bits(layer.cell, plain.cell)
    assert layer.replay_error == plain.replay_error


def test_edits_that_are_shown_are_not_those_of_other_runs() -> None:
    case = Case("lstm", steps=6)
    edit = rw.clamp("f", 0.0, steps=slice(2, 4), units=[0])
    expected = recorded(case, [edit])["l0"]
    for shown in (
        recorded(case, [edit])["l0"].edits,
        recorded(case, [rw.clamp("f", 0.0, steps=slice(2, 4))])["l0"].edits,
    ):
        shown.edits[0].mask.zero_()
        shown.edits[0].value.fill_(1)
    again = recorded(case, [edit])["l0"]
    assert_same_bits(again["f"], expected["f"])
    assert_same_bits(again.hidden, expected.hidden)


LOOKS: dict[str, Callable[[LayerSource], Tensor]] = {
    "i": lambda source: source.site("input_gate"),
    "c": lambda source: source.site("cell"),
    "first states": lambda source: source.initial[1],
    "i again": lambda source: source.site("input_gate"),
    "residual": lambda source: torch.tensor(source.residual),
    "window of c": lambda source: source.site("cell", (2, 5)),
    "c again": lambda source: source.site("cell"),
    "pre-activation": lambda source: source.preactivation("forget_gate"),
}


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("form", ["dense", "packed"])
def test_looks_from_several_threads_at_once(form: str, dtype: torch.dtype) -> None:
    case = Case("lstm", steps=30, batch=1, form=form, dtype=dtype)
    plain = {name: look(recorded(case, [])["l0"].source) for name, look in LOOKS.items()}
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            for _ in range(30):
                source = recorded(case, [])["l0"].source
                found = threads.map(lambda look, source=source: look(source), LOOKS.values())
                for name, tensor in zip(LOOKS, found, strict=True):
                    assert_same_bits(tensor, plain[name])
    finally:
        sys.setswitchinterval(interval)


def test_what_is_looked_at_can_be_copied() -> None:
    recording = recorded(Case("lstm"), [])
    copied = copy.deepcopy(recording["l0"])
    assert_same_bits(copied["i"], recording["l0"]["i"])
    assert_same_bits(copy.deepcopy(recording["l0"]).cell, recording["l0"].cell)
