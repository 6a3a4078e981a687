"""The one place that sees recurrent calls.

A pre-hook and an always-called hook on each recurrent module enter and leave one thread-local function mode. Inside it
the fused kernel's call is handed to the clients of that module: recorders look, editors run it layer by layer. Hooks
are there only while a module has a client, and hold no state: they look the module up in a registry, so that a copied
or pickled model carries nothing of ours that acts.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from rnnwidget.recording.call_stack import call_on_stack, is_on_stack
from rnnwidget.recording.clients import Client, Interest, Parties, States, recomputing
from rnnwidget.recording.eager import compiled_code_runs_eagerly
from rnnwidget.recording.kernels import KERNELS, parse_kernel_call
from rnnwidget.recording.model_hook import ModelHook
from rnnwidget.recording.modules import RecurrentModule
from rnnwidget.recording.own_modules import (
    OwnArguments,
    WrongArgumentsError,
    common_result,
    edited_others,
    own_call,
    read_arguments,
    read_result,
    with_tensors,
)
from rnnwidget.recording.randomness import nothing_drawn, randomness_is_private
from rnnwidget.recording.recurrent_call import RecurrentCall


@dataclass(eq=False)
class _Attachment:
    """Who looks at one module. Hooks stay while another thread is inside a call that has to be left."""

    module: nn.Module
    interests: list[Interest] = field(default_factory=list)
    handles: list[RemovableHandle] = field(default_factory=list)
    running: weakref.WeakSet[_InterceptedCall] = field(default_factory=weakref.WeakSet)

    def leave_if_unused(self) -> None:
        if not self.interests and not self.running:
            for handle in self.handles:
                handle.remove()
            if _attachments.get(self.module) is self:
                del _attachments[self.module]


_lock = threading.RLock()
_attachments: weakref.WeakKeyDictionary[nn.Module, _Attachment] = weakref.WeakKeyDictionary()


class _Active(threading.local):
    def __init__(self) -> None:
        self.calls: list[_InterceptedCall] = []


_active = _Active()


class _InterceptedCall(TorchFunctionMode):
    """In force from the pre-hook of a recurrent module to its forward hook."""

    def __init__(
        self, attachment: _Attachment, parties: Parties, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> None:
        super().__init__()
        self.attachment = attachment
        self.module = parties.interests[0].module
        self.parties = parties
        self.sequence, self.given = _read(self.module, arguments, keywords)
        self.started = self.given
        redraws = self.module.registration is not None and parties.editors and not randomness_is_private()
        self.random_state = torch.get_rng_state() if redraws else None
        self.frame: FrameType | None = call_on_stack(self.module.module)

    def begin(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, Any] | None:
        """Tell that the call begins; the arguments to make it with where they are to be others."""
        given = self.given
        self.given = self.parties.begin(given, self.sequence)
        if self.module.registration is not None:
            self.started = tuple(state.clone() for state in self.given)
        if all(new is old for new, old in zip(self.given, given, strict=True)):
            return None
        new = {id(old): fresh for old, fresh in zip(given, self.given, strict=True)}
        return with_tensors(arguments, new), with_tensors(keywords, new)

    def __enter__(self) -> _InterceptedCall:  # noqa: PYI034 - torch's mode leaves its own untyped
        # A registered module runs no kernel of its own, and a mode would slow every operation of its loop down.
        if self.module.registration is None:
            super().__enter__()  # type: ignore[no-untyped-call]
        _active.calls.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _active.calls.remove(self)
        self.frame = None
        if self.module.registration is None:
            super().__exit__(*exception)  # type: ignore[no-untyped-call]
        with _lock:
            self.attachment.running.discard(self)
            self.attachment.leave_if_unused()

    def is_innermost(self) -> bool:
        """Whether this is the call whose kernel is about to run, and not one around it or one that was interrupted."""
        for call in reversed(_active.calls):
            if is_on_stack(call.frame):
                return call is self
        return False

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func not in KERNELS or not self.is_innermost():
            return func(*args, **kwargs) if kwargs else func(*args)
        try:
            call = parse_kernel_call(func, args, self.module.module, self.module.family, self.sequence)
        except NotImplementedError as error:
            self.parties.refuse(error)
            return func(*args, **(kwargs or {}))
        with nothing_drawn() if not call.drops else contextlib.nullcontext():
            return self._carried_through(call, func, args, kwargs or {})

    def _carried_through(self, call: RecurrentCall, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the kernel, or what takes its place, and tell of it; what the kernel returns."""
        edits = self.parties.edits(call)
        trace = None
        if any(edits) or _runs_by_layer(call) or any(editor.goes_by_layer for _, editor in self.parties.editors):
            trace = self.parties.run_by_layer(call, edits)
        if trace is not None:
            result, returned = trace.result, call.returned(trace.result)
        else:
            # On the very tensors that PyTorch handed over: views of them would sum gradients in another order.
            returned = func(*args, **kwargs)
            if call.form == "cell" and self.parties.keep_gradients:
                # A cell's new c lies on the way to its new h: nodes of their own tell what arrives at either.
                returned = with_tensors(returned, {id(state): state.view_as(state) for state in _tensors(returned)})
            result = call.read(returned)
        handed = returned if call.form == "stack" else (None, *_tensors(returned))
        self.parties.tell(call, result, handed, edits, trace)
        return returned

    def end(self, output: object) -> object:
        """What the module returned; what it is to return instead, or None."""
        if output is None:
            return None
        if self.module.registration is None:
            states = output[1] if isinstance(self.module.module, nn.RNNBase) and isinstance(output, tuple) else output
            self.parties.returned(_tensors(states))
            return None
        return self._end_own(output)

    def _end_own(self, returned: object) -> object:
        registration, module = self.module.registration, self.module.module
        assert registration is not None
        arguments = OwnArguments(self.sequence, self.started)
        try:
            result = read_result(registration, module, arguments, returned)
            call = own_call(registration, module, arguments, result)
            common = common_result(call, result)
        except Exception as error:  # noqa: BLE001 - a person's own returns= may raise anything
            self.parties.refuse(error)
            return None
        edits = self.parties.edits(call)
        new: dict[int, Tensor] = {}
        trace = None
        if any(edits):
            with self._noise_as_before():
                trace = self.parties.run_by_layer(call, edits)
            common = trace.result
            others = edited_others(registration, module, result, common.output)
            new = result.exchanges(common.output, common.finals, others)
            # A module that keeps its state in an attribute goes on from there.
            vars(module).update({name: new[id(value)] for name, value in vars(module).items() if id(value) in new})
        elif self.parties.keep_gradients:
            # The final state may lie on the way to the output, or the other way round: each gets a node of its own.
            states = [tensor for tensor in (result.output, *result.finals) if tensor is not None]
            new = {id(tensor): tensor.view_as(tensor) for tensor in states}
        if new:
            returned = with_tensors(returned, new)
            result = replace(
                result,
                output=None if result.output is None else new[id(result.output)],
                finals=tuple(new[id(state)] for state in result.finals),
            )
        handed = (result.output, *(None if state is result.output else state for state in result.finals))
        self.parties.tell(call, common, handed, edits, trace)
        self.parties.returned(result.finals)
        return returned if new else None

    @contextlib.contextmanager
    def _noise_as_before(self) -> Iterator[None]:
        """A run again draws what the module itself drew, and leaves the process's generator where that left it."""
        if self.random_state is None:
            yield
            return
        after = torch.get_rng_state()
        torch.set_rng_state(self.random_state)
        try:
            yield
        finally:
            torch.set_rng_state(after)


