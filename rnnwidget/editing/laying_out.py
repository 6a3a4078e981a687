"""Edits laid out over the layers of one call."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnwidget.cells import Family
from rnnwidget.cells.edits import SiteEdit
from rnnwidget.editing.edit import Edit
from rnnwidget.editing.recorded_values import RecordedValues
from rnnwidget.editing.targets import check_batch, check_units, check_width, in_three_dimensions
from rnnwidget.recording.modules import Layer
from rnnwidget.recording.own_step import site_widths
from rnnwidget.recording.recurrent_call import RecurrentCall


class CallPlace(NamedTuple):
    """Where a call stands: how many steps of its run were ``done`` before it, and which run of its module it is."""

    done: int = 0
    ordinal: int = 0


BEGINNING = CallPlace()

WINDOWS = 16
"""In how many windows an edit is remembered."""


def edits_of_layers(
    edits: Sequence[Edit], layers: Sequence[Layer], call: RecurrentCall, place: CallPlace
) -> list[tuple[SiteEdit, ...]]:
    """The edits that concern each layer of a module, laid out over its call; no identities, nothing that falls beside.

    The layers of one module are alike in width, so that each edit is laid out once.
    """
    known: dict[int, SiteEdit | None] = {}
    changing = [edit for edit in edits if not edit.identity]
    found = []
    for layer in layers:
        own = []
        for edit in changing:
            if edit.is_for(layer):
                if id(edit) not in known or isinstance(edit.value, RecordedValues):
                    known[id(edit)] = laid_out(edit, layer, call, place)
                own.append(known[id(edit)])
        found.append(tuple([edit for edit in own if edit is not None]))
    return found


def laid_out(edit: Edit, layer: Layer, call: RecurrentCall, place: CallPlace) -> SiteEdit | None:
    """The edit over ``(time, batch, unit)`` of one layer in a call; None where nothing of it falls there."""
    steps, done, width = call.layout.steps, place.done, layer.width(edit.site)
    if width is None:
        width = _width_in(call, layer.family, edit.site)
        if not _is_elsewhere(edit):
            check_units(edit, width)
    window = _window(edit, done, steps)
    if edit.number is not None and window is not None:
        return _of_number(edit, edit.number, call.initial[0], width, steps, window)
    check_batch([edit], call.layout.batch)
    if not _falls_on(edit, done, done + steps):
        return None
    scoped = _scoped(edit, call, done, width)
    if scoped is None:
        return None
    if done > 0:
        scoped = scoped.between(done, done + steps)
    if isinstance(edit.value, RecordedValues):
        scoped = _from_recording(edit, scoped, layer, call, place)
    elif done == 0:
        return scoped
    return scoped if scoped.mask is None or bool(scoped.mask.any()) else None


def _width_in(call: RecurrentCall, family: Family, site: str) -> int:
    """How many units a site of a registered module has, which its states and its step tell."""
    module = call.weights[0][0]
    if site in family.states or not isinstance(module, nn.Module) or not call.input.numel():
        return call.initial[family.states.index(site) if site in family.states else 0].size(-1)
    return site_widths(module, call).get(site, call.initial[0].size(-1))


def _is_elsewhere(edit: Edit) -> bool:
    """Whether another targeted layer, of which it is known, has the units of an edit."""
    widths = [
        layer.width(edit.site)
        for model in edit.fits
        for of_module in model
        for layer in of_module
        if edit.is_for(layer)
    ]
    return any(width is not None and max(edit.units or (0,)) < width for width in widths)


def _window(edit: Edit, done: int, steps: int) -> tuple[int, int] | None:
    """The steps of a call that an edit of all sequences falls on, None where they are no run of neighbours."""
    if edit.batch is not None or isinstance(edit.steps, tuple):
        return None
    start, stop, stride = (edit.steps or slice(None)).indices(done + steps)
    return (max(start - done, 0), min(stop - done, steps)) if stride == 1 else None


def _falls_on(edit: Edit, start: int, stop: int) -> bool:
    """Whether a step of an edit is one of those of a call; all that came before it need not be laid out to tell."""
    if edit.steps is None or start == stop:
        return True
    reached = _expanded(edit.steps, stop)
    return any(start <= step < stop for step in reached)


def _scoped(edit: Edit, call: RecurrentCall, done: int, width: int) -> SiteEdit | None:
    """The edit over all steps so far, those before the call too."""
    like, sizes = call.initial[0], (done + call.layout.steps, call.layout.batch, width)
    wanted = (None if edit.steps is None else _expanded(edit.steps, sizes[0]), edit.batch, edit.units)
    value = in_three_dimensions(0.0 if isinstance(edit.value, RecordedValues) else edit.value, like)
    mask: Tensor | None = None
    inside = [None if each is None else [i for i in each if i < size] for each, size in zip(wanted, sizes, strict=True)]
    for dim, (indices, size) in enumerate(zip(wanted, sizes, strict=True)):
        growing = dim == 0 and not isinstance(edit.steps, tuple) and (done > 0 or size == 1)
        if growing:
            value = _so_far(edit, value, size if indices is None else len(indices))
        check_width(edit, value, dim, size if indices is None else len(indices))
        if indices is None or not inside[dim]:
            continue
        if value.size(dim) != 1:
            value = _spread_out(value, dim, indices, size)
        along = _along(inside[dim] or (), size).to(like.device).view([size if axis == dim else 1 for axis in range(3)])
        mask = along if mask is None else mask & along
    return None if [] in inside else SiteEdit(edit.site, edit.does, value, mask)


def _of_number(
    edit: Edit, number: float, like: Tensor, width: int, steps: int, window: tuple[int, int]
) -> SiteEdit | None:
    """One number in every sequence, at every step or in a window of them."""
    if window[0] >= window[1] and edit.steps is not None:
        return None
    known, key = edit.in_windows, (width, like.dtype, like.device)
    before = known.get((*key, steps, window))
    if before is not None:
        return before
    if key not in edit.at_all_times:
        mask, units = None, None
        with _outside_of_inference():
            value = in_three_dimensions(number, like)
            if edit.units is not None:
                units = tuple([unit for unit in edit.units if unit < width])
                if not units:
                    return None
                mask = _along(units, width).to(like.device).view(1, 1, width)
        edit.at_all_times[key] = SiteEdit(edit.site, edit.does, value, mask, value.item(), units)
    always = edit.at_all_times[key]
    if window == (0, steps) or edit.steps is None:
        return always
    inside = _within(window, steps, like.device)
    with _outside_of_inference():
        mask = inside if always.mask is None else inside & always.mask
    if len(known) >= WINDOWS:
        known.clear()
    known[*key, steps, window] = found = SiteEdit(
        always.site, always.operation, always.value, mask, always.number, always.units, window
    )
    return found


def _outside_of_inference() -> AbstractContextManager[object]:
    """For what is kept: a later call may have a graph."""
    return torch.inference_mode(mode=False) if torch.is_inference_mode_enabled() else nullcontext()


@lru_cache(maxsize=16)
def _within(window: tuple[int, int], steps: int, device: torch.device) -> Tensor:
    """True at the steps of a window: a slider is dragged over the same ones."""
    with _outside_of_inference():
        return _along(range(*window), steps).to(device).view(steps, 1, 1)


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
    found[slice(indices.start, indices.stop) if isinstance(indices, range) else list(indices)] = True
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


def _expanded(steps: tuple[int, ...] | slice, length: int) -> tuple[int, ...]:
    return tuple(range(*steps.indices(length))) if isinstance(steps, slice) else steps
