import pytest
import torch
from torch import nn

import rnnwidget as rw


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lower = nn.GRU(3, 4)
        self.upper = nn.LSTM(4, 5, num_layers=2)

    def forward(self, x):
        return self.upper(torch.relu(self.lower(x)[0]))[0][-1]


def test_own_run_equals_the_users_backward_and_leaves_no_grad():
    model, x = Two().double(), torch.randn(6, 2, 3, dtype=torch.float64)
    own = rw.gradient_flow(model, x, lambda output: output.square().sum())
    assert all(parameter.grad is None for parameter in model.parameters())
    with rw.record(model, gradients=True) as recording:
        model(x).square().sum().backward()
    users = recording.gradient_flow()
    assert list(own) == list(users) == ["lower.l0", "upper.l0", "upper.l1"]
    for layer in own:
        torch.testing.assert_close(own[layer].hidden, users[layer].hidden, rtol=0, atol=1e-14)
        torch.testing.assert_close(own[layer].hidden_local, users[layer].hidden_local, rtol=0, atol=1e-14)


def test_frozen_parameters_and_no_grad_are_no_hindrance():
    model, x = Two().requires_grad_(requires_grad=False), torch.randn(6, 2, 3)
    with torch.no_grad():
        flow = rw.gradient_flow(model, x, lambda output: output.sum())
    assert flow["lower.l0"].hidden.abs().max() > 0


def test_a_loss_that_does_not_look_is_an_error():
    with pytest.raises(RuntimeError, match="does not depend"):
        rw.gradient_flow(Two(), torch.randn(6, 2, 3), lambda output: torch.ones((), requires_grad=True))
