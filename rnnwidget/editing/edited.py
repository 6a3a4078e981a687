"""The user's own call with edits in force."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnnwidget.cells.edits import LayerEdits
from rnnwidget.editing.carrying_out import foldable, run_edited_layer
from rnnwidget.editing.edits import Edit
from rnnwidget.editing.targets import edits_of_layer, validated
from rnnwidget.recording.clients import Client
from rnnwidget.recording.continuation import HandedOut
from rnnwidget.recording.interception import attached
from rnnwidget.recording.modules import Layer, RecurrentModule, recurrent_modules
from rnnwidget.recording.recurrent_call import LayerOutput, RecurrentCall


class EditList:
    """A list of edits as the interception core carries them out.

    ``stepped`` starts with layers to step in any case, and gathers those whose edits could not be folded.
    """

    def __init__(self, edits: Sequence[Edit], stepped: Iterable[str] = ()) -> None:
        self.edits = tuple(edits)
        self.stepped = set(stepped)
        self._handed_out = HandedOut()
        self._steps_done: dict[nn.Module, int] = {}
        self._begun_at: dict[object, tuple[int, object]] = {}

    def begin(
        self, module: RecurrentModule, given: tuple[Tensor, ...], sequence: object, *, again: bool = False
    ) -> None:
        """Steps count on where a call goes on from the state that its module handed out last.

        Activation checkpointing makes a call ``again`` in a backward, with the same memory: it gets the same steps.
        """
        place = (module.module, *(tensor.data_ptr() for tensor in (*given, *_tensors_of(sequence))))
        if again:
            self._steps_done[module.module], _ = self._begun_at.get(place, (0, None))
            return
        if not self._handed_out.is_continued_by(module.module, given):
            self._steps_done[module.module] = 0
        if any(edit.steps is not None for edit in self.edits):
            # Held, so that the memory is not used again for another call's.
            self._begun_at[place] = self._steps_done[module.module], (given, sequence)

    def returned(self, module: RecurrentModule, states: tuple[Tensor, ...]) -> None:
        """Remember the states that a call handed out."""
        self._handed_out.keep(module.module, states)

    def call_edits(self, module: RecurrentModule, call: RecurrentCall) -> tuple[LayerEdits, ...]:
        """The edits of each layer, laid out over a call."""
        done = self._steps_done.get(module.module, 0)
        self._steps_done[module.module] = done + call.layout.steps
        return tuple(self._layer_edits(layer, call, done) for layer in module.layers)

    def _layer_edits(self, layer: Layer, call: RecurrentCall, done: int) -> LayerEdits:
        edits = edits_of_layer(self.edits, layer, call, done)
        if not foldable(call, edits):
            self.stepped.add(layer.name)
        return replace(edits, stepped=layer.name in self.stepped)

    def run_layer(
        self,
        call: RecurrentCall,
        index: int,
        inputs: Tensor,
        initial: tuple[Tensor, ...],
        edits: tuple[LayerEdits, ...],
    ) -> LayerOutput:
        """Run one layer under edits."""
        return run_edited_layer(call, index, inputs, initial, edits)


def _tensors_of(sequence: object) -> tuple[Tensor, ...]:
    if isinstance(sequence, PackedSequence):
        return (sequence.data,)
    return (sequence,) if isinstance(sequence, Tensor) else ()


@contextlib.contextmanager
def edited(model: nn.Module, *edits: Edit) -> Iterator[None]:
    """The calls of ``model`` that this thread makes inside the block run under ``edits``; no parameter changes.

    Inside a step shifts come first, then the nonlinearity, then clamps, scales and nudges in list order. Nested
    blocks do not merge: the outer one's edits apply first. Gradients reach the parameters.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        The model cannot be opened (see :func:`rnnwidget.record`), or something in the list is no edit.
    KeyError, IndexError
        A layer, site or unit does not exist.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model, x = torch.nn.RNN(3, 4), torch.randn(5, 1, 3)
    >>> with rw.edited(model, rw.shift("hidden", 2.0, units=[1])):
    ...     louder, _ = model(x)
    >>> bool((louder[:, 0, 1] > model(x)[0][:, 0, 1]).all())
    True
    """
    modules = recurrent_modules(model)
    editor = EditList(validated(edits, modules))
    with attached(modules, Client(threading.get_ident(), editor=editor)):
        yield
