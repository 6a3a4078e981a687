"""What the one-step residual catches, and where it is NaN or zero."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

import rnnwidget as rw
from rnnwidget.cells import gru, lstm, rnn, rnn_relu
from rnnwidget.recording import recorded_call
from rnnwidget.recording.layer_source import RebuiltLayer
from rnnwidget.recording.recorded_call import RecordedCall
from tests.cases import Case, assert_same_bits, cases


def recorded(case: Case) -> rw.Recording:
    with rw.record(case.module) as recording:
        case.call()
    return recording


def kept(recording: rw.Recording, layer: str = "l0") -> RecordedCall:
    return recording[layer].source._calls[0]


@pytest.mark.parametrize("family", ["lstm", "gru", "tanh", "relu"])
@pytest.mark.parametrize("layer", ["l0", "l0_reverse", "l1", "l1_reverse"])
def test_a_moved_weight_is_caught(family: str, layer: str) -> None:
    case = Case(family, layers=2, bidirectional=True, dtype=torch.float32)
    recording = recorded(case)
    index, side = int(layer[1]), int(layer.endswith("reverse"))
    weights = kept(recording, layer).call.weights[index][side]
    weights.hidden_hidden.add_(2.0)
    assert recording[layer].replay_error > 1e-3


def test_a_weight_moved_below_the_top_is_caught_above_where_layers_are_run_again() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorded_call, "LITTLE", -1.0)
        recording = recorded(Case("gru", layers=3))
    call = kept(recording)
    call.call.weights[0][0].input_bias.add_(1.0)
    assert call.replayed
    assert recording["l1"].replay_error > 1e-3
    assert recording["l0"].replay_error > 1e-3


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@settings(max_examples=60)
@given(
    cases(
        layers=st.integers(2, 3),
        dtype=st.sampled_from([torch.float32, torch.float64]),
        mode=st.sampled_from(["grad", "no_grad", "inference"]),
        dropout=st.just(0.0),
    )
)
@example(Case("gru", layers=2, bias=False, batch_first=True, steps=2, dtype=torch.float32, given_state=False))
def test_layers_run_again_have_the_bits_of_the_layers_that_ran(case: Case) -> None:
    with case.surroundings(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorded_call, "LITTLE", math.inf)
        expected = recorded(case)
        patch.setattr(recorded_call, "LITTLE", -1.0)
        recording = recorded(case)
    assert not kept(expected).replayed
    for name in case.names:
        assert_same_bits(recording[name].hidden, expected[name].hidden)
        assert recording[name].replay_error < 1e-5


@pytest.mark.parametrize("lies", [lambda x: x[..., :16], lambda x: x[..., ::2], lambda x: x[:, :, 16:], lambda x: x])
def test_layers_of_a_chaotic_stack_are_those_that_ran_however_the_input_lies(lies: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    model, x = torch.nn.GRU(16, 64, num_layers=2).double(), torch.randn(500, 4, 32, dtype=torch.float64)
    x = lies(x) if lies(x).size(-1) == 16 else x[..., :16].contiguous()
    with torch.no_grad():
        model.weight_hh_l0.mul_(20)
        with rw.record(model) as recording:
            model(x)
    assert max(recording[name].replay_error for name in ("l0", "l1")) < 1e-12


@pytest.mark.parametrize("batch", [1, 32])
def test_what_passes_between_layers_is_kept_only_where_it_is_little(batch: int) -> None:
    model, x = torch.nn.LSTM(128, 128, num_layers=2), torch.randn(100, batch, 128)
    with torch.no_grad(), rw.record(model) as recording:
        output, _ = model(x)
    call = kept(recording)
    assert call.replayed == (batch == 32)
    between = [] if call.replayed else call.trace.outputs[:-1]
    bytes_of = [tensor.nbytes for tensor in (*between, *call.call.initial, x, output, *model.parameters())]
    assert sum(bytes_of) <= 1.1 * sum(bytes_of[len(between) + 2 :])


@pytest.mark.parametrize(
    ("family", "wrong"), [("tanh", rnn_relu), ("relu", rnn), ("gru", lstm), ("lstm", gru)], ids=str
)
def test_the_mathematics_of_another_family_is_caught(family: str, wrong: object) -> None:
    case = Case(family, steps=12)
    call = kept(recorded(case))
    layer = replace(call.module.layers[0], family=wrong)
    if family in ("gru", "lstm"):
        # The rows of one gate more or less: what a wrong guess about the layout of the weights would read.
        rows, units = len(wrong.gates) * 4, 4
        matrices = call.call.weights[0][0].map(lambda weight: weight.repeat(2, *[1] * (weight.dim() - 1))[:rows])
        call = replace(call, call=call.call._replace(weights=((matrices,),)))
        if wrong is lstm:
            call = replace(call, call=call.call._replace(initial=call.call.initial * 2))
        assert call.output.size(-1) == units
    assert rw.LayerRecording(RebuiltLayer([call], layer)).replay_error > 1e-3


@pytest.mark.parametrize("which", ["input", "initial", "output"])
def test_a_moved_tensor_is_caught(which: str) -> None:
    recording = recorded(Case("lstm"))
    call = kept(recording)
    tensor = {"input": call.call.input, "initial": call.call.initial[0], "output": call.output}[which]
    tensor.add_(1.0)
    assert recording["l0"].replay_error > 1e-3


@pytest.mark.parametrize(
    ("family", "bad"), [("lstm", math.nan), ("gru", math.nan), ("tanh", math.nan), ("relu", math.inf)]
)
def test_nan_where_a_live_state_is_not_finite(family: str, bad: float) -> None:
    case = Case(family, given_state=False)
    with torch.no_grad():
        case.module.weight_ih_l0[0, 0] = bad
    recording = recorded(case)
    assert math.isnan(recording["l0"].replay_error)
    assert recording["l0"].hidden.shape == (4, 2, 4)


def test_an_output_changed_in_place_is_the_users_own() -> None:
    case = Case("gru", layers=2)
    with rw.record(case.module) as recording:
        output, finals = case.call()
        with torch.no_grad():
            output.fill_(7.0)
            finals[0].fill_(7.0)
    assert recording["l1"].hidden.abs().max() < 7
    assert all(recording[name].replay_error <= 1e-12 for name in case.names)


def test_padding_does_not_count() -> None:
    case = Case("lstm", form="packed", steps=6, batch=4)
    recording = recorded(case)
    assert recording["l0"].hidden.isnan().any()
    assert recording["l0"].replay_error <= 1e-12


def test_zero_for_an_empty_batch() -> None:
    assert recorded(Case("gru", batch=0, given_state=False))["l0"].replay_error == 0.0


def test_one_step_residual_of_a_long_chaotic_run_is_small() -> None:
    torch.manual_seed(0)
    module = torch.nn.RNN(1, 100)
    with torch.no_grad():
        module.weight_hh_l0.normal_(std=1.5 / 10)
        with rw.record(module) as recording:
            module(torch.randn(500, 2, 1))
    assert recording["l0"].replay_error < 1e-5


def test_it_rebuilds_with_the_edits() -> None:
    case = Case("lstm", layers=2, dtype=torch.float32)
    edits = (rw.clamp("f", 1.0, steps=[1]), rw.shift("i", 2.0), rw.scale("hidden", 0.5, units=[1]))
    with rw.edited(case.module, *edits):
        recording = recorded(case)
    assert all(recording[layer].replay_error < 1e-5 for layer in recording.layers)
    call = kept(recording)
    without = rw.LayerRecording(RebuiltLayer([replace(call, edits={})], call.module.layers[0]))
    assert without.replay_error > 1e-3
