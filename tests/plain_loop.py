"""Recurrent layers as plain loops, one sequence and one step at a time, with edits spelled out.

A step is ``step(at, module, x, *state)`` on vectors; nothing here knows rnnwidget.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tests.reference import Change, ReferenceLayer

Step = Callable[..., tuple[Tensor, ...]]


@dataclass(frozen=True)
class At:
    """Keeps every node of one step of one sequence, and makes the changes that fall on it."""

    layer: ReferenceLayer
    changes: Sequence[Change]
    sequence: int
    step: int
    length: int

    def keep(self, site: str, tensor: Tensor) -> Tensor:
        return self.layer.keep(site, self.sequence, self.step, self.length, tensor)

    def changed(self, site: str, tensor: Tensor, *, shifts: bool) -> Tensor:
        for change in self.changes:
            if change.site == site and (change.operation == "shift") == shifts:
                tensor = change.apply(tensor, self.step, self.sequence)
        return tensor

    def before(self, site: str, preactivation: Tensor) -> Tensor:
        shifted = self.changed(site, preactivation, shifts=True)
        return self.keep(f"preactivation:{site}", shifted.view_as(shifted))

    def gate(self, site: str, nonlinearity: Callable[[Tensor], Tensor], preactivation: Tensor) -> Tensor:
        value = nonlinearity(self.before(site, preactivation))
        return self.keep(site, self.changed(site, value, shifts=False))

    def state(self, site: str, value: Tensor) -> Tensor:
        return self.keep(site, self.changed(site, value, shifts=False))


@dataclass(frozen=True)
class PlainRun:
    """``output`` is (time, batch, unit) and the final states are (batch, unit), as others read them."""

    layer: ReferenceLayer
    output: Tensor
    finals: tuple[Tensor, ...]


def run(
    step: Step, module: nn.Module, x: Tensor, initial: Sequence[Tensor], changes: Sequence[Change] = ()
) -> PlainRun:
    """Run ``step`` over x (time, batch, feature) from ``initial``, (batch, unit) for each state."""
    layer = ReferenceLayer()
    outputs, finals = [], []
    for sequence in range(x.size(1)):
        state = tuple(start[sequence] for start in initial)
        handed_on = []
        for time in range(x.size(0)):
            at = At(layer, changes, sequence, time, x.size(0))
            state = step(at, module, x[time, sequence], *state)
            handed_on.append(at.keep("outward", state[0].view_as(state[0])))
        outputs.append(torch.stack(handed_on))
        finals.append((handed_on[-1], *state[1:]))
    return PlainRun(layer, torch.stack(outputs, dim=1), tuple(torch.stack(rows) for rows in zip(*finals, strict=True)))


def change(
    operation: str,
    site: str,
    value: float,
    sizes: tuple[int, int, int],
    *,
    steps: Sequence[int] | None = None,
    units: Sequence[int] | None = None,
    batch: Sequence[int] | None = None,
) -> Change:
    """An edit spelled out over ``sizes`` (time, batch, unit)."""
    mask = torch.zeros(sizes, dtype=torch.bool)
    for t in range(sizes[0]) if steps is None else steps:
        for b in range(sizes[1]) if batch is None else batch:
            for u in range(sizes[2]) if units is None else units:
                mask[t, b, u] = True
    return Change(operation, site, torch.full(sizes, value, dtype=torch.float64), mask)
