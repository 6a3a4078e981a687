"""What `edited` means: order, equality, identity, nesting."""

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from torch import nn

import rnnwidget as rw
from tests.cases import PREACTIVATIONS, STATES, Case, assert_close, assert_same_bits, cases
from tests.refusals import skip_where_refused


def run(case: Case, *edits: rw.Edit) -> tuple[object, tuple[torch.Tensor, ...]]:
    with rw.edited(case.module, *edits):
        return case.call()


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@settings(max_examples=40)
@given(case=cases(dtype=torch.float32))
def test_identity_edits_change_no_bit(case: Case) -> None:
    with torch.set_grad_enabled(bool(case.seed % 2)):
        plain = case.call()
        random_state = torch.get_rng_state()
        states, gates = STATES[case.family], PREACTIVATIONS[case.family]
        edits = [rw.scale(site, 1.0, steps=[0]) for site in states] + [rw.nudge(site, 0) for site in states]
        edits += [rw.shift(site, torch.zeros(1), units=[case.units - 1]) for site in gates]
        assert_same_bits(run(case, *edits), plain)
        assert torch.equal(torch.get_rng_state(), random_state)
        assert_same_bits(run(case), plain)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("family", ["lstm", "gru", "tanh"])
def test_unedited_layers_keep_their_bits(family: str, grad: bool) -> None:
    case = Case(family, layers=2, bidirectional=True, dropout=0.5, training=True, dtype=torch.float32, steps=20)
    site = "candidate" if family != "tanh" else "hidden"
    with torch.set_grad_enabled(grad):
        with rw.record(case.module) as plain:
            case.call()
        with rw.edited(case.module, rw.shift(site, 1.0, layer="l1")), rw.record(case.module) as recording:
            case.call()
    for layer in ("l0", "l0_reverse"):
        assert_same_bits(recording[layer].hidden, plain[layer].hidden)
    assert_same_bits(recording["l1"].inputs, plain["l1"].inputs)
    assert not torch.equal(recording["l1"].hidden, plain["l1"].hidden)


@pytest.mark.parametrize(
    "edit",
    [
        lambda: rw.shift("f", 0.7),
        lambda: rw.nudge("cell", 0.5, steps=[1, 2]),
        lambda: rw.scale("i", torch.tensor([0.5, 2.0, 1.0, 1.0])),
        lambda: rw.nudge("h", 0.5, steps=slice(1, 3), batch=[0], units=[1], layer="l0"),
    ],
)
def test_equal_edits_in_one_list_count_once(edit: Callable[[], rw.Edit]) -> None:
    case = Case("lstm")
    assert edit() == edit()
    assert hash(edit()) == hash(edit())
    assert_same_bits(run(case, edit(), edit()), run(case, edit()))


def test_edits_that_differ_are_not_equal() -> None:
    base = rw.shift("f", 1.0)
    others = [
        rw.shift("f", 2.0),
        rw.shift("i", 1.0),
        rw.nudge("f", 1.0),
        rw.shift("f", 1.0, layer="l0"),
        rw.shift("f", 1.0, units=[0]),
        rw.shift("f", 1.0, steps=[0]),
        rw.shift("f", 1.0, batch=[0]),
        rw.shift("f", torch.tensor(1.0)),
    ]
    assert all(base != other for other in others)
    assert base == rw.shift("forget_gate", 1)


def test_list_order_counts_after_the_nonlinearity() -> None:
    case = Case("lstm")
    with rw.edited(case.module, rw.clamp("f", 0.5), rw.nudge("f", 0.25)), rw.record(case.module) as clamped_first:
        case.call()
    with rw.edited(case.module, rw.nudge("f", 0.25), rw.clamp("f", 0.5)), rw.record(case.module) as clamped_last:
        case.call()
    assert (clamped_first["l0"]["f"] == 0.75).all()
    assert (clamped_last["l0"]["f"] == 0.5).all()


def test_shifts_come_before_whatever_the_list_says() -> None:
    case = Case("gru")
    assert_close(
        run(case, rw.scale("z", 0.5), rw.shift("z", 1.0))[0], run(case, rw.shift("z", 1.0), rw.scale("z", 0.5))[0]
    )


