"""Copies and files made of a model while it is recorded carry nothing of ours that acts."""

import copy
import functools
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw
from rnnwidget.cells import registry
from rnnwidget.recording.copies import shallow_copy
from tests.cases import assert_same_bits


def sequential() -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict({"rnn": nn.LSTM(3, 4, num_layers=2), "head": nn.Linear(4, 2)})


X = torch.ones(5, 2, 3)


def acts(module: nn.Module) -> bool:
    """Whether anything of ours happens in a call of ``module``."""
    watched: list[bool] = []
    handle = module["rnn"].register_forward_pre_hook(
        lambda *_: watched.append(torch.nn.modules.rnn._VF is not torch._VF)
    )
    module["rnn"](X)
    handle.remove()
    return any(watched)


def test_a_deep_copy_is_inert_inside_the_block_and_after_it() -> None:
    model = sequential()
    plain, _ = model["rnn"](X)
    with rw.record(model) as recording, rw.edited(model, rw.clamp("f", 0.0)):
        copied = copy.deepcopy(model)
        output, _ = copied["rnn"](X)
        assert not acts(copied)
        assert acts(model)
    assert_same_bits(output, plain)
    assert len(recording.calls("rnn.l0")) == 1
    assert_same_bits(copied["rnn"](X)[0], plain)


def test_a_copy_can_be_recorded_itself() -> None:
    model = sequential()
    with rw.record(model) as outer:
        copied = copy.deepcopy(model)
        with rw.record(copied) as recording:
            copied["rnn"](X)
    assert len(recording.calls("rnn.l0")) == 1
    assert outer.layers == ()


def test_a_saved_model_loads_and_is_inert(tmp_path: Path) -> None:
    model = sequential()
    plain, _ = model["rnn"](X)
    with rw.record(model) as recording, rw.edited(model, rw.clamp("f", 0.0)):
        torch.save(model, tmp_path / "model.pt")
        loaded = torch.load(tmp_path / "model.pt", weights_only=False)
        assert_same_bits(loaded["rnn"](X)[0], plain)
        assert not acts(loaded)
        thawed = pickle.loads(pickle.dumps(model))  # noqa: S301
        assert_same_bits(thawed["rnn"](X)[0], plain)
    assert recording.layers == ()
    with rw.record(loaded) as again:
        loaded["rnn"](X)
    assert len(again.calls("rnn.l0")) == 1


def test_a_saved_model_loads_where_rnnwidget_is_missing(tmp_path: Path) -> None:
    model = sequential()
    with rw.record(model):
        torch.save(model, tmp_path / "model.pt")
    script = (
        "import sys, torch\n"
        "sys.modules['rnnwidget'] = None\n"
        "model = torch.load('model.pt', weights_only=False)\n"
        "with torch.no_grad():\n"
        "    torch.save(model['rnn'](torch.ones(5, 2, 3))[0], 'output.pt')\n"
    )
    subprocess.run([sys.executable, "-I", "-c", script], cwd=tmp_path, check=True)
    with torch.no_grad():
        assert_same_bits(torch.load(tmp_path / "output.pt"), model["rnn"](X)[0])


def test_the_state_dict_is_the_plain_one() -> None:
    model = sequential()
    plain = model.state_dict()
    with rw.record(model):
        assert list(model.state_dict()) == list(plain)


class Guarded(nn.Module):
    """Holds what ``deepcopy`` refuses, and its parts under second names."""

    def __init__(self) -> None:
        super().__init__()
        self.input2h, self.h2h = nn.Linear(3, 4), nn.Linear(4, 4)
        self.lock, self.parts, self.scaled = threading.Lock(), [self.h2h], functools.partial(self.scale, by=2.0)
        self.log = {"states": [torch.zeros(1)]}

    def scale(self, x: Tensor, by: float) -> Tensor:
        return by * self.input2h(x)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h, output = x.new_zeros(x.size(1), 4), []
        for x_t in x:
            h = torch.tanh(self.scaled(x_t) + self.parts[0](h))
            output.append(h)
        return torch.stack(output), h


def test_what_deepcopy_refuses_is_recorded_with_the_weights_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_families", dict(registry._families))
    monkeypatch.setattr(registry, "_registrations", dict(registry._registrations))
    rw.register(Guarded, gates={"hidden": "tanh"})(
        lambda module, x, h, at: at.gate("hidden", module.scaled(x) + module.parts[0](h))
    )
    half = Guarded().bfloat16()
    with rw.record(half) as recording:
        half(X.bfloat16())
    assert recording["cell"].replay_error < 0.05
    model = Guarded()
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    with rw.record(model) as recording:
        output, _ = model(X)
        output.square().sum().backward()
    optimiser.step()
    assert recording["cell"].replay_error < 1e-6
    copied = shallow_copy(model, lambda tensor: tensor.detach().clone())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert copied(X)[0].abs().min() > 0
    assert copied.lock is model.lock
    assert copied.log["states"][0] is not model.log["states"][0]


class Holder:
    def __init__(self, owner: nn.Module) -> None:
        self.owner = owner


class Held(nn.Module):
    """Runs its layer by way of an object, a function or a slot that a shallow copy would share with it."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.rnn, self.lock, self.kind = nn.LSTM(3, 4), threading.Lock(), kind
        if kind == "object":
            self.holder = Holder(self)
        elif kind == "function":
            self.run = lambda x: self.rnn(x)[0]

    def forward(self, x: Tensor) -> Tensor:
        match self.kind:
            case "object":
                return self.holder.owner.rnn(x)[0]
            case "function":
                return self.run(x)
        return self.rnn(x)[0]


class Slotted(Held):
    __slots__ = ("gain",)


@pytest.mark.parametrize("made", [lambda: Held("object"), lambda: Held("function"), lambda: Slotted("plain")])
def test_a_copy_that_would_run_the_originals_layers_is_not_made(made: Callable[[], nn.Module]) -> None:
    model = made()
    with pytest.raises(TypeError, match="lead to its own modules"):
        shallow_copy(model, Tensor.detach)
    result = rw.intervene(model, X, [rw.clamp("f", 0.0)])
    assert result.recording.layers == ("rnn.l0",)
    assert not torch.equal(result.output, result.baseline)
    with rw.edited(model, rw.clamp("f", 0.0)):
        assert_same_bits(result.output, model(X))
