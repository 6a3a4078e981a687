"""What an unedited run has already computed, for edited runs that begin to differ from it later on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import is_
from typing import NamedTuple

import torch
from torch import Tensor

from rnnwidget.cells.edits import LayerEdits, Leg, SiteEdit
from rnnwidget.cells.family import Family
from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.editing.folded import Folded
from rnnwidget.editing.folding import fold
from rnnwidget.editing.kept_weights import KeptWeights, kept_for_now
from rnnwidget.editing.legs import first_edited
from rnnwidget.editing.overflow import far_from_overflow
from rnnwidget.editing.reading import ReadInputs
from rnnwidget.recording.modules import RecurrentModule
from rnnwidget.recording.owned import owned
from rnnwidget.recording.recorded_call import RecordedCall
from rnnwidget.recording.recording import Recording
from rnnwidget.recording.recurrent_call import RecurrentCall
from rnnwidget.recording.same_values import same_values

States = tuple[Tensor, ...]
KEPT = 4


class FirstLeg(NamedTuple):
    """What a first leg read and gave; ``safe`` where the states that it reached are far from overflow."""

    inputs: Tensor
    hidden: Tensor
    reached: States
    safe: bool


@dataclass
class _Remembered:
    """By module, number of its call, layer and side: first legs; of modules called once, weights and latest edits.

    ``inputs`` are those of the lowest layer of a model's only call.
    """

    legs: dict[tuple[str, int, int, int], dict[Leg, FirstLeg]] = field(default_factory=dict)
    weights: dict[tuple[str, int, int], KeptWeights] = field(default_factory=dict)
    folds: dict[tuple[str, int, int], tuple[tuple[SiteEdit, ...], Folded | None]] = field(default_factory=dict)
    inputs: ReadInputs | None = None


@dataclass(slots=True)
class _Running:
    """The call under way; ``first`` and ``last`` bound the positions at which what a layer reads may differ.

    ``own`` says that it reads the unedited run's own tensors.
    """

    module: RecurrentModule
    call: RecurrentCall
    number: int
    first: int
    last: int
    own: bool


class EarlierRuns:
    """Tells from which step on each layer of an edited run can differ from a recorded one, and remembers first legs.

    Whatever is handed out was computed from equal inputs and states, compared by value; whether weights were equal too
    shows once a run has been recorded.
    """

    def __init__(self, baseline: Recording) -> None:
        self._calls = _numbered(baseline)
        self._remembered = _Remembered()
        self._running: _Running | None = None

    def hold_for(self, recording: Recording) -> bool:
        """Whether the weights of a later run were those of the unedited one, value for value."""
        later = _numbered(recording)
        return all(later[place].snapshot is self._calls[place].snapshot for place in later.keys() & self._calls.keys())

    def begin(self, module: RecurrentModule, call: RecurrentCall, number: int) -> None:
        """A call begins, the ``number``-th of its module."""
        before = self._calls.get((module.path, number))
        own = before is not None and call.input is before.call.input and call.initial is before.call.initial
        first, last = (call.layout.steps, 0) if own else self._changed(call, before)
        self._running = _Running(module, call, number, first, last, own)

    def _changed(self, call: RecurrentCall, before: RecordedCall | None) -> tuple[int, int]:
        steps = call.layout.steps
        graph = torch.is_grad_enabled() and (call.input.requires_grad or any(s.requires_grad for s in call.initial))
        if before is None or graph or call.form == "module" or not _alike(call, before.call):
            return 0, steps
        if not all(map(same_values, call.initial, before.call.initial)):
            return 0, steps
        if same_values(call.input, before.call.input):
            return steps, 0
        if call.layout.packed:
            return 0, steps
        one, other = (call.layout.to_time_first(x.detach()) for x in (call.input, before.call.input))
        moved = torch.nonzero((one != other).flatten(1).any(dim=1)).flatten()
        return (int(moved[0]), int(moved[-1]) + 1) if moved.numel() else (0, steps)  # NaN differs from itself

    def of_layer(self, index: int, inputs: Tensor, edits: Sequence[LayerEdits]) -> tuple[tuple[int, ...], LayerMemory]:
        """The step from which on each direction may differ, in its own order of reading, and what is remembered.

        No steps at all where all of them may differ.
        """
        running = self._running
        assert running is not None
        call, steps = running.call, running.call.layout.steps
        place = running.module.path, running.number, index
        # A forward may change its weights between two calls of a module: they are told to hold by call.
        alone = running.number == 0 and (running.module.path, 1) not in self._calls
        memory = LayerMemory(self._remembered, place, steps, alone=alone, own=running.own and index == 0)
        if (running.first == 0 and running.last == steps) or inputs.shape[:-1] != call.input.shape[:-1]:
            running.first, running.last = 0, steps
            return (), memory
        cuts = []
        first, last = steps, 0
        for side, of_side in enumerate(edits):
            if side == 0:
                cut = min(running.first, first_edited(of_side.edits, steps))
                first, last = (min(first, cut), steps) if cut < steps else (first, last)
            else:
                cut = 0 if call.layout.packed and (running.last or of_side.edits) else steps - running.last
                cut = min(cut, first_edited(of_side.reordered(partial(torch.flip, dims=[0])).edits, steps))
                first, last = (0, max(last, steps - cut)) if cut < steps else (first, last)
            cuts.append(cut)
        running.first, running.last = first, last
        return tuple(cuts), memory


def _numbered(recording: Recording) -> dict[tuple[str, int], RecordedCall]:
    """Calls by the path of their module and their number among its calls."""
    found: dict[tuple[str, int], RecordedCall] = {}
    counted: dict[str, int] = {}
    for recorded in recording.recorded_calls:
        path = recorded.module.path
        counted[path] = number = counted.get(path, -1) + 1
        found[path, number] = recorded
    return found


def _alike(call: RecurrentCall, before: RecurrentCall) -> bool:
    """Whether two calls are of one shape."""
    same = (
        call.input.shape == before.input.shape
        and call.input.dtype == before.input.dtype
        and call.input.device == before.input.device
        and call.layout.batch_first == before.layout.batch_first
        and call.layout.packed == before.layout.packed
        and len(call.initial) == len(before.initial)
    )
    if not same or call.layout.batch_sizes is None or before.layout.batch_sizes is None:
        return same
    one, other = call.layout.sorted_indices, before.layout.sorted_indices
    in_order = one is other or (one is not None and other is not None and torch.equal(one, other))
    return in_order and torch.equal(call.layout.batch_sizes, before.layout.batch_sizes)


class LayerMemory:
    """The first legs of one layer in one call, which starts from the states of the unedited run."""

    def __init__(
        self, remembered: _Remembered, place: tuple[str, int, int], steps: int, *, alone: bool, own: bool
    ) -> None:
        self._remembered, self._place, self._steps = remembered, place, steps
        self._alone, self._own = alone, own

    def folded(self, family: Family, weights: LayerWeights, side: int, edits: tuple[SiteEdit, ...]) -> Folded | None:
        """Weights that stand for edits; those of the same edits as the last time are only written anew."""
        if not self._alone:
            return fold(family, weights, edits, kept_for_now(side))
        path, _, index = self._place
        key, folds, memory = (path, index, side), self._remembered.folds, self._remembered.weights
        if key not in memory:
            memory[key] = KeptWeights(weights_hold=True)
        kept = memory[key]
        before, known = folds.get(key, ((), None))
        if known is not None and known.rewriting is not None and len(before) == len(edits):
            rewritten = kept.of(weights, known.rewriting) if all(map(is_, before, edits)) else None
            if rewritten is not None:
                return known._replace(weights=rewritten, packed=kept.packed)
        folded = fold(family, weights, edits, kept)
        folds[key] = edits, folded
        return folded

    def read(self, call: RecurrentCall, side: int) -> ReadInputs | None:
        """The unedited run's own inputs, of which a direction reads parts as they lie; None of others."""
        if not self._own or side or call.layout.packed:
            return None
        if self._remembered.inputs is None:
            self._remembered.inputs = ReadInputs(call, side, call.input)
        return self._remembered.inputs

    def recall(self, side: int, leg: Leg, read: ReadInputs) -> FirstLeg | None:
        """What the leg gave, if it was run on equal inputs: those of the lowest layer have been compared before."""
        known = self._remembered.legs.get((*self._place, side), {}).get(leg)
        if known is None or not (self._place[2] == 0 or same_values(known.inputs, read.part(leg))):
            return None
        # A whole run is handed to the user, who may change it in place; a part of one is joined to others first.
        if leg.stop < self._steps:
            return known
        return known._replace(hidden=known.hidden.clone(), reached=tuple([state.clone() for state in known.reached]))

    def keep(self, side: int, leg: Leg, read: ReadInputs, result: tuple[Tensor, States]) -> None:
        """Remember what a leg gave; of each direction the latest few."""
        kept = self._remembered.legs.setdefault((*self._place, side), {})
        kept.pop(leg, None)
        while len(kept) >= KEPT:
            del kept[next(iter(kept))]
        inputs, hidden, reached = owned((read.part(leg), *result))
        kept[leg] = FirstLeg(inputs, hidden, reached, far_from_overflow(*reached))
