"""Edits against a model: what they may target, and how they lie over one layer of one call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rnnwidget.cells.activations import RANGES
from rnnwidget.cells.edits import LayerEdits, SiteEdit
from rnnwidget.editing.edits import Edit
from rnnwidget.recording.modules import Layer, RecurrentModule
from rnnwidget.recording.recurrent_call import RecurrentCall


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
        A tensor does not broadcast to the scope.
    """
    layers = [layer for module in modules for layer in module.layers]
    kept: list[Edit] = []
    for edit in [edits] if isinstance(edits, Edit) else edits:
        if isinstance(edit, (list, tuple)):
            raise TypeError("got a list of edits where an edit is expected: write edited(model, *edits)")
        if not isinstance(edit, Edit):
            raise TypeError(
                f"edits are made with clamp, shift, scale or nudge; got {type(edit).__name__}: {edit!r:.80}"
            )
        named = [layer for layer in layers if edit.layer in (None, layer.name)]
        if not named:
            known = ", ".join(layer.name for layer in layers)
            raise KeyError(f"{edit!r}: no layer {edit.layer!r}; the model has {known}")
        targets = [layer for layer in named if edit.has_site(layer)]
        if not targets:
            families = {layer.family.name: layer.family for layer in named}
            known = "; ".join(
                f"{name}: {', '.join(family.activations if edit.operation == 'shift' else family.sites)}"
                for name, family in families.items()
            )
            raise KeyError(f"{edit!r}: no targeted layer has that site to {edit.operation}; there are {known}")
        widths = [layer.width(edit.site) for layer in targets]
        if None not in widths:
            _check_units(edit, max(width for width in widths if width is not None))
        _check_range(edit, targets)
        for layer in targets:
            _check_shape(edit, layer)
        if edit not in kept:
            kept.append(edit)
    return tuple(kept)


def _check_units(edit: Edit, width: int) -> None:
    outside = [unit for unit in edit.units or () if unit >= width]
    if outside:
        raise IndexError(f"{edit!r}: units {outside} do not exist; {edit.site!r} has units 0 to {width - 1}")


def _check_range(edit: Edit, targets: Sequence[Layer]) -> None:
    """ValueError if a clamp asks of a gate what its nonlinearity never gives, in every layer that has it."""
    gated = [layer.family for layer in targets if edit.site in layer.family.gates]
    if edit.operation != "clamp" or len(gated) < len(targets):
        return
    ranges = [RANGES[family.activations[edit.site]] for family in gated]
    values = torch.as_tensor(edit.value)
    if not any(bool(((values >= low) & (values <= high)).all()) for low, high in ranges):
        allowed = " or ".join(f"[{low:g}, {high:g}]" for low, high in dict.fromkeys(ranges))
        raise ValueError(f"{edit!r}: a {edit.site.replace('_', ' ')} lies in {allowed}")


def check_batch(edits: Sequence[Edit], batch: int) -> None:
    """IndexError if an edit names a sequence that a batch of this size does not have."""
    for edit in edits:
        if edit.batch is not None and max(edit.batch, default=-1) >= batch:
            raise IndexError(f"{edit!r}: batch index {max(edit.batch)} is outside a batch of {batch}")


def edits_of_layer(edits: Sequence[Edit], layer: Layer, call: RecurrentCall, done: int = 0) -> LayerEdits:
    """The edits that concern one layer, laid out over its call, ``done`` steps after the first; no identities."""
    return LayerEdits(
        tuple(
            laid_out(edit, layer, call, done)
            for edit in edits
            if edit.layer in (None, layer.name) and edit.has_site(layer) and not edit.identity
        )
    )


def laid_out(edit: Edit, layer: Layer, call: RecurrentCall, done: int = 0) -> SiteEdit:
    """The edit over ``(time, batch, unit)`` of one layer in a call that begins ``done`` steps after the first."""
    like = call.initial[0]
    steps, batch, width = call.layout.steps, call.layout.batch, layer.width(edit.site)
    if width is None:
        width = call.initial[layer.family.states.index(edit.site) if edit.site in layer.family.states else 0].size(-1)
        _check_units(edit, width)
    check_batch([edit], batch)
    wanted = (
        None if edit.steps is None else _expanded(edit.steps, done + steps),
        edit.batch,
        edit.units,
    )
    sizes = (done + steps, batch, width)
    value = _in_three_dimensions(torch.as_tensor(edit.value, dtype=like.dtype, device=like.device))
    mask: Tensor | None = None
    for dim, (indices, size) in enumerate(zip(wanted, sizes, strict=True)):
        growing = dim == 0 and not isinstance(edit.steps, tuple) and (done > 0 or steps == 1)
        if growing:
            value = _so_far(edit, value, size if indices is None else len(indices))
        _check_width(edit, value, dim, size if indices is None else len(indices))
        if indices is None:
            continue
        inside = [(place, index) for place, index in enumerate(indices) if index < size]
        rows = torch.tensor([index for _, index in inside], dtype=torch.int64, device=like.device)
        if value.size(dim) != 1:
            places = torch.tensor([place for place, _ in inside], dtype=torch.int64, device=like.device)
            full = [*value.shape]
            full[dim] = size
            value = value.new_zeros(full).index_copy(dim, rows, value.index_select(dim, places))
        along = torch.zeros(size, dtype=torch.bool, device=like.device).index_fill(0, rows, value=True)
        along = along.reshape([size if axis == dim else 1 for axis in range(3)])
        mask = along if mask is None else mask & along
    return SiteEdit(edit.site, edit.operation, value, mask).between(done, done + steps)


def _so_far(edit: Edit, value: Tensor, reached: int) -> Tensor:
    """The part of a value with a number for each step that a loop has reached; nobody knows yet how long it goes on."""
    if 1 < value.size(0) < reached:
        raise ValueError(
            f"{edit.operation}({edit.site!r}): the value has {value.size(0)} steps, the loop has come to step {reached}"
        )
    return value[: max(reached, 1)]


def _check_shape(edit: Edit, layer: Layer) -> None:
    """ValueError if a tensor value cannot broadcast to the scope, as far as that shows before a call."""
    if isinstance(edit.value, Tensor):
        value = _in_three_dimensions(edit.value)
        for dim, indices in enumerate((edit.steps, edit.batch, edit.units)):
            if isinstance(indices, tuple):
                _check_width(edit, value, dim, len(indices))
        width = layer.width(edit.site)
        if edit.units is None and width is not None:
            _check_width(edit, value, 2, width)


def _check_width(edit: Edit, value: Tensor, dim: int, size: int) -> None:
    if value.size(dim) not in (1, size):
        raise ValueError(
            f"{edit.operation}({edit.site!r}): a value of shape {tuple(value.shape)} does not broadcast to the "
            f"scope's {('steps', 'batch', 'units')[dim]}: {size} of them, {value.size(dim)} values"
        )


def _in_three_dimensions(value: Tensor) -> Tensor:
    return value.reshape((1,) * (3 - value.dim()) + tuple(value.shape))


def _expanded(steps: tuple[int, ...] | slice, length: int) -> tuple[int, ...]:
    return tuple(range(*steps.indices(length))) if isinstance(steps, slice) else steps
