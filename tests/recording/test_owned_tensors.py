"""A recording owns what it shows: nothing that happens afterwards reaches it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw
from tests.cases import WRITERS, Case, assert_same_bits


def everything(recording: rw.Recording) -> list[Tensor]:
    found = []
    for name in recording.layers:
        layer = recording[name]
        found += [layer[site] for site in layer.gates + layer.states] + [layer.inputs]
        found += [layer.preactivation(gate) for gate in layer.gates] + list(layer.initial.values())
    return [tensor.clone() for tensor in found]


def relu_the_output(case: Case, output: Tensor, _finals: object) -> None:
    with torch.no_grad():
        output.relu_().mul_(7)


def reuse_the_input(case: Case, _output: Tensor, _finals: object) -> None:
    case.arguments[0].fill_(torch.nan)


def reuse_the_state(case: Case, _output: Tensor, finals: tuple[Tensor, ...]) -> None:
    with torch.no_grad():
        for tensor in (*finals, *case.arguments[1]):
            tensor.zero_()


def clamp_the_data(case: Case, _output: Tensor, _finals: object) -> None:
    for parameter in case.module.parameters():
        parameter.data.clamp_(-0.01, 0.01)


def step(case: Case, output: Tensor, _finals: object) -> None:
    output.sum().backward()
    torch.optim.SGD(case.module.parameters(), lr=10.0).step()


def load(case: Case, _output: Tensor, _finals: object) -> None:
    case.module.load_state_dict({name: torch.zeros_like(p) for name, p in case.module.state_dict().items()})


@pytest.mark.parametrize("change", [relu_the_output, reuse_the_input, reuse_the_state, clamp_the_data, step, load])
@pytest.mark.parametrize("edit", [None, rw.shift("f", 0.5), rw.nudge("cell", 0.5, steps=[1])])
def test_later_changes_do_not_reach_it(change: Callable[..., None], edit: rw.Edit | None) -> None:
    case = Case("lstm", layers=2, bidirectional=True)
    edits = () if edit is None else (edit,)
    with rw.edited(case.module, *edits), rw.record(case.module) as expected:
        case.call()
    before = everything(expected)
    with rw.edited(case.module, *edits), rw.record(case.module) as recording:
        output, finals = case.call()
        change(case, output, finals)
    assert_same_bits(everything(recording), before)
    assert all(recording[name].replay_error < 1e-12 for name in recording.layers)


def test_changing_what_a_recording_shows_does_not_reach_the_model() -> None:
    case = Case("lstm", layers=2)
    plain = case.call()
    with rw.record(case.module) as recording:
        output, _ = case.call()
    for name in recording.layers:
        recording[name].hidden.zero_()
        recording[name].inputs.zero_()
    assert_same_bits(output, plain[0])
    assert_same_bits(case.call(), plain)


def test_snapshot_is_shared_while_nothing_moved() -> None:
    case = Case("gru", layers=2)

    def snapshot() -> object:
        with rw.record(case.module) as recording:
            case.call()
        recordings.append(recording)
        return recording["l0"].source._calls[0].snapshot

    recordings: list[rw.Recording] = []
    first, second = snapshot(), snapshot()
    assert first is second
    case.module.weight_hh_l1.data.clamp_(-0.1, 0.1)
    third = snapshot()
    assert third is not first
    assert snapshot() is third


def test_results_under_inference_mode_are_usable_outside() -> None:
    case = Case("lstm", layers=2, dtype=torch.float32)
    case.call()
    with torch.inference_mode(), rw.record(case.module) as recording:
        case.call()
    assert recording["l0"].replay_error < 1e-5
    with rw.record(case.module, gradients=True) as again:
        case.call()[0].sum().backward()
    assert again["l0"].replay_error < 1e-5
    assert again.gradient_flow()["l0"].cell.isfinite().all()


def test_what_is_handed_out_can_be_changed_without_harm() -> None:
    model = nn.LSTM(3, 4, num_layers=2)
    with torch.inference_mode(), rw.record(model) as recording:
        model(torch.randn(5, 2, 3))
    for name in recording.layers:
        recording[name].hidden.zero_()
        recording[name].inputs.zero_()
        assert not recording[name].hidden.is_inference()
        assert recording[name].replay_error < 1e-6


def test_modules_whose_names_meet_stay_apart() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.ModuleDict({"lstm": nn.LSTM(3, 4)})
            self.lstm = nn.LSTM(4, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lstm(self.module["lstm"](x)[0])[0]

    model = Both()
    with rw.record(model) as recording:
        model(torch.randn(5, 2, 3))
    assert recording.layers == ("module.lstm.l0", "lstm.l0")


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("erase", WRITERS.values(), ids=WRITERS)
def test_a_gate_that_is_changed_in_place_is_not_computed_from(
    packed: bool, erase: Callable[[torch.Tensor], object]
) -> None:
    case = Case("lstm", form="packed" if packed else "dense")
    with rw.record(case.module) as recording:
        case.call()
    with rw.record(case.module) as expected:
        case.call()
    layer, plain = recording["l0"], expected["l0"]
    for gate in ("f", "i"):
        erase(layer[gate])
    layer.initial["hidden"].add_(1)
    assert_same_bits(layer.cell, plain.cell)
    assert layer.replay_error == plain.replay_error
    assert_same_bits(layer.preactivation("f"), plain.preactivation("f"))
    assert not torch.equal(layer["f"], plain["f"])
