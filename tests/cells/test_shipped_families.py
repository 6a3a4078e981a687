"""The layers that ship beside PyTorch's own, against loops written from the papers' formulas."""

import copy

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import rnnwidget as rw
from rnnwidget.cells import ExcitatoryInhibitoryRNN, LeakyRNN, MinGRU, PeepholeLSTM
from tests.cases import assert_close, assert_same_bits
from tests.plain_loop import change
from tests.shipped import KINDS, Shipped, shipped


@settings(max_examples=150)
@given(shipped())
def test_every_quantity_is_the_papers(case: Shipped) -> None:
    with rw.record(case.module) as recording:
        output, finals = case.call()
    expected, layer = case.loop(), recording["cell"]
    assert (layer.family, layer.gates, layer.states) == (case.of.family, case.of.gates, case.of.states)
    assert_close(output, expected.output, case.tolerance)
    for ours, theirs in zip(finals, expected.finals, strict=True):
        assert_close(ours, theirs, case.tolerance)
    for site in case.sites:
        assert_close(layer[site], expected.layer[site], case.tolerance)
    for site in case.preactivations:
        assert_close(layer.preactivation(site), expected.layer[f"preactivation:{site}"], case.tolerance)
    assert_same_bits(layer.hidden, output)
    assert_same_bits(layer.inputs, case.x)
    assert 0 <= layer.replay_error <= case.tolerance


@settings(max_examples=100)
@given(shipped(dtype=torch.float64), st.sampled_from(["output", "finals", "both"]))
def test_gradients_are_autograds_on_the_loop(case: Shipped, where: str) -> None:
    weights = case._drawn(9, case.steps, case.batch, case.units)

    def loss(output: Tensor, finals: tuple[Tensor, ...]) -> Tensor:
        from_output = (weights * output + output * output).sum()
        from_finals = sum((place + 1) * (weights[0] * final).sum() for place, final in enumerate(finals))
        return {"output": from_output, "finals": from_finals, "both": from_output + from_finals}[where]

    with rw.record(case.module, gradients=True) as recording:
        loss(*case.call()).backward()
    flow = recording.gradient_flow()["cell"]
    expected = case.loop()
    theirs = loss(expected.output, expected.finals)
    for state in case.of.states:
        assert_close(flow.states[state], expected.layer.gradient(theirs, state))
    assert_close(flow.hidden_local, expected.layer.gradient(theirs, "outward"))
    for site in case.preactivations:
        assert_close(flow.preactivation(site), expected.layer.gradient(theirs, f"preactivation:{site}"))
    parameters = list(case.module.parameters())
    wanted = torch.autograd.grad(theirs, parameters, allow_unused=True, materialize_grads=True)
    for parameter, gradient in zip(parameters, wanted, strict=True):
        assert_close(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad, gradient)


@settings(max_examples=100)
@given(shipped(dtype=torch.float64), st.data())
def test_edits_are_those_of_an_edited_loop(case: Shipped, data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from(["clamp", "shift", "scale", "nudge"]))
    site = data.draw(st.sampled_from(case.preactivations if operation == "shift" else case.sites))
    steps = data.draw(st.none() | st.lists(st.integers(0, case.steps - 1), min_size=1, max_size=2, unique=True))
    units = data.draw(st.none() | st.lists(st.integers(0, case.units - 1), min_size=1, max_size=2, unique=True))
    value = data.draw(st.sampled_from([0.0, 0.25, 1.0]))
    edit = getattr(rw, operation)(site, value, steps=steps, units=units)
    expected = case.loop(change(operation, site, value, (case.steps, case.batch, case.units), steps=steps, units=units))
    with rw.record(case.module) as recording, rw.edited(case.module, edit):
        output, finals = case.call()
    assert_close(output, expected.output)
    for ours, theirs in zip(finals, expected.finals, strict=True):
        assert_close(ours, theirs)
    for name in case.sites:
        assert_close(recording["cell"][name], expected.layer[name])
    for name in case.preactivations:
        assert_close(recording["cell"].preactivation(name), expected.layer[f"preactivation:{name}"])
    assert recording["cell"].replay_error <= 1e-12


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
def test_a_leak_of_one_is_pytorchs_rnn(nonlinearity: str) -> None:
    ours, theirs = LeakyRNN(3, 4, dt=1.0, tau=1.0, nonlinearity=nonlinearity), nn.RNN(3, 4, nonlinearity=nonlinearity)
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(ours.weight_ih)
        theirs.weight_hh_l0.copy_(ours.weight_hh)
        theirs.bias_ih_l0.copy_(ours.bias)
        theirs.bias_hh_l0.zero_()
    x = torch.randn(6, 2, 3)
    assert_close(ours(x)[0], theirs(x)[0], 1e-5)


