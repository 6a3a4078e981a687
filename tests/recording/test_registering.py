"""What a registration, a step or a call of a registered layer is told when it will not do."""

import jaxtyping
import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw
from rnnwidget.cells import registry
from tests.found import found
from tests.registered import (
    BATCH,
    CTRNN,
    FEATURES,
    STEPS,
    Unusual,
    assert_recorded,
    built,
    drawn,
    expected_of,
    leaky_step,
    register_all,
    registrations_of_their_own,  # noqa: F401 - a fixture for every test
)


@pytest.fixture
def _checked_by_ourselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the types' own checks, which only the tests have."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (lambda module, x, h, at: h, KeyError, "step of family 'ctrnn' never called at.gate for drive"),
        (
            lambda module, x, h, at: at.gate("gain", h),
            KeyError,
            r"'gain' is not a site of family 'ctrnn'; it has drive",
        ),
        (lambda module, x, h, at: at.gate("hidden", h), KeyError, "'hidden' of family 'ctrnn' has no pre-activation"),
        (
            lambda module, x, h, at: (at.gate("drive", h), h),
            TypeError,
            "must return hidden, a tensor each; got Tensor, Tensor",
        ),
        (lambda module, x, h, at: None, TypeError, "must return hidden, a tensor each; got NoneType"),
        (lambda module, x, h, at: at.state("cell", h), KeyError, "'cell' is no state of family 'ctrnn'; it has"),
        (
            lambda module, x, h, at: at.gate("drive", h)[:, :2],
            ValueError,
            r"hidden of shape \(\d+, 2\); it was \(\d+, 4\)",
        ),
        (
            lambda module, x, h, at: h * at.gate("drive", h[0]),
            ValueError,
            r"'drive' .* the \d+ rows.*got \(4,\); expand",
        ),
        (lambda module, x, h, at: at.state("hidden", h.sum()), ValueError, r"'hidden' .* must be \(batch, unit\)"),
    ],
)
def test_a_step_that_will_not_do_is_told(step: object, error: type[Exception], message: str) -> None:
    module, x = built(CTRNN), drawn(STEPS, BATCH, FEATURES)
    rw.register(CTRNN, gates={"drive": "relu"})(step)
    before = found(module)
    with rw.record(module) as recording:
        module(x)
    with pytest.raises(error, match=message):
        _ = recording["cell"]["drive"]
    with pytest.raises(error, match=message), rw.edited(module, rw.shift("drive", 1.0)):
        module(x)
    assert found(module) == before


def test_a_call_that_cannot_be_read_is_told_and_leaves_nothing() -> None:
    register_all()
    rw.register(Unusual, gates={"drive": "relu"})(leaky_step)
    module, x = Unusual(), drawn(STEPS, BATCH, FEATURES)
    before = found(module)
    message = r"Unusual was called with dict where its input should be.*takes="
    with pytest.raises(TypeError, match=message), rw.record(module):
        module({"stimulus": x}, torch.ones(()))
    rw.register(Unusual, gates={"drive": "relu"}, takes=lambda module, batch, mask: (batch["stimulus"], None))(
        leaky_step
    )
    with pytest.raises(TypeError, match=r"Unusual returned 3 tensors; expected .*returns="), rw.record(module):
        module({"stimulus": x}, torch.ones(()))
    assert found(module) == before


@pytest.mark.usefixtures("_checked_by_ourselves")
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"states": ("rate",)}, ValueError, "begin with 'hidden'.*got .'rate',."),
        ({"states": "hidden"}, ValueError, "begin with 'hidden'"),
        ({"states": ("hidden", "hidden")}, ValueError, "names of their own"),
        ({"gates": {"update gate": "sigmoid"}}, ValueError, "names of their own.*update gate"),
        ({"gates": {"lengths": "relu"}}, ValueError, "lengths would meet what a recording calls so itself"),
        ({"gates": {"drive": "gelu"}}, ValueError, "CTRNN: nonlinearities are sigmoid, tanh, relu, identity.*gelu"),
        ({"gates": {"drive": ["relu"]}}, ValueError, "nonlinearities are"),
        ({"gates": ("drive",)}, TypeError, "gates are names with nonlinearities"),
        ({"letters": {"rate": "r"}}, ValueError, r"letters for \['rate'\], but its sites are hidden"),
        (
            {"gates": {"drive": "relu"}, "letters": {"d": "drive"}},
            ValueError,
            r"its sites are hidden, drive; letters are given by names, such as .\"drive\": \"d\"",
        ),
        ({"letters": ("h",)}, TypeError, r"letters are given by names, such as .\"hidden\": \"h\".; got \('h',\)"),
        ({"letters": {"hidden": 1}}, TypeError, r"such as .\"hidden\": \"h\".; got 1 for a letter"),
        ({"name": "lstm"}, ValueError, "already named 'lstm': choose another name=; known: "),
    ],
)
def test_a_registration_that_will_not_do_is_told(
    options: dict[str, object], error: type[Exception], message: str
) -> None:
    before = dict(registry._families), dict(registry._registrations)
    with pytest.raises(error, match=message):
        rw.register(CTRNN, **options)(leaky_step)
    assert (registry._families, registry._registrations) == before


