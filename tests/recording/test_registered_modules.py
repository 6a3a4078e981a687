"""Recurrent layers that a person wrote as loops over the steps, opened by registering their step."""

import copy
import io

import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw
from rnnwidget.cells import registry
from tests.cases import assert_close, assert_same_bits
from tests.found import found
from tests.plain_loop import change
from tests.registered import (
    BATCH,
    CTRNN,
    FEATURES,
    SITES,
    SIZES,
    STEPS,
    UNITS,
    Adapting,
    Cell,
    Result,
    Unusual,
    assert_recorded,
    built,
    drawn,
    expected_of,
    leaky_step,
    register_all,
    registrations_of_their_own,  # noqa: F401 - a fixture for every test
)


@pytest.mark.parametrize("gives", ["output", "output and state", "output and its last"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_the_usual_shapes(gives: str, batch_first: bool) -> None:
    module, x = built(CTRNN, gives, batch_first=batch_first), drawn(STEPS, BATCH, FEATURES)
    before = found(module)
    with rw.record(module) as recording:
        output = module(x.transpose(0, 1) if batch_first else x)
    assert found(module) == before
    assert recording.layers == ("cell",)
    layer, expected = recording["cell"], expected_of(module, x)
    assert (layer.family, layer.gates, layer.states, layer.batch_first) == (
        "ctrnn",
        ("drive",),
        ("hidden",),
        batch_first,
    )
    assert_recorded(layer, module, expected)
    assert_same_bits(layer.inputs, x)
    stacked = output if gives == "output" else output[0]
    assert_same_bits(layer.hidden, stacked.transpose(0, 1) if batch_first else stacked)


def test_an_initial_state_given_by_place_or_by_name() -> None:
    module, x, h = built(CTRNN), drawn(STEPS, BATCH, FEATURES), drawn(BATCH, UNITS, seed=1)
    for call in (lambda: module(x, h), lambda: module(x=x, h=h), lambda: module(h=h, x=x)):
        with rw.record(module) as recording:
            call()
        assert_recorded(recording["cell"], module, expected_of(module, x, initial=(h,)))
        assert_same_bits(recording["cell"].initial["hidden"], h)


def test_a_cell_in_its_callers_loop_is_one_call() -> None:
    module, x = built(Cell), drawn(STEPS, BATCH, FEATURES)
    with rw.record(module) as recording:
        h = x.new_zeros(BATCH, UNITS)
        for x_t in x:
            h = module(x_t, h)
    assert len(recording.calls("cell")) == 1
    assert_recorded(recording["cell"], module, expected_of(module, x))


def test_two_states() -> None:
    module, x = built(Adapting), drawn(STEPS, BATCH, FEATURES)
    initial = (drawn(BATCH, UNITS, seed=1), drawn(BATCH, UNITS, seed=2))
    with rw.record(module) as recording:
        module(x, initial)
    layer = recording["cell"]
    assert (layer.gates, layer.states) == ((), ("hidden", "adaptation"))
    assert_recorded(layer, module, expected_of(module, x, initial=initial))
    assert layer["a"] is layer["adaptation"]


class Kicked(Adapting):
    def forward(self, x: Tensor, state: object = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        before, (h, a) = super().forward(x[:3])
        after, finals = super().forward(x[3:], (h + 1, a))
        return torch.cat([before[:2], before[2:] + 1, after]), finals


def test_each_step_starts_from_the_hidden_state_that_the_model_gave() -> None:
    module, x = built(Kicked), drawn(STEPS, BATCH, FEATURES)
    with rw.record(module) as recording:
        _, (_, adaptation) = module(x)
    assert_close(recording["cell"]["adaptation"][-1], adaptation)
    assert recording["cell"].replay_error > 0.1


def test_within_a_model_beside_pytorchs_own() -> None:
    register_all()
    model = nn.ModuleDict({"lstm": nn.LSTM(FEATURES, FEATURES).double(), "rate": CTRNN(), "slow": Adapting()})
    x = drawn(STEPS, BATCH, FEATURES)
    before = found(model)
    with rw.record(model) as recording, rw.edited(model, rw.clamp("drive", 0.5, layer="rate", units=[1])):
        middle, _ = model["lstm"](x)
        model["rate"](middle)
        model["slow"](middle)
    assert found(model) == before
    assert recording.layers == ("lstm.l0", "rate", "slow")
    assert_close(recording["rate"].inputs, middle)
    assert recording["lstm.l0"].replay_error <= 1e-12
    clamped = change("clamp", "drive", 0.5, SIZES, units=[1])
    assert_recorded(recording["rate"], model["rate"], expected_of(model["rate"], middle, clamped))
    assert_recorded(recording["slow"], model["slow"], expected_of(model["slow"], middle))


def test_a_subclass_is_opened_too_and_may_have_a_step_of_its_own() -> None:
    class Twice(CTRNN):
        def recurrence(self, x: Tensor, h: Tensor) -> Tensor:
            return 2 * super().recurrence(x, h)

    module, x = built(Twice), drawn(STEPS, BATCH, FEATURES)

    def error() -> float:
        with rw.record(module) as recording:
            module(x)
        assert recording["cell"].family == ("twice" if Twice in registry._registrations else "ctrnn")
        return recording["cell"].replay_error

    assert error() > 1e-3
    rw.register(Twice, gates={"drive": "relu"})(lambda module, x, h, at: 2 * leaky_step(module, x, h, at))
    assert error() <= 1e-12


@pytest.mark.parametrize("what", ["attribute", "weights", "input", "output"])
def test_what_changes_afterwards_does_not_reach_a_recording(what: str) -> None:
    module, x = built(CTRNN), drawn(STEPS, BATCH, FEATURES)
    expected = expected_of(module, x)
    with rw.record(module) as recording:
        output, _ = module(x)
        module.alpha = 0.2
    with torch.no_grad():
        if what == "attribute":
            module.alpha = 0.9
        elif what == "weights":
            module.h2h.weight.add_(1.0)
        else:
            {"input": x, "output": output}[what].zero_()
    for site in ("drive", "hidden"):
        assert_close(recording["cell"][site], expected.layer[site])
    assert recording["cell"].replay_error <= 1e-12


def test_what_changes_between_the_calls_of_one_block_counts() -> None:
    module, x = built(CTRNN), drawn(STEPS, BATCH, FEATURES)
    with rw.record(module) as recording:
        _, h = module(x[:3])
        module.alpha = 0.7
        _, h = module(x[3:5], h)
        module.h2h.weight.data.mul_(2)
        module(x[5:], h)
    (call,) = recording.calls("cell")
    assert call.hidden.shape == SIZES
    assert call.replay_error <= 1e-12


class InPlace(CTRNN):
    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x.mul_(2)
        output = x.new_empty(len(x), x.size(1), UNITS)
        h = x.new_zeros(x.size(1), UNITS) if h is None else h
        for step, x_t in enumerate(x):
            h.copy_(self.recurrence(x_t / 2, h))
            output[step] = h
            x_t.zero_()
        return output, h


@torch.no_grad()
def test_a_forward_that_works_in_place() -> None:
    for initial in (None, drawn(BATCH, UNITS, seed=1)):
        module, x = built(InPlace), drawn(STEPS, BATCH, FEATURES)
        kept = None if initial is None else (initial.clone(),)
        expected = expected_of(module, x.clone(), initial=kept)
        with rw.record(module) as recording:
            module(x, initial)
        assert not x.any()
        for site in ("drive", "hidden"):
            assert_close(recording["cell"][site], expected.layer[site])
        assert recording["cell"].replay_error <= 1e-12


def test_wrong_mathematics_shows() -> None:
    module, x = built(CTRNN), drawn(STEPS, BATCH, FEATURES)
    rw.register(CTRNN, gates={"drive": "relu"})(
        lambda module, x, h, at: 0.5 * h + 0.5 * at.gate("drive", module.input2h(x) + module.h2h(h))
    )
    with rw.record(module) as recording:
        module(x)
    assert recording["cell"].replay_error > 1e-3


def test_takes_and_returns() -> None:
    register_all()
    rw.register(
        Unusual,
        gates={"drive": "relu"},
        takes=lambda module, batch, mask: (batch["stimulus"] * mask, None),
        returns=lambda result: (result.rates, result.state),
        readout=lambda module, rates: rates.sum(-1),
    )(leaky_step)
    torch.manual_seed(0)
    module, x, mask = Unusual(), drawn(STEPS, BATCH, FEATURES), drawn(STEPS, 1, 1, seed=1)
    with rw.record(module) as recording:
        plain = module({"stimulus": x}, mask)
    expected = expected_of(module, x * mask)
    assert_close(recording["cell"]["drive"], expected.layer["drive"])
    with rw.edited(module, rw.clamp("hidden", 0.5, units=[0])):
        edited = module({"stimulus": x}, mask)
    assert isinstance(edited, Result)
    assert (edited.rates[..., 0] == 0.5).all()
    assert_same_bits(edited.readout, edited.rates.sum(-1))
    assert not torch.equal(edited.readout, plain.readout)


def test_nothing_is_left_on_a_model() -> None:
    module, x = built(CTRNN), drawn(STEPS, BATCH, FEATURES)
    names = set(vars(CTRNN))
    before = found(module)
    with rw.record(module, gradients=True) as recording, rw.edited(module, rw.shift("drive", 1.0)):
        module(x)[0].sum()
        copied = copy.deepcopy(module)
        torch.save(module, io.BytesIO())
    assert recording["cell"].hidden.shape == SIZES
    assert (found(module), set(vars(CTRNN))) == (before, names)
    with rw.record(copied) as again:
        copied(x)
    assert_recorded(again["cell"], copied, expected_of(copied, x))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), rw.record(module):
        module(x[..., :2])
    assert found(module) == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", [CTRNN, Adapting])
def test_half_precision(kind: type[nn.Module], dtype: torch.dtype) -> None:
    module, x = built(kind).to(dtype), drawn(STEPS, BATCH, FEATURES).to(dtype)
    with rw.record(module) as recording:
        output, _ = module(x)
    layer = recording["cell"]
    assert_same_bits(layer.hidden, output)
    assert layer.hidden.dtype == dtype
    assert all(layer[site].dtype == torch.float32 for site in SITES[kind] if site != "hidden")
    assert layer.replay_error < 20 * torch.finfo(dtype).eps


@pytest.mark.parametrize("kind", [CTRNN, Adapting])
def test_an_empty_batch(kind: type[nn.Module]) -> None:
    module, x = built(kind), drawn(STEPS, 0, FEATURES)
    with rw.record(module) as recording, rw.edited(module, rw.scale("hidden", 0.5)):
        output, _ = module(x)
    assert output.shape == recording["cell"].hidden.shape == (STEPS, 0, UNITS)
    assert recording["cell"].replay_error == 0.0
    assert recording["cell"][SITES[kind][1]].shape == (STEPS, 0, UNITS)


def test_a_state_that_broadcasts_over_the_batch() -> None:
    module, x, h = built(CTRNN), drawn(STEPS, BATCH, FEATURES), drawn(1, UNITS, seed=1)
    with rw.record(module) as recording:
        module(x, h)
    assert_recorded(recording["cell"], module, expected_of(module, x, initial=(h.expand(BATCH, UNITS),)))


@torch.inference_mode()
def test_in_inference_mode() -> None:
    module, x = built(CTRNN), drawn(STEPS, BATCH, FEATURES)
    with rw.record(module) as recording, rw.edited(module, rw.clamp("drive", 0.5, steps=[2])):
        module(x)
    assert_recorded(recording["cell"], module, expected_of(module, x, change("clamp", "drive", 0.5, SIZES, steps=[2])))
