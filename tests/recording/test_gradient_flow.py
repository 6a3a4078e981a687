"""Gradients at every step against autograd through a step loop that keeps every h_t and c_t."""

from collections.abc import Callable
from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import rnnwidget as rw
from rnnwidget.cells import step_arithmetic
from rnnwidget.recording.gradient_flow import GradientFlow
from tests.cases import PREACTIVATIONS, STATES, Case, assert_close, assert_same_bits, cases
from tests.edit_cases import EditCase, edited_cases
from tests.losses import SOURCES, loss_of
from tests.reference import Reference

SMALL = st.sampled_from([0, step_arithmetic.SMALL])
"""Up to how many numbers a step takes NumPy's calls: PyTorch's always, or where they are few."""


def batched(case: Case, finals: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(final.unsqueeze(1) if case.form == "unbatched" else final for final in finals)


def sources_of(case: Case, drawn: frozenset[str]) -> frozenset[str]:
    usable = drawn if "cell" in STATES[case.family] else drawn - {"c_n"}
    return usable or frozenset({"h_n"})


def flow_of(recording: rw.Recording, small: int) -> GradientFlow:
    with patch.object(step_arithmetic, "SMALL", small):
        return recording.gradient_flow()


def assert_flow(flow: GradientFlow, case: Case, expected: Reference, loss: Tensor) -> None:
    for name in case.names:
        layer, gradient = expected.layers[name], flow[name]
        assert_close(gradient.hidden, layer.gradient(loss, "hidden"))
        assert_close(gradient.hidden_local, layer.gradient(loss, "outward"))
        if "cell" in STATES[case.family]:
            assert_close(gradient.cell, layer.gradient(loss, "cell"))
        else:
            assert gradient.cell is None
        for site in PREACTIVATIONS[case.family]:
            assert_close(gradient.preactivation(site), layer.gradient(loss, f"preactivation:{site}"))


@settings(max_examples=100)
@given(case=cases(), drawn=SOURCES, small=SMALL)
def test_flow_is_autograd_through_the_loop(case: Case, drawn: frozenset[str], small: int) -> None:
    sources = sources_of(case, drawn)
    expected = case.reference()
    expected_loss = loss_of(expected.output, expected.finals, sources)
    with rw.record(case.module, gradients=True) as recording:
        output, finals = case.call()
        loss_of(case.output_by_position(output), batched(case, finals), sources).backward()
    flow = flow_of(recording, small)
    assert tuple(flow) == case.names
    assert_flow(flow, case, expected, expected_loss)
    theirs = torch.autograd.grad(expected_loss, list(case.module.parameters()), allow_unused=True)
    for parameter, gradient in zip(case.module.parameters(), theirs, strict=True):
        zero = torch.zeros_like(parameter)
        assert_close(zero if parameter.grad is None else parameter.grad, zero if gradient is None else gradient)


@settings(max_examples=80)
@given(edited_cases(cases(), differentiable=True), SOURCES, SMALL)
@example((Case(), [EditCase("scale", "cell", "c", 0.5, None, [0], None, None)]), frozenset({"output"}), 0)
def test_flow_under_edits(drawn: tuple[Case, list[EditCase]], sources: frozenset[str], small: int) -> None:
    case, edits = drawn
    edits = list({edit.ours(): edit for edit in edits}.values())
    sources = sources_of(case, sources)
    expected = case.reference(tuple(edit.spelled_out(case) for edit in edits))
    expected_loss = loss_of(expected.output, expected.finals, sources)
    if not expected_loss.requires_grad:
        return  # clamps cut the loss off from every parameter
    with rw.edited(case.module, *[edit.ours() for edit in edits]), rw.record(case.module, gradients=True) as recording:
        output, finals = case.call()
        loss_of(case.output_by_position(output), batched(case, finals), sources).backward()
    assert_flow(flow_of(recording, small), case, expected, expected_loss)


def test_several_backwards_add_up_and_scale_divides() -> None:
    case = Case("lstm", layers=2, bidirectional=True)
    with rw.record(case.module, gradients=True) as recording:
        output, (h, c) = case.call()
        output.sum().backward(retain_graph=True)
        first = recording.gradient_flow()["l0"].hidden
        (1024.0 * (h.sum() + c.square().sum())).backward(retain_graph=True)
        output.sum().backward()
    with rw.record(case.module, gradients=True) as once:
        output, (h, c) = case.call()
        (2 * output.sum() + 1024.0 * (h.sum() + c.square().sum())).backward()
    for name in case.names:
        assert_close(recording.gradient_flow()[name].hidden, once.gradient_flow()[name].hidden)
        assert_close(recording.gradient_flow()[name].cell, once.gradient_flow()[name].cell)
        assert_close(once.gradient_flow(scale=4.0)[name].cell * 4.0, once.gradient_flow()[name].cell)
        assert_close(
            once.gradient_flow(scale=4.0)[name].preactivation("f") * 4.0, once.gradient_flow()[name].preactivation("f")
        )
    assert not torch.equal(first, recording.gradient_flow()["l0"].hidden)


def test_backward_after_the_block_is_not_heard() -> None:
    case = Case("gru")
    with rw.record(case.module, gradients=True) as recording:
        output, _ = case.call()
    output.sum().backward()
    with pytest.raises(RuntimeError, match="inside the record"):
        recording.gradient_flow()


def test_what_is_done_to_the_output_in_place_does_not_change_what_arrives() -> None:
    case = Case("gru", layers=2)
    with rw.record(case.module, gradients=True) as recording:
        output, _ = case.call()
        (output * 1.0).relu_().sum().backward()
    with rw.record(case.module, gradients=True) as in_place:
        output, _ = case.call()
        output.relu_().sum().backward()
    for name in case.names:
        assert_close(in_place.gradient_flow()[name].hidden, recording.gradient_flow()[name].hidden)


def test_two_modules_and_the_call_that_came_last() -> None:
    class TwoStage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.GRU(3, 4, dtype=torch.float64)
            self.second = nn.LSTM(4, 4, dtype=torch.float64)

        def forward(self, x: Tensor) -> Tensor:
            middle, state = self.first(x)
            _, state = self.first(x, state.clone())
            return self.second(middle)[0].sum() + state.sum()

    model, x = TwoStage(), torch.randn(5, 2, 3, dtype=torch.float64)
    with rw.record(model, gradients=True) as recording:
        model(x).backward()
    assert tuple(recording.gradient_flow()) == ("first.l0", "second.l0")
    assert len(recording.calls("first.l0")) == 2
    local = recording.gradient_flow()["first.l0"].hidden_local
    assert_close(local, torch.cat([torch.zeros(4, 2, 4), torch.ones(1, 2, 4)]).double())


def test_gradients_of_inputs_suffice() -> None:
    case = Case("lstm", given_state=False)
    case.module.requires_grad_(requires_grad=False)
    x = case.arguments[0].clone().requires_grad_()
    with rw.record(case.module, gradients=True) as recording:
        case.module(x)[0].square().sum().backward()
    expected = replace(case).module
    with rw.record(expected, gradients=True) as other:
        expected(x.detach())[0].square().sum().backward()
    assert_close(recording.gradient_flow()["l0"].cell, other.gradient_flow()["l0"].cell)


def test_user_gradients_are_those_of_the_plain_call() -> None:
    case = Case("lstm", layers=2, dtype=torch.float32)
    output, (h, _) = case.call()
    (output.sum() + h.square().sum()).backward()
    plain = [parameter.grad.clone() for parameter in case.module.parameters()]
    case.module.zero_grad()
    with rw.record(case.module, gradients=True):
        output, (h, _) = case.call()
        (output.sum() + h.square().sum()).backward()
    assert_same_bits([parameter.grad for parameter in case.module.parameters()], plain)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_no_grad_is_an_error_that_says_so(mode: type) -> None:
    case = Case()
    with mode(), pytest.raises(RuntimeError, match="no_grad"), rw.record(case.module, gradients=True):
        case.call()
    assert not case.module._forward_hooks


def test_an_output_without_gradient_is_an_error_that_says_so() -> None:
    case = Case()
    case.module.requires_grad_(requires_grad=False)
    with pytest.raises(RuntimeError, match="needs no gradient"), rw.record(case.module, gradients=True):
        case.call()


def test_errors_name_what_is_missing() -> None:
    case = Case()
    with rw.record(case.module) as recording:
        case.call()
    with pytest.raises(RuntimeError, match="gradients=True"):
        recording.gradient_flow()
    with rw.record(case.module, gradients=True) as recording:
        case.call()
        with pytest.raises(RuntimeError, match=r"backward\(\)"):
            recording.gradient_flow()
        case.call()[0].sum().backward()
    flow = recording.gradient_flow()
    assert repr(flow) == "GradientFlow(l0)"
    assert repr(flow["l0"]) == "LayerGradient({}, time={}, batch={}, units={})".format("lstm", *flow["l0"].hidden.shape)
    with pytest.raises(KeyError, match="l0"):
        flow["l7"]
    with pytest.raises(KeyError, match="pre-activation"):
        flow["l0"].preactivation("cell")


def test_a_later_call_without_backward_hides_nothing() -> None:
    model, x = nn.GRU(3, 4), torch.randn(5, 2, 3)
    with rw.record(model, gradients=True) as recording:
        model(x)[0].sum().backward()
        model(x)
    assert recording.gradient_flow()["l0"].hidden.abs().min() > 0


class Squashed(nn.Module):
    """Changes what its recurrent module gives, in place or not."""

    def __init__(self, recurrent: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.recurrent, self.head, self.change = recurrent, nn.Linear(4, 1), change

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.recurrent, nn.RNNBase):
            return self.head(self.change(self.recurrent(x)[0]))
        state, said = None, []
        for now in x:
            state = self.recurrent(now, state)
            state = (self.change(state[0]), state[1]) if isinstance(state, tuple) else self.change(state)
            said.append(self.head(state[0] if isinstance(state, tuple) else state))
        return torch.stack(said)


MASK = torch.tensor([1.0, 0.0, 2.0, 1.0])
WRITES = {"relu": (Tensor.relu_, Tensor.relu), "mask": (lambda h: h.mul_(MASK), lambda h: h * MASK)}
LAYERS, CELLS = [nn.LSTM, nn.GRU, nn.RNN], [nn.LSTMCell, nn.GRUCell]


@pytest.mark.parametrize(
    ("kind", "what", "own"),
    [
        *[(kind, what, False) for kind in LAYERS + CELLS for what in WRITES],
        # PyTorch's own backward refuses the rest.
        *[(kind, what, True) for kind in CELLS for what in WRITES],
        (nn.GRU, "relu", True),
    ],
)
def test_what_a_model_writes_into_its_states(kind: type[nn.Module], what: str, own: bool) -> None:
    torch.manual_seed(0)
    module, x = kind(3, 4), torch.randn(5, 2, 3)
    flows = []
    for change in WRITES[what]:
        torch.manual_seed(1)
        model = Squashed(module, change)
        if own:
            with rw.record(model, gradients=True) as recording:
                model(x).square().sum().backward()
            flow = recording.gradient_flow()
        else:
            flow = rw.gradient_flow(model, x, lambda output: output.square().sum())
        flows.append(next(iter(flow.values())).hidden)
    assert_close(*flows, 1e-6)
    assert flows[0].abs().max() > 0