def test_nested_blocks_apply_the_outer_one_first_and_do_not_merge() -> None:
    case = Case("lstm")
    with rw.edited(case.module, rw.clamp("f", 0.5)), rw.edited(case.module, rw.scale("f", 0.5)):
        inner_scales = case.call()
    assert_close(inner_scales[0], run(case, rw.clamp("f", 0.25))[0])
    with rw.edited(case.module, rw.scale("f", 0.5)), rw.edited(case.module, rw.clamp("f", 0.5)):
        inner_clamps = case.call()
    assert_close(inner_clamps[0], run(case, rw.clamp("f", 0.5))[0])
    with rw.edited(case.module, rw.shift("f", 1.0)), rw.edited(case.module, rw.shift("f", 1.0)):
        twice = case.call()
    assert_close(twice[0], run(case, rw.shift("f", 2.0))[0])
    plain = case.call()
    with rw.edited(case.module, rw.shift("f", 1.0)):
        with rw.edited(case.module, rw.clamp("f", 0.0)):
            case.call()
        assert_close(case.call()[0], run_plain_shift(case))
    assert_same_bits(case.call(), plain)


def run_plain_shift(case: Case) -> torch.Tensor:
    shifted = Case("lstm")
    with torch.no_grad():
        shifted.module.bias_ih_l0[4:8] += 1.0
    return shifted.call()[0]


def test_record_sees_the_edited_run_whichever_block_is_outer() -> None:
    case = Case("lstm", layers=2)
    edit = rw.clamp("f", 1.0, units=[1])
    with rw.record(case.module) as outer, rw.edited(case.module, edit), rw.record(case.module) as inner:
        output, _ = case.call()
    for name in case.names:
        for site in ("i", "f", "g", "o", "h", "c"):
            assert_same_bits(outer[name][site], inner[name][site])
        assert (outer[name]["f"][..., 1] == 1).all()
        assert outer[name].edits
    assert_same_bits(outer["l1"].hidden, output)


def test_layer_none_is_every_layer_that_has_the_site() -> None:
    model = torch.nn.ModuleDict({"one": torch.nn.LSTM(3, 4), "other": torch.nn.GRU(4, 4)})
    x = torch.ones(5, 1, 3)
    with rw.edited(model, rw.clamp("candidate", 0.5), rw.clamp("update_gate", 1.0)), rw.record(model) as recording:
        model["other"](model["one"](x)[0])
    assert (recording["one.l0"]["g"] == 0.5).all()
    assert (recording["other.l0"]["n"] == 0.5).all()
    assert (recording["other.l0"]["z"] == 1).all()


def test_units_beyond_the_narrower_layer_concern_the_wider_only() -> None:
    model = torch.nn.ModuleDict({"narrow": torch.nn.GRU(3, 2), "wide": torch.nn.GRU(2, 6)})
    with rw.edited(model, rw.clamp("z", 1.0, units=[1, 5])), rw.record(model) as recording:
        model["wide"](model["narrow"](torch.ones(4, 1, 3))[0])
    assert (recording["wide.l0"]["z"] == 1).any(dim=0).any(dim=0).tolist() == [False, True, False, False, False, True]
    assert (recording["narrow.l0"]["z"] == 1).any(dim=0).any(dim=0).tolist() == [False, True]


def test_steps_past_the_end_do_nothing() -> None:
    for case in (Case("lstm", dtype=torch.float32), Case("lstm", dtype=torch.float32, steps=1, batch_first=True)):
        plain = case.call()
        assert_same_bits(run(case, rw.clamp("f", 0.0, steps=[4, 100])), plain)
        assert_same_bits(run(case, rw.clamp("f", 0.0, steps=slice(4, None))), plain)


def test_parameters_are_not_touched_inside_the_block() -> None:
    case = Case("lstm")
    before = {name: parameter.clone() for name, parameter in case.module.named_parameters()}
    with rw.edited(case.module, rw.clamp("f", 1.0), rw.shift("i", 3.0)):
        case.call()
        assert_same_bits(dict(case.module.named_parameters())["weight_hh_l0"], before["weight_hh_l0"])
    for name, parameter in case.module.named_parameters():
        assert_same_bits(parameter, before[name])


def test_an_edit_is_readable() -> None:
    edit = rw.clamp("f", 0.25, layer="l0", units=[1, 2], steps=slice(0, 3), batch=0)
    assert repr(edit) == "clamp('forget_gate', 0.25, layer='l0', units=[1, 2], steps=slice(0, 3, None), batch=[0])"
    assert edit.site == "forget_gate"


def test_a_value_that_the_user_changes_later_does_not_change_the_edit_in_force() -> None:
    case = Case("lstm")
    value = torch.tensor(0.5, dtype=torch.float64)
    with rw.edited(case.module, rw.clamp("f", value)), rw.record(case.module) as recording:
        case.call()
    value.fill_(0.9)
    assert (recording["l0"]["f"] == 0.5).all()