@pytest.mark.usefixtures("_checked_by_ourselves")
@pytest.mark.parametrize("odd", [CTRNN(), "CTRNN", int, None])
def test_only_classes_of_modules_are_registered(odd: object) -> None:
    with pytest.raises(TypeError, match=r"register takes a class of torch.nn.Module, got "):
        rw.register(odd)


@pytest.mark.parametrize("kind", [nn.Module, nn.LSTM, nn.Linear])
def test_pytorchs_own_classes_are_not_registered(kind: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match=f"{kind.__name__} is PyTorch's own"):
        rw.register(kind)


def test_a_nonlinearity_may_depend_on_the_module_but_has_to_be_known() -> None:
    module, x = built(CTRNN), drawn(STEPS, BATCH, FEATURES)
    rw.register(CTRNN, gates={"drive": lambda module: module.kind})(leaky_step)
    module.kind = "relu"
    with rw.record(module) as recording:
        module(x)
    assert_recorded(recording["cell"], module, expected_of(module, x))
    module.kind = "gelu"
    with pytest.raises(ValueError, match=r"CTRNN: nonlinearities are .*'drive': 'gelu'"), rw.record(module):
        pass


def test_a_notebook_cell_may_run_again() -> None:
    def cell() -> type[nn.Module]:
        class Model(CTRNN):
            pass

        rw.register(Model, gates={"drive": "relu"})(leaky_step)
        return Model

    register_all()
    old, new = cell()(), cell()()
    for model in (old, new):
        with rw.record(model) as recording:
            model(drawn(STEPS, BATCH, FEATURES))
        assert recording["cell"].replay_error <= 1e-12
    rw.register(type(new), gates={"input_current": "relu"})(
        lambda module, x, h, at: 0.8 * h + 0.2 * at.gate("input_current", module.input2h(x) + module.h2h(h))
    )
    with rw.record(new) as recording:
        new(drawn(STEPS, BATCH, FEATURES))
    assert recording["cell"].gates == ("input_current",)

    class Model(CTRNN):
        pass

    Model.__qualname__ = "Model"
    with pytest.raises(ValueError, match="already named 'model'"):
        rw.register(Model, gates={"drive": "relu"})(leaky_step)


class Masked(CTRNN):
    def forward(self, x: Tensor, mask: Tensor) -> object:
        return super().forward(x * mask)


def test_what_is_no_state_is_told() -> None:
    module, x = built(Masked), drawn(STEPS, BATCH, FEATURES)
    before = found(module)
    with pytest.raises(TypeError, match=r"Masked was called with .*\(6, 2, 1\).*takes="), rw.record(module):
        module(x, drawn(STEPS, BATCH, 1))
    assert found(module) == before


class Maps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(5, 3, 3, padding=1)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(self.conv(torch.cat([x, h], dim=1)))


def test_a_layer_of_maps_is_told_that_it_cannot_be_opened() -> None:
    rw.register(Maps)(lambda module, x, h, at: module(x, h))
    module, x, h = Maps(), torch.randn(2, 2, 6, 6), torch.zeros(2, 3, 6, 6)
    message = (
        r"shape \(2, 2, 6, 6\) where .*reads and keeps maps, such as a ConvLSTM, cannot be opened; if its input is"
    )
    with pytest.raises(TypeError, match=message), rw.record(module):
        module(x, h)


class Beside(nn.Module):
    """Says something of its input and the state before, beside the new state."""

    def __init__(self) -> None:
        super().__init__()
        self.to_hidden, self.to_output = nn.Linear(7, 4), nn.Linear(7, 2)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([x, h], dim=1)
        return self.to_output(both), self.to_hidden(both)


def test_what_is_no_readout_is_told_to_be_computed_outside() -> None:
    rw.register(Beside)(lambda module, x, h, at: module.to_hidden(torch.cat([x, h], dim=1)))
    module, x, h = Beside(), torch.randn(2, 3), torch.zeros(2, 4)
    with rw.record(module) as recording:
        module(x, h)
    assert recording["cell"].replay_error < 1e-5
    message = (
        r"readout=.* Where it depends on the input .*has to be computed outside of Beside, by the module that calls"
    )
    with pytest.raises(NotImplementedError, match=message), rw.edited(module, rw.clamp("hidden", 0.0)):
        module(x, h)
