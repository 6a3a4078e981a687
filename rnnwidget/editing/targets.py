"""Edits against a model: what they may target, and how they lie over one layer of one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rnnwidget.cells.activations import RANGES, within
from rnnwidget.cells.edits import SiteEdit
from rnnwidget.editing.edit import Edit, Value
from rnnwidget.editing.recorded_values import RecordedValues
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
        A tensor does not broadcast to the scope; a recording does not have the targeted layers, or in another width.
    """
    layers = [layer for module in modules for layer in module.layers]
    kept: list[Edit] = []
    for edit in [edits] if isinstance(edits, Edit) else edits:
        if isinstance(edit, (list, tuple)):
            raise TypeError("got a list of edits where an edit is expected: write edited(model, *edits)")
        if not isinstance(edit, Edit):
            raise TypeError(
                "edits are made with clamp, shift, scale, nudge, lesion or patch; "
                f"got {type(edit).__name__}: {edit!r:.80}"
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
        if isinstance(edit.value, RecordedValues):
            _check_recorded(edit, edit.value, targets)
        else:
            _check_range(edit, edit.value, targets)
        for layer in targets:
            _check_shape(edit, layer)
        if edit not in kept:
            kept.append(edit)
    return tuple(kept)


def _check_units(edit: Edit, width: int) -> None:
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
    gated = [layer.family for layer in targets if edit.site in layer.family.gates]
    if edit.operation != "clamp" or len(gated) < len(targets):
        return
    ranges = [RANGES[family.activations[edit.site]] for family in gated]
    if not any(within(value, low, high) for low, high in ranges):
        allowed = " or ".join(f"[{low:g}, {high:g}]" for low, high in dict.fromkeys(ranges))
        raise ValueError(f"{edit!r}: a {edit.site.replace('_', ' ')} lies in {allowed}")


def check_batch(edits: Sequence[Edit], batch: int) -> None:
    """IndexError if an edit names a sequence that a batch of this size does not have."""
    for edit in edits:
        if edit.batch is not None and max(edit.batch, default=-1) >= batch:
            raise IndexError(f"{edit!r}: batch index {max(edit.batch)} is outside a batch of {batch}")


@dataclass(frozen=True)
class CallPlace:
    """Where a call stands: how many steps of its run were ``done`` before it, and which run of its module it is."""

    done: int = 0
    ordinal: int = 0


def edits_of_layers(
    edits: Sequence[Edit], layers: Sequence[Layer], call: RecurrentCall, place: CallPlace
) -> list[tuple[SiteEdit, ...]]:
    """The edits that concern each layer of a module, laid out over its call; no identities, nothing that falls beside.

    The layers of one module are alike in width, so that each edit is laid out once.
    """
    known: dict[int, SiteEdit | None] = {}

    def over(number: int, edit: Edit, layer: Layer) -> SiteEdit | None:
        if isinstance(edit.value, RecordedValues):
            return laid_out(edit, layer, call, place)
        if number not in known:
            known[number] = laid_out(edit, layer, call, place)
        return known[number]

    changing = [(number, edit) for number, edit in enumerate(edits) if not edit.identity]
    found = []
    for layer in layers:
        own = [(number, edit) for number, edit in changing if edit.layer in (None, layer.name) and edit.has_site(layer)]
        each = [over(number, edit, layer) for number, edit in own]
        found.append(tuple([edit for edit in each if edit is not None]))
    return found


def laid_out(edit: Edit, layer: Layer, call: RecurrentCall, place: CallPlace) -> SiteEdit | None:
    """The edit over ``(time, batch, unit)`` of one layer in a call; None where nothing of it falls there."""
    like, done = call.initial[0], place.done
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
    given = 0.0 if isinstance(edit.value, RecordedValues) else edit.value
    value = _in_three_dimensions(given, like)
    mask: Tensor | None = None
    inside = [None if each is None else [i for i in each if i < size] for each, size in zip(wanted, sizes, strict=True)]
    for dim, (indices, size) in enumerate(zip(wanted, sizes, strict=True)):
        growing = dim == 0 and not isinstance(edit.steps, tuple) and (done > 0 or steps == 1)
        if growing:
            value = _so_far(edit, value, size if indices is None else len(indices))
        _check_width(edit, value, dim, size if indices is None else len(indices))
        if indices is None or not inside[dim]:
            continue
        if value.size(dim) != 1:
            value = _spread_out(value, dim, indices, size)
        along = _along(inside[dim] or (), size).to(like.device).view([size if axis == dim else 1 for axis in range(3)])
        mask = along if mask is None else mask & along
    if [] in inside:
        return None
    scoped = SiteEdit(edit.site, edit.does, value, mask)
    if done > 0:
        scoped = scoped.between(done, done + steps)
    if isinstance(edit.value, RecordedValues):
        scoped = _from_recording(edit, scoped, layer, call, place)
    elif done == 0:
        return scoped
    return scoped if scoped.mask is None or bool(scoped.mask.any()) else None


def _spread_out(value: Tensor, dim: int, indices: Sequence[int], size: int) -> Tensor:
    """Values that are given for each index, at their places along the whole of an axis."""
    inside = [(position, index) for position, index in enumerate(indices) if index < size]
    taken, rows = torch.tensor(inside, dtype=torch.int64, device=value.device).unbind(1)
    full = [*value.shape]
    full[dim] = size
    return value.new_zeros(full).index_copy(dim, rows, value.index_select(dim, taken))


def _along(indices: Sequence[int], size: int) -> Tensor:
    """True at the indices; by NumPy, which makes a small mask in a tenth of the time."""
    found = np.zeros(size, dtype=bool)
    found[indices] = True
    return torch.from_numpy(found)


def _from_recording(edit: Edit, scoped: SiteEdit, layer: Layer, call: RecurrentCall, place: CallPlace) -> SiteEdit:
    """A scope filled with what a recording has there."""
    assert isinstance(edit.value, RecordedValues)
    like = call.initial[0]
    if edit.value.of == "mean":
        return replace(scoped, value=edit.value.mean(layer.name, edit.site).to(like).reshape(1, 1, -1))
    steps, batch = call.layout.steps, call.layout.batch
    values, live = edit.value.values(layer.name, edit.site, place.ordinal)
    if values.size(1) not in (1, batch):
        raise ValueError(
            f"{edit!r}: the recording has {values.size(1)} sequences, this call has {batch}; patch from a recording "
            "of as many sequences or of one"
        )
    values, live = (tensor[place.done : place.done + steps] for tensor in (values, live))
    missing = (0, 0, 0, 0, 0, steps - values.size(0))
    values = functional.pad(torch.where(live, values, 0).to(like), missing)
    live = functional.pad(live.to(like.device), missing)
    return replace(scoped, value=values, mask=live if scoped.mask is None else scoped.mask & live)


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
        value = _in_three_dimensions(edit.value, edit.value)
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


def _in_three_dimensions(value: Value, like: Tensor) -> Tensor:
    if not isinstance(value, Tensor):
        return torch.as_tensor(value, dtype=like.dtype, device=like.device).view(1, 1, 1)
    return value.to(like).reshape((1,) * (3 - value.dim()) + tuple(value.shape))


def _expanded(steps: tuple[int, ...] | slice, length: int) -> tuple[int, ...]:
    return tuple(range(*steps.indices(length))) if isinstance(steps, slice) else steps