def test_a_number_beyond_the_range_of_the_dtype_is_infinite() -> None:
    model, x = torch.nn.RNN(3, 4), torch.randn(5, 1, 3)
    with rw.edited(model, rw.shift("hidden", 1e39, units=[1])):
        assert (model(x)[0][..., 1] == 1).all()


def test_a_nudge_into_an_infinite_weight_is_the_stepped_one() -> None:
    torch.manual_seed(0)
    model, x, start = torch.nn.LSTM(3, 4), torch.randn(9, 1, 3), torch.full((1, 1, 4), 0.1)
    with torch.no_grad():
        model.weight_hh_l0[0, 0] = torch.inf
        with rw.edited(model, rw.nudge("hidden", 0.5, units=[1])):
            folded, _ = model(x, (start, torch.zeros(1, 1, 4)))
        with rw.edited(model, *(rw.nudge("hidden", 0.5, units=[1], steps=[step]) for step in range(9))):
            stepped, _ = model(x, (start, torch.zeros(1, 1, 4)))
    torch.testing.assert_close(folded, stepped, equal_nan=True)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_clamp_at_the_end_of_a_range_holds_against_infinite_weights(value: float) -> None:
    torch.manual_seed(0)
    model, x = torch.nn.LSTM(3, 4), torch.randn(9, 1, 3)
    with torch.no_grad():
        healthy = model(x)[0]
        model.weight_ih_l0[4:8] = torch.inf  # the forget gate's rows
        for edit in (rw.clamp("forget_gate", value), rw.clamp("forget_gate", value, units=[0, 1, 2, 3])):
            with rw.record(model) as recording, rw.edited(model, edit):
                model(x)
            assert (recording["l0"]["f"] == value).all()
            assert recording["l0"].hidden.isfinite().all()
            assert recording["l0"].replay_error < 1e-6
        assert not torch.equal(recording["l0"].hidden, healthy)


def test_gradients_pass_a_clamp_at_the_end_of_a_range_beside_infinite_weights() -> None:
    torch.manual_seed(0)
    model, x = torch.nn.GRU(2, 2), torch.rand(4, 1, 2, requires_grad=True)
    with torch.no_grad():
        model.weight_ih_l0[:2] = torch.inf  # the reset gate's rows
    with rw.edited(model, rw.clamp("reset_gate", 1.0)):
        output, _ = model(x)
    assert torch.autograd.grad(output.sum(), x)[0].isfinite().all()


def test_an_infinite_state_of_a_gru_stays_one_where_it_is_stepped() -> None:
    model, start = torch.nn.GRU(3, 4), torch.zeros(1, 1, 4)
    start[..., 0] = torch.inf
    with torch.no_grad():
        model.weight_hh_l0.fill_(1.0)
        plain, _ = model(torch.ones(5, 1, 3), start)
        with rw.edited(model, rw.scale("update_gate", 0.5, units=[1])):
            output, _ = model(torch.ones(5, 1, 3), start)
    assert plain[..., 0].isposinf().all()
    assert output[..., 0].isposinf().all()


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("kind", [torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM])
def test_edits_between_two_half_precisions_are_those_of_single_precision(
    kind: type[torch.nn.RNNBase], grad: bool
) -> None:
    torch.manual_seed(0)
    halved, x = kind(3, 4).half(), torch.randn(6, 2, 3).half()
    single = copy.deepcopy(halved).float()
    gate = {torch.nn.RNN: "hidden", torch.nn.GRU: "update_gate", torch.nn.LSTM: "forget_gate"}[kind]
    for edit in (rw.shift(gate, 1.0), rw.scale(gate, 0.5), rw.nudge("hidden", 0.25, steps=[2]), rw.lesion([1])):
        halves = torch.autocast("cpu", torch.bfloat16)
        with torch.set_grad_enabled(grad), halves, rw.edited(halved, edit), rw.record(halved) as recording:
            output, _ = halved(x)
        with torch.set_grad_enabled(grad), rw.edited(single, edit):
            expected, _ = single(x.float())
        torch.testing.assert_close(output.float(), expected.float(), atol=2e-2, rtol=0)
        assert recording["l0"].replay_error < 2e-2


