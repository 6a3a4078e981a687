"""A recording comes back from its file as it was, to the last bit, and no more of it than is looked at."""

import contextlib
import math
import pickle
import stat
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import rnnwidget as rw
from rnnwidget.recording import LayerRecording, saving
from rnnwidget.recording.coarse_levels import COLUMNS
from tests.cases import Case, cases
from tests.edit_cases import edits
from tests.recording.hostile import rewritten

DTYPES = st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64])


def bits(tensor: Tensor) -> tuple[torch.dtype, tuple[int, ...], bytes]:
    return tensor.dtype, tuple(tensor.shape), tensor.contiguous().view(torch.uint8).numpy().tobytes()


@contextlib.contextmanager
def through_a_file(recording: rw.Recording) -> Iterator[rw.Recording]:
    with tempfile.TemporaryDirectory() as folder:
        recording.save(f"{folder}/run.safetensors")
        yield rw.load(f"{folder}/run.safetensors")


def assert_same_layer(loaded: LayerRecording, layer: LayerRecording) -> None:
    for name in ("name", "family", "gates", "states", "batch_first", "truncations"):
        assert getattr(loaded, name) == getattr(layer, name)
    ours, theirs = loaded.source.family, layer.source.family
    assert (ours.letters, ours.activations) == (dict(theirs.letters), theirs.activations)
    for site in layer.gates + layer.states:
        assert bits(loaded[site]) == bits(layer[site])
        assert loaded[theirs.letters[site]] is loaded[site]
    for site in theirs.activations:
        assert bits(loaded.preactivation(site)) == bits(layer.preactivation(site))
    assert bits(loaded.inputs) == bits(layer.inputs)
    assert bits(loaded.lengths) == bits(layer.lengths)
    assert {name: bits(state) for name, state in loaded.initial.items()} == {
        name: bits(state) for name, state in layer.initial.items()
    }
    assert loaded.replay_error == layer.replay_error or math.isnan(loaded.replay_error) is math.isnan(
        layer.replay_error
    )
    for one, other in zip(loaded.edits.edits, layer.edits.edits, strict=True):
        assert (one.site, one.operation, bits(one.value)) == (other.site, other.operation, bits(other.value))
        assert (one.mask is None and other.mask is None) or bits(one.mask) == bits(other.mask)


def assert_same(loaded: rw.Recording, recording: rw.Recording) -> None:
    assert isinstance(loaded, rw.Recording)
    assert loaded.layers == recording.layers
    assert repr(loaded) == repr(recording)
    for name in recording.layers:
        assert name in loaded
        assert loaded[name] is loaded.calls(name)[-1]
        for one, other in zip(loaded.calls(name), recording.calls(name), strict=True):
            assert_same_layer(one, other)


def recorded(module: nn.Module, *calls: object) -> rw.Recording:
    with torch.no_grad(), rw.record(module) as recording:
        for x in calls:
            module(x)
    return recording


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@settings(max_examples=60)
@given(data=st.data(), case=cases(dtype=DTYPES), calls=st.integers(1, 2))
def test_everything_comes_back(data: st.DataObject, case: Case, calls: int) -> None:
    chosen = data.draw(st.lists(edits(case), max_size=3)) if case.dtype.itemsize > 2 else []
    edited = rw.edited(case.module, *(edit.ours() for edit in chosen)) if chosen else contextlib.nullcontext()
    with torch.no_grad(), rw.record(case.module) as recording, edited:
        for _ in range(calls):
            case.call()
    with through_a_file(recording) as loaded:
        assert_same(loaded, recording)
        with through_a_file(loaded) as again:
            assert_same(again, recording)


