"""Registered layers that read one sequence without a batch, told from one step of as many sequences."""

import pytest
import torch
from torch import Tensor

import rnnwidget as rw
from rnnwidget.recording import one_sequence
from tests.cases import assert_close
from tests.plain_loop import change
from tests.registered import (
    CTRNN,
    FEATURES,
    STEPS,
    UNITS,
    Cell,
    built,
    drawn,
    expected_of,
    leaky_step,
    registrations_of_their_own,  # noqa: F401 - a fixture for every test
)


class Alone(CTRNN):
    """Reads one sequence (time, feature), without a batch."""

    def forward(self, x: Tensor, h: Tensor | None = None) -> object:
        returned = super().forward(x.unsqueeze(0 if self.batch_first else 1), None if h is None else h.reshape(1, -1))
        output, *finals = (returned,) if isinstance(returned, Tensor) else returned
        output = output.squeeze(0 if self.batch_first else 1)
        return {
            "output": output,
            "output and state": (output, *(final.reshape(-1) for final in finals)),
            "output and its last": (output, *finals),
        }[self.gives]


@pytest.mark.parametrize("gives", ["output", "output and state", "output and its last"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("initial", [False, True])
def test_one_sequence_without_a_batch(gives: str, batch_first: bool, initial: bool) -> None:
    rw.register(Alone, gates={"drive": "relu"})(leaky_step)
    module, x = built(Alone, gives, batch_first=batch_first), drawn(STEPS, FEATURES)
    h = (drawn(UNITS, seed=1),) if initial else ()
    expected = expected_of(module, x.unsqueeze(1), initial=tuple(state.reshape(1, -1) for state in h) or None)
    state = torch.get_rng_state()
    with rw.record(module, gradients=True) as recording:
        output = module(x, *h)
        (output if gives == "output" else output[0]).square().sum().backward()
    assert torch.equal(torch.get_rng_state(), state)
    layer = recording["cell"]
    assert layer.hidden.shape == (STEPS, 1, UNITS)
    for site in ("drive", "hidden"):
        assert_close(layer[site], expected.layer[site])
    assert layer.replay_error <= 1e-12
    assert_close(recording.gradient_flow()["cell"].hidden_local[-1], 2 * layer.hidden[-1])
    result = rw.intervene(module, (x, *h), [rw.clamp("drive", 0.5, units=[1], steps=slice(2, 4))])
    clamped = change("clamp", "drive", 0.5, (STEPS, 1, UNITS), units=[1], steps=[2, 3])
    expected = expected_of(module, x.unsqueeze(1), clamped, initial=tuple(state.reshape(1, -1) for state in h) or None)
    edited = result.output if gives == "output" else result.output[0]
    assert_close(edited.unsqueeze(1), expected.layer["hidden"])
    assert_close(result.recording["cell"].hidden, expected.layer["hidden"])


def test_one_step_of_as_many_sequences_is_told_from_one_sequence() -> None:
    class AtRest(Cell):
        def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
            return super().forward(x, x.new_zeros(UNITS) if h is None else h)

    rw.register(AtRest, gates={"drive": "relu"})(leaky_step)
    module, x = built(AtRest), drawn(STEPS, FEATURES)
    for h in ((), (drawn(UNITS, seed=1),), (drawn(STEPS, UNITS, seed=1),)):
        with rw.record(module) as recording:
            module(x, *h)
        assert recording["cell"].hidden.shape == (1, STEPS, UNITS)
        assert recording["cell"].replay_error <= 1e-12


def test_the_last_state_alone_of_one_sequence_is_refused_with_what_to_give() -> None:
    class Last(Alone):
        def forward(self, x: Tensor, h: Tensor | None = None) -> object:
            return super().forward(x, h)[1]

    rw.register(Last, gates={"drive": "relu"})(leaky_step)
    module = built(Last, "output and state")
    with (
        pytest.raises(TypeError, match=r"Last returned a state without a batch.*\(time, 1, feature\)"),
        rw.record(module),
    ):
        module(drawn(STEPS, FEATURES))
    assert not module._forward_hooks


def test_rows_that_do_not_depend_on_each_other_are_a_batch() -> None:
    rw.register(Alone, gates={"drive": "relu"})(leaky_step)
    module = built(Alone, "output")
    module.alpha = 1.0
    torch.nn.init.zeros_(module.h2h.weight)
    with rw.record(module) as recording:
        module(drawn(STEPS, FEATURES))
    assert recording["cell"].hidden.shape == (1, STEPS, UNITS)


def test_asking_the_step_draws_nothing_from_the_process() -> None:
    def noisy_step(module: torch.nn.Module, x: Tensor, h: Tensor, at: object) -> Tensor:
        return leaky_step(module, x, h, at) + 1e-5 * torch.randn_like(h)

    rw.register(Alone, gates={"drive": "relu"})(noisy_step)
    module, state = built(Alone, "output"), torch.get_rng_state()
    with rw.record(module) as recording:
        module(drawn(STEPS, FEATURES))
    assert recording["cell"].hidden.shape == (STEPS, 1, UNITS)
    assert torch.equal(torch.get_rng_state(), state)


class Spiking(Cell):
    """Gives what is made of the state, and the state, of one width."""

    def __init__(self, *, state_first: bool = False) -> None:
        super().__init__()
        self.state_first = state_first

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        h = super().forward(x, h)
        return (h, h > 0.1) if self.state_first else ((h > 0.1).to(h), h)


def test_of_two_tensors_the_step_tells_the_state() -> None:
    rw.register(Spiking, gates={"drive": "relu"})(leaky_step)
    module, h = built(Spiking), torch.zeros(2, UNITS, dtype=torch.float64)
    with rw.record(module) as recording:
        for x in drawn(STEPS, 2, FEATURES):
            _, h = module(x, h)
    assert len(recording.calls("cell")) == 1
    assert recording["cell"].replay_error <= 1e-12
    module = built(Spiking, state_first=True)
    with (
        pytest.raises(TypeError, match=r"the second should be the state.*returns=lambda output: \(output\[0\], None\)"),
        rw.record(module),
    ):
        module(drawn(2, FEATURES), torch.ones(2, UNITS, dtype=torch.float64))


def test_a_cell_is_asked_once_what_its_calls_are(monkeypatch: pytest.MonkeyPatch) -> None:
    class KeepsState(Cell):
        kept: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
            self.kept = super().forward(x, x.new_zeros(len(x), UNITS) if self.kept is None else self.kept)
            return self.kept

    rw.register(KeepsState, gates={"drive": "relu"})(leaky_step)
    module, asked = built(KeepsState), []
    residual = one_sequence._residual
    monkeypatch.setattr(one_sequence, "_residual", lambda *a, **k: (asked.append(1), residual(*a, **k))[1])
    with rw.record(module) as recording:
        for x in drawn(STEPS, 2, FEATURES):
            module(x)
    assert {call.hidden.shape for call in recording.calls("cell")} == {(1, 2, UNITS)}
    assert len(asked) == 2