@pytest.mark.parametrize("kind", [torch.nn.GRU, torch.nn.LSTM])
def test_packed_sequences_are_edited_in_both_directions_between_two_half_precisions(
    kind: type[torch.nn.RNNBase],
) -> None:
    torch.manual_seed(0)
    halved = kind(3, 4, bidirectional=True).half()
    single, x = copy.deepcopy(halved).float(), torch.randn(5, 3, 3).half()
    lengths = torch.tensor([5, 3, 4])
    packed, plain = (
        torch.nn.utils.rnn.pack_padded_sequence(each, lengths, enforce_sorted=False) for each in (x, x.float())
    )
    for edit in (rw.scale("output_gate" if kind is torch.nn.LSTM else "update_gate", 0.5), rw.lesion([1], steps=[2])):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), rw.edited(halved, edit):
            output, _ = halved(packed)
        with torch.no_grad(), rw.edited(single, edit):
            expected, _ = single(plain)
        torch.testing.assert_close(output.data.float(), expected.data.float(), atol=2e-2, rtol=0)


EVERYWHERE = [
    rw.nudge("hidden", 0.1),
    rw.scale("hidden", 1.1),
    rw.nudge("hidden", 0.1, batch=[0]),
    rw.nudge("hidden", 0.1, steps=slice(1, 3)),
    rw.clamp("hidden", 0.2, units=[1]),
    rw.clamp("hidden", 0.2, units=[1], steps=[2]),
]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("weights", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("grad", [False, True])
def test_under_autocast_results_are_in_the_precision_of_an_unedited_call(
    kind: type[nn.RNNBase], weights: torch.dtype, precision: torch.dtype, grad: bool
) -> None:
    module, x = kind(3, 4, num_layers=2).to(weights), torch.randn(4, 2, 3).to(weights)

    def dtypes(result: tuple[torch.Tensor, object]) -> list[torch.dtype]:
        states = result[1] if isinstance(result[1], tuple) else (result[1],)
        return [tensor.dtype for tensor in (result[0], *states)]

    with torch.set_grad_enabled(grad), torch.autocast("cpu", precision):
        skip_where_refused(lambda: module(x))
        plain = dtypes(module(x))
        for edit in EVERYWHERE:
            with rw.edited(module, edit):
                assert dtypes(module(x)) == plain
            result = rw.intervene(module, x, edit)
            assert dtypes(result.output) == dtypes(result.baseline) == plain


def test_a_head_in_half_precision_reads_an_edited_layer_under_autocast() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(3, 4), nn.Linear(4, 2).bfloat16()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                x = self.lstm(x)[0]
            return self.head(x)

    model, x = Model(), torch.randn(4, 2, 3)
    with torch.no_grad():
        skip_where_refused(lambda: model(x))
        result = rw.intervene(model, x, rw.nudge("hidden", 0.5))
    assert (result.output - result.baseline).abs().max() > 0.01


def test_a_number_for_each_step_of_a_run_in_several_calls_is_given_its_steps() -> None:
    module, x, factors = nn.LSTM(3, 4), torch.randn(8, 2, 3), torch.rand(8, 1, 1)

    def in_calls_of(length: int, edit: rw.Edit) -> torch.Tensor:
        state, outputs = None, []
        with torch.no_grad(), rw.edited(module, edit):
            for start in range(0, 8, length):
                output, state = module(x[start : start + length], state)
                outputs.append(output)
        return torch.cat(outputs)

    whole = in_calls_of(8, rw.scale("f", factors))
    for length in (1, 2, 3):
        torch.testing.assert_close(in_calls_of(length, rw.scale("f", factors, steps=range(8))), whole)
    with pytest.raises(ValueError, match=r"2 of them, 8 values; .* say steps=range\(8\)"):
        in_calls_of(2, rw.scale("f", factors))


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
@pytest.mark.parametrize("grad", [True, False])
def test_edited_states_of_a_cell_can_be_detached_in_place(kind: type[nn.Module], grad: bool) -> None:
    cell, x = kind(3, 4), torch.randn(2, 3)
    with torch.set_grad_enabled(grad), rw.edited(cell, rw.clamp("hidden", 0.25)):
        reached = cell(x)
    state = reached[0] if isinstance(reached, tuple) else reached
    assert (state.detach_() == 0.25).all()


def test_a_sequence_that_does_not_exist_is_told_of_wherever_its_steps_fall() -> None:
    module, x = nn.GRU(3, 4), torch.randn(5, 2, 3)
    with (
        pytest.raises(IndexError, match="batch index 7 is outside a batch of 2"),
        rw.edited(module, rw.clamp("z", 0.5, steps=(9,), batch=[7])),
    ):
        module(x)
