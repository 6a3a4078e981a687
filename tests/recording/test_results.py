"""What registered classes return, in whatever holds it: edits and gradients reach it, or are refused."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw
from tests.cases import assert_same_bits
from tests.registered import registrations_of_their_own  # noqa: F401 - a fixture for every test

X = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))


class Output(OrderedDict):
    """A mapping with attributes, as transformers' outputs are."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(name)


@dataclass(frozen=True)
class Frozen:
    states: Tensor
    said: Tensor


class Named(NamedTuple):
    states: Tensor
    said: Tensor


class Opaque:
    def __init__(self, states: Tensor, said: Tensor) -> None:
        self.states, self.said = states, said


class Net(nn.Module):
    def __init__(self, make: Callable[..., Any]) -> None:
        super().__init__()
        self.i, self.h, self.head, self.make = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 1), make

    def forward(self, x: Tensor) -> Any:
        h, states = x.new_zeros(x.size(1), 4), []
        for now in x:
            h = torch.tanh(self.i(now) + self.h(h))
            states.append(h)
        states = torch.stack(states)
        return self.make(states=states, said=self.head(states))


def opened(make: Callable[..., Any], *, readout: bool = True, **options: Any) -> Net:
    class Mine(Net):
        pass

    options = {"returns": lambda output: (_of(output, "states"), None), **options}
    says = (lambda module, hidden: module.head(hidden)) if readout else None
    rw.register(Mine, gates={"hidden": "tanh"}, readout=says, **options)(
        lambda module, x, h, at: at.gate("hidden", module.i(x) + module.h(h))
    )
    torch.manual_seed(0)
    return Mine(make)


def _of(output: Any, name: str) -> Tensor:
    return output[name] if isinstance(output, dict) else getattr(output, name)


KINDS = [dict, Output, Frozen, Named, SimpleNamespace]


@pytest.mark.parametrize("make", KINDS)
@torch.no_grad()
def test_edits_reach_what_is_returned_and_its_kind_stays(make: Callable[..., Any]) -> None:
    model = opened(make)
    with rw.edited(model, rw.clamp("hidden", 0.5)):
        output = model(X)
    assert type(output) is make
    assert (_of(output, "states") == 0.5).all()
    torch.testing.assert_close(_of(output, "said"), model.head(torch.full((5, 2, 4), 0.5)))
    with rw.edited(model, rw.scale("hidden", 1.0)):
        assert_same_bits(_of(model(X), "states"), _of(model(X), "states"))


@pytest.mark.parametrize("make", KINDS)
def test_gradients_arrive_through_what_stands_beside(make: Callable[..., Any]) -> None:
    model, plain = opened(make), opened(Named)
    flows = []
    for one in (model, plain):
        with rw.record(one, gradients=True) as recording:
            _of(one(X), "said").square().sum().backward()
        flows.append(recording.gradient_flow()["cell"].hidden)
    assert_same_bits(*flows)
    assert flows[0].abs().max() > 0


@pytest.mark.parametrize("make", KINDS)
def test_what_stands_beside_and_nobody_explained_is_refused(make: Callable[..., Any]) -> None:
    model = opened(make, readout=False)
    with pytest.raises(NotImplementedError, match=r"returns more than its states.* readout="):
        rw.intervene(model, X, rw.clamp("hidden", 0.5))


@pytest.mark.parametrize(
    ("make", "returns"),
    [
        (Opaque, lambda output: (output.states, None)),
        (Named, lambda output: (output.states + 0, None)),
    ],
)
def test_states_that_cannot_be_exchanged_are_recorded_and_no_more(
    make: Callable[..., Any], returns: Callable[[Any], Any]
) -> None:
    model = opened(make, returns=returns)
    with rw.record(model) as recording:
        output = model(X)
    assert_same_bits(recording["cell"].hidden, output.states)
    with pytest.raises(NotImplementedError, match="returns= has to pick"), rw.edited(model, rw.clamp("hidden", 0.5)):
        model(X)
    with pytest.raises(NotImplementedError, match="returns= has to pick"), rw.record(model, gradients=True):
        model(X)


def test_a_result_that_holds_itself() -> None:
    def make(**given: Tensor) -> dict[str, Any]:
        output: dict[str, Any] = dict(given)
        output["itself"] = output
        return output

    model = opened(make)
    with rw.record(model) as recording, rw.edited(model, rw.clamp("hidden", 0.5)):
        model(X)
    assert (recording["cell"].hidden == 0.5).all()
