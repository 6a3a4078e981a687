"""Calls inside the transforms of ``torch.func``: recorded and edited like others."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, jvp, vjp

import rnnwidget as rw
from tests.cases import assert_close

X = torch.randn(5, 2, 3, dtype=torch.float64)


class Loop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 4, dtype=torch.float64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = None
        for now in x:
            state = self.cell(now, state)
        return state


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4, num_layers=2, dtype=torch.float64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gru(x)[0][-1]


def total(model: nn.Module, weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    return functional_call(model, weights, (x,)).sum()


def gradient(model: nn.Module) -> object:
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    return list(grad(lambda weights: total(model, weights, X))(weights).values())


TRANSFORMS = [
    gradient,
    lambda model: vjp(model, X)[1](torch.ones(2, 4, dtype=torch.float64))[0],
    lambda model: jacrev(lambda x: model(x).sum())(X),
    lambda model: jvp(model, (X,), (torch.ones_like(X),))[1],
]


@pytest.mark.parametrize("kind", [Loop, Stack])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_call_inside_is_recorded_as_one_outside(kind, transform):
    model = kind()
    if kind is Stack and transform is TRANSFORMS[3]:
        pytest.skip("PyTorch's fused layers have no forward derivative")
    expected = transform(model)
    with rw.record(model) as outside:
        model(X)
    with rw.record(model) as inside:
        found = transform(model)
    inspector = rw.RNNInspector(model)
    under_an_inspector = transform(model)
    assert inside.layers == outside.layers
    for name in outside.layers:
        assert_close(inside[name].hidden, outside[name].hidden, 1e-12)
        assert_close(inside[name]["update_gate"], outside[name]["update_gate"], 1e-12)
        assert inside[name].replay_error < 1e-12
    assert inspector.recording is None
    assert inspector._page.score._status["state"] == "waiting"
    inspector.close()
    assert not any(module._forward_hooks for module in model.modules())
    for one, other, third in zip(expected, found, under_an_inspector, strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, third)


@pytest.mark.parametrize("kind", [Loop, Stack])
@pytest.mark.parametrize("transform", TRANSFORMS[:3])
def test_edits_act_there(kind, transform):
    model = kind()
    edit = rw.scale("candidate", 0.5)
    with rw.edited(model, edit):
        found = transform(model)
        x = X.clone().requires_grad_()
        model(x).sum().backward()
    wanted = [parameter.grad for parameter in model.parameters()] if transform is gradient else x.grad
    for one, other in zip(wanted, found, strict=True):
        assert_close(one, other, 1e-9)


def test_what_cannot_be_done_there_is_refused_by_name():
    model = Loop()
    with pytest.raises(NotImplementedError, match="gradients, which are the transform's"), rw.record(model, True):
        gradient(model)
    edited = rw.edited(model, rw.scale("candidate", 0.5, steps=[1]))
    with pytest.raises(NotImplementedError, match="at every step or not at all") as error, edited:
        gradient(model)
    assert not model.cell._forward_hooks, error
