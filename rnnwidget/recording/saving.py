"""Writing a recording to a file, one tensor after the other, so that memory never has to hold all of them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import torch
from torch import Tensor

from rnnwidget.recording.coarse_levels import steps_per_column
from rnnwidget.recording.layer_recording import LayerRecording
from rnnwidget.recording.stored_format import DTYPES, KEY, Description, LayerHeader, StoredCall, StoredEdit
from rnnwidget.recording.stored_packages import required

if TYPE_CHECKING:
    from rnnwidget.recording.recording import Recording

_LARGEST_HEADER = 100_000_000
_ENTRY = 400
"""More than a tensor's line in the header takes beside its name, filler included."""

_BYTES_AT_ONCE = 2**24
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def save(recording: Recording, path: str | os.PathLike[str]) -> None:
    """Write ``recording`` as :meth:`Recording.save` says.

    The file is in the safetensors format, its header at the front: room for it is kept, and it is written last.
    """
    safetensors = required("safetensors", "saving a recording")
    target = Path(path).resolve()
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder: name a file in it, such as {target / 'run.safetensors'}")
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"{target} cannot be written: there is no folder {target.parent}; make it first, or name one that exists"
        )
    partial = target.with_name(f".rnnwidget-{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            _write(recording, file)
            file.flush()
            os.fsync(file.fileno())
        safetensors.safe_open(os.fspath(partial), framework="numpy")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _write(recording: Recording, file: BinaryIO) -> None:
    headers = [_header(name, list(recording.passing_calls(name))) for name in recording.layers]
    beside = _outputs_by_step(recording)
    description = Description(tuple(headers), tuple(beside))
    metadata = {"__metadata__": {KEY: description.text()}}
    names = [description.tensor(place) for place in range(len(beside))]
    names += [
        header.tensor(call, role)
        for header in headers
        for call in range(len(header.calls))
        for role in header.roles(call)
    ]
    room = len(json.dumps(metadata)) + sum(len(json.dumps(name)) + _ENTRY for name in names)
    room += -room % 8
    if room > _LARGEST_HEADER:
        raise ValueError(f"{len(names)} tensors are too many for one file: save a recording of fewer calls")
    file.write(bytes(8 + room))
    body = _Body(file)
    for header in headers:
        for call, layer in enumerate(recording.passing_calls(header.name)):
            for role in header.roles(call):
                body.add(header.tensor(call, role), _value(layer, role))
    for place, (path, outputs) in enumerate(beside.items()):
        body.add(description.tensor(place), outputs, f"recording.also[{path!r}]")
    file.seek(0)
    file.write(room.to_bytes(8, "little"))
    file.write(json.dumps(metadata | body.entries).encode().ljust(room))


def _outputs_by_step(recording: Recording) -> dict[str, Tensor]:
    """What other modules gave at every step; what has no steps is no part of a recording in time."""
    found: dict[str, Tensor] = {}
    for path in recording.also:
        with contextlib.suppress(KeyError, ValueError):
            found[path] = recording.also[path]
    return found


def _header(name: str, calls: list[LayerRecording]) -> LayerHeader:
    family = calls[-1].source.family
    return LayerHeader(
        name=name,
        family=family.name,
        gates=tuple(family.gates),
        states=tuple(family.states),
        letters={site: family.letters.get(site, site) for site in family.sites},
        activations=dict(family.activations),
        calls=tuple(_call(layer) for layer in calls),
    )


def _call(layer: LayerRecording) -> StoredCall:
    per_column = steps_per_column(layer.source.steps)
    return StoredCall(
        batch_first=layer.batch_first,
        truncations=layer.truncations,
        coarse_steps=per_column if per_column > 1 else None,
        edits=tuple(StoredEdit(edit.site, edit.operation, edit.mask is not None) for edit in layer.edits.edits),
        stitched=len(layer.source.parts) > 1,
    )


def _value(layer: LayerRecording, role: str) -> Tensor:
    kind, _, name = role.partition(":")
    found: object
    match kind:
        case "site":
            found = layer[name]
        case "preactivation":
            found = layer.preactivation(name)
        case "initial":
            found = layer.initial[name]
        case "edit_value" | "edit_mask":
            found = getattr(layer.source.edits.edits[int(name)], kind.removeprefix("edit_"))
        case "mean" | "low" | "high":
            found = getattr(layer.coarse(name), kind)
        case "starts":
            found = torch.tensor([part.start for part in layer.source.parts], device="cpu")
        case "part_lengths":
            found = torch.stack([part.live.sum(0) for part in layer.source.parts])
        case "replay_error":
            found = torch.tensor([layer.replay_error], dtype=torch.float64, device="cpu")
        case _:
            found = getattr(layer, kind)
    assert isinstance(found, Tensor)
    return found


class _Body:
    """The tensors of a file, written one after the other."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._written = file, 0
        self.entries: dict[str, dict[str, object]] = {}

    def add(self, name: str, tensor: Tensor, called: str = "") -> None:
        """Write a tensor where its numbers are aligned."""
        if tensor.dtype not in DTYPES or tensor.layout is not torch.strided:
            kind = tensor.dtype if tensor.layout is torch.strided else tensor.layout
            raise TypeError(
                f"{called or name} is {kind}, which a file cannot hold; it holds dense {', '.join(map(str, DTYPES))}"
                + (": record without it, or with what it gives in one of these" if called else "")
            )
        short = -self._written % tensor.element_size()
        if short:
            self._put(f"filler/{len(self.entries)}", torch.zeros(short, dtype=torch.uint8, device="cpu"))
        self._put(name, tensor.detach())

    def _put(self, name: str, tensor: Tensor) -> None:
        start = self._written
        rows = max(_BYTES_AT_ONCE // max(tensor[:1].numel() * tensor.element_size(), 1), 1)
        for part in tensor.split(rows):
            self._written += self._file.write(_little_endian(part))
        self.entries[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, self._written],
        }


def _little_endian(tensor: Tensor) -> bytes:
    size = tensor.element_size()
    integers = tensor.cpu().contiguous().view(_INTEGERS[size]).numpy()
    return integers.astype(integers.dtype.newbyteorder("<"), copy=False).tobytes()