def test_without_peepholes_it_is_pytorchs_lstm() -> None:
    ours, theirs = PeepholeLSTM(3, 4), nn.LSTM(3, 4)
    with torch.no_grad():
        ours.weight_peephole.zero_()
        theirs.weight_ih_l0.copy_(ours.weight_ih)
        theirs.weight_hh_l0.copy_(ours.weight_hh)
        theirs.bias_ih_l0.copy_(ours.bias)
        theirs.bias_hh_l0.zero_()
    x = torch.randn(6, 2, 3)
    with rw.record(ours) as mine, rw.record(theirs) as pytorchs:
        ours(x)
        theirs(x)
    assert mine["cell"].gates == pytorchs["l0"].gates
    for letter in "ifgohc":
        assert_close(mine["cell"][letter], pytorchs["l0"][letter], 1e-5)


def test_an_update_gate_of_one_replaces_in_min_gru_and_keeps_in_pytorchs() -> None:
    for value in (0.0, 1.0):
        model, state = MinGRU(3, 4), torch.randn(2, 4)
        with rw.record(model) as recording, rw.edited(model, rw.clamp("update_gate", value)):
            model(torch.randn(5, 2, 3), state)
        layer = recording["cell"]
        assert_close(layer.hidden, layer["candidate_state"] if value else state.expand(5, 2, 4), 1e-6)


def test_a_candidate_without_bounds_may_be_clamped_anywhere() -> None:
    model = MinGRU(3, 4)
    with rw.edited(model, rw.clamp("candidate_state", 7.0), rw.clamp("update_gate", 1.0)):
        assert bool((model(torch.randn(5, 2, 3))[0] == 7).all())
    with pytest.raises(KeyError, match="no targeted layer has that site"), rw.edited(model, rw.clamp("candidate", 1.0)):
        pass


def test_dales_law() -> None:
    torch.manual_seed(0)
    model = ExcitatoryInhibitoryRNN(3, 20, excitatory=0.8)
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(3):
        weight = model.recurrent_weight.detach()
        assert not weight.diagonal().any()
        assert bool((weight[:, :16] >= 0).all())
        assert bool((weight[:, 16:] <= 0).all())
        optimiser.zero_grad()
        model(torch.randn(10, 4, 3))[0].square().mean().backward()
        optimiser.step()
    assert model.weight_hh.grad.diagonal().abs().max() == 0
    assert bool((model(torch.randn(10, 4, 3))[0] >= 0).all())


@pytest.mark.parametrize(("excitatory", "count"), [(0.8, 80), (0.0, 0), (1.0, 100), (0.255, 26)])
def test_how_excitation_and_inhibition_start(excitatory: float, count: int) -> None:
    torch.manual_seed(0)
    model = ExcitatoryInhibitoryRNN(3, 100, excitatory=excitatory)
    weight = model.recurrent_weight.detach()
    assert model.excitatory_size == count == int((model.sign > 0).sum())
    assert float(torch.linalg.eigvals(weight).abs().max()) == pytest.approx(1.5, rel=1e-3)
    if 0 < count < 100:
        sent, held_back = weight.clamp(min=0).sum(), weight.clamp(max=0).sum().abs()
        assert float(sent / held_back) == pytest.approx(1.0, abs=0.1)
    assert bool(((model.weight_ih >= 0) & (model.weight_ih <= 0.1)).all())
    assert not model.bias.any()


