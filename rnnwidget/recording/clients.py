"""Who looks at recurrent calls and who edits them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from rnnwidget.cells.edits import NO_EDITS, LayerEdits
from rnnwidget.recording.modules import RecurrentModule
from rnnwidget.recording.recurrent_call import Kernel, LayerOutput, RecurrentCall, StackTrace, run_stack

States = tuple[Tensor, ...]


@runtime_checkable
class Editor(Protocol):
    """Gives the edits of each layer of a call, and carries a layer out under edits.

    ``goes_by_layer`` asks for every layer, edited or not; ``run_whole`` runs all layers at once where that can be,
    ``alone`` where all edits are its own; ``run_as_before`` runs a call from zero like an earlier one, as the kernel
    would return it; ``concerns`` tells whether there are edits for a module;
    ``restart`` that the run that was begun does not count, and begins anew.
    ``begin`` and ``returned`` tell of the states as the user hands them in and gets them; ``again`` is a call that a
    backward makes once more, of which the user gets nothing.
    """

    @property
    def goes_by_layer(self) -> bool: ...

    def restart(self) -> None: ...

    def concerns(self, module: RecurrentModule) -> bool: ...

    def begin(self, module: RecurrentModule, given: States, sequence: object, *, again: bool) -> None: ...

    def call_edits(self, module: RecurrentModule, call: RecurrentCall) -> tuple[LayerEdits, ...]: ...

    def run_layer(
        self,
        module: RecurrentModule,
        call: RecurrentCall,
        index: int,
        inputs: Tensor,
        initial: States,
        edits: tuple[LayerEdits, ...],
    ) -> LayerOutput: ...

    def run_whole(
        self, module: RecurrentModule, call: RecurrentCall, edits: tuple[LayerEdits, ...], *, alone: bool
    ) -> LayerOutput | None: ...

    def run_as_before(self, module: RecurrentModule, kernel: Kernel, args: tuple[Any, ...]) -> States | None: ...

    def returned(self, module: RecurrentModule, states: States, *, again: bool) -> None: ...


class SeenCall(NamedTuple):
    """One recurrent call as it happened. ``trace`` is there if it ran layer by layer.

    ``handed`` are the very tensors that the user gets: the output, or None where there is none beside the states, and
    the final states; ``beside`` is what else a registered module gives, such as a readout. ``autocast`` is the
    precision that the call ran in where it is not its tensors' own.
    """

    module: RecurrentModule
    call: RecurrentCall
    result: LayerOutput
    handed: tuple[Tensor | None, ...]
    edits: Mapping[str, LayerEdits]
    trace: StackTrace | None
    grad_enabled: bool
    autocast: torch.dtype | None
    inference: bool
    beside: tuple[Tensor, ...] = ()

    @property
    def mixes_halves(self) -> bool:
        """Whether the call was made in one half precision under autocast to the other."""
        return _are_two_halves(self.call.input.dtype, self.autocast)


@runtime_checkable
class Recorder(Protocol):
    """Is told of each call before it begins, after it ran, and when its module returns.

    ``given`` and ``states`` are the states as the user hands them in and gets them; what ``begin`` returns, of the same
    values, takes the place of those given. ``keeps_gradients`` says that it hooks what a call hands out,
    ``starts_graph`` that gradients are to arrive there though nothing before it needs one.
    """

    @property
    def keeps_gradients(self) -> bool: ...

    @property
    def starts_graph(self) -> bool: ...

    def begin(self, module: RecurrentModule, given: States) -> States: ...

    def receive(self, seen: SeenCall) -> None: ...

    def returned(self, module: RecurrentModule, states: States) -> None: ...


@dataclass(eq=False, slots=True)
class Client:
    """What one block or widget wants of the calls of a model: to look, to edit, or both.

    ``thread`` is the thread whose calls concern it, None for any.
    """

    thread: int | None
    recorder: Recorder | None = None
    editor: Editor | None = None

    def concerned(self) -> bool:
        """Whether calls on this thread are the client's."""
        return self.thread is None or self.thread == threading.get_ident()

    def refused(self, error: Exception) -> None:
        """A call cannot be read."""
        raise error


class Block(Protocol):
    """Where a client's interest begins and ends."""

    def leave_if_abandoned(self) -> bool: ...


def no_block() -> None:
    """Of a client that is attached until it is detached."""


@dataclass(eq=False, slots=True)
class Interest:
    """A client and the module under the path that it has in the client's own model; its ``block``, if it has one."""

    module: RecurrentModule
    client: Client
    block: Callable[[], Block | None]

    def holds(self) -> bool:
        """Whether calls on this thread are the client's; a block whose ``with`` is no more on the stack is left."""
        if not self.client.concerned():
            return False
        block = self.block()
        if block is None:
            return self.block is no_block  # an interrupt may have come while a block that was let go of was left
        return not block.leave_if_abandoned()


