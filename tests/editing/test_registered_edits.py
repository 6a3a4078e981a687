"""Edits and gradients of registered layers, against edited plain loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import rnnwidget as rw
from rnnwidget.cells import LeakyRNN, PeepholeLSTM
from tests.cases import assert_close, assert_same_bits
from tests.found import found
from tests.plain_loop import PlainRun, change
from tests.registered import (
    BATCH,
    CTRNN,
    FEATURES,
    PREACTIVATIONS,
    SITES,
    SIZES,
    STEPS,
    UNITS,
    Adapting,
    Cell,
    assert_recorded,
    built,
    drawn,
    expected_of,
    registrations_of_their_own,  # noqa: F401 - a fixture for every test
)

CHANGES = st.tuples(
    st.sampled_from(["clamp", "shift", "scale", "nudge"]),
    st.integers(0, 1),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.none() | st.lists(st.integers(0, STEPS - 1), min_size=1, max_size=3, unique=True),
    st.none() | st.lists(st.integers(0, UNITS - 1), min_size=1, max_size=2, unique=True),
    st.none() | st.just([1]),
)


@settings(max_examples=100)
@given(st.sampled_from([CTRNN, Cell, Adapting]), st.lists(CHANGES, min_size=1, max_size=3, unique_by=repr))
def test_edits_are_those_of_an_edited_loop(kind: type[nn.Module], drawn_changes: list[tuple]) -> None:
    module, x = built(kind), drawn(STEPS, BATCH, FEATURES)
    edits, changes = [], []
    for operation, place, value, steps, units, batch in drawn_changes:
        sites = PREACTIVATIONS[kind] if operation == "shift" else SITES[kind]
        scope = {"steps": steps, "units": units, "batch": batch}
        edits.append(getattr(rw, operation)(sites[place % len(sites)], value, **scope))
        changes.append(change(operation, sites[place % len(sites)], value, SIZES, **scope))
    kept = [one for place, one in enumerate(changes) if edits[place] not in edits[:place]]
    expected = expected_of(module, x, *kept)
    with rw.record(module) as recording, rw.edited(module, *edits):
        if kind is Cell:
            h, output = x.new_zeros(BATCH, UNITS), []
            for x_t in x:
                h = module(x_t, h)
                output.append(h)
            stacked, finals = torch.stack(output), (h,)
        else:
            stacked, finals = module(x)
            finals = finals if isinstance(finals, tuple) else (finals,)
    assert_close(stacked, expected.output)
    for ours, theirs in zip(finals, expected.finals, strict=True):
        assert_close(ours, theirs)
    assert_recorded(recording["cell"], module, expected)
    _assert_same_gradients(module, stacked, finals, expected)


def _assert_same_gradients(module: nn.Module, output: Tensor, finals: tuple[Tensor, ...], expected: PlainRun) -> None:
    parameters = list(module.parameters())
    losses = [
        (run.square() + run).sum() + last[-1].sum()
        for run, last in ((output, finals), (expected.output, expected.finals))
    ]
    if not losses[1].requires_grad:
        return
    ours, theirs = (torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True) for loss in losses)
    for one, other in zip(ours, theirs, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("gives", ["output", "output and state", "output and its last"])
def test_gradients_do_not_count_twice(gives: str) -> None:
    module, x = built(CTRNN, gives), drawn(STEPS, BATCH, FEATURES)
    weights = drawn(*SIZES, seed=1)

    def loss(output: Tensor, last: Tensor) -> Tensor:
        return (weights * output).sum() + (0 if gives == "output" else last.square().sum())

    with rw.record(module, gradients=True) as recording:
        returned = module(x)
        loss(*(returned if isinstance(returned, tuple) else (returned, returned))).backward()
    flow, expected = recording.gradient_flow()["cell"], expected_of(module, x)
    theirs = loss(expected.output, expected.finals[0])
    assert_close(flow.hidden, expected.layer.gradient(theirs, "hidden"))
    assert_close(flow.hidden_local, expected.layer.gradient(theirs, "outward"))
    assert_close(flow.preactivation("drive"), expected.layer.gradient(theirs, "preactivation:drive"))


class CellWithOutput(Cell):
    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = super().forward(x, h)
        return h, h


@pytest.mark.parametrize("kind", [Cell, CellWithOutput])
def test_gradients_of_a_cell_in_its_callers_loop(kind: type[nn.Module]) -> None:
    module, x, weights = built(kind), drawn(STEPS, BATCH, FEATURES), drawn(*SIZES, seed=1)
    with rw.record(module, gradients=True) as recording:
        h, output = x.new_zeros(BATCH, UNITS), []
        for x_t in x:
            h = module(x_t, h) if kind is Cell else module(x_t, h)[1]
            output.append(h)
        (weights * torch.stack(output)).sum().backward()
    flow, expected = recording.gradient_flow()["cell"], expected_of(module, x)
    theirs = (weights * expected.output).sum()
    assert_close(flow.hidden, expected.layer.gradient(theirs, "hidden"))
    assert_close(flow.hidden_local, expected.layer.gradient(theirs, "outward"))


def test_intervene_goes_through_one_kernel_path() -> None:
    module, x = built(CTRNN), drawn(STEPS, BATCH, FEATURES)
    before = found(module)
    result = rw.intervene(module, x, [rw.nudge("hidden", 0.5, steps=[3], units=[1])])
    assert found(module) == before
    expected = expected_of(module, x, change("nudge", "hidden", 0.5, SIZES, steps=[3], units=[1]))
    assert_close(result.output[0], expected.output)
    assert_close(result.baseline[0], expected_of(module, x).output)
    assert not result.change["cell"][:3].any()
    assert result.change["cell"][3:].any()
    same = rw.intervene(module, x, [rw.scale("drive", 1.0), rw.shift("drive", 0.0)])
    assert_same_bits(same.output, module(x))
    with pytest.raises(IndexError, match=r"units \[9\] do not exist"):
        rw.intervene(module, x, [rw.clamp("drive", 1.0, units=[9])])


def test_gradient_flow_by_a_run_of_our_own() -> None:
    module, x = built(CTRNN), drawn(STEPS, BATCH, FEATURES)
    before = found(module)
    flow = rw.gradient_flow(module, x, lambda output: output[0].square().sum() + output[1].sum())["cell"]
    assert found(module) == before
    expected = expected_of(module, x)
    loss = expected.output.square().sum() + expected.finals[0].sum()
    assert_close(flow.hidden, expected.layer.gradient(loss, "hidden"))
    assert_close(flow.preactivation("drive"), expected.layer.gradient(loss, "preactivation:drive"))


def test_registered_layers_train_inside_the_block() -> None:
    for module, gate in ((LeakyRNN(3, 4), "drive"), (PeepholeLSTM(3, 4), "f")):
        optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
        losses = []
        with rw.edited(module, rw.shift(gate, 1.0)):
            for _ in range(5):
                optimiser.zero_grad()
                loss = module(torch.ones(5, 2, 3))[0].sub(0.3).square().mean()
                loss.backward()
                optimiser.step()
                losses.append(float(loss.detach()))
        assert losses == sorted(losses, reverse=True)


class Normalised(nn.Module):
    """A cell of PyTorch's behind a normalisation; its author registers the step as one that calls it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.cell = nn.LayerNorm(3), nn.LSTMCell(3, 4)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return self.cell(self.norm(x), state)


