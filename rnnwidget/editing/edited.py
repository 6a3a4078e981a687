"""The user's own call with edits in force."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from types import TracebackType

from torch import Tensor, nn

from rnnwidget.cells.edits import LayerEdits, Leg, Path, SiteEdit
from rnnwidget.editing.call_places import CallPlaces
from rnnwidget.editing.carrying_out import run_edited_layer
from rnnwidget.editing.earlier_runs import EarlierRuns
from rnnwidget.editing.edit import Edit
from rnnwidget.editing.laying_out import BEGINNING, CallPlace, edits_of_layers
from rnnwidget.editing.missed_steps import Calls, warn_of_missed_steps
from rnnwidget.editing.prepared_stack import prepare, run_as_before
from rnnwidget.editing.recorded_values import RecordedValues
from rnnwidget.editing.targets import validated
from rnnwidget.editing.whole_stack import run_whole_stack
from rnnwidget.recording.clients import Client
from rnnwidget.recording.interception import attached, check_not_entered
from rnnwidget.recording.modules import Layer, RecurrentModule, recurrent_modules
from rnnwidget.recording.recurrent_call import Kernel, LayerOutput, RecurrentCall
from rnnwidget.recording.transforms import in_a_transform
from rnnwidget.recording.unseen import RunsOf, none_seen

Paths = Mapping[tuple[str, int], Path]


class EditList:
    """A list of edits as the interception core carries them out.

    ``paths`` are legs in which layers are to run although nothing is edited there, as an edited run did; that run's
    own come out in :attr:`paths`. With ``earlier``, what runs before the first edit is taken from there.
    """

    def __init__(self, edits: Sequence[Edit], paths: Paths | None = None, earlier: EarlierRuns | None = None) -> None:
        self.edits = tuple(edits)
        self._wanted, self._earlier = paths, earlier
        self._by_place = any([_depends_on_place(edit) for edit in edits])
        # A tensor may be written into, and is more than is to be held.
        numbers = all([edit.number is not None for edit in edits])
        self._repeats = numbers and not self._by_place and paths is None and earlier is None
        self.restart()

    def restart(self) -> None:
        """Nothing has been run yet."""
        self.paths: dict[tuple[str, int], Path] = {}
        self._places: CallPlaces | None = None
        self._calls: dict[nn.Module, int] = {}
        self._lengths: dict[nn.Module, tuple[RecurrentModule, Calls]] = {}
        self._called: dict[str, RecurrentModule] = {}

    def begin(
        self, module: RecurrentModule, given: tuple[Tensor, ...], sequence: object, *, again: bool = False
    ) -> None:
        """A call begins: where it stands in its run decides which steps of it are edited."""
        if not self._by_place:
            return
        if in_a_transform():
            raise NotImplementedError(
                "inside a transform of torch.func calls are edited at every step or not at all: leave steps= out, or "
                "call the model outside of it"
            )
        if self._places is None:
            self._places = CallPlaces()
        self._places.begin(module.module, given, sequence, again=again)

    def returned(self, module: RecurrentModule, states: tuple[Tensor, ...], *, again: bool = False) -> None:
        """Remember the states that a call handed out."""
        if self._places is not None:
            self._places.returned(module.module, states, again=again)

    def call_edits(self, module: RecurrentModule, call: RecurrentCall) -> tuple[LayerEdits, ...]:
        """The edits of each layer, laid out over a call."""
        place = BEGINNING
        if self._places is not None:
            place = self._places.advance(module.module, call.layout.steps)
            known = self._lengths.get(module.module, (module, Calls(0, 0)))[1]
            number = max(place.ordinal + 1, known.number)
            longest = max(place.done + call.layout.steps, known.longest)
            self._lengths[module.module] = module, Calls(number, longest)
        number = self._seen(module)
        edits = self._edits_over(module.layers, call, place)
        found = tuple(
            [
                LayerEdits(of_layer, () if self._wanted is None else self._path(layer.name, number, call.layout.steps))
                for layer, of_layer in zip(module.layers, edits, strict=True)
            ]
        )
        if self._earlier is not None:
            self._earlier.begin(module, call, number)
        return found

    def _edits_over(self, layers: Sequence[Layer], call: RecurrentCall, place: CallPlace) -> list[tuple[SiteEdit, ...]]:
        """The edits of each layer, laid out over a call."""
        return edits_of_layers(self.edits, layers, call, place)

    def _path(self, layer: str, number: int, steps: int) -> Path:
        """The legs that are wanted; those of another length cannot be gone by, only stepped or not."""
        assert self._wanted is not None
        path = self._wanted.get((layer, number), ())
        if not path or path[-1].stop == steps:
            return path
        return (Leg(0, steps, stepped=True),) if any(leg.stepped for leg in path) else ()

    def warn_of_missed_steps(self, called: str) -> None:
        """RuntimeWarning where an edit changed nothing, since each of many calls was too short for its steps."""
        if self._lengths:
            warn_of_missed_steps(called, self.edits, self._lengths.values())

    @property
    def saw_a_call(self) -> bool:
        """Whether a recurrent module was called."""
        return bool(self._calls)

    def concerns(self, module: RecurrentModule) -> bool:
        """Whether an edit is for a layer of a module."""
        return any(not edit.identity and edit.is_for(layer) for edit in self.edits for layer in module.layers)

    @property
    def goes_by_layer(self) -> bool:
        """Whether layers without edits are to be run by the editor too."""
        return self._earlier is not None

    def run_layer(
        self,
        module: RecurrentModule,
        call: RecurrentCall,
        index: int,
        inputs: Tensor,
        initial: tuple[Tensor, ...],
        edits: tuple[LayerEdits, ...],
    ) -> LayerOutput:
        """Run one layer under edits."""
        if self._by_place and call.form == "module" and call.layout.steps == 1:
            self._check_inside(module)
        # A run that goes by another's legs runs as it always does where that had none.
        asked = self._wanted is None or any(of_side.path for of_side in edits)
        earlier = self._earlier.of_layer(index, inputs, edits) if self._earlier is not None and asked else None
        cuts, memory = earlier or ((), None)
        carried = run_edited_layer(call, index, inputs, initial, edits, cuts=cuts, memory=memory)
        if any(carried.paths):
            number = self._calls[module.module]
            names = [layer.name for layer in module.layers if layer.index == index]
            self.paths |= {(name, number): path for name, path in zip(names, carried.paths, strict=True) if path}
        return carried.output

    def run_whole(
        self, module: RecurrentModule, call: RecurrentCall, edits: tuple[LayerEdits, ...], *, alone: bool
    ) -> LayerOutput | None:
        """Run all layers at once, where their edits fold into weights."""
        run = None if self._wanted is not None else run_whole_stack(call, edits)
        if run is None:
            return None
        if self._repeats and alone and run.kept:
            prepare(self.edits, module.layers, call, run.sides)
        return run.output

    def run_as_before(
        self, module: RecurrentModule, kernel: Kernel, args: tuple[object, ...]
    ) -> tuple[Tensor, ...] | None:
        """Run a call that begins from zero like an earlier one, without reading it; None where there was none."""
        returned = run_as_before(self.edits, module.layers, kernel, args) if self._repeats else None
        if returned is not None:
            self._seen(module)
        return returned

    def _seen(self, module: RecurrentModule) -> int:
        """Note a call of a module; its number among the calls of that module."""
        self._called[module.path] = module
        self._calls[module.module] = number = self._calls.get(module.module, -1) + 1
        return number

    def _check_inside(self, module: RecurrentModule) -> None:
        """NotImplementedError where a step is to be made again, and a cell that it calls is edited by step too."""
        inside = [
            layer for path, each in self._called.items() if path.startswith(f"{module.path}.") for layer in each.layers
        ]
        for edit in filter(_depends_on_place, self.edits):
            for layer in inside:
                if edit.is_for(layer):
                    raise NotImplementedError(
                        f"{edit!r}: {layer.name!r} is called by the step of {module.layers[0].name!r}, which is made "
                        "again under its own edits, so that steps of the inner one cannot be told; name with layer= "
                        "which of the two is meant, and edit the other not, or the inner one at all steps"
                    )


def _depends_on_place(edit: Edit) -> bool:
    """Whether it matters to an edit how many steps and runs came before a call."""
    by_step = isinstance(edit.value, Tensor) and edit.value.dim() == 3 and edit.value.size(0) > 1
    return edit.steps is not None or isinstance(edit.value, RecordedValues) or by_step


class edited:  # noqa: N801 - reads as the block that it is
    """The calls of ``model`` that this thread makes inside the block run under ``edits``; no parameter changes.

    Inside a step shifts come first, then the nonlinearity, then clamps, scales and nudges in list order. Nested
    blocks do not merge: the outer one's edits apply first. Gradients reach the parameters; with activation
    checkpointing, which runs parts of the model again, the backward belongs inside the block.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        The model cannot be opened (see :func:`rnnwidget.record`), or something in the list is no edit.
    KeyError, IndexError
        A layer, site or unit does not exist.
    RuntimeWarning
        The model ran, and none of its recurrent modules was seen: they were called by their ``.forward``, or not. Or
        steps were to be edited that no call had, where a layer was called many times from states of its own.
    RuntimeError
        The same ``edited(…)`` is entered again before its block has ended.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model, x = torch.nn.RNN(3, 4), torch.randn(5, 1, 3)
    >>> with rw.edited(model, rw.shift("hidden", 2.0, units=[1])):
    ...     louder, _ = model(x)
    >>> bool((louder[:, 0, 1] > model(x)[0][:, 0, 1]).all())
    True
    """

    def __init__(self, model: nn.Module, *edits: Edit) -> None:
        self._model, self._edits = model, edits
        self._attached: attached | None = None
        self._runs: RunsOf | None = None

    def __enter__(self) -> None:
        check_not_entered(self._attached, "edited(model, …)")
        modules = recurrent_modules(self._model)
        editor = EditList(validated(self._edits, modules))
        block = attached(modules, Client(threading.get_ident(), editor=editor))
        block.__enter__()
        try:
            if all([module.module is not self._model for module in modules]):
                self._runs = RunsOf(self._model)
                block.at_its_end(self._runs.leave)
            self._attached, self._editor = block, editor
        except BaseException:
            block.leave()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._attached is not None
        block, self._attached = self._attached, None
        runs, self._runs = self._runs, None
        block.leave()
        if error is None:
            self._editor.warn_of_missed_steps("edited")
        if error is None and runs is not None and runs.ran and not self._editor.saw_a_call and self._edits:
            warnings.warn(f"edited: {none_seen(self._model)}. Nothing was edited.", RuntimeWarning, stacklevel=2)
