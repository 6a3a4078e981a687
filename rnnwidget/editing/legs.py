"""Where edits cut time: between the cuts they are the same at every step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from rnnwidget.cells.edits import SiteEdit


def cuts_of(edits: Sequence[SiteEdit], steps: int, also: Iterable[int] = ()) -> list[int]:
    """The steps at which a leg begins, and the end: where an edit begins or ends, and where else one is asked for."""
    cuts = {0, steps, *[cut for cut in also if 0 < cut < steps]}
    for edit in edits:
        if edit.window is not None:
            cuts.update(edit.window)
        elif not edit.at_all_times and len(edit.touched) > 1:
            cuts.update((1 + np.flatnonzero(np.diff(edit.touched))).tolist())
    return sorted(cuts)


def edits_between(edits: Sequence[SiteEdit], start: int, stop: int) -> tuple[SiteEdit, ...]:
    """What falls on a leg, without the axis of time where it is the same at every step."""
    return tuple([found for edit in edits if (found := _between(edit, start, stop)) is not None])


def _between(edit: SiteEdit, start: int, stop: int) -> SiteEdit | None:
    if edit.plain:
        return edit
    if edit.window is not None:
        first, last = edit.window
        if stop <= first or last <= start:
            return None
        if first <= start and stop <= last:
            return edit.inside
    touched = edit.touched[start:stop] if len(edit.touched) > 1 else edit.touched
    if not touched.any():
        return None
    value, mask = edit.value[start:stop] if edit.value.size(0) > 1 else edit.value, edit.mask
    if mask is not None and len(edit.touched) > 1:
        mask = mask[start:stop]
        if mask[0].numel() > 1 and bool((mask == mask[:1]).all()):
            mask = mask[:1]
    if mask is not None and bool(touched.all() if mask[0].numel() == 1 else mask.all()):
        mask = None
    if value.size(0) > 1 and mask is None and not value.requires_grad and bool((value == value[:1]).all()):
        value = value[:1]
    return SiteEdit(edit.site, edit.operation, value, mask)


def first_edited(edits: Sequence[SiteEdit], steps: int) -> int:
    """The first step that an edit touches, ``steps`` if none does."""
    return min([_first(edit, steps) for edit in edits], default=steps)


def _first(edit: SiteEdit, steps: int) -> int:
    if edit.number is not None:
        return 0 if edit.window is None else edit.window[0]
    return int(edit.touched.argmax()) if edit.touched.any() else steps