def test_a_lone_unit_feeds_nobody() -> None:
    assert ExcitatoryInhibitoryRNN(1, 1).recurrent_weight.tolist() == [[0.0]]


@pytest.mark.parametrize("build", [LeakyRNN, ExcitatoryInhibitoryRNN])
def test_a_shifted_drive_is_a_current(build: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model, x = build(3, 6), torch.rand(7, 2, 3)
    with rw.edited(model, rw.shift("drive", 0.7, units=[2])):
        injected, _ = model(x)
    with torch.no_grad():
        model.bias[2] += 0.7
    assert_close(injected, model(x)[0], 1e-5)


def test_the_nonlinearity_of_each_module_is_its_own() -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({kind: LeakyRNN(3, 4, nonlinearity=kind) for kind in ("relu", "tanh")})
    with rw.record(model) as recording:
        for layer in model.values():
            layer(torch.randn(6, 2, 3))
    assert (recording["relu"]["drive"] >= 0).all()
    assert (recording["tanh"]["drive"] < 0).any()
    assert all(recording[kind].replay_error < 1e-5 for kind in recording.layers)
    with pytest.raises(ValueError, match=r"drive lies in \[-1, 1\]"), rw.edited(model["tanh"], rw.clamp("drive", 2.0)):
        pass
    with rw.edited(model["relu"], rw.clamp("drive", 2.0)):
        model["relu"](torch.randn(6, 2, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_no_steps_no_batch_and_copies(kind: str) -> None:
    for steps, batch in ((0, 2), (3, 0)):
        case = Shipped(kind, steps=steps, batch=batch, given=False, batch_first=True)
        with rw.record(case.module) as recording:
            output, finals = case.call()
        assert output.shape == (steps, batch, 4)
        assert all(state.shape == (batch, 4) for state in finals)
        assert recording["cell"].replay_error == 0.0
        for site in case.sites:
            assert recording["cell"][site].shape == (steps, batch, 4)
    case = Shipped(kind)
    twin = copy.deepcopy(case.module)
    twin.load_state_dict(case.module.state_dict())
    assert_same_bits(twin(case.x)[0], case.module(case.x)[0])
    assert f"{case.features}, {case.units}" in repr(case.module)


@pytest.mark.parametrize("kind", KINDS)
def test_going_on_from_the_final_states_is_one_run(kind: str) -> None:
    case = Shipped(kind, given=False)
    with rw.record(case.module) as recording:
        _, state = case.module(case.x[:3])
        case.module(case.x[3:], state)
    assert len(recording.calls("cell")) == 1
    expected = case.loop()
    for site in case.sites:
        assert_close(recording["cell"][site], expected.layer[site])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LeakyRNN(3, 0), "hidden_size must be a whole number of at least 1, got 0"),
        (lambda: MinGRU(2.5, 4), "input_size must be .*, got 2.5"),
        (lambda: LeakyRNN(3, 4, dt=2.0, tau=1.0), "at most tau.*dt=2.0 and tau=1.0"),
        (lambda: ExcitatoryInhibitoryRNN(3, 4, dt=0.0), "above 0.*dt=0.0"),
        (lambda: LeakyRNN(3, 4, nonlinearity="gelu"), "one of relu, tanh; got 'gelu'"),
        (lambda: ExcitatoryInhibitoryRNN(3, 4, excitatory=80), r"in \[0, 1\]; got 80"),
        (
            lambda: LeakyRNN(3, 4)(torch.zeros(5, 3)),
            r"\(time, batch, feature\) with 3 features, got .*x.unsqueeze\(1\)",
        ),
        (lambda: MinGRU(3, 4, batch_first=True)(torch.zeros(2, 5, 2)), r"\(batch, time, feature\) with 3 features"),
        (lambda: PeepholeLSTM(3, 4)(torch.zeros(5, 2, 3), (torch.zeros(2, 4),)), r"hidden and cell.*\(2, 4\)"),
        (lambda: LeakyRNN(3, 4)(torch.zeros(5, 2, 3), torch.zeros(1, 2, 4)), r"got \(1, 2, 4\)"),
    ],
)
def test_what_will_not_do_is_said(build: object, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the types' own checks, which only the tests have.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        build()