@settings(max_examples=30)
@given(data=st.data(), case=cases(dtype=DTYPES, projected=False))
def test_a_window_is_a_part_of_the_whole(data: st.DataObject, case: Case) -> None:
    with torch.no_grad(), rw.record(case.module) as recording:
        case.call()
    name = data.draw(st.sampled_from(recording.layers))
    layer = recording[name]
    site = data.draw(st.sampled_from(layer.gates + layer.states))
    steps = slice(data.draw(st.none() | st.integers(-6, 6)), data.draw(st.none() | st.integers(-6, 6)))
    units = data.draw(st.none() | st.lists(st.integers(0, layer[site].size(-1) - 1), max_size=3))
    with through_a_file(recording) as loaded:
        found = loaded[name].window(site, steps, units=units)
        expected = layer[site][steps] if units is None else layer[site][steps][..., units]
        assert bits(found) == bits(expected)
        with pytest.raises(ValueError, match="neighbouring"):
            loaded[name].window(site, slice(None, None, 2))
        for given, told in ((3, r"got 3; slice\(3, 4\) is that one step"), (-1, "got -1$"), ([0, 1], r"got \[0, 1\]$")):
            with pytest.raises(TypeError, match=rf"a window is a slice of steps, such as slice\(10, 20\); {told}"):
                loaded[name].window(site, given)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_comes_back(bad: float) -> None:
    module = nn.LSTM(3, 4)
    x = torch.randn(5, 2, 3)
    x[2, 1] = bad
    recording = recorded(module, x)
    with through_a_file(recording) as loaded:
        assert math.isnan(loaded["l0"].replay_error) == math.isnan(recording["l0"].replay_error)
        assert_same(loaded, recording)


def test_stitched_steps_come_back_with_their_truncations() -> None:
    cell, states = nn.LSTMCell(3, 4), []
    with rw.record(cell) as recording:
        for block in range(3):
            state = tuple(s.detach() for s in states[-1]) if block != 1 and states else None
            for step in range(4):
                with rw.edited(cell, rw.clamp("f", 0.5)) if step == 2 else contextlib.nullcontext():
                    state = cell(torch.randn(2, 3), state)
            states.append(state)
            with torch.no_grad():
                cell.bias_ih.add_(0.1)
    assert [call.truncations for call in recording.calls("cell")] == [(), (4,)]
    with through_a_file(recording) as loaded:
        assert_same(loaded, recording)


def test_what_other_modules_gave_comes_back(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.GRU(4, 5))
    with rw.record(model, also=["0", "", "1"]) as recording:
        model(torch.randn(6, 2, 3))
        first = recording.also["0"]
    recording.save(tmp_path / "run.safetensors")
    loaded = rw.load(tmp_path / "run.safetensors")
    assert list(loaded.also) == ["0", "", "1"]
    for path in loaded.also:
        assert torch.equal(loaded.also[path], recording.also[path])
    assert torch.equal(loaded.also["0"], first)
    with pytest.raises(KeyError, match="has those of '0', '', '1'"):
        loaded.also["2"]


def test_several_modules_and_an_empty_recording() -> None:
    model = nn.ModuleDict({"encoder": nn.GRU(3, 4, batch_first=True), "a/b": nn.RNN(2, 5)})
    with rw.record(model) as recording:
        assert "nothing" not in recording
    with through_a_file(recording) as loaded:
        assert_same(loaded, recording)
        with pytest.raises(KeyError, match="it has none"):
            loaded["encoder.l0"]
    with rw.record(model) as recording:
        model["a/b"](torch.randn(4, 0, 2))
        model["encoder"](torch.randn(2, 5, 3))
        model["encoder"](torch.randn(1, 7, 3))
    with through_a_file(recording) as loaded:
        assert loaded.layers == ("a/b.l0", "encoder.l0")
        assert_same(loaded, recording)
        with pytest.raises(KeyError, match=r"no layer 'l0' in this recording; it has a/b.l0, encoder.l0"):
            loaded["l0"]
        with pytest.raises(KeyError, match="not a site"):
            loaded["encoder.l0"]["forget_gate"]


