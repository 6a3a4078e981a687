"""Many variants of a run in one: a batch that holds each sequence several times, under other edits in each copy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rnnwidget.cells.edits import LayerEdits, SiteEdit
from rnnwidget.cells.gru import GRU
from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.cells.lstm import LSTM
from rnnwidget.cells.rnn import RNN
from rnnwidget.editing.batched_numbers import alike, numbers_over
from rnnwidget.editing.carrying_out import run_edited_layer
from rnnwidget.editing.clamped_layer import clamped_layer
from rnnwidget.editing.edit import Edit
from rnnwidget.editing.edited import EditList
from rnnwidget.editing.laying_out import CallPlace, edits_of_layers
from rnnwidget.editing.merged_edits import merged_edits
from rnnwidget.editing.replicas import NotReplicable
from rnnwidget.editing.shifted_layer import shifted_layer
from rnnwidget.recording.clients import States, autocast_of
from rnnwidget.recording.modules import Layer, RecurrentModule
from rnnwidget.recording.recurrent_call import LayerOutput, RecurrentCall

NUMBERS = 2**21
"""Above so many hidden states a dense layer in one direction is given to the kernel in several calls."""


class SideBySide(EditList):
    """Edits of a batch that holds each sequence ``copies`` times, next to each other.

    The first copy stays as it is, the next runs under the first of ``variants``, and so on; a variant's ``batch=``,
    values and recordings mean the sequences themselves. What is the same in all copies, such as the layers below the
    first edit, is computed once.
    """

    def __init__(self, variants: Sequence[Sequence[Edit]]) -> None:
        super().__init__([edit for edits in variants for edit in edits])
        self._repeats = False
        self._variants = variants
        self.copies = 1 + len(variants)
        self._always = not self._by_place and all(edit.number is not None for edit in self.edits)
        self._laid_out: dict[tuple[str, int, int], list[tuple[SiteEdit, ...]]] = {}
        self._alike = alike(variants)
        self._same_in_all: Tensor | None = None

    @property
    def goes_by_layer(self) -> bool:
        """Layers without edits are run by the editor too."""
        return True

    def _edits_over(self, layers: Sequence[Layer], call: RecurrentCall, place: CallPlace) -> list[tuple[SiteEdit, ...]]:
        """The edits of every copy of each layer, laid out over a call."""
        batch, key = call.layout.batch, (layers[0].name, call.layout.steps, call.layout.batch)
        if batch == 0 or batch % self.copies:
            raise NotReplicable
        if self._always and key in self._laid_out:
            return self._laid_out[key]
        batch //= self.copies
        if self._alike is not None and call.form == "stack":
            self._laid_out[key] = [numbers_over(self._alike, layer, call.initial[0], batch) for layer in layers]
            return self._laid_out[key]
        states = tuple(state[:, :batch] for state in call.initial)
        once = call._replace(layout=call.layout._replace(batch=batch), initial=states)
        own = [edits_of_layers(edits, layers, once, place) for edits in self._variants]
        self._laid_out[key] = [merged_edits([(), *of_layer], batch) for of_layer in zip(*own, strict=True)]
        return self._laid_out[key]

    def run_layer(
        self,
        module: RecurrentModule,
        call: RecurrentCall,
        index: int,
        inputs: Tensor,
        initial: States,
        edits: tuple[LayerEdits, ...],
    ) -> LayerOutput:
        """Run one layer of all copies."""
        is_edited = any(of_side.edits for of_side in edits)
        single = self._single(call, inputs, initial)
        if not is_edited:
            if single is None:
                return _in_stretches(call, index, inputs, initial)
            return self._spread(call, index, *single)
        if single is not None and _only_clamps_hidden(edits) and _has_loop(call, call.weights[index][0]):
            return self._clamped(call, index, single[0], initial, edits[0].edits[0])
        shifted = shifted_layer(call, index, inputs, initial, edits)
        return shifted or run_edited_layer(call, index, inputs, initial, edits).output

    def _single(self, call: RecurrentCall, inputs: Tensor, initial: States) -> tuple[Tensor, States] | None:
        """What the first copy reads and starts from, None if the others differ from it."""
        if call.form != "stack" or call.layout.packed:
            return None
        by_copy = call.layout.to_time_first(inputs).unflatten(1, (-1, self.copies))
        states = tuple(state.unflatten(1, (-1, self.copies)) for state in initial)
        known = inputs is self._same_in_all or by_copy.stride(2) == 0
        # Copies that differ do so at the last step first of all.
        looked_at = states if known else (*states, by_copy[-1:], by_copy)
        if not all(bool((each == each[:, :, :1]).all()) for each in looked_at):
            return None
        return call.layout.from_time_first(by_copy[:, :, 0]), tuple(state[:, :, 0] for state in states)

    def _spread(self, call: RecurrentCall, index: int, read: Tensor, states: States) -> LayerOutput:
        """A layer that no copy changes, run once."""
        once = call._replace(layout=call.layout._replace(batch=states[0].size(1)))
        result = once.run_layer(call.weights[index], read, tuple(state.contiguous() for state in states))
        axis = 0 if call.layout.batch_first else 1
        shape = [-1] * (read.dim() + 1)
        shape[axis + 1] = self.copies
        self._same_in_all = result.output.unsqueeze(axis + 1).expand(shape).flatten(axis, axis + 1)
        return LayerOutput(self._same_in_all, tuple(state.repeat_interleave(self.copies, 1) for state in result.finals))

    def _clamped(self, call: RecurrentCall, index: int, read: Tensor, initial: States, clamp: SiteEdit) -> LayerOutput:
        """A layer whose hidden states are clamped, somewhere else in each copy."""
        weights = call.weights[index][0]
        assert isinstance(weights, LayerWeights)
        wide = tuple(state[0] for state in initial)
        where = _all_over(clamp.mask, wide[0])
        rows, units = where.nonzero(as_tuple=True)
        values = clamp.value[0].expand_as(where)[rows, units].to(read)
        places = rows * where.size(1) + units
        output, finals = clamped_layer(call.family, weights, call.layout.to_time_first(read), wide, places, values)
        return LayerOutput(call.layout.from_time_first(output), tuple(state.unsqueeze(0) for state in finals))


def _in_stretches(call: RecurrentCall, index: int, inputs: Tensor, initial: States) -> LayerOutput:
    """A layer without edits, so many steps at a time that the kernel finds its memory again."""
    numbers, steps = call.layout.steps * initial[0].numel(), call.layout.steps
    if call.form != "stack" or call.layout.packed or call.directions > 1 or numbers <= NUMBERS:
        return call.run_layer(call.weights[index], inputs, initial)
    axis, outputs, states = 1 if call.layout.batch_first else 0, [], initial
    for part in inputs.split(-(-steps // -(-numbers // NUMBERS)), axis):
        result = call.run_layer(call.weights[index], part, states)
        outputs.append(result.output)
        states = result.finals
    return LayerOutput(torch.cat(outputs, axis), states)


def _all_over(mask: Tensor | None, like: Tensor) -> Tensor:
    """Where an edit of all time lies over (row, unit)."""
    return torch.ones_like(like, dtype=torch.bool) if mask is None else mask[0].expand_as(like)


def _only_clamps_hidden(edits: tuple[LayerEdits, ...]) -> bool:
    """Whether all that is done to a layer of one direction is one clamp of its hidden state, at every step."""
    if len(edits) != 1 or len(edits[0].edits) != 1:
        return False
    (edit,) = edits[0].edits
    return (edit.site, edit.operation, edit.value.size(0)) == ("hidden", "clamp", 1) and (
        edit.mask is None or edit.mask.size(0) == 1
    )


def _has_loop(call: RecurrentCall, weights: object) -> bool:
    """Whether the layer has a loop of ours that is faster than any other way."""
    return (
        isinstance(weights, LayerWeights)
        and weights.projection is None
        and call.directions == 1
        and isinstance(call.family, (LSTM, GRU, RNN))
        and call.input.dtype in (torch.float32, torch.float64)
        and autocast_of(call.input.device.type) is None
        and not torch.is_grad_enabled()
    )
