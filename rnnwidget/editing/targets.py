"""Edits against a model: what they may target."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rnnwidget.cells.activations import RANGES, within
from rnnwidget.editing.edit import Edit, Value
from rnnwidget.editing.recorded_values import RecordedValues
from rnnwidget.recording.modules import Layer, RecurrentModule


def validated(edits: Sequence[Edit] | Edit, modules: Sequence[RecurrentModule]) -> tuple[Edit, ...]:
    """Check edits against a model's layers; equal ones count once.

    Raises
    ------
    TypeError
        Something in the list is no edit.
    KeyError
        A layer does not exist, or no targeted layer has the site.
    IndexError
        A unit is outside every targeted layer.
    ValueError
        A tensor does not broadcast to the scope; a recording does not have the targeted layers, or in another width.
    """
    layers = tuple([module.layers for module in modules])
    kept: list[Edit] = []
    for edit in [edits] if isinstance(edits, Edit) else edits:
        if not isinstance(edit, Edit) or layers not in edit.fits:
            _check(edit, [layer for of_module in layers for layer in of_module])
            edit.fits[:] = [] if isinstance(edit.value, RecordedValues) else [layers]
        if edit not in kept:
            kept.append(edit)
    return tuple(kept)


def _check(edit: Edit, layers: Sequence[Layer]) -> None:
    targets = _targets(edit, layers)
    if edit.units is not None:
        widths = [layer.width(edit.site) for layer in targets]
        if None not in widths:
            check_units(edit, max([width for width in widths if width is not None]))
    if isinstance(edit.value, RecordedValues):
        _check_recorded(edit, edit.value, targets)
    elif edit.operation == "clamp":
        _check_range(edit, edit.value, targets)
    if isinstance(edit.value, Tensor):
        for layer in targets:
            _check_shape(edit, edit.value, layer)


def _targets(edit: Edit, layers: Sequence[Layer]) -> list[Layer]:
    """The layers that an edit is for."""
    if not isinstance(edit, Edit):
        if isinstance(edit, (list, tuple)):
            raise TypeError("got a list of edits where an edit is expected: write edited(model, *edits)")
        raise TypeError(
            f"edits are made with clamp, shift, scale, nudge, lesion or patch; got {type(edit).__name__}: {edit!r:.80}"
        )
    named = layers if edit.layer is None else [layer for layer in layers if edit.layer == layer.name]
    targets = [layer for layer in named if edit.has_site(layer)]
    if not named:
        known = ", ".join([layer.name for layer in layers])
        raise KeyError(f"{edit!r}: no layer {edit.layer!r}; the model has {known}")
    if not targets:
        families = {layer.family.name: layer.family for layer in named}
        known = "; ".join(
            f"{name}: {', '.join(family.activations if edit.operation == 'shift' else family.sites)}"
            for name, family in families.items()
        )
        raise KeyError(f"{edit!r}: no targeted layer has that site to {edit.operation}; there are {known}")
    return targets


def check_units(edit: Edit, width: int) -> None:
    outside = [unit for unit in edit.units or () if unit >= width]
    if outside:
        raise IndexError(f"{edit!r}: units {outside} do not exist; {edit.site!r} has units 0 to {width - 1}")


def _check_recorded(edit: Edit, given: RecordedValues, targets: Sequence[Layer]) -> None:
    """ValueError if a recording cannot give what an edit takes from it, for any targeted layer."""
    for layer in targets:
        if layer.name not in given.recording:
            known = ", ".join(given.recording.layers) or "none"
            raise ValueError(f"{edit!r}: the recording has no layer {layer.name!r}; it has {known}")
        recorded = given.recording[layer.name]
        if edit.site not in recorded.gates + recorded.states:
            raise ValueError(f"{edit!r}: {layer.name!r} has no {edit.site!r} in the recording, its family is another")
        width, wanted = recorded[edit.site].size(-1), layer.width(edit.site)
        if wanted not in (None, width):
            raise ValueError(f"{edit!r}: {layer.name!r} has {wanted} units; in the recording it has {width}")


def _check_range(edit: Edit, value: Value, targets: Sequence[Layer]) -> None:
    """ValueError if a clamp asks of a gate what its nonlinearity never gives, in every layer that has it."""
    families = {layer.family for layer in targets}
    if not all([edit.site in family.gates for family in families]):
        return
    ranges = [RANGES[family.activations[edit.site]] for family in families]
    if not any([within(value, low, high) for low, high in ranges]):
        allowed = " or ".join(f"[{low:g}, {high:g}]" for low, high in dict.fromkeys(ranges))
        raise ValueError(f"{edit!r}: a {edit.site.replace('_', ' ')} lies in {allowed}")


def _check_shape(edit: Edit, given: Tensor, layer: Layer) -> None:
    """ValueError if a tensor value cannot broadcast to the scope, as far as that shows before a call."""
    value = in_three_dimensions(given, given)
    for dim, indices in enumerate((edit.steps, edit.batch, edit.units)):
        if isinstance(indices, tuple):
            check_width(edit, value, dim, len(indices))
    width = layer.width(edit.site)
    if edit.units is None and width is not None:
        check_width(edit, value, 2, width)


def check_width(edit: Edit, value: Tensor, dim: int, size: int) -> None:
    count = value.size(dim)
    if count not in (1, size):
        stitched = f"; where they come in several calls, say steps=range({count})" if dim == 0 and count > size else ""
        raise ValueError(
            f"{edit.operation}({edit.site!r}): a value of shape {tuple(value.shape)} does not broadcast to the "
            f"scope's {('steps', 'batch', 'units')[dim]}: {size} of them, {count} values{stitched}"
        )


def in_three_dimensions(value: Value, like: Tensor) -> Tensor:
    if not isinstance(value, Tensor):
        return torch.tensor([[[value]]], dtype=like.dtype, device=like.device)
    return value.to(like).reshape((1,) * (3 - value.dim()) + tuple(value.shape))


def check_batch(edits: Sequence[Edit], batch: int) -> None:
    """IndexError if an edit names a sequence that a batch of this size does not have."""
    for edit in edits:
        if edit.batch is not None and max(edit.batch, default=-1) >= batch:
            raise IndexError(f"{edit!r}: batch index {max(edit.batch)} is outside a batch of {batch}")
