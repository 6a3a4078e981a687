"""How a layer runs under edits: leg by leg, on the fused kernel with edits folded into weights, or step by step.

Edits that hold over a window cut time into legs, and each leg goes on from the state where the one before ended. What
another run has already done from the same state on the same inputs is not done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from rnnwidget.cells.edits import LayerEdits, Leg, Path, SiteEdit
from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.editing.autocast import autocast_result, uncast
from rnnwidget.editing.earlier_runs import LayerMemory
from rnnwidget.editing.folded import Folded
from rnnwidget.editing.folding import fold
from rnnwidget.editing.kept_weights import kept_for_now
from rnnwidget.editing.legs import cuts_of, edits_between
from rnnwidget.editing.overflow import has_nan
from rnnwidget.editing.packed_matrices import are_packed
from rnnwidget.editing.reading import ReadInputs
from rnnwidget.editing.stepping import stepped, stepped_module
from rnnwidget.recording.clients import autocast_of, mixes_halves
from rnnwidget.recording.recurrent_call import LayerOutput, RecurrentCall

States = tuple[Tensor, ...]
# So few steps are made sooner one by one than with other weights.
SHORT = 3


class Carried(NamedTuple):
    """What a layer gave, and the legs of each direction; no legs where it ran as it would have unedited."""

    output: LayerOutput
    paths: tuple[Path, ...]


def run_edited_layer(
    call: RecurrentCall,
    index: int,
    inputs: Tensor,
    initial: States,
    edits: tuple[LayerEdits, ...],
    *,
    cuts: tuple[int, ...] = (),
    memory: LayerMemory | None = None,
) -> Carried:
    """Run one layer under ``edits``, one for each direction.

    ``cuts`` gives for each direction the step, in its own order of reading, from which on a run may differ from those
    that ``memory`` knows.
    """
    if call.form == "module":
        return Carried(stepped_module(call, index, inputs, initial, edits), ((),) * call.directions)
    carried = _carried_out(call, index, inputs, initial, edits, cuts, memory)
    if autocast_of(inputs.device.type) is None:
        return carried
    dtype = autocast_result(call, index, inputs, initial)
    output, finals = carried.output
    return carried._replace(output=LayerOutput(output.to(dtype), tuple(state.to(dtype) for state in finals)))


def _carried_out(
    call: RecurrentCall,
    index: int,
    inputs: Tensor,
    initial: States,
    edits: tuple[LayerEdits, ...],
    cuts: tuple[int, ...],
    memory: LayerMemory | None,
) -> Carried:
    folds: list[Folded | None] = [None] * len(edits)
    if not any(cuts) or call.layout.steps == 0:
        folds = [
            _fold_of_all_time(call, side, of_side, number, memory)
            for number, (side, of_side) in enumerate(zip(call.weights[index], edits, strict=True))
            if isinstance(side, LayerWeights)
        ]
        joint = _joint(call, index, inputs, initial, edits, folds)
        if joint is not None:
            return Carried(joint, ((),) * len(edits))
    outputs, reached, paths = [], [], []
    for side, states in enumerate(_by_side(initial, len(edits))):
        cut = cuts[side] if cuts else 0
        direction = _Direction(call, index, side, inputs, edits[side], cut, folds[side], memory)
        output, states_after = direction.run(states)
        outputs.append(output)
        reached.append(states_after)
        paths.append(direction.path)
    finals = reached[0] if len(reached) == 1 else tuple([torch.cat(states) for states in zip(*reached, strict=True)])
    return Carried(LayerOutput(_as_the_kernel_has_it(call, _together(outputs, -1)), finals), tuple(paths))


def _fold(
    call: RecurrentCall, weights: LayerWeights, edits: tuple[SiteEdit, ...], side: int, memory: LayerMemory | None
) -> Folded | None:
    if memory is None:
        return fold(call.family, weights, edits, kept_for_now(side))
    return memory.folded(call.family, weights, side, edits)


def _fold_of_all_time(
    call: RecurrentCall, weights: LayerWeights, edits: LayerEdits, side: int, memory: LayerMemory | None
) -> Folded | None:
    """The weights of a direction that is edited in the same way at every step, None where they do not fold."""
    if edits.path or len(cuts_of(edits.edits, call.layout.steps)) > 2:
        return None
    return _fold(call, weights, edits_between(edits.edits, 0, call.layout.steps), side, memory)


def _joint(
    call: RecurrentCall,
    index: int,
    inputs: Tensor,
    initial: States,
    edits: tuple[LayerEdits, ...],
    folds: list[Folded | None],
) -> LayerOutput | None:
    """Both directions on the kernel at once, where weights and initial states stand for all edits; else None."""
    steps = call.layout.steps
    if any(of_side.path for of_side in edits) and steps:
        return None
    if not any(of_side.edits for of_side in edits) or steps == 0:
        return call.run_layer(call.weights[index], inputs, initial)
    folded = [one for one in folds if one is not None]
    if len(folded) < len(folds) or (steps <= SHORT and _steps_rather(steps, inputs, *initial, *_weights_of(folded))):
        return None
    if any([one.begins_elsewhere for one in folded]):
        begun, zero = _by_side(initial, len(folded)), call.from_zero
        if not all([one.reaches(states, from_zero=zero) for one, states in zip(folded, begun, strict=True)]):
            return None
        turned = [one.handed_in(states) for one, states in zip(folded, begun, strict=True)]
        initial = tuple(_together(states, 0) for states in zip(*turned, strict=True))
    layer = call.run_layer(tuple([one.weights for one in folded]), inputs, initial)
    if any([one.ends_elsewhere for one in folded]):
        in_time = layer.output if call.layout.packed else call.layout.to_time_first(layer.output)
        sides = in_time.chunk(len(folded), dim=-1) if len(folded) > 1 else [in_time]
        output = _together([one.handed_out(hidden) for one, hidden in zip(folded, sides, strict=True)], -1)
        begun = _by_side(layer.finals[:1], len(folded))
        reached = _together([one.handed_out(state) for one, (state,) in zip(folded, begun, strict=True)], 0)
        layer = LayerOutput(_as_the_kernel_has_it(call, output), (reached, *layer.finals[1:]))
    return None if any([one.clamps for one in folded]) and has_nan(layer.finals[0]) else layer


def _weights_of(folded: Sequence[Folded]) -> list[Tensor]:
    return [weight for one in folded for weight in one.weights.tensors()]


def _by_side(states: States, sides: int) -> list[States]:
    """States (direction, batch, unit) as those of each direction."""
    return [tuple([state[side : side + 1] for state in states]) for side in range(sides)] if sides > 1 else [states]


def _together(parts: Sequence[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim)


def _as_the_kernel_has_it(call: RecurrentCall, output: Tensor) -> Tensor:
    """Time first in memory, whatever the call's layout: dropout above draws its noise in the order of memory."""
    return output if call.layout.packed else call.layout.from_time_first(output)


