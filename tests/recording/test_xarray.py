"""Recordings as labelled arrays: what each dimension and coordinate is."""

import math

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from torch import nn

import rnnwidget as rw
from tests.cases import PREACTIVATIONS, Case, assert_same_bits, cases


class Translator(nn.Module):
    """An encoder and a decoder, which differ in time."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRU(3, 4), nn.LSTM(3, 6, proj_size=2)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> None:
        self.encoder(source)
        self.decoder(target)


@pytest.fixture
def recording() -> rw.Recording:
    model = Translator().double()
    with torch.no_grad(), rw.record(model) as recording:
        model(torch.randn(5, 2, 3).double(), torch.randn(7, 2, 3).double())
    return recording


def packed_recording() -> rw.Recording:
    model = nn.GRU(3, 4)
    with torch.no_grad(), rw.record(model) as recording:
        model(nn.utils.rnn.pack_sequence([torch.randn(2, 3), torch.randn(4, 3)], enforce_sorted=False))
    return recording


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@settings(max_examples=40)
@given(case=cases(dtype=torch.float32))
def test_every_gate_and_state_is_there(case: Case) -> None:
    with torch.no_grad(), rw.record(case.module) as recording:
        case.call()
    tree = recording.to_xarray(preactivations=True)
    assert isinstance(tree, xr.DataTree)
    assert tuple(tree.children) == recording.layers
    for name in recording.layers:
        layer, dataset = recording[name], tree[name].to_dataset()
        before = {f"preactivation_{site}" for site in PREACTIVATIONS[case.family]}
        assert set(dataset.data_vars) == {*layer.gates, *layer.states} | before
        for site in layer.gates + layer.states:
            assert dataset[site].dims[:2] == ("time", "batch")
            assert_same_bits(torch.from_numpy(dataset[site].values), layer[site])
        for site in PREACTIVATIONS[case.family]:
            values = dataset[f"preactivation_{site}"]
            assert values.dims == dataset[site].dims
            assert_same_bits(torch.from_numpy(values.values), layer.preactivation(site))
        assert dataset.lengths.dims == ("batch",)
        assert dataset.lengths.values.tolist() == layer.lengths.tolist()
        assert dataset.attrs["layer"] == name
        assert dataset.attrs["family"] == layer.family
        assert dataset.attrs["replay_error"] == layer.replay_error
    assert set(recording.to_xarray()[name].data_vars) == {*layer.gates, *layer.states}


def test_names_and_dims(recording: rw.Recording) -> None:
    tree = recording.to_xarray()
    assert tree["encoder.l0"]["update_gate"].dims == ("time", "batch", "unit")
    assert tree["encoder.l0"]["update_gate"].attrs == {"long_name": "update gate", "symbol": "z"}
    assert tree["encoder.l0"]["hidden"].attrs == {"long_name": "hidden state", "symbol": "h"}
    decoder = tree["decoder.l0"]
    assert decoder["cell"].dims == ("time", "batch", "unit")
    assert decoder["hidden"].dims == ("time", "batch", "projected_unit")
    assert dict(decoder.sizes) == {"time": 7, "batch": 2, "unit": 6, "projected_unit": 2}
    assert "preactivation_update_gate" not in tree["encoder.l0"]
    assert "time" not in tree["encoder.l0"].coords


def test_coordinates_go_where_they_fit(recording: rw.Recording) -> None:
    tree = recording.to_xarray(
        tokens=[["un", "deux", "trois", "quatre", "cinq"]] * 2,
        times=np.linspace(-1.0, 1.0, 7),
        unit="s",
        conditions=["left", "right"],
        events={"go": [0.5, None], "reward": torch.tensor([1.0, math.nan])},
    )
    encoder, decoder = tree["encoder.l0"], tree["decoder.l0"]
    assert encoder.tokens.dims == ("batch", "time")
    assert encoder.tokens.values[1].tolist() == ["un", "deux", "trois", "quatre", "cinq"]
    assert "tokens" not in decoder.coords
    assert "time" not in encoder.coords
    assert decoder.time.values[0] == -1.0
    assert decoder.time.attrs == {"units": "s"}
    assert decoder.cell.sel(time=slice(-1.0, 0.0)).sizes["time"] == 4
    for layer in (encoder, decoder):
        assert layer.condition.values.tolist() == ["left", "right"]
        assert layer.go.dims == ("batch",)
        np.testing.assert_array_equal(layer.go.values, [0.5, math.nan])
        np.testing.assert_array_equal(layer.reward.values, [1.0, math.nan])
        assert layer.go.attrs == {"units": "s"}
    right = encoder.hidden.where(encoder.condition == "right", drop=True)
    assert right.sizes["batch"] == 1


def test_the_duration_of_a_step(recording: rw.Recording) -> None:
    tree = recording.to_xarray(times=20, unit="ms")
    assert tree["encoder.l0"].time.values.tolist() == [0, 20, 40, 60, 80]
    assert tree["decoder.l0"].time.values.tolist() == [0, 20, 40, 60, 80, 100, 120]


def test_several_conditions_by_name(recording: rw.Recording) -> None:
    tree = recording.to_xarray(conditions={"side": ["left", "right"], "coherence": np.array([0.1, 0.5])})
    assert tree["decoder.l0"].side.values.tolist() == ["left", "right"]
    assert tree["decoder.l0"].coherence.values.tolist() == [0.1, 0.5]


def test_packed_sequences() -> None:
    tree = packed_recording().to_xarray(tokens=[["a", "b"], ["c", "d", "e", "f"]])
    dataset = tree["l0"].to_dataset()
    assert dataset.tokens.values.tolist() == [["a", "b", "", ""], ["c", "d", "e", "f"]]
    assert dataset.lengths.values.tolist() == [2, 4]
    assert dataset.hidden.isnull().any("unit").values.tolist() == [[False, False]] * 2 + [[True, False]] * 2


def test_one_sequence_takes_flat_tokens() -> None:
    model = nn.RNN(3, 4)
    with rw.record(model) as recording:
        model(torch.randn(3, 3))
    assert recording.to_xarray(tokens=["a", "b", "c"])["l0"].tokens.values.tolist() == [["a", "b", "c"]]


def test_calls() -> None:
    model = nn.RNN(3, 4)
    with rw.record(model) as recording:
        for steps in (2, 3):
            model(torch.randn(steps, 1, 3))
    assert recording.to_xarray()["l0"].sizes["time"] == 3
    assert recording.to_xarray(call=0)["l0"].sizes["time"] == 2
    with pytest.raises(IndexError, match="layer 'l0' was called 2 times; there is no call 2"):
        recording.to_xarray(call=2)


def test_truncations_and_half_precision_and_an_empty_batch() -> None:
    cell, state = nn.GRUCell(3, 4), None
    with rw.record(cell) as recording:
        for _ in range(3):
            state = cell(torch.randn(2, 3), state).detach()
    assert recording.to_xarray()["cell"].attrs["truncations"] == [1, 2]
    case = Case("lstm", dtype=torch.bfloat16)
    with torch.no_grad(), rw.record(case.module) as recording:
        case.call()
    assert recording.to_xarray()["l0"].hidden.dtype == np.float32
    model = nn.GRU(3, 4)
    with rw.record(model) as recording:
        model(torch.randn(5, 0, 3))
    tree = recording.to_xarray(tokens=[], times=0.1, conditions=[], events={"go": []})
    assert dict(tree["l0"].sizes) == {"time": 5, "batch": 0, "unit": 4}


def test_an_empty_recording_is_an_empty_tree() -> None:
    with rw.record(nn.GRU(3, 4)) as recording:
        pass
    assert not recording.to_xarray(times=0.1).children


def test_a_slash_in_a_module_s_name() -> None:
    model = nn.ModuleDict({"a/b": nn.GRU(3, 4)})
    with rw.record(model) as recording:
        model["a/b"](torch.randn(5, 1, 3))
    (child,) = recording.to_xarray().children.values()
    assert child.name == "a\N{DIVISION SLASH}b.l0"
    assert child.attrs["layer"] == "a/b.l0"


def test_from_a_file_it_is_the_same_tree(recording: rw.Recording, tmp_path) -> None:
    recording.save(tmp_path / "run.safetensors")
    loaded = rw.load(tmp_path / "run.safetensors")
    options = {"times": 0.1, "unit": "s", "conditions": ["left", "right"]}
    assert loaded.to_xarray(**options).identical(recording.to_xarray(**options))


WRONG = [
    (
        {"tokens": [["a"] * 5]},
        r"tokens fits no layer of this recording \(encoder.l0: tokens hold 1 sequences, it read 2; decoder.l0: ",
    ),
    ({"tokens": [["a"] * 5, ["a"] * 4]}, r"encoder.l0: tokens\[1\] has 4 tokens, it read 5 steps"),
    (
        {"times": [0.0, 1.0]},
        "time fits no layer .*encoder.l0: there are 2 times, it has 5 steps; decoder.l0: .* 7 steps",
    ),
    ({"times": [[0.0] * 5]}, "times are one number for each step"),
    ({"times": "20 ms"}, "times are one number for each step"),
    ({"conditions": ["left"]}, "condition fits no layer .*condition has 1 values, it read 2 sequences"),
    ({"conditions": "left"}, "needs one value for each sequence"),
    ({"conditions": {"side": [["left"], ["right", "up"]]}}, "condition 'side' needs one value for each sequence"),
    ({"events": {"go": 0.5}}, "event 'go' needs one time for each sequence"),
    ({"events": {"go": ["early", "late"]}}, "event 'go' needs one time for each sequence"),
    ({"events": {"hidden": [0.0, 1.0]}}, "cannot be called 'hidden': that name is taken"),
    ({"events": {"time": [0.0, 1.0]}}, "cannot be called 'time'"),
    ({"events": {"time": [0.0, 1.0]}, "times": 1.0}, "cannot be called 'time'"),
    ({"conditions": {"unit": [0.0, 1.0]}}, "cannot be called 'unit'"),
    ({"conditions": {"go": [0, 1]}, "events": {"go": [0, 1]}}, "cannot be called 'go'"),
    ({"unit": "ms"}, "give one of them too"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_what_does_not_fit_is_named(recording: rw.Recording, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recording.to_xarray(**options)


@pytest.mark.parametrize(
    "options", [{"tokens": "text"}, {"tokens": [["a", 1]]}, {"tokens": [1]}, {"unit": 3, "times": 1}, {"events": [1]}]
)
def test_what_is_of_another_kind_is_refused(recording: rw.Recording, options: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        recording.to_xarray(**options)
