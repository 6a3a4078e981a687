"""Where edits lie: rows, columns and cells of one layer, as the page outlines them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from rnnwidget.editing import Edit
from rnnwidget.recording.modules import Layer


class Region(TypedDict):
    """Units, and [start, stop) runs of steps; None is all of them."""

    units: list[int] | None
    steps: list[list[int]] | None


def edited_regions(edits: Sequence[Edit], layer: Layer, width: int, steps: int, sequence: int) -> list[Region]:
    """Where each edit of a layer lies in one sequence; what changes nothing lies nowhere."""
    regions: list[Region] = []
    for edit in edits:
        concerns = edit.is_for(layer) and not edit.identity
        if not concerns or (edit.batch is not None and sequence not in edit.batch):
            continue
        units = None if edit.units is None else sorted({unit for unit in edit.units if unit < width})
        region: Region = {"units": units, "steps": _runs(edit, steps)}
        if units != [] and region["steps"] != [] and region not in regions:
            regions.append(region)
    return regions


def _runs(edit: Edit, steps: int) -> list[list[int]] | None:
    if edit.steps is None:
        return None
    named = range(*edit.steps.indices(steps)) if isinstance(edit.steps, slice) else edit.steps
    runs: list[list[int]] = []
    for step in sorted({step for step in named if step < steps}):
        if runs and runs[-1][1] == step:
            runs[-1][1] = step + 1
        else:
            runs.append([step, step + 1])
    return None if runs == [[0, steps]] else runs
