"""Opening the file of a recording: what it says is checked, and its numbers stay on disk until they are looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NoReturn

import torch
from torch import Tensor

from rnnwidget.recording.layer_recording import LayerRecording
from rnnwidget.recording.recording import Recording
from rnnwidget.recording.stored_file import StoredFile
from rnnwidget.recording.stored_format import KEY, Description, LayerHeader, RecordingFileError, description_from
from rnnwidget.recording.stored_layer import StoredLayer

Tensors = dict[str, Tensor]


def load(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> Recording:
    """Open a recording that :meth:`Recording.save` wrote.

    The file is memory-mapped: opening costs next to nothing however large it is, and what is read of it is what is
    looked at, such as one ``layer.window``. Changing a tensor never changes the file. Nothing in a file is ever
    executed; one from a stranger can at worst hold wrong numbers. ``device`` is where tensors are handed out.

    Raises
    ------
    RecordingFileError
        A ValueError: the file is no recording, is damaged, or comes from a newer version; the message says which.
    OSError
        The file cannot be opened.
    ImportError
        The package safetensors is missing: ``pip install 'rnnwidget[files]'``.

    Examples
    --------
    >>> import tempfile, torch, rnnwidget as rw
    >>> model = torch.nn.GRU(3, 4)
    >>> with rw.record(model) as recording:
    ...     _ = model(torch.randn(5000, 2, 3))
    >>> folder = tempfile.TemporaryDirectory()
    >>> recording.save(f"{folder.name}/long.safetensors")
    >>> loaded = rw.load(f"{folder.name}/long.safetensors")
    >>> loaded["l0"].window("update_gate", slice(4000, 4100), units=[1, 2]).shape
    torch.Size([100, 2, 2])
    >>> loaded["l0"].coarse("update_gate").mean.shape
    torch.Size([1667, 2, 4])
    """
    try:
        file = StoredFile(path)
        if KEY not in file.metadata:
            _refuse(f"its header has no {KEY!r}: it is a safetensors file of something else")
        description = description_from(file.metadata[KEY])
        layers = {
            header.name: [_tensors(header, call, file) for call in range(len(header.calls))]
            for header in description.layers
        }
        beside = _outputs(description, file)
    except RecordingFileError as error:
        raise RecordingFileError(
            f"{os.fspath(path)!s} cannot be opened as a recording: {error}. "
            "Files that recording.save(path) wrote can be; if this is one, fetch an undamaged copy or save it again"
        ) from None
    return StoredRecording(description.layers, layers, StoredOutputs(beside, torch.device(device)))


class StoredOutputs(Mapping[str, Tensor]):
    """What other modules gave at every step, (time, batch, …), by path."""

    def __init__(self, tensors: Tensors, device: torch.device) -> None:
        self._tensors, self.device = tensors, device

    def __getitem__(self, path: str) -> Tensor:
        if path not in self._tensors:
            known = ", ".join(map(repr, self._tensors)) or "none"
            raise KeyError(f"the file has no outputs of {path!r}; it has those of {known}")
        return self._tensors[path].to(self.device)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


class StoredRecording(Recording):
    """A recording in a file."""

    def __init__(
        self, headers: tuple[LayerHeader, ...], tensors: dict[str, list[Tensors]], also: StoredOutputs
    ) -> None:
        super().__init__()
        self._headers, self._tensors, self._device, self.also = headers, tensors, also.device, also

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers, in order of their first call."""
        return tuple(header.name for header in self._headers)

    def _found(self, name: str) -> list[tuple[tuple[int, int], Callable[[], LayerRecording]]]:
        return [
            ((call, 0), partial(_stored, header, call, tensors, self._device))
            for header in self._headers
            if header.name == name
            for call, tensors in enumerate(self._tensors[name])
        ]

    def gradient_flow(self, scale: float = 1.0) -> NoReturn:
        """Raise RuntimeError: a file has no gradients."""
        raise RuntimeError(
            "a recording from a file has no gradients: ask gradient_flow of the recording that "
            "record(model, gradients=True) gave, before or after saving it"
        )


def _stored(header: LayerHeader, call: int, tensors: Tensors, device: torch.device) -> LayerRecording:
    source = StoredLayer(header, call, tensors, device)
    return LayerRecording(source, source.coarse)


