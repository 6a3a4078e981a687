"""Edits of copies that differ in a number and in their units only, laid out over the batch at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rnnwidget.cells.edits import SiteEdit
from rnnwidget.editing.edit import Edit
from rnnwidget.recording.modules import Layer


def alike(variants: Sequence[Sequence[Edit]]) -> list[Edit] | None:
    """The one edit of each variant, where all do the same to one site at every step; else None."""
    edits = [edit for own in variants for edit in own]
    kinds = {(edit.does, edit.site, edit.layer) for edit in edits}
    if len(kinds) > 1 or any(len(own) != 1 for own in variants):
        return None
    plain = all(
        edit.number is not None and edit.steps is None and edit.batch is None and not edit.identity for edit in edits
    )
    return edits if plain else None


def numbers_over(edits: Sequence[Edit], layer: Layer, like: Tensor, batch: int) -> tuple[SiteEdit, ...]:
    """Such edits over a layer of ``batch`` sequences: a copy of each without edit and one for each of ``edits``."""
    (site, operation), width = (edits[0].site, edits[0].does), layer.width(edits[0].site)
    assert width is not None
    if not edits[0].is_for(layer):
        return ()
    neutral = 1.0 if operation == "scale" else 0.0
    value = like.new_tensor([neutral, *(edit.number for edit in edits)]).view(-1, 1)
    everywhere = all(edit.units is None for edit in edits)
    marked = np.zeros((len(value), 1 if everywhere else width), dtype=bool)
    for copy, edit in enumerate(edits, start=1):
        marked[copy, ... if edit.units is None else [unit for unit in edit.units if unit < width]] = True
    mask = torch.from_numpy(marked).to(like.device)
    if operation != "clamp":
        value = torch.where(mask, value, neutral)
    given, where = (each.repeat(batch, 1).unsqueeze(0) for each in (value, mask))
    return (SiteEdit(site, operation, given, where if operation == "clamp" else None),)
