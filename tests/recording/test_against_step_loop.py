"""Everything a recording says against a plain step loop."""

import contextlib
import copy
import re

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

import rnnwidget as rw
from rnnwidget.recording import LayerRecording
from tests import reference
from tests.cases import (
    EVERY_PRECISION,
    GATES,
    HALVES,
    LETTERS,
    PREACTIVATIONS,
    STATES,
    Case,
    assert_close,
    assert_same_bits,
    cases,
)
from tests.reference import Reference, ReferenceLayer

TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5}
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


def assert_names(layer: LayerRecording, name: str, case: Case) -> None:
    assert layer.name == name
    assert layer.family == {"tanh": "rnn", "relu": "rnn"}.get(case.family, case.family)
    assert layer.gates == GATES[case.family]
    assert layer.states == STATES[case.family]
    assert layer.truncations == ()
    for letter, site in LETTERS[case.family].items():
        assert layer[letter] is layer[site]
    assert layer.hidden is layer["hidden"]
    if "cell" in layer.states:
        assert layer.cell is layer["cell"]
    assert layer.lengths.tolist() == [len(sequence) for sequence in case.sequences]


def everything(layer: LayerRecording, case: Case) -> dict[str, Tensor]:
    found = {site: layer[site] for site in layer.gates + layer.states}
    return found | {f"preactivation:{site}": layer.preactivation(site) for site in PREACTIVATIONS[case.family]}


def assert_kinds(layer: LayerRecording, output: Tensor, case: Case) -> None:
    """Detached, on the model's device, `hidden` in the model's dtype and everything derived in the case's."""
    for name, tensor in everything(layer, case).items():
        assert tensor.dtype == (output.dtype if name == "hidden" else case.derived), name
        assert tensor.device.type == case.device
        assert not tensor.requires_grad
        assert not tensor.is_inference()
        units = case.width if name == "hidden" else case.width_of(name)
        assert tensor.shape == (case.steps, case.sequences_count, units), name


def assert_layer(layer: LayerRecording, expected: ReferenceLayer, case: Case, tolerance: float) -> None:
    for name, tensor in everything(layer, case).items():
        assert_close(tensor.cpu(), expected[name], tolerance)
    assert layer.replay_error <= tolerance


def unpadded(tensor: Tensor, case: Case) -> list[Tensor]:
    return [tensor[: len(sequence), b] for b, sequence in enumerate(case.sequences)]


def assert_one_step(recording: rw.Recording, case: Case) -> None:
    """Each step against the plain loop in the case's precision, from the hidden state that the model gave before it."""
    rounded = copy.deepcopy(case.module).to("cpu", case.precision).to(case.derived)
    tolerance = TOLERANCES[case.derived]
    slack = 4 * torch.finfo(case.precision).eps if case.precision in HALVES else tolerance

    def read(tensor: Tensor) -> Tensor:
        return tensor.detach().cpu().to(case.precision).to(case.derived)

    for row, name in enumerate(case.names):
        layer = recording[name]
        expected = reference.one_step(
            rounded,
            name,
            unpadded(read(layer.inputs), case),
            unpadded(read(layer.hidden), case),
            tuple(read(state[row]) for state in case.state),
        )
        for site, tensor in everything(layer, case).items():
            assert_close(tensor.cpu(), expected[site], slack if site == "hidden" else tolerance)
        assert layer.replay_error <= slack


def assert_what_was_read(recording: rw.Recording, case: Case) -> None:
    """The bits of the call's input, and above it of the layer below, dropped out where the module trains."""
    drops = case.training and case.dropout and case.layers > 1
    for index in range(case.layers):
        below = reference.padded(case.sequences)
        if index:
            below = torch.cat([recording[name].hidden for name in case.names if name.startswith(f"l{index - 1}")], -1)
        for name in [name for name in case.names if name.startswith(f"l{index}")]:
            found = recording[name].inputs
            if not (drops and index):
                assert_same_bits(found, below)
                continue
            kept = (found != 0) & ~found.isnan()
            assert torch.equal(found.isnan(), below.isnan())
            if case.dropout < 1:
                tolerance = 4 * torch.finfo(below.dtype).eps
                assert_close(found[kept], (below / (1 - case.dropout))[kept], tolerance)
            else:
                assert not kept.any()


