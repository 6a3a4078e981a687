"""The user's own call with edits in force."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from torch import Tensor, nn

from rnnwidget.cells.edits import LayerEdits
from rnnwidget.editing.carrying_out import foldable, run_edited_layer
from rnnwidget.editing.edits import Edit
from rnnwidget.editing.targets import edits_of_layer, validated
from rnnwidget.recording.continuation import HandedOut
from rnnwidget.recording.fused import FusedCall, LayerOutput
from rnnwidget.recording.interception import Client, attached
from rnnwidget.recording.modules import Layer, RecurrentModule, recurrent_modules


class EditList:
    """A list of edits as the interception core carries them out.

    ``stepped`` starts with layers to step in any case, and gathers those whose edits could not be folded.
    """

    def __init__(self, edits: Sequence[Edit], stepped: Iterable[str] = ()) -> None:
        self.edits = tuple(edits)
        self.stepped = set(stepped)
        self._handed_out = HandedOut()

    def begin(self, module: RecurrentModule, call: FusedCall) -> None:
        """NotImplementedError if steps are counted in a call that goes on from the last one."""
        timed = next((edit for edit in self.edits if edit.steps is not None), None)
        if timed is not None and self._handed_out.is_continued_by(module.module, call):
            raise NotImplementedError(
                f"{timed!r}: {module.path or type(module.module).__name__} was called with the state that its last "
                "call handed out, and steps are not counted along such calls yet; edit all steps"
            )

    def end(self, module: RecurrentModule, result: tuple[Tensor, ...]) -> None:
        """Remember the states that a call handed out."""
        self._handed_out.keep(module.module, result[1:])

    def layer_edits(self, layer: Layer, call: FusedCall) -> LayerEdits:
        """The edits of one layer, laid out over a call."""
        like = call.weights[0][0].hidden_hidden
        edits = edits_of_layer(self.edits, layer, call.layout.steps, call.layout.batch, like)
        if not foldable(call.family, edits):
            self.stepped.add(layer.name)
        return replace(edits, stepped=layer.name in self.stepped)

    def run_layer(
        self, call: FusedCall, index: int, inputs: Tensor, initial: tuple[Tensor, ...], edits: tuple[LayerEdits, ...]
    ) -> LayerOutput:
        """Run one layer under edits."""
        return run_edited_layer(call, index, inputs, initial, edits)


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