def _outputs(description: Description, file: StoredFile) -> Tensors:
    found = {path: file.tensor(description.tensor(place)) for place, path in enumerate(description.also)}
    for path, tensor in found.items():
        if tensor.dim() < 2:
            raise RecordingFileError(
                f"the outputs of {path!r:.80} have shape {tuple(tensor.shape)}: no steps, no batch"
            )
    return found


def _tensors(header: LayerHeader, call: int, file: StoredFile) -> Tensors:
    """The tensors of a call by role, views of the file, once their shapes fit each other."""
    tensors = {role: file.tensor(header.tensor(call, role)) for role in header.roles(call)}
    hidden, stored = tensors["site:hidden"], header.calls[call]
    if not _is(hidden, None, None, None):
        raise _misfit(header, call, "site:hidden", hidden, "(time, batch, unit)")
    steps, batch, _ = hidden.shape
    for role, tensor in tensors.items():
        if not _fits(tensor, role, header, call, tensors):
            raise _misfit(header, call, role, tensor, f"{steps} steps and {batch} sequences")
    if stored.stitched and not _calls_fit(tensors["starts"], tensors["part_lengths"], steps):
        raise _misfit(header, call, "starts", tensors["starts"], f"calls that follow each other over {steps} steps")
    if stored.truncations and stored.truncations[-1] > steps:
        raise RecordingFileError(f"layer {header.name!r:.80} is truncated at {stored.truncations[-1]}, after its end")
    return tensors


def _fits(tensor: Tensor, role: str, header: LayerHeader, call: int, tensors: Tensors) -> bool:
    stored, (steps, batch, _) = header.calls[call], tensors["site:hidden"].shape
    kind, _, name = role.partition(":")
    edit = kind in ("edit_value", "edit_mask")
    own = tensors.get(f"site:{stored.edits[int(name)].site if edit else name}")
    units = own.size(-1) if own is not None and own.dim() else None
    shapes: dict[str, tuple[int | None, ...]] = {
        "initial": (batch, units),
        "inputs": (steps, batch, None),
        "lengths": (batch,),
        "starts": (None,),
        "part_lengths": (None, batch),
        "replay_error": (1,),
        **dict.fromkeys(("mean", "low", "high"), (-(-steps // (stored.coarse_steps or 1)), batch, units)),
    }
    if not _is(tensor, *shapes.get(kind, (steps, batch, units)), broadcast=edit):
        return False
    whole = dict.fromkeys(("lengths", "starts", "part_lengths"), tensor.dtype == torch.int64)
    kinds = {**whole, "edit_mask": tensor.dtype == torch.bool}
    if not kinds.get(kind, kind in ("inputs", "edit_value") or tensor.is_floating_point()):
        return False
    values = {"replay_error": (0, float("inf")), **dict.fromkeys(whole, (0, steps))}
    low, high = values.get(kind, (-float("inf"), float("inf")))
    return kind not in values or not bool(((tensor < low) | (tensor > high)).any())


def _calls_fit(starts: Tensor, lengths: Tensor, steps: int) -> bool:
    """Whether stitched calls begin one after the other, and none is longer than it has room."""
    if starts.numel() == 0 or starts.numel() != lengths.size(0) or int(starts[0]) != 0:
        return False
    room = torch.diff(starts, append=starts.new_tensor([steps]))
    return bool((room >= 0).all()) and bool((lengths <= room.unsqueeze(1)).all())


def _misfit(header: LayerHeader, call: int, role: str, tensor: Tensor, what: str) -> RecordingFileError:
    name = header.tensor(call, role)
    return RecordingFileError(
        f"tensor {name!r:.200} is {tensor.dtype} {tuple(tensor.shape)}, which does not fit {what}"
    )


def _refuse(what: str) -> NoReturn:
    raise RecordingFileError(what)


def _is(tensor: Tensor, *shape: int | None, broadcast: bool = False) -> bool:
    """Whether ``tensor`` has, or broadcasts to, ``shape``, None standing for any size."""
    return tensor.dim() == len(shape) and all(
        wanted in (None, size) or (broadcast and size == 1) for wanted, size in zip(shape, tensor.shape, strict=True)
    )
