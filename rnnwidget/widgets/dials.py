"""The gate panel's dials and the edits they stand for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from rnnwidget.cells import Family
from rnnwidget.cells.activations import RANGES
from rnnwidget.editing import Edit, clamp, shift

SHIFT_RANGE = 6.0
REACH = 5.0
WORDS = {
    "input_gate": ("shut", "write"),
    "forget_gate": ("forget", "keep"),
    "output_gate": ("hide", "show"),
    "reset_gate": ("ignore state", "use state"),
    "update_gate": ("0 replace", "1 keep"),
    "candidate": ("−1", "+1"),
    "hidden": ("−1", "+1"),
}

Dials = dict[str, dict[str, object]]


def panel_rows(family: Family, edits: Sequence[Edit] = ()) -> list[dict[str, object]]:
    """A row for each site of a family that a slider can hold, with room for the shifts in ``edits``."""
    rows: list[dict[str, object]] = []
    for site, activation in family.activations.items():
        low, high = (max(-REACH, min(REACH, bound)) for bound in RANGES[activation])
        reach = _shift_reach(site, edits)
        named = WORDS.get(site) if family.name in ("lstm", "gru", "rnn") and activation != "relu" else None
        words = named or ("less", "more")
        rows.append(
            {
                "site": site,
                "label": _label(site),
                "symbol": family.letters[site],
                "low": words[0],
                "high": words[1],
                "clamp": [low, high],
                "shift": [-reach, reach],
                "kinds": ["shift", "clamp"],
            }
        )
    return rows


def dials_of(edits: Sequence[Edit], layer: str | None, units: Sequence[int] | None) -> Dials:
    """The dials' positions for one scope: the edits that cover exactly it."""
    return {
        edit.site: {"kind": edit.operation, "value": float(edit.value)}
        for edit in edits
        if _on_dial(edit, layer, units)
    }


def with_dials(edits: Sequence[Edit], request: Mapping[str, Any]) -> list[Edit]:
    """``edits`` after a request of the panel: those of the dials that it moved are replaced, all others stay."""
    if request.get("clear"):
        return []
    layer, units, wanted = request["layer"], request["units"], request["dials"]
    shown = dials_of(edits, layer, units)
    moved = [site for site in (shown | wanted) if shown.get(site) != wanted.get(site)]
    kept = [edit for edit in edits if edit.site not in moved or not _on_dial(edit, layer, units)]
    make = {"clamp": clamp, "shift": shift}
    return kept + [
        make[wanted[site]["kind"]](site, float(wanted[site]["value"]), layer=layer, units=units)
        for site in moved
        if site in wanted
    ]


def describe(edit: Edit) -> str:
    """One readable line."""
    value = f"{edit.value:+.2f}" if isinstance(edit.value, float) else "a tensor"
    verb = {"clamp": "clamped to", "shift": "shifted by", "scale": "scaled by", "nudge": "nudged by"}[edit.operation]
    if edit.operation in ("clamp", "scale"):
        value = value.lstrip("+")
    where = "all units" if edit.units is None else _listed("unit", edit.units)
    when = "" if edit.steps is None else ", some steps"
    return f"{_label(edit.site)} {verb} {value} · {where} · {edit.layer or 'all layers'}{when}"


def _shift_reach(site: str, edits: Sequence[Edit]) -> float:
    """The range of a shift's slider: :data:`SHIFT_RANGE`, or the next of 1, 2, 5 × 10ⁿ that holds every shift."""
    shifts = [
        abs(float(edit.value))
        for edit in edits
        if edit.site == site and edit.operation == "shift" and not isinstance(edit.value, Tensor)
    ]
    largest = max((size for size in shifts if math.isfinite(size)), default=0.0)
    if largest <= SHIFT_RANGE:
        return SHIFT_RANGE
    power = 10.0 ** math.floor(math.log10(largest))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= largest), 10 * power)


def _on_dial(edit: Edit, layer: str | None, units: Sequence[int] | None) -> bool:
    return (
        edit.operation in ("clamp", "shift")
        and not isinstance(edit.value, Tensor)
        and edit.layer == layer
        and edit.steps is None
        and edit.batch is None
        and (None if edit.units is None else sorted(edit.units)) == (None if units is None else sorted(units))
    )


def _label(site: str) -> str:
    return site.replace("_", " ")


def _listed(noun: str, indices: Sequence[int]) -> str:
    if len(indices) == 1:
        return f"{noun} {indices[0]}"
    shown = ", ".join(str(index) for index in indices[:4])
    return f"{noun}s {shown}{f' and {len(indices) - 4} more' if len(indices) > 4 else ''}"
