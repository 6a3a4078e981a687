"""Everything a recording says against a plain step loop."""

import contextlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

import rnnwidget as rw
from rnnwidget.recording import LayerRecording
from tests.cases import GATES, LETTERS, PREACTIVATIONS, STATES, Case, assert_close, assert_same_bits, cases
from tests.reference import Reference


def assert_layer(layer: LayerRecording, name: str, case: Case, expected: Reference, tolerance: float) -> None:
    assert layer.name == name
    assert layer.family == {"tanh": "rnn", "relu": "rnn"}.get(case.family, case.family)
    assert layer.gates == GATES[case.family]
    assert layer.states == STATES[case.family]
    for letter, site in LETTERS[case.family].items():
        assert_close(layer[site], expected.layers[name][site], tolerance)
        assert layer[letter] is layer[site]
        assert not layer[site].requires_grad
    for site in PREACTIVATIONS[case.family]:
        assert_close(layer.preactivation(site), expected.layers[name][f"preactivation:{site}"], tolerance)
    assert layer.hidden is layer["hidden"]
    if "cell" in layer.states:
        assert layer.cell is layer["cell"]
    assert_close(layer.inputs, expected.inputs[name], tolerance)
    assert layer.lengths.tolist() == [len(sequence) for sequence in case.sequences]
    assert layer.replay_error <= tolerance


def assert_output(
    case: Case, output: object, finals: tuple[Tensor, ...], expected: Reference, tolerance: float
) -> None:
    assert_close(case.output_by_position(output), expected.output, tolerance)
    for ours, theirs in zip(finals, expected.finals, strict=True):
        assert_close(ours.unsqueeze(1) if case.form == "unbatched" else ours, theirs, tolerance)


@settings(max_examples=150)
@given(case=cases(), grad=st.booleans())
def test_every_quantity_is_the_step_loop_s(case: Case, grad: bool) -> None:
    expected = case.reference()
    with contextlib.nullcontext() if grad else torch.no_grad():
        plain = case.call()
        random_state = torch.get_rng_state()
        with rw.record(case.module) as recording:
            output, finals = case.call()
    assert torch.equal(torch.get_rng_state(), random_state)
    assert_same_bits((output, finals), plain)
    assert isinstance(output, PackedSequence) == case.form.startswith("packed")
    assert_output(case, output, finals, expected, 1e-12)

    assert recording.layers == case.names
    for name in case.names:
        assert len(recording.calls(name)) == 1
        assert_layer(recording[name], name, case, expected, 1e-12)
    top = [recording[name].hidden for name in case.names[-case.directions :]]
    assert_same_bits(torch.cat(top, dim=-1), case.output_by_position(output))


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@settings(max_examples=40)
@given(case=cases(dtype=torch.float32), grad=st.booleans())
def test_single_precision(case: Case, grad: bool) -> None:
    with contextlib.nullcontext() if grad else torch.no_grad(), rw.record(case.module) as recording:
        output, _ = case.call()
    expected = case.reference()
    for name in case.names:
        assert_layer(recording[name], name, case, expected, 1e-5)
    top = [recording[name].hidden for name in case.names[-case.directions :]]
    assert_same_bits(torch.cat(top, dim=-1), case.output_by_position(output))


def single_layer(case: Case, index: int) -> torch.nn.RNNBase:
    alone = Case(case.family, bidirectional=case.bidirectional, dtype=case.dtype).module
    if index:
        alone = type(alone)(
            alone.hidden_size * case.directions,
            alone.hidden_size,
            bidirectional=case.bidirectional,
            **({"nonlinearity": case.family} if case.family in ("tanh", "relu") else {}),
        )
    for name, parameter in alone.named_parameters():
        parameter.data = getattr(case.module, name.replace("l0", f"l{index}")).data.clone()
    return alone


