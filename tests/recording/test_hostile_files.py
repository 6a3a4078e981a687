"""Whatever a file holds: it opens, or a ValueError says what is wrong with it."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import rnnwidget as rw
from rnnwidget.recording import RecordingFileError
from rnnwidget.recording.coarse_levels import COLUMNS
from tests.recording.hostile import put_together, taken_apart

Description = dict[str, Any]
Entries = dict[str, Any]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A file of everything that one can have, and the place for its twisted relatives."""
    folder = tmp_path_factory.mktemp("hostile")
    module, kind = nn.LSTM(2, 3, proj_size=2, num_layers=2, dtype=torch.float64), {"dtype": torch.float64}
    with torch.no_grad(), rw.record(module) as recording:
        module(nn.utils.rnn.pack_sequence([torch.randn(4, 2, **kind), torch.randn(2, 2, **kind)]))
        with rw.edited(module, rw.clamp("f", 0.5, steps=[1, 2]), rw.shift("i", 1.0)):
            module(torch.randn(5, 1, 2, **kind))
        module(torch.randn(COLUMNS + 1, 1, 2, **kind))
        _, state = module(nn.utils.rnn.pack_sequence([torch.randn(3, 2, **kind), torch.randn(1, 2, **kind)]))
        module(torch.randn(2, 2, 2, **kind), state)
    recording.save(folder / "good.safetensors")
    return folder / "good.safetensors", folder / "bad.safetensors"


def use(path: Path) -> None:
    """Opens or is refused; what opens can be read through and through."""
    try:
        recording = rw.load(path)
    except RecordingFileError as error:
        said = str(error)
        assert said.startswith(f"{path} cannot be opened as a recording: ")
        assert len(said) < 2000
        return
    assert repr(recording)
    for name in recording.layers:
        for layer in recording.calls(name):
            assert repr(layer)
            for site in layer.gates + layer.states:
                layer.source.site(site)
                layer.window(site, slice(1, 3))
                layer.coarse(site)
            for site in layer.source.family.activations:
                layer.preactivation(site)
            assert layer.inputs.shape[:2] == layer.hidden.shape[:2]
            assert set(layer.initial) == set(layer.states)
            assert layer.lengths.shape == layer.hidden.shape[1:2]
            assert layer.source.live.shape == layer.hidden.shape[:2]
            assert not layer.replay_error < 0
    recording.to_xarray(call=0, preactivations=True)


@settings(max_examples=300)
@given(data=st.data())
def test_changed_bytes(data: st.DataObject, files: tuple[Path, Path]) -> None:
    good, bad = files
    content = bytearray(good.read_bytes())
    end = 8 + int.from_bytes(content[:8], "little")
    places = st.one_of(st.integers(0, 9), st.integers(8, end - 1), st.integers(0, len(content) - 1))
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    bad.write_bytes(content)
    use(bad)


@settings(max_examples=100)
@given(data=st.data())
def test_cut_and_grown_files(data: st.DataObject, files: tuple[Path, Path]) -> None:
    good, bad = files
    content = good.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    cut = data.draw(st.integers(0, 16) | st.integers(0, end + 8) | st.integers(0, len(content)))
    bad.write_bytes(content[:cut] + data.draw(st.binary(max_size=16)))
    use(bad)


@given(content=st.binary(max_size=200))
def test_any_bytes(content: bytes, files: tuple[Path, Path]) -> None:
    files[1].write_bytes(content)
    use(files[1])