def _needs_graph(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _steps_rather(steps: int, inputs: Tensor, *others: Tensor) -> bool:
    plain = autocast_of(inputs.device.type) is None and inputs.dtype in (torch.float32, torch.float64)
    return steps <= SHORT and plain and not _needs_graph(inputs, *others)


class _Direction:
    """One direction of one layer, run leg by leg in its own order of reading; states are (1, batch, unit)."""

    def __init__(
        self,
        call: RecurrentCall,
        index: int,
        side: int,
        inputs: Tensor,
        edits: LayerEdits,
        cut: int,
        folded: Folded | None,
        memory: LayerMemory | None,
    ) -> None:
        weights = call.weights[index][side]
        assert isinstance(weights, LayerWeights)
        self.side, self._call, self._weights = side, call, weights
        known = None if memory is None else memory.read(call, side)
        self._read = known or ReadInputs(call, side, inputs)
        self._reading = self._read.reading
        self._edits = edits if self._reading.as_it_is else edits.arranged(self._reading.arranged)
        self._is_known, self._from_safe = known is not None, False
        self._path, self._cut, self._memory, self._inputs = edits.path, cut, memory, inputs
        self._folds = {} if folded is None else {(0, call.layout.steps): folded}
        self._done: list[Leg] = []
        self._pieces: list[Tensor] = []

    @property
    def path(self) -> Path:
        """The legs that were run."""
        return tuple(self._done)

    def run(self, states: States) -> tuple[Tensor, States]:
        """The hidden states by input position, time first or packed, and the final states in call order."""
        self._graph = torch.is_grad_enabled() and _needs_graph(
            self._inputs, *states, *self._weights.tensors(), *[edit.value for edit in self._edits.edits]
        )
        for leg in self._legs():
            states = self._run(leg, states)
        whole = self._pieces[0] if len(self._pieces) == 1 else torch.cat(self._pieces)
        return self._reading.written(whole), states

    def _legs(self) -> list[Leg]:
        steps = self._call.layout.steps
        cuts = cuts_of(self._edits.edits, steps, [self._cut])
        legs = list(self._path) or [Leg(start, stop) for start, stop in pairwise(cuts)]
        if autocast_of(self._inputs.device.type) is not None and any(map(self._is_stepped, legs)):
            return [Leg(0, steps, stepped=True)]  # what we step is not in the precision of what autocast runs
        return legs

    def _is_stepped(self, leg: Leg) -> bool:
        edits = edits_between(self._edits.edits, leg.start, leg.stop)
        return leg.stepped or (bool(edits) and self._folded(leg, edits) is None)

    def _folded(self, leg: Leg, edits: tuple[SiteEdit, ...]) -> Folded | None:
        known = self._folds.get((leg.start, leg.stop))
        return known or _fold(self._call, self._weights, edits, self.side, self._memory)

    def _run(self, leg: Leg, states: States) -> States:
        """Run a leg and tell the states after it."""
        live, edits = self._reading.going_on(states, leg), edits_between(self._edits.edits, leg.start, leg.stop)
        if leg.stepped or (edits and _steps_rather(leg.stop - leg.start, self._inputs, *states)):
            return self._stepped(leg, live, states)
        if not edits:
            return self._done_with(leg, self._unedited(leg, live), states)
        folded = self._folded(leg, edits)
        if folded is None:
            return self._stepped(leg, live, states)
        if not folded.reaches(live, from_zero=self._call.from_zero and leg.start == 0):
            states = self._run(Leg(leg.start, leg.start + 1, stepped=True), states)
            return self._run(Leg(leg.start + 1, leg.stop), states) if leg.stop > leg.start + 1 else states
        hidden, reached = self._on_kernel(folded, leg, folded.handed_in(live))
        output = folded.handed_out(hidden)
        self._from_safe = self._from_safe and folded.safe and self._read.safe
        if folded.clamps and not self._from_safe and has_nan(reached[0]):
            return self._stepped(leg, live, states)
        return self._done_with(leg, (output, (folded.handed_out(reached[0]), *reached[1:])), states)

    def _on_kernel(self, folded: Folded, leg: Leg, states: States) -> LayerOutput:
        inputs, call, packed = self._read.part(leg), self._call, folded.packed

        def plainly() -> LayerOutput:
            return self._reading.run_kernel(folded.weights, inputs, states, leg)

        if packed is None or call.layout.packed or not are_packed(call.kernel, folded.weights, inputs):
            return plainly()
        return packed.run(folded.weights, inputs, states, training=call.training, plainly=plainly)

    def _unedited(self, leg: Leg, states: States) -> tuple[Tensor, States]:
        memory = None if leg.start or leg.stop > self._cut or self._graph else self._memory
        known = None if memory is None else memory.recall(self.side, leg, self._read)
        self._from_safe = known is not None and known.safe and self._is_known
        if known is not None:
            return known.hidden, known.reached
        result = self._reading.run_kernel(self._weights, self._read.part(leg), states, leg)
        if memory is not None:
            memory.keep(self.side, leg, self._read, result)
        return result

    def _done_with(self, leg: Leg, result: tuple[Tensor, States], states: States) -> States:
        self._done.append(leg)
        self._pieces.append(result[0])
        return self._reading.states_after(states, result[1], leg)

    def _stepped(self, leg: Leg, live: States, states: States) -> States:
        leg, self._from_safe = Leg(leg.start, leg.stop, stepped=True), False
        return self._done_with(leg, self._by_step(leg, self._read.part(leg), live), states)

    def _by_step(self, leg: Leg, inputs: Tensor, states: States) -> tuple[Tensor, States]:
        # Between two half precisions we step in single, as we do from single to half.
        dtype = torch.float32 if mixes_halves(self._weights.input_hidden) else self._weights.input_hidden.dtype
        with uncast(inputs):
            padded, live = self._reading.padded(inputs, leg)
            edits = self._edits.between(leg.start, leg.stop).of_first(padded.size(1))
            hidden, reached = stepped(
                self._call.family,
                self._weights.map(lambda weight: weight.to(dtype)),
                padded.to(dtype),
                tuple(state[0].to(dtype) for state in states),
                edits,
                live,
                graph=self._graph,
            )
            # A user may detach a final state in place, which is refused to a view.
            return self._reading.unpadded(hidden, leg), tuple([torch.stack([state]) for state in reached])