def assert_output(
    case: Case, output: object, finals: tuple[Tensor, ...], expected: Reference, tolerance: float
) -> None:
    assert_close(case.output_by_position(output), expected.output, tolerance)
    for ours, theirs in zip(finals, expected.finals, strict=True):
        assert_close(ours.unsqueeze(1) if case.form == "unbatched" else ours, theirs, tolerance)


def outcome(case: Case) -> tuple[object, tuple[Tensor, ...]] | Exception:
    try:
        return case.call()
    except (RuntimeError, ValueError) as error:
        return error


def assert_everything(case: Case) -> None:
    plain = outcome(case)
    random_state = torch.get_rng_state()
    if isinstance(plain, Exception):
        with pytest.raises(type(plain), match=re.escape(str(plain))), rw.record(case.module):
            case.call()
        assert not case.module._forward_hooks
        assert not case.module._forward_pre_hooks
        assert torch.overrides._get_current_function_mode_stack() == []
        return
    with rw.record(case.module) as recording:
        output, finals = case.call()
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not case.module._forward_hooks
    assert isinstance(output, PackedSequence) == case.form.startswith("packed")
    by_position = case.output_by_position(output)
    if case.device == "cpu" or not (case.training and case.dropout and case.layers > 1):
        # cuDNN's dropout between layers cannot be seen: there such a call runs layer by layer, with other noise.
        assert_same_bits((output, finals), plain)

    assert recording.layers == case.names
    for name in case.names:
        assert len(recording.calls(name)) == 1
        assert_names(recording[name], name, case)
        on_top = name in case.names[-case.directions :]
        assert_kinds(recording[name], by_position if on_top else recording[name].hidden, case)
    top = [recording[name].hidden for name in case.names[-case.directions :]]
    assert_same_bits(torch.cat(top, dim=-1), by_position)
    if case.sequences_count == 0:
        assert all(recording[name].replay_error == 0.0 for name in case.names)
        return
    assert_what_was_read(recording, case)
    assert_one_step(recording, case)
    if case.precision not in HALVES and case.autocast is None and case.device == "cpu":
        expected = case.reference()
        tolerance = TOLERANCES[case.dtype]
        assert_output(case, output, finals, expected, tolerance)
        for name in case.names:
            assert_layer(recording[name], expected.layers[name], case, tolerance)
            assert_close(recording[name].inputs, expected.inputs[name], tolerance)


@settings(max_examples=300)
@given(case=cases(**EVERY_PRECISION))
def test_every_quantity_is_the_step_loop_s(case: Case) -> None:
    assert_everything(case)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@settings(max_examples=300)
@given(case=cases(**EVERY_PRECISION, device="cuda"))
def test_on_cuda_it_is_too(case: Case) -> None:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        assert_everything(case)
    finally:
        torch.backends.cudnn.allow_tf32 = before


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


@pytest.mark.parametrize("family", ["tanh", "relu", "lstm", "gru"])
@pytest.mark.parametrize("autocast", HALVES)
def test_looking_under_autocast_is_looking(family: str, autocast: torch.dtype) -> None:
    case = Case(family, layers=2, dtype=torch.float32)
    with rw.record(case.module, gradients=True) as recording:
        case.call()[0].square().sum().backward()
    with rw.record(case.module, gradients=True) as expected:
        case.call()[0].square().sum().backward()
    with torch.autocast("cpu", autocast):
        found = [everything(recording[name], case) for name in case.names]
        errors = [recording[name].replay_error for name in case.names]
        flow = recording.gradient_flow()
    for name, ours, error in zip(case.names, found, errors, strict=True):
        assert_same_bits(list(ours.values()), list(everything(expected[name], case).values()))
        assert error < 1e-5
        assert_same_bits(flow[name].hidden, expected.gradient_flow()[name].hidden)
        assert_same_bits(flow[name].hidden_local, expected.gradient_flow()[name].hidden_local)
