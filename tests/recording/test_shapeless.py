"""Models with PyTorch's lazy modules, whose parameters get their shape in the first call."""

import pytest
import torch
from torch import nn
from torch.nn.parameter import is_lazy

import rnnwidget as rw

EDIT = rw.shift("forget_gate", 1.0)


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.lstm = nn.LazyLinear(3), nn.LazyBatchNorm1d(), nn.LSTM(3, 4)
        self.head = nn.LazyLinear(2)

    def forward(self, x):
        states = self.lstm(self.first(x))[0]
        return self.head(self.norm(states.flatten(0, 1)).unflatten(0, states.shape[:2]))


@pytest.fixture
def case():
    torch.manual_seed(0)
    return Lazy(), torch.randn(6, 2, 5)


def test_the_first_call_is_recorded(case):
    model, x = case
    with rw.record(model) as recording:
        output = model(x)
    with rw.record(model) as again:
        model(x)
    assert output.shape == (6, 2, 2)
    assert recording["lstm.l0"].replay_error < 1e-5
    assert torch.equal(recording["lstm.l0"].hidden, again["lstm.l0"].hidden)


def test_the_first_call_is_edited(case):
    model, x = case
    with rw.edited(model, rw.clamp("forget_gate", 1.0)), rw.record(model) as recording:
        model(x)
    assert (recording["lstm.l0"]["f"] == 1).all()
    assert type(model.head) is nn.Linear


OWN_RUNS = [
    lambda model, x: rw.intervene(model, x, [EDIT]).output,
    lambda model, x: rw.Intervention(model, x).run([EDIT]).output,
    lambda model, x: rw.gradient_flow(model, x, torch.sum)["lstm.l0"].hidden,
    lambda model, x: rw.sweep(model, x, edit_of=lambda v: rw.shift("f", v), values=[1.0], answer=torch.sum).answers,
    lambda model, x: torch.stack([answer for _, answer in rw.answer_steps(model, x)]),
]


@pytest.mark.parametrize("run", OWN_RUNS)
def test_a_run_of_our_own_needs_the_first_call_and_says_so(case, run):
    model, x = case
    model.eval()
    with pytest.raises(ValueError, match=r"without a shape .*first\.weight, first\.bias, .*call the model once"):
        run(model, x)
    assert all(is_lazy(parameter) for parameter in model.head.parameters())
    model(x)
    assert run(model, x).isfinite().all()


def test_a_run_after_the_first_call_is_the_models_own(case):
    model, x = case
    model.eval()
    output = model(x)
    assert torch.equal(rw.intervene(model, x, [EDIT]).baseline, output)