class Parties:
    """The clients of one call. A call that a backward makes again, as activation checkpointing does, is not told."""

    def __init__(self, interests: tuple[Interest, ...], *, recomputing: bool) -> None:
        self.interests, self.recomputing = interests, recomputing
        self.editors: list[tuple[RecurrentModule, Editor]] = []
        self.recorders: list[tuple[RecurrentModule, Recorder]] = []
        for each in interests:
            if each.client.editor is not None:
                self.editors.append((each.module, each.client.editor))
            if each.client.recorder is not None and not recomputing:
                self.recorders.append((each.module, each.client.recorder))

    @property
    def keep_gradients(self) -> bool:
        """Whether a recorder hooks what this call hands out."""
        return torch.is_grad_enabled() and any(recorder.keeps_gradients for _, recorder in self.recorders)

    @property
    def starts_graph(self) -> bool:
        """Whether a graph is to begin at what this call hands out."""
        return any(recorder.starts_graph for _, recorder in self.recorders)

    def begin(self, given: States, sequence: object) -> States:
        """Tell everybody that a call begins; the states to begin it with."""
        for module, recorder in self.recorders:
            given = recorder.begin(module, given)
        for module, editor in self.editors:
            editor.begin(module, given, sequence, again=self.recomputing)
        return given

    def edits(self, call: RecurrentCall) -> tuple[LayerEdits, ...]:
        """The edits of each layer, those of outer blocks first."""
        if not self.editors:
            return (NO_EDITS,) * len(self.interests[0].module.layers)
        by_editor = [editor.call_edits(module, call) for module, editor in self.editors]
        if len(by_editor) == 1:
            return by_editor[0]
        return tuple(
            LayerEdits(
                tuple(edit for of_editor in by_editor for edit in of_editor[place].edits),
                path=next((of_editor[place].path for of_editor in by_editor if of_editor[place].path), ()),
            )
            for place in range(len(by_editor[0]))
        )

    def run_by_layer(self, call: RecurrentCall, edits: tuple[LayerEdits, ...]) -> StackTrace:
        """Run a call layer by layer, those that have edits by the first editor."""
        module, editor = next(iter(self.editors), (self.interests[0].module, None))

        def run_layer(call: RecurrentCall, index: int, inputs: Tensor, initial: States, /) -> LayerOutput:
            if editor is None:
                return call.run_layer(call.weights[index], inputs, initial)
            of_layer = edits[index * call.directions : (index + 1) * call.directions]
            if not (any(of_layer) or editor.goes_by_layer):
                return call.run_layer(call.weights[index], inputs, initial)
            return editor.run_layer(module, call, index, inputs, initial, of_layer)

        return run_stack(call, run_layer)

    def run_whole(self, call: RecurrentCall, edits: tuple[LayerEdits, ...]) -> LayerOutput | None:
        """Run a call at once, where nobody looks at its layers and the first editor can."""
        if self.recorders or not self.editors or any([editor.goes_by_layer for _, editor in self.editors]):
            return None
        module, editor = self.editors[0]
        return editor.run_whole(module, call, edits, alone=self.only_editor is editor)

    @property
    def only_editor(self) -> Editor | None:
        """The editor, where there is one, and nobody else."""
        return self.editors[0][1] if len(self.editors) == len(self.interests) == 1 else None

    def tell(
        self,
        call: RecurrentCall,
        result: LayerOutput,
        handed: tuple[Tensor | None, ...],
        edits: tuple[LayerEdits, ...],
        trace: StackTrace | None,
        beside: tuple[Tensor, ...] = (),
    ) -> None:
        """Tell recorders what happened."""
        for module, recorder in self.recorders:
            named = {layer.name: own for layer, own in zip(module.layers, edits, strict=True) if own.edits}
            precision = autocast_of(call.input.device.type)
            modes = torch.is_grad_enabled(), precision, torch.is_inference_mode_enabled()
            recorder.receive(SeenCall(module, call, result, handed, named, trace, *modes, beside))

    def refuse(self, error: Exception) -> None:
        """Tell everybody that the call cannot be read."""
        for each in self.interests:
            each.client.refused(error)

    def returned(self, states: States) -> None:
        """Tell everybody which states the user gets."""
        for module, recorder in self.recorders:
            recorder.returned(module, states)
        for module, editor in self.editors:
            editor.returned(module, states, again=self.recomputing)


def autocast_of(device: str) -> torch.dtype | None:
    """The precision that autocast casts to on a device, None where it does not."""
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def mixes_halves(tensor: Tensor) -> bool:
    """Whether a tensor is of one half precision and autocast casts to the other."""
    return _are_two_halves(tensor.dtype, autocast_of(tensor.device.type)) if is_half(tensor.dtype) else False


def is_half(dtype: torch.dtype) -> bool:
    """Whether a precision is one of the half ones."""
    return dtype in (torch.float16, torch.bfloat16)


def _are_two_halves(dtype: torch.dtype, autocast: torch.dtype | None) -> bool:
    return is_half(dtype) and autocast not in (None, dtype)


def recomputing() -> bool:
    """Whether this call is made by a backward, as activation checkpointing does, and so is none of the user's."""
    return torch._C._current_graph_task_id() != -1  # noqa: SLF001 - torch has no other way to ask
