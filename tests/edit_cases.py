"""Edits of a case's module, each in two spellings: rnnwidget's, and written out for the reference loop."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

import rnnwidget as rw
from tests.cases import LETTERS, PREACTIVATIONS, STATES, Case
from tests.reference import Change

RANGES = {
    "input_gate": (0.0, 1.0),
    "forget_gate": (0.0, 1.0),
    "output_gate": (0.0, 1.0),
    "reset_gate": (0.0, 1.0),
    "update_gate": (0.0, 1.0),
    "candidate": (-1.0, 1.0),
    "hidden": (-2.0, 2.0),
    "cell": (-2.0, 2.0),
}


@dataclass(frozen=True)
class EditCase:
    """One edit; scopes are lists, slices or None as a user would write them."""

    operation: str
    site: str
    letter: str
    value: float | Tensor
    layer: str | None
    units: list[int] | None
    steps: list[int] | slice | None
    batch: list[int] | None

    def ours(self, *, by_letter: bool = False) -> rw.Edit:
        made = getattr(rw, self.operation)
        site = self.letter if by_letter else self.site
        return made(site, self.value, layer=self.layer, units=self.units, steps=self.steps, batch=self.batch)

    def spelled_out(self, case: Case) -> Change:
        sizes = (case.steps, case.sequences_count, case.width_of(self.site))
        steps = list(range(*self.steps.indices(case.steps))) if isinstance(self.steps, slice) else self.steps
        scopes = [
            list(range(size)) if scope is None else scope
            for scope, size in zip((steps, self.batch, self.units), sizes, strict=True)
        ]
        given = torch.as_tensor(self.value, dtype=case.dtype).expand([len(scope) for scope in scopes])
        value, mask = torch.zeros(sizes, dtype=case.dtype), torch.zeros(sizes, dtype=torch.bool)
        for at_t, t in enumerate(scopes[0]):
            for at_b, b in enumerate(scopes[1]):
                for at_u, u in enumerate(scopes[2]):
                    if t < case.steps:
                        value[t, b, u] = given[at_t, at_b, at_u]
                        mask[t, b, u] = True
        return Change(self.operation, self.site, value, mask, self.layer)


def subsets(size: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, size - 1), min_size=1, max_size=size, unique=True)


@st.composite
def edits(draw: st.DrawFn, case: Case, *, folded: bool = False, differentiable: bool = False) -> EditCase:
    """An edit of ``case``; with ``folded`` one that concerns all of time and of the batch, as the weights do."""
    operation = draw(st.sampled_from(["clamp", "shift"] if folded else ["clamp", "shift", "scale", "nudge"]))
    sites = PREACTIVATIONS[case.family]
    if not (folded or operation == "shift"):
        sites = tuple(dict.fromkeys(sites + STATES[case.family]))
    site = draw(st.sampled_from(sites))
    steps = batch = None
    if not folded:
        several = st.lists(st.integers(0, case.steps + 1), min_size=1, max_size=3, unique=True)
        sliced = st.builds(
            slice, st.none() | st.integers(0, 3), st.none() | st.integers(0, 6), st.sampled_from([None, 2])
        )
        steps = draw(st.none() | several | sliced)
        batch = draw(st.none() | subsets(case.sequences_count))
    units = draw(st.none() | subsets(case.width_of(site)))
    low, high = RANGES[site] if operation == "clamp" else (-1.5, 1.5)
    if folded and operation == "clamp" and site == "hidden":
        low, high = (-1.0, 1.0) if case.family == "tanh" else (0.0, 2.0)
    numbers = st.floats(low, high) | st.sampled_from([low, high, 0.0 if operation != "scale" else 1.0])
    if draw(st.booleans()) and not differentiable:
        value: float | Tensor = _tensor(draw, case, site, units, steps, batch, (low, high), folded=folded)
    else:
        value = draw(numbers)
    names = {name: letter for letter, name in LETTERS[case.family].items()}
    layer = draw(st.none() | st.sampled_from(case.names))
    return EditCase(operation, site, names[site], value, layer, units, steps, batch)


def _tensor(
    draw: st.DrawFn,
    case: Case,
    site: str,
    units: list[int] | None,
    steps: list[int] | slice | None,
    batch: list[int] | None,
    bounds: tuple[float, float],
    *,
    folded: bool,
) -> Tensor:
    counts = [
        len(range(*steps.indices(case.steps))) if isinstance(steps, slice) else len(steps or range(case.steps)),
        len(batch or range(case.sequences_count)),
        len(units or range(case.width_of(site))),
    ]
    shape = [1 if draw(st.booleans()) else count for count in counts]
    if folded:
        shape = [1, 1, shape[2]]
    keep = draw(st.integers(0, 2))
    while len(shape) > max(keep, 0) and shape and shape[0] == 1 and draw(st.booleans()):
        shape = shape[1:]
    seeded = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    low, high = bounds
    return low + (high - low) * torch.rand(shape, generator=seeded, dtype=torch.float64)


@st.composite
def edited_cases(draw: st.DrawFn, cases: st.SearchStrategy[Case], **options: bool) -> tuple[Case, list[EditCase]]:
    """A case and one to four edits of it."""
    case = draw(cases)
    return case, draw(st.lists(edits(case, **options), min_size=1, max_size=4))