def looped(cell: Normalised, x: Tensor) -> Tensor:
    state, states = (x.new_zeros(x.size(1), 4),) * 2, []
    for now in x:
        state = cell(now, state)
        states.append(state[0])
    return torch.stack(states)


def test_steps_of_a_cell_inside_a_registered_one() -> None:
    rw.register(Normalised, states=("hidden", "cell"))(lambda module, x, state, at: module.cell(module.norm(x), state))
    torch.manual_seed(0)
    model, x = nn.ModuleDict({"step": Normalised()}), torch.randn(6, 2, 3)
    inner, outer = rw.shift("f", 2.0, layer="step.cell", steps=[3]), rw.nudge("h", 0.3, layer="step", steps=[2])
    plain = looped(model["step"], x)
    for edit, first in ((inner, 3), (outer, 2)):
        with rw.edited(model, edit):
            states = looped(model["step"], x)
        assert_close(states[:first], plain[:first], 1e-6)
        assert (states[first] - plain[first]).abs().max() > 1e-3
    for edits in ((inner, outer), (rw.nudge("h", 0.3, steps=[2]),)):
        with (
            pytest.raises(NotImplementedError, match=r"'step.cell' is called by the step of 'step'.* layer="),
            rw.edited(model, *edits),
        ):
            looped(model["step"], x)
    with rw.edited(model, rw.shift("f", 2.0, layer="step.cell"), outer):
        both = looped(model["step"], x)
    with rw.edited(model, rw.shift("f", 2.0, layer="step.cell")):
        alone = looped(model["step"], x)
    assert_close(both[2], alone[2] + 0.3, 1e-6)
