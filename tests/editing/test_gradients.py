"""Gradients reach the parameters, the inputs and the states through an edited run."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

import rnnwidget as rw
from tests.cases import Case, assert_close, cases
from tests.edit_cases import EditCase, edited_cases


@settings(max_examples=60)
@given(edited_cases(cases(), differentiable=True))
def test_parameter_gradients_are_those_of_the_edited_loop(drawn: tuple[Case, list[EditCase]]) -> None:
    case, edits = drawn
    edits = list({edit.ours(): edit for edit in edits}.values())
    expected = case.reference(tuple(edit.spelled_out(case) for edit in edits))
    loss = torch.stack([(o + o * o).sum() for o in expected.outputs]).sum() + expected.finals[-1].sum()
    parameters = list(case.module.parameters())
    with rw.edited(case.module, *[edit.ours() for edit in edits]):
        output, finals = case.call()
        live = case.output_by_position(output).nan_to_num(nan=0.0)
        ours = (live + live * live).sum() + finals[-1].sum()
    assert ours.requires_grad or not loss.requires_grad
    if not loss.requires_grad:
        return
    theirs = torch.autograd.grad(loss, parameters, allow_unused=True)
    found = torch.autograd.grad(ours, parameters, allow_unused=True)
    for parameter, one, other in zip(parameters, found, theirs, strict=True):
        zero = torch.zeros_like(parameter)
        assert_close(zero if one is None else one, zero if other is None else other)


def test_gradients_reach_inputs_and_initial_states() -> None:
    case = Case("lstm", layers=2, bidirectional=True)
    x, (h, c) = case.arguments
    leaves = [tensor.clone().requires_grad_() for tensor in (x, h, c)]
    edit = EditCase("clamp", "forget_gate", "f", 1.0, "l0", [1], None, None)
    with rw.edited(case.module, edit.ours()):
        output, _ = case.module(leaves[0], (leaves[1], leaves[2]))
        output.sum().backward()
    stepped = EditCase("clamp", "forget_gate", "f", 1.0, "l0", [1], [0, 1, 2, 3], None)
    again = [tensor.clone().requires_grad_() for tensor in (x, h, c)]
    with rw.edited(case.module, stepped.ours()):
        case.module(again[0], (again[1], again[2]))[0].sum().backward()
    for one, other in zip(leaves, again, strict=True):
        assert one.grad.abs().max() > 0
        assert_close(one.grad, other.grad)


def test_gradients_reach_a_value_that_wants_them() -> None:
    case = Case("gru")
    value = torch.tensor(0.25, dtype=torch.float64, requires_grad=True)

    def answer(number: torch.Tensor) -> torch.Tensor:
        with rw.edited(case.module, rw.clamp("update_gate", number)):
            return case.call()[0].sum()

    assert torch.autograd.gradcheck(answer, (value,))


def test_an_optimiser_learns_inside_the_block() -> None:
    case = Case("lstm", dtype=torch.float32)
    optimiser = torch.optim.SGD(case.module.parameters(), lr=0.1)
    losses = []
    with rw.edited(case.module, rw.shift("forget_gate", 1.0)):
        for _ in range(5):
            optimiser.zero_grad()
            loss = case.call()[0].square().mean()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("family", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize(
    ("make", "start"),
    [
        (lambda value: rw.nudge("hidden", value), 0.0),
        (lambda value: rw.nudge("hidden", value), 0.5),
        (lambda value: rw.clamp("hidden", value, units=[1]), 0.0),
        (lambda value: rw.scale("hidden", value), 1.0),
    ],
)
def test_values_of_edits_can_be_learned_from_anywhere(
    family: type[nn.RNNBase], make: Callable[[Tensor], rw.Edit], start: float
) -> None:
    torch.manual_seed(0)
    model, x = family(3, 4).double(), torch.randn(6, 2, 3, dtype=torch.float64)

    def loss(value: Tensor) -> Tensor:
        with rw.edited(model, make(value)):
            return model(x)[0].square().sum()

    value = torch.full((6, 1, 1), start, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (value,))
