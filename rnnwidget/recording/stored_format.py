"""What the header of a recording's file says about its tensors, as JSON, and how it is checked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, get_args

import torch

from rnnwidget.cells.activations import RANGES, Activation
from rnnwidget.cells.edits import Operation

KEY = "rnnwidget"
FORMAT = "rnnwidget recording"
VERSION = 1

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}

_LONGEST_NAME = 1000


class RecordingFileError(ValueError):
    """A file that is no recording, is damaged, or was made by a newer version."""


@dataclass(frozen=True)
class StoredEdit:
    """One edit that was in force; its value and mask are tensors of the file."""

    site: str
    operation: Operation
    masked: bool


@dataclass(frozen=True)
class StoredCall:
    """What is known of one call of a layer beside its tensors; ``coarse_steps`` is None without a coarse level.

    ``stitched`` says that it was several calls, each going on from the one before: the file has where each begins, and
    how many steps each sequence has in it.
    """

    batch_first: bool | None
    truncations: tuple[int, ...]
    coarse_steps: int | None
    edits: tuple[StoredEdit, ...]
    stitched: bool = False


@dataclass(frozen=True)
class LayerHeader:
    """One layer: its family's names, and its calls, oldest first."""

    name: str
    family: str
    gates: tuple[str, ...]
    states: tuple[str, ...]
    letters: dict[str, str]
    activations: dict[str, Activation]
    calls: tuple[StoredCall, ...]

    @property
    def sites(self) -> tuple[str, ...]:
        """Every gate and state."""
        return self.gates + self.states

    def tensor(self, call: int, role: str) -> str:
        """What the file calls the tensor that has ``role`` in a call."""
        return f"{self.name}/{call}/{role}"

    def roles(self, call: int) -> Iterator[str]:
        """The tensors that the file has for a call."""
        yield from (f"site:{site}" for site in self.sites)
        yield from (f"preactivation:{site}" for site in self.activations)
        yield from (f"initial:{state}" for state in self.states)
        yield from ("inputs", "lengths", "replay_error")
        for place, edit in enumerate(self.calls[call].edits):
            yield f"edit_value:{place}"
            if edit.masked:
                yield f"edit_mask:{place}"
        if self.calls[call].stitched:
            yield from ("starts", "part_lengths")
        if self.calls[call].coarse_steps is not None:
            yield from (f"{kind}:{site}" for site in self.sites for kind in ("mean", "low", "high"))


@dataclass(frozen=True)
class Description:
    """What a file holds: its layers, and the paths of the modules whose outputs were kept beside them."""

    layers: tuple[LayerHeader, ...]
    also: tuple[str, ...]

    def text(self) -> str:
        """The JSON of a file's header."""
        layers = [asdict(layer) for layer in self.layers]
        return json.dumps({"format": FORMAT, "version": VERSION, "layers": layers, "also": self.also})

    @staticmethod
    def tensor(also: int) -> str:
        """What the file calls the outputs of one of the modules."""
        return f"also:{also}"


def description_from(text: str) -> Description:
    """What a file's header describes.

    Raises
    ------
    RecordingFileError
        Anything in it is not what :meth:`Description.text` would have written.
    """
    try:
        root = _Node(json.loads(text), "the description")
    except (ValueError, RecursionError) as error:
        raise RecordingFileError(f"its description is not JSON ({error!s:.80})") from None
    if root.get("format").value != FORMAT:
        raise RecordingFileError(f"its format is {root.get('format').value!r:.80} and not {FORMAT!r}")
    version = root.get("version").whole(1)
    if version > VERSION:
        raise RecordingFileError(
            f"its format has version {version!r:.20}, made by a newer rnnwidget; this one reads version {VERSION}: "
            "upgrade with pip install --upgrade rnnwidget"
        )
    layers = tuple(_layer(node) for node in root.get("layers").each())
    names = [layer.name for layer in layers]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise RecordingFileError(f"layer {twice!r:.80} is in it twice")
    also = tuple(node.path() for node in root.get("also").each())
    if len(set(also)) < len(also):
        raise root.get("also").wrong("paths that differ from each other")
    return Description(layers, also)


