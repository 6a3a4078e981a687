"""A recording as labelled arrays: an xarray ``DataTree`` with a dataset for each layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from rnnwidget.recording.layer_recording import LayerRecording
from rnnwidget.recording.stored_packages import required
from rnnwidget.recording.xarray_coordinates import Coordinate, coordinates

if TYPE_CHECKING:
    import xarray

    from rnnwidget.recording.recording import Recording

_DIVISION_SLASH = "\N{DIVISION SLASH}"
"""Stands for the slash, which a module's name may have and a tree's may not."""


def data_tree(
    recording: Recording,
    *,
    tokens: Sequence[str] | Sequence[Sequence[str]] | None,
    times: Any,
    unit: str | None,
    conditions: Any,
    events: Mapping[str, Any] | None,
    call: int,
    preactivations: bool,
) -> xarray.DataTree:
    """The tree that :meth:`Recording.to_xarray` describes."""
    xr = required("xarray", "to_xarray")
    layers = {name: _call(recording, name, call) for name in recording.layers}
    sets = {name: _variables(layer, preactivations=preactivations) for name, layer in layers.items()}
    taken = {"time", "lengths"}
    for variables in sets.values():
        taken |= {*variables, *(dim for dims, *_ in variables.values() for dim in dims)}
    given = coordinates(tokens=tokens, times=times, unit=unit, conditions=conditions, events=events, taken=taken)
    fitted = _fitted(given, layers)
    datasets = {}
    for name, layer in layers.items():
        attributes = {"layer": name, "family": layer.family, "replay_error": layer.replay_error}
        if layer.truncations:
            attributes["truncations"] = list(layer.truncations)
        lengths = ("batch", layer.lengths.cpu().numpy(), {"long_name": "steps of each sequence"})
        dataset = xr.Dataset(sets[name], coords={"lengths": lengths, **fitted[name]}, attrs=attributes)
        datasets[name.replace("/", _DIVISION_SLASH)] = dataset
    tree: xarray.DataTree = xr.DataTree.from_dict(datasets)
    return tree


def _call(recording: Recording, name: str, call: int) -> LayerRecording:
    calls = recording.calls(name)
    try:
        return calls[call]
    except IndexError:
        raise IndexError(f"layer {name!r} was called {len(calls)} times; there is no call {call}") from None


def _variables(layer: LayerRecording, *, preactivations: bool) -> dict[str, Any]:
    family = layer.source.family
    widths = {site: layer[site].size(-1) for site in family.sites}
    # The width of most sites is the layer's; a projected hidden state, say, counts other units.
    common = Counter(widths.values()).most_common(1)[0][0]
    dims = {site: ("time", "batch", "unit" if width == common else _own_units(site)) for site, width in widths.items()}
    variables: dict[str, Any] = {
        site: (dims[site], _array(layer[site]), {"long_name": _spoken(site), "symbol": family.letters.get(site, site)})
        for site in family.sites
    }
    if preactivations:
        for site in family.activations:
            attributes = {"long_name": f"{_spoken(site)} before its {family.activations[site]}"}
            variables[f"preactivation_{site}"] = (dims[site], _array(layer.preactivation(site)), attributes)
    return variables


def _own_units(site: str) -> str:
    return "projected_unit" if site == "hidden" else f"{site}_unit"


def _spoken(site: str) -> str:
    return f"{site} state" if site in ("hidden", "cell") else site.replace("_", " ")


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    numpy: Callable[[], np.ndarray[Any, Any]] = (
        (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).cpu().numpy
    )
    return numpy()


def _fitted(given: Sequence[Coordinate], layers: Mapping[str, LayerRecording]) -> dict[str, dict[str, Any]]:
    """The coordinates of each layer; ValueError for one that no layer can have."""
    fitted: dict[str, dict[str, Any]] = {name: {} for name in layers}
    for coordinate in given:
        reasons = []
        for name, layer in layers.items():
            try:
                fitted[name][coordinate.name] = coordinate.variable(layer)
            except ValueError as error:
                reasons.append(f"{name}: {error}")
        if len(reasons) == len(layers) and layers:
            raise ValueError(f"{coordinate.name} fits no layer of this recording ({'; '.join(reasons)})")
    return fitted
