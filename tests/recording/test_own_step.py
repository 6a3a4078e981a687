"""A registered step that is not what the module computes is told of, before what it changes is taken for an edit's."""

import warnings

import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw

X = torch.randn(12, 2, 3, generator=torch.Generator().manual_seed(0))


class Leaky(nn.Module):
    """h ← f · h + (1 − f) · tanh(W x + U h), with noise of its own where it is asked for."""

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.i, self.h, self.f, self.noise = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(3, 4), noise

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h, states = x.new_zeros(x.size(1), 4), []
        for now in x:
            noise = self.noise * torch.randn(x.size(1), 4, dtype=x.dtype) if self.noise else 0.0
            f = torch.sigmoid(self.f(now))
            h = f * h + (1 - f) * torch.tanh(self.i(now) + self.h(h) + noise)
            states.append(h)
        return torch.stack(states), h


def right(module: Leaky, x: Tensor, h: Tensor, at: object) -> Tensor:
    noise = module.noise * torch.randn_like(h) if module.noise else 0.0
    f = at.gate("forget", module.f(x))
    return f * h + (1 - f) * at.gate("new", module.i(x) + module.h(h) + noise)


def exchanged(module: Leaky, x: Tensor, h: Tensor, at: object) -> Tensor:
    f = at.gate("forget", module.f(x))
    return (1 - f) * h + f * at.gate("new", module.i(x) + module.h(h))


def without_noise(module: Leaky, x: Tensor, h: Tensor, at: object) -> Tensor:
    f = at.gate("forget", module.f(x))
    return f * h + (1 - f) * at.gate("new", module.i(x) + module.h(h))


def edit() -> rw.Edit:
    return rw.shift("forget", 0.5, steps=[5])


def registered(step: object, noise: float = 0.0) -> Leaky:
    rw.register(Leaky, gates={"forget": "sigmoid", "new": "tanh"})(step)
    return Leaky(noise)


def test_a_wrong_step_is_told_of_once_for_each_model() -> None:
    model = registered(exchanged)
    told = r"registered for Leaky does not give the states.*h is off by .*replay_error of 'cell'"
    with pytest.warns(RuntimeWarning, match=told), rw.edited(model, edit()):
        model(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with rw.edited(model, edit()):
            model(X)
        with rw.record(model) as recording:
            model(X)
    assert recording["cell"].replay_error > 0.1
    with pytest.warns(RuntimeWarning, match=told):
        rw.intervene(model, X, edit())


def test_noise_that_the_step_leaves_out_is_told_of() -> None:
    model = registered(without_noise, noise=0.5)
    with pytest.warns(RuntimeWarning, match="noise included"):
        rw.intervene(model, X, edit())


@pytest.mark.parametrize("noise", [0.0, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_right_step_is_left_in_peace(noise: float, dtype: torch.dtype) -> None:
    model = registered(right, noise).to(dtype)
    x = X.to(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with rw.edited(model, edit()):
            model(x)
        rw.intervene(model, x, edit())
        rw.intervene(model, x * torch.nan, edit())


def test_the_page_warns_of_a_wrong_step_under_edits_too() -> None:
    inspector = rw.RNNInspector(registered(exchanged), inputs=X)
    inspector._repr_mimebundle_()
    assert not inspector._page.score._frame["residual"]["ok"]
    with pytest.warns(RuntimeWarning, match="registered for Leaky"):
        inspector.edits = [edit()]
    assert inspector.recording is not None
    assert inspector.recording["cell"].replay_error < 1e-5
    assert not inspector._page.score._frame["residual"]["ok"]
    inspector.close()


class Counting(nn.Module):
    """Tells the time to its step in an attribute, and counts its steps in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.i, self.h, self.time = nn.Linear(3, 4), nn.Linear(4, 4), 0
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.time, h, states = 0, x.new_zeros(x.size(1), 4), []
        for now in x:
            h = count(self, now, h, None)
            states.append(h)
        self.time = 0
        return torch.stack(states)


def count(module: Counting, x: Tensor, h: Tensor, at: object) -> Tensor:
    module.time += 1
    module.steps += 1
    drive = module.i(x) + module.h(h) + 0.3 * module.time
    return at.gate("drive", drive) if at is not None else torch.tanh(drive)


def test_the_comparison_leaves_no_trace_in_the_module() -> None:
    rw.register(Counting, gates={"drive": "tanh"})(count)
    model = Counting()
    plain = model(X)
    model.steps.zero_()
    for call in (1, 2):
        model.time = 0
        with rw.edited(model, rw.shift("drive", 0.5, steps=[5])):
            output = model(X)
        assert torch.equal(output[:5], plain[:5])
        assert model.steps == 2 * 12 * call  # its own, and those of the edited run


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", [rw.cells.LeakyRNN, rw.cells.MinGRU, rw.cells.PeepholeLSTM])
def test_the_roundings_of_half_precision_are_no_other_step(kind: type[nn.Module], dtype: torch.dtype) -> None:
    model = kind(3, 4).to(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rw.intervene(model, X.to(dtype), rw.nudge("hidden", 0.5, steps=[3]))
