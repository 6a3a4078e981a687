"""A safetensors file, mapped into memory."""

from __future__ import annotations

import json
import math
import mmap
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from rnnwidget.recording.stored_format import DTYPES, RecordingFileError
from rnnwidget.recording.stored_packages import required

# Without it Linux sets memory aside for the whole file. Python 3.11 has no name for it.
_NO_RESERVE: int = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)
_MOST = 2**48
"""More numbers than any disk holds: what is empty may claim sizes that nothing can compute with."""

_KINDS = {name: dtype for dtype, name in DTYPES.items()}


class StoredFile:
    """The header of a file, and its tensors as views: what is looked at is read, what is written stays in memory.

    safetensors checks the file. It is mapped here, since its own mapping is one that Linux refuses for files larger
    than memory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        safetensors = required("safetensors", "opening a saved recording")
        with Path(path).open("rb") as file:
            try:
                safetensors.safe_open(os.fspath(path), framework="numpy")
                length = int.from_bytes(file.read(8), "little")
                header: dict[str, Any] = json.loads(file.read(length))
            except Exception as error:  # noqa: BLE001 - the library has a kind of error for each kind of damage
                raise RecordingFileError(f"it is no whole safetensors file ({error!s:.200})") from None
            self._begin = 8 + length
            self._memory = _mapped(file)
        self.metadata: Mapping[str, str] = header.pop("__metadata__", None) or {}
        self._entries = header

    def tensor(self, name: str) -> Tensor:
        """A tensor by name; RecordingFileError where there is none, or none that torch can hold."""
        if name not in self._entries:
            raise RecordingFileError(f"tensor {name!r:.200} is missing")
        entry = self._entries[name]
        dtype, shape, (start, stop) = _KINDS.get(entry["dtype"]), entry["shape"], entry["data_offsets"]
        if dtype is None or (self._begin + start) % dtype.itemsize:
            raise RecordingFileError(f"tensor {name!r:.200} of {entry['dtype']:.20} was not written by rnnwidget")
        if math.prod(max(size, 1) for size in shape) > _MOST:
            raise RecordingFileError(f"tensor {name!r:.200} has sizes {shape!s:.80}, which no recording has")
        try:
            if start == stop:
                return torch.empty(shape, dtype=dtype, device="cpu")
            count = math.prod(shape)
            return torch.frombuffer(self._memory, dtype=dtype, count=count, offset=self._begin + start).view(shape)
        except (RuntimeError, TypeError, ValueError) as error:
            raise RecordingFileError(f"tensor {name!r:.200} of shape {shape} cannot be read ({error!s:.80})") from None


def _mapped(file: BinaryIO) -> mmap.mmap:
    """The whole file as private memory: pages that are written to are copied, the others stay on disk."""
    if hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE | _NO_RESERVE)
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
