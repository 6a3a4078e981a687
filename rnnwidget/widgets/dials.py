"""The gate panel's dials and the edits they stand for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnnwidget.cells import Family
from rnnwidget.cells.activations import RANGES
from rnnwidget.editing import Edit, clamp, scale, shift

SHIFT_RANGE = 6.0
SCALE_RANGE = 2.0
REACH = 5.0
LARGEST = 1e300
"""The ends of a slider are numbers that JSON has."""
KINDS = {"shift": shift, "clamp": clamp, "scale": scale}
JOINED: dict[str, Callable[[Sequence[float]], float]] = {
    "shift": math.fsum,
    "scale": math.prod,
    "clamp": lambda values: values[-1],
}
WORDS = {
    "input_gate": ("shut", "write"),
    "forget_gate": ("forget", "keep"),
    "output_gate": ("hide", "show"),
    "reset_gate": ("ignore state", "use state"),
    "update_gate": ("0 replace", "1 keep"),
    "candidate": ("toward −1", "toward +1"),
    "hidden": ("toward −1", "toward +1"),
}

Dials = dict[str, dict[str, object]]
Row = dict[str, Any]


@dataclass(frozen=True)
class Scope:
    """Where the panel's edits act; None is everything."""

    layer: str | None = None
    units: tuple[int, ...] | None = None
    steps: tuple[int, int] | None = None

    @classmethod
    def of_request(cls, request: Mapping[str, Any]) -> Scope:
        """The scope that a request of the page was made in."""
        units, steps = request.get("units"), request.get("steps")
        return cls(
            request.get("layer"),
            None if units is None else tuple(units),
            None if steps is None else (steps[0], steps[1]),
        )

    def make(self, site: str, setting: Mapping[str, Any]) -> Edit:
        """The edit that a dial's setting stands for."""
        window = None if self.steps is None else slice(*self.steps)
        edit = KINDS[setting["kind"]]
        return edit(site, float(setting["value"]), layer=self.layer, units=self.units, steps=window)

    def holds(self, edit: Edit) -> bool:
        """Whether a dial of this scope stands for ``edit``: it covers exactly the same."""
        return (
            edit.operation in KINDS
            and edit.number is not None
            and edit.layer == self.layer
            and edit.batch is None
            and (edit.steps is None or window_of(edit) is not None)
            and window_of(edit) == self.steps
            and _sorted(edit.units) == _sorted(self.units)
        )

    def lies_in(self, edit: Edit) -> bool:
        """Whether ``edit`` covers all of this scope in every sequence, and more than it."""
        if edit.operation not in KINDS or edit.number is None or edit.batch is not None or self.holds(edit):
            return False
        window = window_of(edit)
        has_steps = edit.steps is None or (
            window is not None and self.steps is not None and window[0] <= self.steps[0] and self.steps[1] <= window[1]
        )
        has_units = edit.units is None or (self.units is not None and set(self.units) <= set(edit.units))
        return has_steps and has_units and edit.layer in (None, self.layer)

    def beyond(self, edit: Edit) -> str:
        """What a wider edit covers that this scope does not, in two words."""
        if _sorted(edit.units) != _sorted(self.units):
            return "all units" if edit.units is None else "more units"
        if edit.layer != self.layer:
            return "all layers"
        return "all steps" if edit.steps is None else "more steps"


def window_of(edit: Edit) -> tuple[int, int] | None:
    """The steps of an edit as (start, stop), None if it has all or others than a run of them."""
    steps = edit.steps
    if isinstance(steps, slice):
        start = steps.start or 0
        run = steps.step in (None, 1) and steps.stop is not None and start < steps.stop
        return (start, steps.stop) if run else None
    if not steps or sorted(set(steps)) != list(range(min(steps), max(steps) + 1)):
        return None
    return min(steps), max(steps) + 1


