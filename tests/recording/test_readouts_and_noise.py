"""Hand-written networks as people write them: a readout in the same class, time constants, noise, logs."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import rnnwidget as rw
from tests.cases import assert_same_bits
from tests.found import found

X = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(0))


class Rates(nn.Module):
    """One class for everything: rates, readout, a time constant in a namespace, a log of what it did."""

    def __init__(self, gives: str, noise: float = 0.0) -> None:
        super().__init__()
        self.i, self.h, self.o = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.gives, self.noise = gives, noise
        self.settings = SimpleNamespace(alpha=torch.tensor(0.3))
        self.log: dict[str, object] = {}

    def forward(self, x: Tensor) -> object:
        h, rates = x.new_zeros(x.size(1), 4), []
        for x_t in x:
            drive = torch.relu(self.i(x_t) + self.h(h) + self.noise * torch.randn(x.size(1), 4))
            h = (1 - self.settings.alpha) * h + self.settings.alpha * drive
            rates.append(h)
        kept = torch.stack(rates)
        self.log = {"rates": [kept]}
        if self.gives == "rates and readout":
            return kept, self.o(kept)
        return (kept, self.o(kept[-1])) if self.gives == "rates and last readout" else (kept, h)


def step(module: Rates, x: Tensor, h: Tensor, at: object) -> Tensor:
    noise = module.noise * torch.randn_like(h) if module.noise else 0.0
    drive = at.gate("drive", module.i(x) + module.h(h) + noise)
    return (1 - module.settings.alpha) * h + module.settings.alpha * drive


def registered(gives: str, noise: float = 0.0, **options: object) -> Rates:
    rw.register(Rates, name="rates with a readout", gates={"drive": "relu"}, **options)(step)
    torch.manual_seed(1)
    return Rates(gives, noise)


@pytest.mark.parametrize("gives", ["rates and readout", "rates and last readout"])
def test_a_readout_is_not_taken_for_the_final_state(gives: str) -> None:
    model = registered(gives)
    with pytest.raises(TypeError, match=r"not the first one's last step.*returns="), rw.record(model):
        model(X)


@pytest.mark.parametrize("gives", ["rates and readout", "rates and last readout"])
def test_edits_reach_a_readout_or_are_refused(gives: str) -> None:
    model = registered(gives, returns=lambda output: output[0])
    with pytest.raises(NotImplementedError, match=r"more than its states.*readout="):
        rw.intervene(model, X, rw.shift("drive", 1.0))
    last = gives == "rates and last readout"
    model = registered(
        gives, returns=lambda output: output[0], readout=lambda module, rates: module.o(rates[-1] if last else rates)
    )
    rates, readout = rw.intervene(model, X, rw.shift("drive", 1.0, steps=[2])).output
    assert_same_bits(readout, model.o(rates[-1] if last else rates))
    assert not torch.equal(rates, model(X)[0])


def unrolled(model: Rates, shift: float) -> tuple[list[Tensor], list[Tensor]]:
    """Every state as it is handed on to the next step, and as everything else reads it."""
    h, states, read = torch.zeros(2, 4), [], []
    for x_t in X:
        drive = torch.relu(model.i(x_t) + model.h(h) + shift)
        h = (1 - model.settings.alpha) * h + model.settings.alpha * drive
        states.append(h)
        read.append(h.view_as(h))
    return states, read


@pytest.mark.parametrize("shift", [0.0, 0.7])
@pytest.mark.parametrize("gives", ["rates and readout", "rates and last readout"])
@pytest.mark.parametrize("rates_count", [0.0, 0.01])
def test_a_gradient_through_the_readout_is_counted(gives: str, shift: float, rates_count: float) -> None:
    last = gives == "rates and last readout"
    model = registered(
        gives, returns=lambda output: output[0], readout=lambda module, rates: module.o(rates[-1] if last else rates)
    )

    def loss(output: tuple[Tensor, Tensor]) -> Tensor:
        return output[1].pow(2).sum() + rates_count * output[0].pow(2).sum()

    states, read = unrolled(model, shift)
    kept = torch.stack(read)
    expected = loss((kept, model.o(kept[-1] if last else kept)))
    total = torch.autograd.grad(expected, states, retain_graph=True)
    local = torch.autograd.grad(expected, read, retain_graph=True, allow_unused=True)
    parameters = torch.autograd.grad(expected, list(model.parameters()))

    with rw.edited(model, rw.shift("drive", shift)), rw.record(model, gradients=True) as recording:
        loss(model(X)).backward()
    flow = recording.gradient_flow()["cell"]
    torch.testing.assert_close(flow.hidden, torch.stack(total))
    without = [torch.zeros(2, 4) if gradient is None else gradient for gradient in local]
    torch.testing.assert_close(flow.hidden_local, torch.stack(without))
    for parameter, gradient in zip(model.parameters(), parameters, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)

    asked = rw.gradient_flow(model, X, loss)["cell"] if shift == 0 else flow
    torch.testing.assert_close(asked.hidden, torch.stack(total))


def test_a_gradient_at_a_readout_that_nobody_explained_is_refused() -> None:
    model = registered("rates and readout", returns=lambda output: output[0])
    with rw.record(model, gradients=True) as recording:
        output = model(X)
        output[0].sum().backward(retain_graph=True)
    assert recording.gradient_flow()["cell"].hidden.isfinite().all()
    with rw.record(model, gradients=True) as recording:
        output = model(X)
        output[1].sum().backward()
    with pytest.raises(NotImplementedError, match=r"a gradient arrives there: register\(Rates, readout="):
        recording.gradient_flow()


def test_a_time_constant_that_changed_is_noticed_wherever_it_is_kept() -> None:
    model = registered("states")
    with rw.record(model) as before:
        model(X)
    runner = rw.Intervention(model, X)
    model.settings.alpha = torch.tensor(0.9)
    with rw.record(model) as after:
        output, _ = model(X)
    assert before["cell"].replay_error < 1e-6
    assert after["cell"].replay_error < 1e-6
    assert_same_bits(rw.Intervention(model, X).baseline[0], output)
    edited = runner.run([rw.nudge("drive", 0.5, steps=[3])]).output[0]
    with rw.edited(model, rw.nudge("drive", 0.5, steps=[3])):
        assert_same_bits(edited, model(X)[0])


def test_noise_in_a_step_leaves_the_generator_alone_and_looks_the_same_twice() -> None:
    model = registered("states", noise=0.5)
    torch.manual_seed(7)
    model(X)
    expected = torch.get_rng_state()
    torch.manual_seed(7)
    with rw.record(model) as recording, rw.edited(model, rw.shift("drive", 0.1, steps=[4])):
        model(X)
    assert torch.equal(torch.get_rng_state(), expected)
    first = recording["cell"]["drive"].clone()
    assert recording["cell"].replay_error >= 0
    with rw.record(model) as again:
        torch.manual_seed(7)
        model(X)
    state = torch.get_rng_state()
    assert again["cell"]["drive"].shape == first.shape
    rw.gradient_flow(model, X, lambda output: output[0].sum())
    assert torch.equal(torch.get_rng_state(), state)


def test_an_edited_run_draws_the_noise_of_the_run_itself() -> None:
    model = registered("states", noise=0.5)
    torch.manual_seed(7)
    plain, _ = model(X)
    torch.manual_seed(7)
    with rw.edited(model, rw.shift("drive", 5.0, steps=[4])):
        edited, _ = model(X)
    torch.testing.assert_close(edited[:4], plain[:4])
    assert (edited[4] - plain[4]).abs().min() > 0.1


@torch.no_grad()
def test_before_and_after_draw_the_same_noise() -> None:
    model = registered("states", noise=0.5)
    edit = rw.nudge("hidden", 1.0, units=[0], steps=[3])
    result = rw.intervene(model, X, edit)
    assert result.change["cell"][:3].abs().max() == 0
    assert result.change["cell"][3].abs().max() > 0.5
    again = rw.Intervention(model, X)
    assert_same_bits(again.run(edit).output[0], result.output[0])
    curve = rw.sweep(
        model, X, edit_of=lambda v: rw.nudge("hidden", v, steps=[3]), values=[0.0, 1.0], answer=lambda o: o[0][:3].sum()
    )
    assert curve.answers.tolist() == [curve.baseline.item()] * 2


def test_hooks_of_the_person_s_own_are_not_told_when_a_recording_is_looked_at() -> None:
    model, calls = registered("states"), []
    model.h.register_forward_hook(lambda *_: calls.append(1))
    with rw.record(model) as recording:
        model(X)
    before, seen = found(model), len(calls)
    assert recording["cell"]["drive"].shape == (6, 2, 4)
    assert len(calls) == seen == 6
    assert found(model) == before


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_steps_of_edits_count_alike_when_a_backward_makes_a_call_again(kind: type[nn.RNNBase]) -> None:
    site = "hidden" if kind is nn.RNN else "candidate"

    def gradients(*, again: bool) -> list[Tensor]:
        torch.manual_seed(0)
        module, state, outputs = kind(3, 4), None, []
        with rw.edited(module, rw.scale(site, 0.3, steps=[2, 5])):
            for part in X.split(2):
                given = (part,) if state is None else (part, state)
                output, state = checkpoint(module, *given, use_reentrant=False) if again else module(*given)
                outputs.append(output)
            torch.cat(outputs).square().sum().backward()
        return [parameter.grad for parameter in module.parameters()]

    assert_same_bits(gradients(again=True), gradients(again=False))


@pytest.mark.parametrize("steps", [None, slice(0, 5), range(5)])
def test_a_value_for_each_step_along_a_loop(steps: object) -> None:
    cell, values, h = nn.GRUCell(3, 4), torch.rand(5, 1, 1), None
    with rw.record(cell) as recording, rw.edited(cell, rw.clamp("update_gate", values, steps=steps)):
        for x in X[:5]:
            h = cell(x, h)
    assert_same_bits(recording["cell"]["z"], values.expand(5, 2, 4))


def test_a_value_with_too_few_steps_for_a_loop_says_so() -> None:
    cell, h = nn.GRUCell(3, 4), None

    def loop() -> None:
        state = h
        with rw.edited(cell, rw.clamp("update_gate", torch.rand(3, 1, 1))):
            for x in X:
                state = cell(x, state)

    with pytest.raises(ValueError, match="3 steps, the loop has come to step 4"):
        loop()


def test_a_transposed_state_is_another_state() -> None:
    cell = nn.RNNCell(3, 4)
    with rw.record(cell) as recording:
        h = cell(torch.randn(4, 3))
        cell(torch.randn(4, 3), h.t())
    assert len(recording.calls("cell")) == 2