@pytest.mark.parametrize("family", ["tanh", "relu", "lstm", "gru"])
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_layers_below_the_top_have_the_bits_of_the_call(family: str, grad: bool, training: bool) -> None:
    case = Case(
        family, layers=3, bidirectional=True, dropout=0.5, training=training, dtype=torch.float32, steps=30, batch=5
    )
    alone = [single_layer(case, index).train(training) for index in range(case.layers - 1)]
    with contextlib.nullcontext() if grad else torch.no_grad(), rw.record(case.module) as recording:
        case.call()
    torch.manual_seed(case.seed + 3)
    below = case.arguments[0]
    for index, module in enumerate(alone):
        state = tuple(one[2 * index : 2 * index + 2] for one in case.state)
        with contextlib.nullcontext() if grad else torch.no_grad():
            output, _ = module(below, state if family == "lstm" else state[0])
        sides = [recording[f"l{index}"].hidden, recording[f"l{index}_reverse"].hidden]
        assert_same_bits(torch.cat(sides, dim=-1), output)
        below = torch.nn.functional.dropout(output, 0.5, training=training)
        assert_same_bits(recording[f"l{index + 1}"].inputs, below)


@pytest.mark.parametrize("grad", [True, False])
def test_the_replay_runs_in_the_grad_mode_of_the_call(grad: bool) -> None:
    # At this size float32 bits differ between grad mode and no_grad on CPU.
    torch.manual_seed(0)
    stack, alone, x = torch.nn.LSTM(64, 64, num_layers=2), torch.nn.LSTM(64, 64), torch.randn(50, 4, 64)
    alone.load_state_dict({name: value for name, value in stack.state_dict().items() if name.endswith("l0")})
    with torch.set_grad_enabled(grad):
        with rw.record(stack) as recording:
            stack(x)
        expected, _ = alone(x)
    assert_same_bits(recording["l0"].hidden, expected)


@pytest.mark.parametrize("family", ["tanh", "relu", "lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_empty_batch(family: str, bidirectional: bool) -> None:
    case = Case(family, layers=2, bidirectional=bidirectional, batch=0, given_state=False)
    with rw.record(case.module) as recording:
        output, _ = case.call()
    for name in case.names:
        layer = recording[name]
        assert layer.replay_error == 0.0
        assert layer.lengths.shape == (0,)
        for site in layer.gates + layer.states:
            assert layer[site].shape == (4, 0, 4)
    assert output.shape[:2] == (4, 0)


@pytest.mark.parametrize("form", ["packed", "packed sorted"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_is_nan_and_nothing_else_is(form: str, bidirectional: bool) -> None:
    case = Case("lstm", layers=2, bidirectional=bidirectional, form=form, steps=7, batch=5)
    with rw.record(case.module) as recording:
        case.call()
    ended = torch.arange(7).unsqueeze(1) >= torch.tensor([len(sequence) for sequence in case.sequences])
    assert ended.any()
    for name in case.names:
        layer = recording[name]
        everything = [layer[site] for site in layer.gates + layer.states]
        everything += [layer.preactivation(gate) for gate in layer.gates] + [layer.inputs]
        for tensor in everything:
            assert torch.equal(tensor.isnan(), ended.unsqueeze(-1).expand_as(tensor))


@pytest.mark.parametrize("family", ["lstm", "gru", "tanh"])
def test_half_precision_keeps_the_bits_of_hidden_and_derives_in_single(family: str) -> None:
    case = Case(family, layers=2, dtype=torch.bfloat16)
    with torch.no_grad(), rw.record(case.module) as recording:
        output, _ = case.call()
    assert_same_bits(recording["l1"].hidden, output)
    for gate in recording["l1"].gates:
        assert recording["l1"][gate].dtype == torch.float32
        assert recording["l1"].preactivation(gate).dtype == torch.float32
    assert recording["l1"].replay_error < 0.02


def test_tensors_are_on_the_models_device_and_in_its_dtype() -> None:
    case = Case(dtype=torch.float32)
    with rw.record(case.module) as recording:
        case.call()
    layer = recording["l0"]
    for site in layer.gates + layer.states:
        assert layer[site].dtype == torch.float32
        assert layer[site].device == next(case.module.parameters()).device


def test_initial_state_is_kept() -> None:
    case = Case("lstm", layers=2, bidirectional=True, form="packed", batch=3)
    with rw.record(case.module) as recording:
        case.call()
    for row, name in enumerate(case.names):
        for state, expected in zip(("hidden", "cell"), case.state, strict=True):
            assert_same_bits(recording[name].initial[state], expected[row])
