import types

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import rnnwidget as rw
from rnnwidget.widgets import code as code_module
from rnnwidget.widgets.code import assignment, code_of

INDICES = st.none() | st.lists(st.integers(0, 20), max_size=4)
BOUND = st.none() | st.integers(0, 30)
STEPS = INDICES | st.builds(slice, BOUND, BOUND) | st.builds(slice, BOUND, BOUND, st.integers(1, 4))
LAYER = st.none() | st.text(max_size=8) | st.sampled_from(["lstm.l0", "it's", 'a "b"', "a\\b\n"])
PLACES = {"layer": LAYER, "units": INDICES, "steps": STEPS, "batch": INDICES}
NUMBER = st.floats(allow_nan=False)
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool)


@st.composite
def tensors(draw):
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    count = int(torch.tensor(shape).prod()) if shape else 1
    numbers = draw(st.lists(NUMBER, min_size=count, max_size=count))
    dtype = draw(st.sampled_from(DTYPES))
    values = torch.tensor(numbers, dtype=torch.float64).reshape(shape)
    return values.to(dtype) if dtype.is_floating_point else values.clamp(-9, 9).to(dtype)


VALUED = st.tuples(
    st.sampled_from([rw.shift, rw.scale, rw.nudge]),
    st.fixed_dictionaries({"site": st.sampled_from("ifgohcrzn")}),
    NUMBER | tensors(),
    st.fixed_dictionaries(PLACES),
)
CLAMPED = st.tuples(
    st.just(rw.clamp),
    st.fixed_dictionaries({"site": st.sampled_from("ifohrz")}),
    st.floats(0, 1),
    st.fixed_dictionaries(PLACES),
)
LESIONED = st.tuples(st.just(rw.lesion), st.just({}), st.none(), st.fixed_dictionaries(PLACES))


@given(st.lists(VALUED | CLAMPED | LESIONED, max_size=4))
def test_the_code_makes_equal_edits(drawn):
    edits = [
        make(**places) if value is None else make(*site.values(), value, **places)
        for make, site, value, places in drawn
    ]
    made = eval(code_of(edits), {"rw": rw, "torch": torch})  # noqa: S307 - our own text
    assert made == edits


@pytest.fixture(scope="module")
def recordings():
    model = torch.nn.LSTM(3, 4)
    found = []
    for _ in range(2):
        with rw.record(model) as recording:
            model(torch.randn(5, 1, 3))
        found.append(recording)
    return found


def test_edits_that_take_values_from_a_recording_name_it(recordings):
    own, other = recordings
    edits = [
        rw.lesion([2], to="mean", recording=own, layer="l0"),
        rw.patch("cell", other, steps=slice(1, 3), batch=[0]),
        rw.lesion(None, layer="l0"),
    ]
    code = code_of(edits, lambda known: "inspector.baseline_recording" if known is own else "recording")
    assert code.splitlines() == [
        "[",
        '    rw.lesion([2], to="mean", recording=inspector.baseline_recording, layer="l0"),',
        '    rw.patch("cell", recording, steps=slice(1, 3), batch=[0]),',
        '    rw.lesion(None, layer="l0"),',
        "]",
    ]

    class Inspector:
        baseline_recording = own

    assert eval(code, {"rw": rw, "inspector": Inspector, "recording": other}) == edits  # noqa: S307


def test_the_statement_imports_what_it_needs():
    assert assignment([]) == "inspector.edits = []"
    assert assignment([rw.shift("f", 1.5)]) == 'inspector.edits = [rw.shift("forget_gate", 1.5)]'
    assert assignment([rw.shift("f", torch.tensor([1.0, 2.0]))]).startswith("import torch\n\ninspector.edits")


def test_the_inspector_is_called_what_the_notebook_calls_it(monkeypatch):
    inspector = rw.RNNInspector(torch.nn.LSTM(3, 4), inputs=torch.randn(5, 1, 3))
    shell = types.SimpleNamespace(user_ns={"_": inspector, "_7": inspector, "other": 3, "probe": inspector})
    monkeypatch.setattr(code_module, "get_ipython", lambda: shell)
    donor = inspector.baseline_recording
    inspector.edits = [rw.patch("cell", donor, layer="l0")]
    inspector.move_pulse(0, 1, 3, by=1)
    lines = inspector.code.splitlines()
    assert lines[0] == "probe.reset_inputs()"
    assert lines[1].startswith("probe.move_pulse(0, 1, 3, by=1")
    assert lines[-1] == 'probe.edits = [rw.patch("cell", probe.baseline_recording, layer="l0")]'
    del shell.user_ns["probe"]
    assert inspector.code.splitlines()[0] == "inspector.reset_inputs()"
    inspector.close()


def patched(inspector, donor):
    inspector.edits = [rw.patch("hidden", donor, steps=[2])]
    return inspector.code


def test_only_the_recording_that_the_inspector_has_now_is_named_as_its_own(inspect):
    model = nn.GRU(3, 4)
    inspector = inspect(model)
    first, second = torch.randn(5, 1, 3), torch.randn(5, 1, 3)
    model(first)
    donor = inspector.baseline_recording
    assert "inspector.baseline_recording" in patched(inspector, donor)
    inspector.edits = []
    model(second)
    assert inspector.baseline_recording is not donor
    assert patched(inspector, donor).endswith('rw.patch("hidden", recording, steps=[2])]')
    edited = inspector.output[0]
    exec(inspector.code, {"rw": rw, "inspector": inspector, "recording": donor})  # noqa: S102 - our own text
    assert torch.equal(inspector.output[0], edited)


def test_a_recording_of_other_weights_is_not_the_inspectors_own(inspect):
    model, x = nn.GRU(3, 4), torch.randn(5, 1, 3)
    inspector = inspect(model, inputs=x)
    donor = inspector.baseline_recording
    with torch.no_grad():
        model.weight_ih_l0.mul_(2)
    assert "baseline_recording" not in patched(inspector, donor)
    assert "inspector.baseline_recording" in patched(inspector, inspector.baseline_recording)


def test_recordings_from_elsewhere_have_names_of_their_own(inspect):
    model, x = nn.GRU(3, 4), torch.randn(5, 1, 3)
    donors = []
    for _ in range(2):
        with rw.record(model) as recording:
            model(torch.randn(5, 1, 3))
        donors.append(recording)
    inspector = inspect(model, inputs=x)
    edits = [rw.patch("h", donor, steps=[step]) for step, donor in enumerate((*donors, donors[0]))]
    inspector.edits = edits
    assert inspector.code.count("recording,") == inspector.code.count("recording_2,") + 1 == 2
    output = inspector.output[0]
    inspector.edits = []
    names = {"rw": rw, "inspector": inspector, "recording": donors[0], "recording_2": donors[1]}
    exec(inspector.code if inspector.edits else code_of_three(inspector, edits), names)  # noqa: S102 - our own text
    assert torch.equal(inspector.output[0], output)


def code_of_three(inspector, edits):
    inspector.edits = edits
    code = inspector.code
    inspector.edits = []
    return code
