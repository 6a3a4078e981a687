"""Edits of copies that stand side by side in one batch, as edits of that batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from rnnwidget.cells.edits import Operation, SiteEdit

Kind = tuple[str, Operation]


def merged_edits(of_copies: Sequence[tuple[SiteEdit, ...]], batch: int) -> tuple[SiteEdit, ...]:
    """One list of edits for a batch in which each of ``batch`` sequences is there once for each of ``of_copies``.

    Each copy's edits lie over the sequences themselves; they keep their order, and those of one site and operation at
    the same place in their lists become one.
    """
    merged = []
    for place in range(max(map(len, of_copies), default=0)):
        kinds: dict[Kind, dict[int, SiteEdit]] = {}
        for copy, edits in enumerate(of_copies):
            if place < len(edits):
                kinds.setdefault((edits[place].site, edits[place].operation), {})[copy] = edits[place]
        merged += [_merged(kind, of_copy, len(of_copies), batch) for kind, of_copy in kinds.items()]
    return tuple(merged)


def _merged(kind: Kind, of_copy: Mapping[int, SiteEdit], copies: int, batch: int) -> SiteEdit:
    site, operation = kind
    masks = [edit.mask for edit in of_copy.values() if edit.mask is not None]
    values = [edit.value for edit in of_copy.values()]
    steps, _, units = (max(tensor.size(dim) for tensor in (*values, *masks)) for dim in range(3))
    neutral = 1.0 if operation == "scale" else 0.0
    value = values[0].new_full((steps, batch, copies, units), neutral)
    mask = torch.zeros(value.shape, dtype=torch.bool, device=value.device) if operation == "clamp" else None
    for copy, edit in of_copy.items():
        if mask is not None:
            value[:, :, copy] = edit.value
            mask[:, :, copy] = True if edit.mask is None else edit.mask
        else:
            value[:, :, copy] = edit.value if edit.mask is None else torch.where(edit.mask, edit.value, neutral)
    return SiteEdit(site, operation, value.flatten(1, 2), None if mask is None else mask.flatten(1, 2))
