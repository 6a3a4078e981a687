"""Where edits cut time: between the cuts they are the same at every step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from rnnwidget.cells.edits import SiteEdit


def cuts_of(edits: Sequence[SiteEdit], steps: int, also: Iterable[int] = ()) -> list[int]:
    """The steps at which a leg begins, and the end: where an edit begins or ends, and where else one is asked for."""
    cuts = {0, steps, *(cut for cut in also if 0 < cut < steps)}
    for edit in edits:
        if edit.mask is not None and edit.mask.size(0) > 1:
            touched = edit.mask.flatten(1).any(dim=1).tolist()
            cuts |= {step for step, (before, now) in enumerate(pairwise(touched), 1) if before != now}
    return sorted(cuts)


def edits_between(edits: Sequence[SiteEdit], start: int, stop: int) -> tuple[SiteEdit, ...]:
    """What falls on a leg, without the axis of time where it is the same at every step."""
    found = []
    for edit in edits:
        part = edit.between(start, stop)
        mask, value = part.mask, part.value
        if mask is not None and mask.size(0) > 1:
            if not bool(mask.any()):
                continue
            if bool((mask == mask[:1]).all()):
                mask = mask[:1]
        if mask is not None and bool(mask.all()):
            mask = None
        if value.size(0) > 1 and mask is None and bool((value == value[:1]).all()):
            value = value[:1]
        found.append(replace(part, mask=mask, value=value))
    return tuple(found)


def first_edited(edits: Sequence[SiteEdit], steps: int) -> int:
    """The first step that an edit touches, ``steps`` if none does."""
    first = steps
    for edit in edits:
        if edit.mask is None or edit.mask.size(0) == 1:
            return 0
        touched = edit.mask.flatten(1).any(dim=1).tolist()
        first = min(first, touched.index(True) if True in touched else steps)
    return first