def _runs_by_layer(call: RecurrentCall) -> bool:
    """On CPU a stack costs the same layer by layer; elsewhere it is done only where dropout has to be seen."""
    if len(call.weights) == 1:
        return False
    return call.input.device.type == "cpu" or call.drops or (call.training and randomness_is_private())


def _read(module: RecurrentModule, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, States]:
    """Input and given states; of a registered module by its own reading, the input cloned before it can change."""
    if module.registration is None:
        x = arguments[0] if arguments else keywords.get("input")
        return x, _tensors(arguments[1] if len(arguments) > 1 else keywords.get("hx"))
    own = read_arguments(module.registration, module.module, arguments, keywords)
    return own.x.clone(), own.states


def _tensors(states: object) -> States:
    if isinstance(states, Tensor):
        return (states,)
    return tuple(state for state in states if isinstance(state, Tensor)) if isinstance(states, (tuple, list)) else ()


class _Enter(ModelHook):
    def __call__(self, module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        _discard_stale()
        with _lock:
            attachment = _attachments.get(module)
            if attachment is None:
                return None
            again = recomputing()
            interests = tuple(
                interest
                for interest in attachment.interests
                if interest.client.concerned() and not (again and interest.client.editor is None)
            )
            if not interests:
                return None
            parties = Parties(interests, recomputing=again)
            try:
                call = _InterceptedCall(attachment, parties, arguments, keywords)
            except WrongArgumentsError:
                return None  # the module itself will say so
            except Exception as error:  # noqa: BLE001 - a person's own takes= may raise anything
                parties.refuse(error)
                return None
            attachment.running.add(call)
        changed = call.begin(arguments, keywords)
        call.__enter__()
        return changed


class _Leave(ModelHook):
    def __call__(self, module: nn.Module, arguments: tuple[Any, ...], output: object) -> object:
        _discard_stale()
        if not _active.calls or _active.calls[-1].module.module is not module:
            return None
        call = _active.calls[-1]
        call.__exit__(None, None, None)
        return call.end(output)


def attach(modules: Iterable[RecurrentModule], client: Client) -> None:
    """Let ``client`` see the calls of ``modules`` until it is detached."""
    with _lock:
        for module in modules:
            attachment = _attachments.get(module.module)
            if attachment is None:
                attachment = _Attachment(module.module)
                _attachments[module.module] = attachment
                attachment.handles = [
                    module.module.register_forward_pre_hook(_Enter(), with_kwargs=True),
                    module.module.register_forward_hook(_Leave(), always_call=True),
                ]
            attachment.interests = [*attachment.interests, Interest(module, client)]


def detach(modules: Iterable[RecurrentModule], client: Client) -> None:
    """Undo :func:`attach`; the hooks go with a module's last client."""
    with _lock:
        for module in modules:
            attachment = _attachments.get(module.module)
            if attachment is None:
                continue
            attachment.interests = [other for other in attachment.interests if other.client is not client]
            attachment.leave_if_unused()


@contextlib.contextmanager
def attached(modules: Iterable[RecurrentModule], client: Client) -> Iterator[None]:
    """Attach for the length of a block, whatever happens in it."""
    modules = tuple(modules)
    attach(modules, client)
    try:
        with compiled_code_runs_eagerly():
            yield
    finally:
        _discard_stale()
        detach(modules, client)


def _discard_stale() -> None:
    """Leave modes whose module is no longer running: PyTorch calls no hook after a KeyboardInterrupt."""
    while _active.calls and not is_on_stack(_active.calls[-1].frame):
        _active.calls[-1].__exit__(None, None, None)
