"""Models whose forward was wrapped, or that keep a function of themselves: a copy would call the original's layers."""

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import rnnwidget as rw
from rnnwidget.recording.twin import Twin
from tests.cases import assert_same_bits
from tests.refusals import skip_where_refused

X = torch.randn(9, 4, 3, generator=torch.Generator().manual_seed(0))
EDIT = rw.clamp("hidden", 0.9, units=[0, 1])


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.norm, self.head = nn.LSTM(3, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)
        self.act, self.also = functional.relu, {"loss": lambda output: output.mean()}

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.rnn(x)[0]
        return self.head(self.act(self.norm(hidden.flatten(0, 1)))).unflatten(0, hidden.shape[:2])


class Dropped(nn.LSTM):
    """Makes a weight anew at every call, as weight drop does, in a forward of its own that holds the module."""

    def __init__(self) -> None:
        super().__init__(3, 8)
        inner = self.forward

        def forward(*arguments: Tensor) -> object:
            self.weight_hh_l0 = nn.Parameter(self.weight_hh_l0.detach() * 0.5)
            return inner(*arguments)

        self.forward = forward


def wrapped(net: Net, *, how: str) -> Net:
    before = net.forward
    match how:
        case "autocast":
            net.forward = torch.autocast("cpu", dtype=torch.bfloat16)(before)
        case "wraps":
            net.forward = functools.wraps(before)(lambda x: before(1 * x))
        case "global":
            named: dict[str, object] = {"before": before, "__name__": "__main__"}
            exec("def forward(x): return before(2 * x)", named)  # noqa: S102 - as a notebook's cell does
            net.forward = named["forward"]
        case "attribute":
            net.steps = [lambda x: net.rnn(x)[0]]
            net.rnn.forward = functools.partial(net.rnn.forward)
    return net


@pytest.mark.parametrize("how", ["none", "autocast", "wraps", "global", "attribute"])
def test_an_edit_is_in_force_and_the_model_is_as_found(how: str) -> None:
    torch.manual_seed(0)
    net = wrapped(Net(), how=how).train()
    if how == "autocast":
        skip_where_refused(lambda: net(X))
    found = {name: value.clone() for name, value in net.state_dict().items()}
    result = rw.intervene(net, X, EDIT)
    assert result.change["rnn.l0"].abs().max() > 0.1
    flow = rw.gradient_flow(net, X, lambda output: output.float().sum())
    assert flow["rnn.l0"].hidden.abs().max() > 0
    for name, value in net.state_dict().items():
        assert_same_bits(value, found[name])
    assert all(parameter.grad is None for parameter in net.parameters())
    with rw.edited(net, EDIT):
        torch.testing.assert_close(net(X), result.output, rtol=1e-2, atol=1e-2)


def test_functions_that_do_not_hold_the_model_are_copied_along() -> None:
    net = Net()
    rows = [(str(place), [place]) for place in range(3000)]
    net.encode = functools.partial(lambda held, place: held[place], rows)
    net.decode = lambda place: rows[place]
    named: dict[str, object] = {"model": net, "__name__": "__main__"}
    exec("pick = lambda settings: settings.model", named)  # noqa: S102 - as a notebook's cell does
    net.pick = named["pick"]
    assert Twin(net).why_not_copied == ""
    exec("nested = lambda: [model for _ in range(2)]", named)  # noqa: S102 - likewise
    net.pick = named["nested"]
    assert "lead to its own modules" in Twin(net).why_not_copied
    assert "lead to its own modules" in Twin(wrapped(Net(), how="wraps")).why_not_copied


def test_weights_that_a_forward_makes_anew_are_put_back() -> None:
    module = Dropped()
    weight, flat = module.weight_hh_l0, list(module._flat_weights)
    rw.Intervention(module, X).run(EDIT)
    assert module.weight_hh_l0 is weight
    assert all(mine is found for mine, found in zip(module._flat_weights, flat, strict=True))


@pytest.mark.parametrize("hold", [lambda net: net, lambda net: net.rnn, lambda net: net.forward])
def test_what_a_function_holds_by_default_counts(hold: Callable[[Net], object]) -> None:
    net = Net()
    held = hold(net)

    def forward(x: Tensor, *, by: object = held) -> object:
        return by(x)

    net.then = forward
    assert Twin(net).why_not_copied