@dataclass(frozen=True)
class _Node:
    """A value of the JSON and where it stands."""

    value: Any
    place: str

    def wrong(self, expected: str) -> RecordingFileError:
        return RecordingFileError(f"{self.place} should be {expected} and is {self.value!r:.80}")

    def get(self, key: str) -> _Node:
        if not isinstance(self.value, dict) or key not in self.value:
            raise RecordingFileError(f"{self.place} has no {key!r}")
        return _Node(self.value[key], f"{self.place}, {key}")

    def each(self) -> Iterator[_Node]:
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return (_Node(value, f"{self.place}[{index}]") for index, value in enumerate(self.value))

    def text(self) -> str:
        if not isinstance(self.value, str) or not 0 < len(self.value) <= _LONGEST_NAME:
            raise self.wrong("a name")
        return self.value

    def path(self) -> str:
        if not isinstance(self.value, str) or len(self.value) > _LONGEST_NAME:
            raise self.wrong("a module's path")
        return self.value

    def whole(self, least: int) -> int:
        if type(self.value) is not int or not least <= self.value < 2**63:
            raise self.wrong(f"a whole number, at least {least}")
        return self.value

    def truth(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value

    def names(self) -> tuple[str, ...]:
        return tuple(node.text() for node in self.each())

    def by_site(self, sites: tuple[str, ...], *, every: bool) -> dict[str, str]:
        if (
            not isinstance(self.value, dict)
            or not set(self.value) <= set(sites)
            or (every and len(self.value) < len(sites))
        ):
            raise self.wrong(f"given for {', '.join(sites):.200}")
        return {site: self.get(site).text() for site in sites if site in self.value}


def _layer(node: _Node) -> LayerHeader:
    gates, states = node.get("gates").names(), node.get("states").names()
    sites = gates + states
    if states[:1] != ("hidden",) or len(set(sites)) < len(sites) or any("/" in site for site in sites):
        raise node.get("states").wrong("names that begin with 'hidden' and differ from each other and from the gates")
    activations: dict[str, Activation] = {}
    for site, name in node.get("activations").by_site(sites, every=False).items():
        known: dict[str, Activation] = {activation: activation for activation in RANGES}
        if name not in known:
            raise RecordingFileError(f"{node.place} has a nonlinearity {name!r:.80}; there are {', '.join(known)}")
        activations[site] = known[name]
    calls = tuple(_call(call, sites) for call in node.get("calls").each())
    if not calls:
        raise node.get("calls").wrong("a list of calls, at least one")
    return LayerHeader(
        name=node.get("name").text(),
        family=node.get("family").text(),
        gates=gates,
        states=states,
        letters=node.get("letters").by_site(sites, every=True),
        activations=activations,
        calls=calls,
    )


def _call(node: _Node, sites: tuple[str, ...]) -> StoredCall:
    batch_first, coarse_steps = node.get("batch_first"), node.get("coarse_steps")
    truncations = tuple(step.whole(0) for step in node.get("truncations").each())
    if list(truncations) != sorted(truncations):
        raise node.get("truncations").wrong("steps in their order")
    return StoredCall(
        batch_first=None if batch_first.value is None else batch_first.truth(),
        truncations=truncations,
        coarse_steps=None if coarse_steps.value is None else coarse_steps.whole(2),
        edits=tuple(_edit(edit, sites) for edit in node.get("edits").each()),
        stitched="stitched" in node.value and node.get("stitched").truth(),
    )


def _edit(node: _Node, sites: tuple[str, ...]) -> StoredEdit:
    site, operation = node.get("site"), node.get("operation")
    known: dict[str, Operation] = {name: name for name in get_args(Operation)}
    if site.text() not in sites:
        raise site.wrong(f"one of {', '.join(sites):.200}")
    if operation.text() not in known:
        raise operation.wrong(f"one of {', '.join(known)}")
    return StoredEdit(site.text(), known[operation.text()], node.get("masked").truth())
