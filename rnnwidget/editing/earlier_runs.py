"""What an unedited run has already computed, for edited runs that begin to differ from it later on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from rnnwidget.cells.edits import LayerEdits, Leg
from rnnwidget.editing.kept_weights import KeptWeights
from rnnwidget.editing.legs import first_edited
from rnnwidget.recording.modules import RecurrentModule
from rnnwidget.recording.owned import owned
from rnnwidget.recording.recorded_call import RecordedCall
from rnnwidget.recording.recording import Recording
from rnnwidget.recording.recurrent_call import RecurrentCall
from rnnwidget.recording.same_values import same_values

States = tuple[Tensor, ...]
KEPT = 4


@dataclass(frozen=True)
class _Result:
    """What a first leg read and gave."""

    inputs: Tensor
    hidden: Tensor
    reached: States


@dataclass
class _Running:
    """The call under way; ``first`` and ``last`` bound the positions at which what a layer reads may differ."""

    module: RecurrentModule
    call: RecurrentCall
    number: int
    first: int
    last: int


class EarlierRuns:
    """Tells from which step on each layer of an edited run can differ from a recorded one, and remembers first legs.

    Whatever is handed out was computed from equal inputs and states, compared by value; whether weights were equal too
    shows once a run has been recorded.
    """

    def __init__(self, baseline: Recording) -> None:
        self._calls = _numbered(baseline)
        self._results: dict[tuple[str, int, int, int], dict[Leg, _Result]] = {}
        self._kept: dict[tuple[str, int, int], KeptWeights] = {}
        self._running: _Running | None = None

    def hold_for(self, recording: Recording) -> bool:
        """Whether the weights of a later run were those of the unedited one, value for value."""
        later = _numbered(recording)
        return all(later[place].snapshot is self._calls[place].snapshot for place in later.keys() & self._calls.keys())

    def begin(self, module: RecurrentModule, call: RecurrentCall, number: int) -> None:
        """A call begins, the ``number``-th of its module."""
        first, last = self._changed(call, self._calls.get((module.path, number)))
        self._running = _Running(module, call, number, first, last)

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
        memory = LayerMemory(self._results, self._kept, (running.module.path, running.number, index), steps)
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
        self,
        results: dict[tuple[str, int, int, int], dict[Leg, _Result]],
        kept: dict[tuple[str, int, int], KeptWeights],
        place: tuple[str, int, int],
        steps: int,
    ) -> None:
        self._results, self._kept, self._place, self._steps = results, kept, place, steps

    def weights(self, side: int) -> KeptWeights:
        """Memory for the layer's weights under edits: of all its calls, as long as its weights hold."""
        path, _, index = self._place
        key = path, index, side
        if key not in self._kept:
            self._kept[key] = KeptWeights(weights_hold=True)
        return self._kept[key]

    def recall(self, side: int, leg: Leg, inputs: Tensor) -> tuple[Tensor, States] | None:
        """What the leg gave, if it was run on equal inputs: those of the lowest layer have been compared before."""
        known = self._results.get((*self._place, side), {}).get(leg)
        if known is None or not (self._place[2] == 0 or same_values(known.inputs, inputs)):
            return None
        # A whole run is handed to the user, who may change it in place; a part of one is joined to others first.
        if leg.stop < self._steps:
            return known.hidden, known.reached
        return known.hidden.clone(), tuple([state.clone() for state in known.reached])

    def keep(self, side: int, leg: Leg, inputs: Tensor, result: tuple[Tensor, States]) -> None:
        """Remember what a leg gave; of each direction the latest few."""
        kept = self._results.setdefault((*self._place, side), {})
        kept.pop(leg, None)
        while len(kept) >= KEPT:
            del kept[next(iter(kept))]
        hidden, reached = result
        kept[leg] = _Result(*owned((inputs, hidden, reached)))
