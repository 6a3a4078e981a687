"""An edit in words, for the list below the panel."""

from __future__ import annotations

from collections.abc import Sequence

from rnnwidget.editing import Edit
from rnnwidget.widgets.counted import steps_told
from rnnwidget.widgets.dials import window_of
from rnnwidget.widgets.isolation import isolated

VERBS = {
    "clamp": "clamped to",
    "shift": "shifted by",
    "scale": "scaled by",
    "nudge": "nudged by",
    "lesion": "lesioned to",
    "patch": "patched with",
}


def describe(edit: Edit) -> str:
    """One readable line.

    Examples
    --------
    >>> import rnnwidget as rw
    >>> describe(rw.shift("forget_gate", 1.5, layer="lstm.l0", units=[3], steps=slice(2, 9)))
    'forget gate shifted by +1.50 · unit 3 · lstm.l0 · steps 2 to 8'
    """
    where = "all units" if edit.units is None else _listed("unit", edit.units)
    parts = [
        f"{edit.site.replace('_', ' ')} {VERBS[edit.operation]} {_value(edit)}",
        where,
        isolated(edit.layer or "all layers"),
    ]
    if edit.steps is not None:
        parts.append(_when(edit))
    if edit.batch is not None:
        parts.append(_listed("sequence", edit.batch))
    return " · ".join(parts)


def without(edits: Sequence[Edit], place: int, line: str) -> list[Edit]:
    """The edits without the one at a place of their list, if that is still the one that ``line`` describes."""
    found = place < len(edits) and describe(edits[place]) == line
    return [*edits[:place], *edits[place + 1 :]] if found else list(edits)


def _value(edit: Edit) -> str:
    if edit.number is None:
        return {"lesion": "the mean", "patch": "a recording"}.get(edit.operation, "a tensor")
    if edit.operation == "lesion":
        return "zero"
    sign = "+" if edit.operation in ("shift", "nudge") else ""
    return _figure(edit.number, sign).replace("-", "−")


def _figure(number: float, sign: str) -> str:
    """Two decimals, and more where they would make a whole number of what is none: 0.001 is not zero."""
    whole = float(number).is_integer()
    digits = next((few for few in range(2, 7) if whole or not float(f"{number:.{few}f}").is_integer()), None)
    return f"{number:{sign}.1e}" if digits is None or abs(number) >= 1e6 else f"{number:{sign}.{digits}f}"


def _when(edit: Edit) -> str:
    window = window_of(edit)
    if window is not None:
        return steps_told(*window)
    if isinstance(edit.steps, slice):
        return f"from step {edit.steps.start or 0}" if edit.steps.stop is None else "some steps"
    return _listed("step", edit.steps or ())


def _listed(noun: str, indices: Sequence[int]) -> str:
    if len(indices) == 1:
        return f"{noun} {indices[0]}"
    shown = ", ".join(str(index) for index in indices[:4])
    return f"{noun}s {shown}{f' and {len(indices) - 4} more' if len(indices) > 4 else ''}"