def panel_rows(family: Family, edits: Sequence[Edit] = ()) -> list[Row]:
    """A row for each site of a family that a slider can hold, with room for what is in ``edits``."""
    rows: list[Row] = []
    for site, activation in family.activations.items():
        shift_reach, scale_reach, clamp_reach = (
            _reach(site, kind, least, edits)
            for kind, least in (("shift", SHIFT_RANGE), ("scale", SCALE_RANGE), ("clamp", REACH))
        )
        low, high = (max(-clamp_reach, min(clamp_reach, bound)) for bound in RANGES[activation])
        named = WORDS.get(site) if family.name in ("lstm", "gru", "rnn") and activation != "relu" else None
        words = named or ("less", "more")
        rows.append(
            {
                "site": site,
                "label": site.replace("_", " "),
                "symbol": family.letters[site],
                "low": words[0],
                "high": words[1],
                "clamp": [low, high],
                "bounds": [bound if math.isfinite(bound) else None for bound in RANGES[activation]],
                "shift": [-shift_reach, shift_reach],
                "scale": [0.0, scale_reach],
                "kinds": list(KINDS),
                "kind": _usual_kind(family, site),
            }
        )
    return rows


def dials_of(edits: Sequence[Edit], scope: Scope) -> Dials:
    """The dials' positions for one scope: the edits that cover exactly it."""
    return {edit.site: {"kind": edit.operation, "value": edit.number} for edit in edits if scope.holds(edit)}


def inherited(edits: Sequence[Edit], scope: Scope) -> dict[str, dict[str, dict[str, object]]]:
    """What wider edits already do to a scope, by site and kind: ``value``, and ``of`` in words whose it is.

    Shifts add up, scales multiply, of clamps the last one holds.

    Examples
    --------
    >>> import rnnwidget as rw
    >>> inherited([rw.shift("forget_gate", 4.8)], Scope(units=(0, 3)))
    {'forget_gate': {'shift': {'value': 4.8, 'of': 'all units'}}}
    """
    found: dict[str, dict[str, list[Edit]]] = {}
    for edit in edits:
        if scope.lies_in(edit):
            found.setdefault(edit.site, {}).setdefault(edit.operation, []).append(edit)
    return {
        site: {
            kind: {
                "value": JOINED[kind]([float(edit.number or 0.0) for edit in wider]),
                "of": scope.beyond(wider[0]) if len(wider) == 1 else f"{len(wider)} wider edits",
            }
            for kind, wider in kinds.items()
        }
        for site, kinds in found.items()
    }


def with_dials(edits: Sequence[Edit], request: Mapping[str, Any]) -> list[Edit]:
    """``edits`` after a request of the panel: those of the dials that it moved are replaced, all others stay.

    The request holds every dial of its scope, or those named by its ``only``.
    """
    if request.get("clear"):
        return []
    scope, wanted, only = Scope.of_request(request), request["dials"], request.get("only")
    shown = dials_of(edits, scope)
    moved = [
        site for site in (shown | wanted) if shown.get(site) != wanted.get(site) and (only is None or site in only)
    ]
    kept = [edit for edit in edits if edit.site not in moved or not scope.holds(edit)]
    return kept + [scope.make(site, wanted[site]) for site in moved if site in wanted]


def _usual_kind(family: Family, site: str) -> str:
    """What a person most likely wants of a site.

    A bias leaves a gate's differences between steps; of a candidate it would write the same sign at every step, where
    its size is what can be turned up and down.
    """
    return "scale" if site == "candidate" and family.activations[site] == "tanh" else "shift"


def _reach(site: str, operation: str, least: float, edits: Sequence[Edit]) -> float:
    """How far a slider goes: ``least``, or the next of 1, 2, 5 × 10ⁿ that holds every edit of its kind."""
    sizes = [abs(edit.number or 0.0) for edit in edits if edit.site == site and edit.operation == operation]
    largest = max((size for size in sizes if size < LARGEST), default=0.0)
    if largest <= least:
        return least
    power = 10.0 ** math.floor(math.log10(largest))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= largest), 10 * power)


def _sorted(units: Sequence[int] | None) -> list[int] | None:
    return None if units is None else sorted(units)