class Leaky(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drive, self.slow = nn.Linear(3 + 4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return leaky_step(self, x, state)


def leaky_step(module: Leaky, x: Tensor, state: tuple[Tensor, Tensor], at: object = None) -> tuple[Tensor, Tensor]:
    hidden, trace = state
    gate = (lambda _, value: torch.relu(value)) if at is None else at.gate
    drive = gate("drive", module.drive(torch.cat([x, hidden], dim=-1)))
    return 0.9 * hidden + 0.1 * drive, 0.5 * trace + module.slow(hidden)


def test_a_registered_family_opens_where_nobody_knows_it(tmp_path: Path) -> None:
    register = rw.register(
        Leaky, name="leaky", states=("hidden", "trace"), gates={"drive": "relu"}, letters={"drive": "u"}
    )
    register(leaky_step)
    module, state = Leaky(), (torch.zeros(2, 4), torch.zeros(2, 2))
    with rw.record(module) as recording:
        for _ in range(5):
            state = module(torch.randn(2, 3), state)
    recording.save(tmp_path / "leaky.safetensors")
    assert_same(rw.load(tmp_path / "leaky.safetensors"), recording)
    script = (
        "import sys, rnnwidget as rw\n"
        "layer = rw.load(sys.argv[1])['cell']\n"
        "print(layer.family, layer.gates, layer.states, tuple(layer['u'].shape), tuple(layer['trace'].shape))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "leaky.safetensors"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "leaky ('drive',) ('hidden', 'trace') (5, 2, 4) (5, 2, 2)"


@pytest.mark.parametrize("steps", [COLUMNS, COLUMNS + 1, 3 * COLUMNS + 5])
def test_coarse_levels(steps: int) -> None:
    x = torch.randn(steps, 1, 3)
    x[steps // 2] = 50.0
    recording = recorded(nn.LSTM(3, 4), x)
    with through_a_file(recording) as loaded:
        for site in ("cell", "forget_gate", "hidden"):
            live, stored = recording["l0"].coarse(site), loaded["l0"].coarse(site)
            assert (stored.steps, stored.exact) == (-(-steps // COLUMNS), steps == COLUMNS) == (live.steps, live.exact)
            for kind in ("mean", "low", "high"):
                assert bits(getattr(stored, kind)) == bits(getattr(live, kind))
            for column, part in enumerate(recording["l0"][site].split(live.steps)):
                assert torch.equal(live.high[column], part.amax(0))
                assert torch.equal(live.low[column], part.amin(0))
                assert torch.allclose(live.mean[column], part.mean(0), atol=1e-6)
        held = {role for tensors in loaded._tensors["l0"] for role in tensors}
        assert ("mean:cell" in held) == (steps > COLUMNS)
        assert loaded["l0"].coarse("f") is loaded["l0"].coarse("forget_gate")


def test_coarse_levels_leave_padding_out() -> None:
    steps = 2 * COLUMNS
    packed = nn.utils.rnn.pack_sequence([torch.randn(steps, 3), torch.randn(5, 3)])
    with through_a_file(recorded(nn.GRU(3, 2), packed)) as loaded:
        level = loaded["l0"].coarse("hidden")
        assert torch.equal(level.mean[2, 1], loaded["l0"].hidden[4, 1])
        for tensor in (level.mean, level.low, level.high):
            assert tensor[3:, 1].isnan().all()
            assert not tensor[:3].isnan().any()
            assert not tensor[:, 0].isnan().any()


def test_a_file_larger_than_memory_opens(tmp_path: Path) -> None:
    small, large = tmp_path / "small.safetensors", tmp_path / "large.safetensors"
    recorded(nn.GRU(3, 256), torch.randn(4, 1, 3)).save(small)
    memory = psutil.virtual_memory().total
    # First one that does no harm if all of it is read.
    for steps in (2**16, memory // 1024):
        rewritten(small, large, partial(longer, steps))
        before = psutil.Process().memory_info().rss
        layer = rw.load(large)["l0"]
        for site in ("update_gate", "hidden"):
            assert torch.equal(layer.window(site, slice(steps // 2, steps // 2 + 100)), torch.zeros(100, 1, 256))
            assert layer[site].shape == (steps, 1, 256)
        assert psutil.Process().memory_info().rss - before < 2**25
    assert large.stat().st_size > 5 * memory
    large.unlink()


def longer(steps: int, shape: list[int]) -> list[int]:
    return [steps, *shape[1:]] if len(shape) == 3 else shape


def test_saving_holds_one_layer_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = recorded(nn.LSTM(3, 4, num_layers=4), torch.randn(5, 2, 3), torch.randn(5, 2, 3))
    looked_at: weakref.WeakSet[LayerRecording] = weakref.WeakSet()
    seen, value = set(), saving._value

    def watched(layer: LayerRecording, role: str) -> Tensor:
        looked_at.add(layer)
        seen.add(layer.name)
        assert len(looked_at) == 1
        return value(layer, role)

    monkeypatch.setattr(saving, "_value", watched)
    recording.save(tmp_path / "run.safetensors")
    assert seen == set(recording.layers)
    assert not looked_at


def test_changing_a_tensor_changes_no_file(tmp_path: Path) -> None:
    recording = recorded(nn.GRU(3, 4), torch.randn(5, 2, 3))
    recording.save(tmp_path / "run.safetensors")
    before = (tmp_path / "run.safetensors").read_bytes()
    loaded = rw.load(tmp_path / "run.safetensors")
    for site in ("hidden", "update_gate"):
        loaded["l0"][site].zero_()
    assert (tmp_path / "run.safetensors").read_bytes() == before
    assert_same(rw.load(tmp_path / "run.safetensors"), recording)


def test_it_may_be_saved_over_itself(tmp_path: Path) -> None:
    recording = recorded(nn.GRU(3, 4), torch.randn(5000, 1, 3))
    path = tmp_path / "run.safetensors"
    recording.save(path)
    loaded = rw.load(path)
    loaded.save(path)
    assert_same(loaded, recording)
    assert_same(rw.load(path), recording)


def test_a_save_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.safetensors"
    old = recorded(nn.GRU(3, 4), torch.randn(5, 2, 3))
    old.save(str(path))
    before, add = path.read_bytes(), saving._Body.add

    def fails(body: object, name: str, tensor: Tensor) -> None:
        add(body, name, tensor)
        if "candidate" in name:
            raise OSError("no space left on device")

    monkeypatch.setattr(saving._Body, "add", fails)
    with pytest.raises(OSError, match="no space left"):
        recorded(nn.LSTM(3, 4), torch.randn(5, 2, 3)).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(IsADirectoryError, match="name a file in it"):
        old.save(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere; make it first") as refused:
        old.save(tmp_path / "nowhere" / "run.safetensors")
    assert "partial" not in str(refused.value)


def test_a_new_file_replaces_the_old_one_where_a_link_leads(tmp_path: Path) -> None:
    path, link = tmp_path / "run.safetensors", tmp_path / "latest.safetensors"
    recorded(nn.GRU(3, 4), torch.randn(5, 2, 3)).save(path)
    link.symlink_to(path)
    newer = recorded(nn.LSTM(3, 4), torch.randn(5, 2, 3))
    newer.save(link)
    assert link.is_symlink()
    assert_same(rw.load(path), newer)
    touched = tmp_path / "touched"
    touched.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(touched.stat().st_mode)


def test_nothing_is_pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("a file is numbers and names")

    recording = recorded(nn.LSTM(3, 4), torch.randn(5, 2, 3))
    for module, name in [(pickle, "load"), (pickle, "loads"), (pickle, "dumps"), (torch, "load"), (torch, "save")]:
        monkeypatch.setattr(module, name, never)
    monkeypatch.setattr(pickle, "Unpickler", never)
    recording.save(tmp_path / "run.safetensors")
    assert_same(rw.load(tmp_path / "run.safetensors"), recording)


def test_the_file_is_an_ordinary_one_of_its_format(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    case = Case("gru", layers=2, dtype=torch.bfloat16, steps=3, batch=1)
    with torch.no_grad(), rw.record(case.module) as recording:
        case.call()
    recording.save(tmp_path / "run.safetensors")
    tensors = load_file(tmp_path / "run.safetensors")
    assert bits(tensors["l1/0/site:hidden"]) == bits(recording["l1"].hidden)
    assert bits(tensors["l0/0/site:update_gate"]) == bits(recording["l0"]["z"])


def test_no_gradients_in_a_file(tmp_path: Path) -> None:
    module = nn.GRU(3, 4)
    with rw.record(module, gradients=True) as recording:
        module(torch.randn(5, 2, 3))[0].sum().backward()
    recording.save(tmp_path / "run.safetensors")
    with pytest.raises(RuntimeError, match="a recording from a file has no gradients"):
        rw.load(tmp_path / "run.safetensors").gradient_flow()


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = recorded(nn.GRU(3, 4), torch.randn(5, 2, 3))
    recording.save(tmp_path / "run.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "xarray", None)
    for attempt in (
        lambda: recording.save(tmp_path / "run.safetensors"),
        lambda: rw.load(tmp_path / "run.safetensors"),
        recording.to_xarray,
    ):
        with pytest.raises(ImportError, match=r"pip install 'rnnwidget\[files\]'"):
            attempt()


def test_the_engine_loads_neither_package() -> None:
    script = "import sys, rnnwidget; print(sorted({'safetensors', 'xarray', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
