"""Edits that cannot reach a recurrent module are told of: an answer that does not move would pass for a finding."""

import copy
import pickle
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw

X = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))


class Wrapped(nn.Module):
    """Calls its layer by ``.forward``, as the first implementations of weight drop did."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(3, 4), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn.forward(x)[0])


class Clipped(nn.GRUCell):
    """A cell of PyTorch's whose step is another one."""

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        new = torch.tanh(x @ self.weight_ih[: self.hidden_size].T + h @ self.weight_hh[: self.hidden_size].T)
        return (0.5 * h + 0.5 * new).clamp(-1, 1)


class Loop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = Clipped(3, 4), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        h, outputs = x.new_zeros(x.size(1), 4), []
        for now in x:
            h = self.cell(now, h)
            outputs.append(self.head(h))
        return torch.stack(outputs)


RUNS: dict[str, Callable[[nn.Module], object]] = {
    "intervene": lambda model: rw.intervene(model, X, rw.clamp("hidden", 0.5)),
    "run": lambda model: rw.Intervention(model, X).run(rw.shift("candidate", 1.0)),
    "sweep": lambda model: rw.sweep(model, X, edit_of=lambda v: rw.clamp("hidden", v), values=[0.1, 0.9]),
}


@pytest.mark.parametrize("run", RUNS)
def test_runs_of_ours_say_so(run: str) -> None:
    with pytest.raises(ValueError, match=r"Wrapped ran, and none .* \.forward"):
        RUNS[run](Wrapped())
    with (
        pytest.warns(RuntimeWarning, match=r"cell was not edited: Clipped called none .* registered"),
        pytest.raises(ValueError, match="Loop ran, and none"),
    ):
        RUNS[run](Loop())


@pytest.mark.parametrize("made", [Wrapped, Loop])
def test_others_name_the_reasons_too(made: Callable[[], nn.Module]) -> None:
    model = made()
    with rw.record(model) as recording:
        model(X)
    with pytest.raises(KeyError, match="in a forward of its own"):
        _ = recording["cell"]
    with pytest.raises(RuntimeError, match="none of its recurrent modules was seen"):
        rw.gradient_flow(model, X, lambda output: output.sum())
    with pytest.raises(ValueError, match="none of its recurrent modules was seen"):
        rw.RNNInspector(model, inputs=X)


def test_a_block_around_the_users_own_call_says_so() -> None:
    wrapped, loop = Wrapped(), Loop()
    plain = wrapped(X)
    with pytest.warns(RuntimeWarning, match="Nothing was edited"), rw.edited(wrapped, rw.clamp("hidden", 0.5)):
        assert torch.equal(wrapped(X), plain)
    plain = loop(X)
    with pytest.warns(RuntimeWarning, match="Clipped called none"), rw.edited(loop, rw.clamp("hidden", 0.5)):
        assert torch.equal(loop(X), plain)
    for model in (wrapped, loop):
        assert not any((*part._forward_hooks, *part._forward_pre_hooks) for part in model.modules())


class Skipping(nn.Module):
    """Goes another way where there is no sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0] if x.size(1) else x.new_zeros(x.size(0), 0, 4)


def test_a_way_around_for_an_empty_batch_is_no_reason() -> None:
    model, x = Skipping(), torch.randn(5, 0, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rw.intervene(model, x, rw.clamp("hidden", 0.5)).output.shape == (5, 0, 4)
        with rw.edited(model, rw.clamp("hidden", 0.5)):
            model(x)


def test_nothing_is_said_without_reason() -> None:
    wrapped, model = Wrapped(), nn.Sequential(nn.LSTM(3, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with rw.edited(wrapped, rw.clamp("hidden", 0.5)):
            pass  # the model did not run
        with rw.edited(wrapped):
            wrapped(X)  # there is nothing to edit
        with rw.edited(model, rw.clamp("hidden", 0.5)):
            model(X)
        with rw.edited(model, rw.clamp("hidden", 0.5)), rw.edited(model, rw.shift("f", 1.0)):
            model(X)
            copied, loaded = copy.deepcopy(model), pickle.loads(pickle.dumps(model))  # noqa: S301 - our own
            copied(X), loaded(X)
        with rw.edited(wrapped, rw.clamp("hidden", 0.5)), pytest.raises(RuntimeError):
            wrapped(X[..., :2])
