"""What is wrong is refused before anything is attached, with what was found and what would be right."""

from collections.abc import Callable, Iterator

import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn

import rnnwidget as rw
from rnnwidget.cells import registry
from tests.found import found


@pytest.fixture(autouse=True)
def _as_users_run_it() -> Iterator[None]:
    """Without the run-time type checks of the other tests, which would speak first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def refuses(call: Callable[[], object], error: type[Exception], *words: str) -> None:
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert type(caught.value) is error


def entered(block: object) -> None:
    with block:
        pytest.fail("the block must not be entered")


def openers() -> list[Callable[[object], object]]:
    return [
        lambda model: entered(rw.record(model)),
        lambda model: entered(rw.edited(model)),
        lambda model: rw.intervene(model, torch.zeros(2, 1, 3), []),
        lambda model: rw.Intervention(model, torch.zeros(2, 1, 3)),
    ]


@pytest.mark.parametrize("opened", openers())
class TestModels:
    @pytest.mark.parametrize("model", [None, "lstm", 3, torch.zeros(2), nn.LSTM, lambda x: x, [nn.LSTM(3, 4)]])
    def test_what_is_no_module(self, opened: Callable[[object], object], model: object) -> None:
        refuses(lambda: opened(model), TypeError, "torch.nn.Module", type(model).__name__)

    def test_a_model_with_no_recurrent_part(self, opened: Callable[[object], object]) -> None:
        model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
        refuses(
            lambda: opened(model), ValueError, "no recurrent module", "Linear", "ReLU", "nn.LSTM", "rnnwidget.register"
        )

    @pytest.mark.filterwarnings("ignore:torch.ao.quantization:DeprecationWarning", "ignore:torch.ao.nn.quantized")
    @pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.LSTMCell, nn.RNNCell])
    def test_quantised_modules_are_named(self, opened: Callable[[object], object], kind: type[nn.Module]) -> None:
        model = nn.ModuleDict({"deep": nn.ModuleDict({"rnn": kind(3, 4)})})
        quantised = torch.ao.quantization.quantize_dynamic(model, {kind}, dtype=torch.qint8)
        refuses(lambda: opened(quantised), NotImplementedError, "deep.rnn", kind.__name__, "quantised")

    @pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
    def test_torchscript_is_named(self, opened: Callable[[object], object]) -> None:
        model = nn.ModuleDict({"rnn": torch.jit.script(nn.LSTM(3, 4))})
        refuses(lambda: opened(model), NotImplementedError, "rnn", "LSTM", "TorchScript")

    @pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
    @pytest.mark.parametrize("beside_an_open_one", [False, True])
    @pytest.mark.parametrize("made", ["script", "trace", "freeze"])
    def test_a_whole_model_in_torchscript_is_named(
        self, opened: Callable[[object], object], made: str, beside_an_open_one: bool
    ) -> None:
        model = nn.Sequential(nn.LSTM(3, 4)).eval()
        scripted = torch.jit.trace(model, torch.ones(5, 2, 3)) if made == "trace" else torch.jit.script(model)
        if made == "freeze":
            scripted = torch.jit.freeze(scripted)
        named = ["TorchScript", "Sequential" if made == "freeze" else "LSTM"]
        whole = nn.ModuleDict({"script": scripted, "rnn": nn.GRU(3, 4)}) if beside_an_open_one else scripted
        place = "script" if beside_an_open_one else "the top of the model" if made == "freeze" else "0"
        refuses(lambda: opened(whole), NotImplementedError, place, *named)

    @pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")
    def test_an_exported_model_is_named(self, opened: Callable[[object], object]) -> None:
        exported = torch.export.export(nn.LSTM(3, 4), (torch.ones(5, 2, 3),)).module()
        refuses(lambda: opened(exported), NotImplementedError, "GraphModule", "torch.export", "the original module")


NAN = float("nan")


@pytest.mark.parametrize("made", [rw.clamp, rw.shift, rw.scale, rw.nudge])
class TestEdits:
    @pytest.mark.parametrize("site", ["forgetgate", "F", "", "lstm.l0"])
    def test_no_such_site(self, made: Callable[..., rw.Edit], site: str) -> None:
        refuses(lambda: made(site, 0.5), KeyError, repr(site), "forget_gate", "update_gate", "cell")

    @pytest.mark.parametrize("site", [None, 3, ["f"], b"f"])
    def test_a_site_is_a_name(self, made: Callable[..., rw.Edit], site: object) -> None:
        refuses(lambda: made(site, 0.5), TypeError, "forget_gate", type(site).__name__)

    @pytest.mark.parametrize("value", ["0.5", None, [0.5], {"a": 1}, 1j, np.array([0.1, 0.2])])
    def test_a_value_is_a_number_or_a_tensor(self, made: Callable[..., rw.Edit], value: object) -> None:
        refuses(lambda: made("f", value), TypeError, "number or a tensor")

    def test_a_value_has_three_dimensions_at_most(self, made: Callable[..., rw.Edit]) -> None:
        refuses(lambda: made("f", torch.zeros(1, 1, 1, 4)), ValueError, "(1, 1, 1, 4)", "(steps, batch, units)")

    @pytest.mark.parametrize("scope", ["units", "steps", "batch"])
    @pytest.mark.parametrize("bad", [[0.5], 1.0, "ab", ["0"], [None], True, [False, True], torch.tensor([0.5])])
    def test_scopes_are_integers(self, made: Callable[..., rw.Edit], scope: str, bad: object) -> None:
        refuses(lambda: made("f", 0.5, **{scope: bad}), TypeError, scope, "integers")

    @pytest.mark.parametrize("scope", ["units", "steps", "batch"])
    @pytest.mark.parametrize("bad", [-1, [0, -2], torch.tensor([-1]), range(-2, 1)])
    def test_scopes_are_not_negative(self, made: Callable[..., rw.Edit], scope: str, bad: object) -> None:
        refuses(lambda: made("f", 0.5, **{scope: bad}), IndexError, scope, "-")

    def test_slices_of_steps_are_not_negative(self, made: Callable[..., rw.Edit]) -> None:
        refuses(lambda: made("f", 0.5, steps=slice(-3, None)), IndexError, "steps", "negative")

    def test_a_layer_is_a_name(self, made: Callable[..., rw.Edit]) -> None:
        refuses(lambda: made("f", 0.5, layer=0), TypeError, "layer", "int")


@pytest.mark.parametrize("site", ["input_gate", "forget_gate", "output_gate", "reset_gate", "update_gate"])
@pytest.mark.parametrize("value", [-0.01, 1.01, NAN, float("inf"), torch.tensor([0.5, 1.5]), torch.tensor([NAN])])
def test_sigmoid_gates_clamp_between_0_and_1(site: str, value: object) -> None:
    refuses(lambda: rw.clamp(site, value), ValueError, site, "[0, 1]")


@pytest.mark.parametrize("value", [-1.01, 1.01, NAN, torch.tensor([-2.0, 0.0])])
def test_the_candidate_clamps_between_minus_1_and_1(value: object) -> None:
    refuses(lambda: rw.clamp("g", value), ValueError, "candidate", "[-1, 1]")


def test_the_ends_of_the_ranges_are_allowed() -> None:
    for site in ("i", "f", "o", "r", "z"):
        assert [rw.clamp(site, value).value for value in (0, 1, True, np.float32(0.5))] == [0.0, 1.0, 1.0, 0.5]
    assert [rw.clamp("n", value).value for value in (-1, 1)] == [-1.0, 1.0]


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, proj_size=2)
        self.gru = nn.GRU(2, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gru(self.lstm(x)[0])[0]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize(
    ("edit", "error", "words"),
    [
        (lambda: rw.clamp("f", 1.0, layer="l0"), KeyError, ("no layer", "lstm.l0", "gru.l0")),
        (lambda: rw.clamp("f", 1.0, layer="gru.l0"), KeyError, ("forget_gate", "update_gate")),
        (lambda: rw.clamp("cell", 1.0, layer="gru.l0"), KeyError, ("cell", "hidden")),
        (lambda: rw.shift("cell", 1.0), KeyError, ("cell", "shift", "candidate")),
        (lambda: rw.shift("hidden", 1.0), KeyError, ("hidden", "shift", "forget_gate")),
        (lambda: rw.clamp("f", 1.0, units=[3, 4]), IndexError, ("[4]", "0 to 3")),
        (lambda: rw.clamp("h", 1.0, layer="lstm.l0", units=2), IndexError, ("[2]", "0 to 1")),
        (lambda: rw.clamp("z", 1.0, units=[6]), IndexError, ("[6]", "0 to 5")),
        (lambda: "forget_gate", TypeError, ("clamp", "str")),
        (lambda: None, TypeError, ("clamp", "NoneType")),
        (lambda: rw.shift("f", torch.ones(3)), ValueError, ("(1, 1, 3)", "units", "4")),
        (lambda: rw.shift("f", torch.ones(3), units=[0, 1]), ValueError, ("units", "2")),
        (lambda: rw.shift("f", torch.ones(3, 1, 1), steps=[0, 1]), ValueError, ("steps", "2")),
        (lambda: rw.shift("f", torch.ones(1, 3, 1), batch=[0, 1]), ValueError, ("batch", "2")),
    ],
)
def test_edits_that_do_not_fit_the_model(
    edit: Callable[[], object], error: type[Exception], words: tuple[str, ...]
) -> None:
    model = Both()
    before = found(model)
    refuses(lambda: entered(rw.edited(model, edit())), error, *words)
    refuses(lambda: rw.intervene(model, torch.zeros(2, 1, 3), [edit()]), error, *words)
    runner = rw.Intervention(model, torch.zeros(2, 1, 3))
    refuses(lambda: runner.run([edit()]), error, *words)
    assert found(model) == before


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize(
    ("edit", "error", "words"),
    [
        (lambda: rw.clamp("f", 1.0, batch=[0, 5]), IndexError, ("batch", "5", "2")),
        (lambda: rw.shift("f", torch.ones(7, 1, 1)), ValueError, ("steps", "4", "7")),
        (lambda: rw.shift("f", torch.ones(3, 1)), ValueError, ("batch", "2", "3")),
    ],
)
def test_what_only_a_call_can_tell(edit: Callable[[], rw.Edit], error: type[Exception], words: tuple[str, ...]) -> None:
    model = Both()
    before = found(model)

    def call() -> None:
        with rw.edited(model, edit()):
            model(torch.zeros(4, 2, 3))

    refuses(call, error, *words)
    assert found(model) == before


def test_also_names_modules_that_exist() -> None:
    model = Both()
    before = found(model)
    refuses(lambda: entered(rw.record(model, also=["head"])), KeyError, "'head'", "'lstm'", "'gru'")
    refuses(lambda: entered(rw.record(model, also="gru")), TypeError, "list of module paths", "gru")
    refuses(lambda: entered(rw.record(model, also=[3])), TypeError, "list of module paths")
    assert found(model) == before


def test_no_such_name() -> None:
    with pytest.raises(AttributeError, match="rnnwidget"):
        _ = rw.inspect


def test_one_edit_need_not_be_listed_and_a_list_is_told_to_be_unpacked() -> None:
    model, x = nn.LSTM(3, 4), torch.randn(5, 1, 3)
    edit = rw.clamp("forget_gate", 0.0)
    assert torch.equal(rw.intervene(model, x, edit).output[0], rw.intervene(model, x, [edit]).output[0])
    with pytest.raises(TypeError, match=r"edited\(model, \*edits\)"), rw.edited(model, [edit]):
        pass


def test_equal_scopes_count_once_in_whatever_order() -> None:
    assert rw.shift("f", 1.0, units=[0, 1]) == rw.shift("f", 1.0, units=[1, 0, 1])
    assert hash(rw.shift("f", 1.0, units=[0, 1])) == hash(rw.shift("f", 1.0, units=[1, 0]))
    ramp = torch.tensor([1.0, 2.0])
    assert rw.shift("f", ramp, units=[0, 1]) != rw.shift("f", ramp, units=[1, 0])


def test_a_model_without_a_recurrent_module_is_told_what_it_has() -> None:
    with pytest.raises(ValueError, match=r"found 0: Linear, 1: ReLU\. A layer of your own"):
        rw.RNNInspector(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))


def test_the_inspector_is_found_by_completion() -> None:
    assert "RNNInspector" in dir(rw)
    assert set(dir(rw)) == {*rw.__all__, "cells"}
    assert rw.editing is not None


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_registered_class_in_torchscript_is_named() -> None:
    model = nn.Sequential(torch.jit.script(ScriptedCell(3, 4)), nn.GRU(4, 4))
    with pytest.raises(ValueError, match="no recurrent module"):
        rw.record(model[:1]).__enter__()
    step = rw.register(ScriptedCell, gates={"hidden": "tanh"})
    step(lambda module, x, h, at: at.gate("hidden", module.linear(x) + h))
    try:
        refuses(lambda: rw.record(model).__enter__(), NotImplementedError, "ScriptedCell", "'0'", "TorchScript")
    finally:
        del registry._registrations[ScriptedCell], registry._families["scriptedcell"]


class ScriptedCell(nn.Module):
    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, units)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.linear(x) + h)