def places(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Where everything in a JSON value is."""
    found = [path] if path else []
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in below:
        found += places(part, (*path, key))
    return found


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**31, 2**62, 2**63 - 1, 2**63, 2**64, -1, 0, 1, 2, 10**400, 1e308, "", "hidden", "cell", "/"])
    | st.floats()
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


def twisted(data: st.DataObject, value: Any) -> Any:
    """``value`` with one to three of its parts replaced, left out, doubled or exchanged."""
    value = copy.deepcopy(value)
    for _ in range(data.draw(st.integers(1, 3))):
        known = places(value)
        if not known:
            break
        *way, last = data.draw(st.sampled_from(known))
        holder = value
        for key in way:
            holder = holder[key]
        kind = data.draw(st.sampled_from(["replace", "remove", "double", "other"]))
        if kind == "replace":
            holder[last] = data.draw(JSON)
        elif kind == "remove":
            del holder[last]
        elif kind == "double" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[last]))
        else:
            *other_way, other = data.draw(st.sampled_from(known))
            source = value
            for key in [*other_way, other]:
                source = (
                    source[key]
                    if (isinstance(source, dict) and key in source)
                    or (isinstance(source, list) and isinstance(key, int) and key < len(source))
                    else None
                )
            holder[last] = copy.deepcopy(source)
    return value


@settings(max_examples=300)
@given(data=st.data())
def test_twisted_descriptions(data: st.DataObject, files: tuple[Path, Path]) -> None:
    good, bad = files
    description, entries, body = taken_apart(good)
    use(put_together(bad, twisted(data, description), entries, body))


@settings(max_examples=200)
@given(data=st.data())
def test_twisted_headers(data: st.DataObject, files: tuple[Path, Path]) -> None:
    good, bad = files
    description, entries, body = taken_apart(good)
    use(put_together(bad, description, twisted(data, entries), body))


@settings(max_examples=200)
@given(data=st.data())
def test_tensors_that_take_each_other_s_place(data: st.DataObject, files: tuple[Path, Path]) -> None:
    good, bad = files
    description, entries, body = taken_apart(good)
    names = st.sampled_from(sorted(entries))
    for _ in range(data.draw(st.integers(1, 3))):
        one, other = data.draw(names), data.draw(names)
        entries[one], entries[other] = entries[other], entries[one]
    use(put_together(bad, description, entries, body))


def at(*path: object, value: object) -> Callable[[Description, Entries], None]:
    def change(description: Description, entries: Entries) -> None:
        holder: Any = description
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = value

    return change


def entry(name: str, **fields: object) -> Callable[[Description, Entries], None]:
    return lambda description, entries: entries[name].update(fields)


def twice(description: Description, entries: Entries) -> None:
    description["layers"].append(description["layers"][0])


def without(name: str) -> Callable[[Description, Entries], None]:
    return lambda description, entries: entries.update({f"no {name}": entries.pop(name)})


def exchanged(one: str, other: str) -> Callable[[Description, Entries], None]:
    return lambda description, entries: entries.update({one: entries[other], other: entries[one]})


LAYER, CALL = ("layers", 0), ("layers", 0, "calls", 0)
CHANGES = {
    "stitched should be true or false": at(*LAYER, "calls", 3, "stitched", value=1),
    "starts": entry("l0/3/starts", dtype="F64"),
    "its format is 'zarr'": at("format", value="zarr"),
    "version 2, made by a newer rnnwidget; this one reads version 1: upgrade": at("version", value=2),
    "version should be a whole number": at("version", value=True),
    "layers should be a list": at("layers", value={}),
    "has no 'letters'": lambda description, entries: description["layers"][0].pop("letters"),
    "layer 'l0' is in it twice": twice,
    "a nonlinearity 'os.system'; there are sigmoid, tanh": at(*LAYER, "activations", "forget_gate", value="os.system"),
    "activations should be given for input_gate": at(*LAYER, "activations", value={"forget": "tanh"}),
    "letters should be given for": at(*LAYER, "letters", value={"cell": "c"}),
    "states should be names that begin with 'hidden'": at(*LAYER, "states", value=["cell", "hidden"]),
    "differ from each other": at(*LAYER, "gates", value=["cell"]),
    "name should be a name": at(*LAYER, "name", value=["l0"]),
    "family should be a name": at(*LAYER, "family", value="x" * 2000),
    "at least one": at(*LAYER, "calls", value=[]),
    "batch_first should be true or false": at(*CALL, "batch_first", value=0),
    "a whole number, at least 0": at(*CALL, "truncations", value=[10**30]),
    "steps in their order": at(*CALL, "truncations", value=[3, 1]),
    "truncated at 9999, after its end": at(*CALL, "truncations", value=[9999]),
    "at least 2": at(*CALL, "coarse_steps", value=1),
    "tensor 'l0/0/mean:input_gate' is missing": at(*CALL, "coarse_steps", value=4),
    "'l0/2/mean:input_gate' is torch.float64 .*does not fit": at("layers", 0, "calls", 2, "coarse_steps", value=5),
    "tensor 'l9/0/site:input_gate' is missing": at(*LAYER, "name", value="l9"),
    "one of input_gate": at("layers", 0, "calls", 1, "edits", 0, "site", value="h_t"),
    "one of clamp": at("layers", 0, "calls", 1, "edits", 0, "operation", value="exec"),
    "tensor 'l0/0/site:cell' is missing": without("l0/0/site:cell"),
    "not fit 4 steps and 2 sequences": exchanged("l0/0/site:cell", "l0/1/site:cell"),
    r"\(time, batch, unit\)": exchanged("l0/0/site:hidden", "l0/0/lengths"),
    "'l0/0/lengths' is torch.float64": exchanged("l0/0/lengths", "l0/0/replay_error"),
    "no whole safetensors file": entry("l0/0/site:cell", data_offsets=[0, 10**12]),
    "no whole safetensors file.*": entry("l0/0/site:cell", shape=[10**18, 10**18]),
}


@pytest.mark.parametrize("message", CHANGES)
def test_what_is_wrong_is_named(message: str, files: tuple[Path, Path]) -> None:
    good, bad = files
    description, entries, body = taken_apart(good)
    CHANGES[message](description, entries)
    with pytest.raises(ValueError, match=message):
        rw.load(put_together(bad, description, entries, body))


def test_numbers_that_cannot_be(files: tuple[Path, Path]) -> None:
    good, bad = files
    description, entries, body = taken_apart(good)
    for name, number in [("l0/0/lengths", (99).to_bytes(8, "little")), ("l0/0/lengths", b"\xff" * 8)]:
        start, stop = entries[name]["data_offsets"]
        changed = body[:start] + number + body[start + 8 :]
        with pytest.raises(ValueError, match=f"{name}.*does not fit"):
            rw.load(put_together(bad, description, entries, changed))
    start, stop = entries["l0/0/replay_error"]["data_offsets"]
    negative = torch.tensor([-1.0], dtype=torch.float64).numpy().tobytes()
    with pytest.raises(ValueError, match="replay_error"):
        rw.load(put_together(bad, description, entries, body[:start] + negative + body[stop:]))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "1" * 5000, '{"format": NaN}'])
def test_a_description_that_is_none(text: str, files: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match=r"its (description|format) is"):
        rw.load(put_together(files[1], text, {}, b""))


@pytest.mark.parametrize("text", ["null", "[]", '"x"', "{}"])
def test_a_description_of_nothing(text: str, files: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="the description has no 'format'"):
        rw.load(put_together(files[1], text, {}, b""))


def test_other_safetensors_files_and_other_files(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="a safetensors file of something else"):
        rw.load(tmp_path / "weights.safetensors")
    torch.save({"weight": torch.ones(3)}, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"weights.pt cannot be opened.*no whole safetensors file"):
        rw.load(tmp_path / "weights.pt")
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        rw.load(tmp_path / "nothing.safetensors")
    with pytest.raises(IsADirectoryError):
        rw.load(tmp_path)


def test_enormous_empty_tensors_cost_nothing(files: tuple[Path, Path]) -> None:
    _, bad = files
    layer: Description = {
        "name": "l0",
        "family": "rnn",
        "gates": [],
        "states": ["hidden"],
        "letters": {"hidden": "h"},
        "activations": {},
        "calls": [{"batch_first": None, "truncations": [], "coarse_steps": None, "edits": []}],
    }
    description = {"format": "rnnwidget recording", "version": 1, "layers": [layer]}
    for steps, units in [(2**40, 2**20), (2**62, 2**62), (2**63 - 1, 3)]:
        entries: Entries = {
            f"l0/0/{role}": {"dtype": dtype, "shape": shape, "data_offsets": [0, 0]}
            for role, dtype, shape in [
                ("site:hidden", "F32", [steps, 0, units]),
                ("initial:hidden", "F32", [0, units]),
                ("inputs", "F32", [steps, 0, 1]),
                ("lengths", "I64", [0]),
            ]
        }
        entries["l0/0/replay_error"] = {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}
        use(put_together(bad, description, entries, bytes(8)))


def test_names_run_nothing(files: tuple[Path, Path], tmp_path: Path) -> None:
    good, bad = files
    text = json.dumps(taken_apart(good)[0])
    for name in ("__import__('os').system('touch /tmp/x')", "../../etc/passwd", "{0.__class__}", "%s%s", "\x00", "💥"):
        description, entries, body = json.loads(text), taken_apart(good)[1], taken_apart(good)[2]
        description["layers"][0]["name"] = name
        renamed = {key.replace("l0/", f"{name}/", 1) if key.startswith("l0/") else key: e for key, e in entries.items()}
        loaded = rw.load(put_together(bad, description, renamed, body))
        assert loaded.layers == (name, "l1")
        assert loaded.calls(name)[2].hidden.shape == (COLUMNS + 1, 1, 2)
