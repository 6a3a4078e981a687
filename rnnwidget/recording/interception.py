"""The one place that sees recurrent calls.

A pre-hook and an always-called hook on each recurrent module enter and leave one thread-local function mode. Inside it
the fused kernel's call is handed to the clients of that module: recorders look, editors run it layer by layer. Hooks
are there only while a module has a client, and hold no state: they look the module up in a registry, so that a copied
or pickled model carries nothing of ours that acts.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from rnnwidget.cells.edits import LayerEdits
from rnnwidget.recording.fused import KERNELS, FusedCall, LayerOutput, StackTrace, parse_fused_call, run_stack
from rnnwidget.recording.modules import Layer, RecurrentModule
from rnnwidget.recording.randomness import randomness_is_private


@runtime_checkable
class Editor(Protocol):
    """Gives the edits of each layer of a call, and carries a layer out under edits."""

    def begin(self, module: RecurrentModule, call: FusedCall) -> None: ...

    def layer_edits(self, layer: Layer, call: FusedCall) -> LayerEdits: ...

    def run_layer(
        self, call: FusedCall, index: int, inputs: Tensor, initial: tuple[Tensor, ...], edits: tuple[LayerEdits, ...]
    ) -> LayerOutput: ...

    def end(self, module: RecurrentModule, result: tuple[Tensor, ...]) -> None: ...


@dataclass(frozen=True)
class SeenCall:
    """One recurrent call as it happened. ``trace`` is there if it ran layer by layer."""

    module: RecurrentModule
    call: FusedCall
    result: tuple[Tensor, ...]
    edits: Mapping[str, LayerEdits]
    trace: StackTrace | None
    random_state: Tensor | None
    grad_enabled: bool


@runtime_checkable
class Recorder(Protocol):
    """Is told of each call, after it ran and before its module returns."""

    def receive(self, seen: SeenCall) -> None: ...


@dataclass(frozen=True, eq=False)
class Client:
    """What one block or widget wants of the calls of a model: to look, to edit, or both.

    ``thread`` is the thread whose calls concern it, None for any.
    """

    thread: int | None
    recorder: Recorder | None = None
    editor: Editor | None = None

    def concerned(self) -> bool:
        return self.thread is None or self.thread == threading.get_ident()


@dataclass(frozen=True, eq=False)
class _Interest:
    """A client and the module under the path that it has in the client's own model."""

    module: RecurrentModule
    client: Client


@dataclass(eq=False)
class _Attachment:
    """Who looks at one module. Hooks stay while another thread is inside a call that has to be left."""

    module: nn.Module
    interests: list[_Interest] = field(default_factory=list)
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

    def __init__(self, attachment: _Attachment, interests: tuple[_Interest, ...], sequence: object) -> None:
        super().__init__()
        self.attachment = attachment
        self.module = interests[0].module
        self.interests = interests
        self.sequence = sequence
        self.frame: FrameType | None = next(_module_calls(self.module.module), None)

    def __enter__(self) -> _InterceptedCall:  # noqa: PYI034 - torch's mode leaves its own untyped
        super().__enter__()  # type: ignore[no-untyped-call]
        _active.calls.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _active.calls.remove(self)
        self.frame = None
        super().__exit__(*exception)  # type: ignore[no-untyped-call]
        with _lock:
            self.attachment.running.discard(self)
            self.attachment.leave_if_unused()

    def is_innermost(self) -> bool:
        """Whether this is the call whose kernel is about to run, and not one around it or one that was interrupted."""
        return next((call for call in reversed(_active.calls) if _on_stack(call.frame)), None) is self

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func not in KERNELS or not self.is_innermost():
            return func(*args, **(kwargs or {}))
        if torch.is_autocast_enabled(args[0].device.type):
            raise NotImplementedError(
                f"{self.module.path or type(self.module.module).__name__} runs under torch.autocast, "
                "which is not recorded or edited yet; leave autocast for this call"
            )
        call = parse_fused_call(func, args, self.module.module, self.module.family, self.sequence)
        return self._carry_out(call, args)

    def _carry_out(self, call: FusedCall, arguments: tuple[Any, ...]) -> tuple[Tensor, ...]:
        random_state = torch.get_rng_state() if call.drops and call.input.device.type == "cpu" else None
        for interest in self.interests:
            if interest.client.editor is not None:
                interest.client.editor.begin(interest.module, call)
        edits = self._merged_edits(call)
        trace = None
        if any(edits) or (call.drops and random_state is None) or (call.drops and randomness_is_private()):
            trace = run_stack(call, self._runner(edits))
            result = trace.result
        else:
            result = call.kernel(*arguments)
        for interest in self.interests:
            if interest.client.editor is not None:
                interest.client.editor.end(interest.module, result)
            if interest.client.recorder is not None:
                named = {
                    layer.name: of_layer
                    for layer, of_layer in zip(interest.module.layers, edits, strict=True)
                    if of_layer
                }
                seen = SeenCall(interest.module, call, result, named, trace, random_state, torch.is_grad_enabled())
                interest.client.recorder.receive(seen)
        return result

    def _merged_edits(self, call: FusedCall) -> tuple[LayerEdits, ...]:
        """The edits of each layer, those of outer blocks first."""
        by_editor = [
            [interest.client.editor.layer_edits(layer, call) for layer in interest.module.layers]
            for interest in self.interests
            if interest.client.editor is not None
        ]
        return tuple(
            LayerEdits(
                tuple(edit for of_editor in by_editor for edit in of_editor[place].edits),
                stepped=any(of_editor[place].stepped for of_editor in by_editor),
            )
            for place in range(len(self.module.layers))
        )

    def _runner(self, edits: tuple[LayerEdits, ...]) -> Any:
        editors = (interest.client.editor for interest in self.interests)
        editor = next((editor for editor in editors if editor is not None), None)

        def run_layer(call: FusedCall, index: int, inputs: Tensor, initial: tuple[Tensor, ...], /) -> LayerOutput:
            of_layer = edits[index * call.directions : (index + 1) * call.directions]
            if editor is None or not any(of_layer):
                return call.run_layer(call.weights[index], inputs, initial)
            return editor.run_layer(call, index, inputs, initial, of_layer)

        return run_layer


class ModelHook:
    """A hook without state: it looks its module up when called, so a copy of it finds nothing and does nothing."""

    def __deepcopy__(self, memo: dict[int, Any]) -> ModelHook:
        return type(self)()

    def __reduce__(self) -> Any:
        # Any callable that takes what it is given and returns None; a builtin one loads where rnnwidget is missing.
        return getattr, (contextlib.nullcontext(), "__exit__")


class _Enter(ModelHook):
    def __call__(self, module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        _discard_stale()
        with _lock:
            attachment = _attachments.get(module)
            if attachment is None:
                return
            interests = tuple(interest for interest in attachment.interests if interest.client.concerned())
            if not interests:
                return
            call = _InterceptedCall(attachment, interests, arguments[0] if arguments else keywords.get("input"))
            attachment.running.add(call)
        call.__enter__()


class _Leave(ModelHook):
    def __call__(self, module: nn.Module, arguments: tuple[Any, ...], output: object) -> None:
        _discard_stale()
        if _active.calls and _active.calls[-1].module.module is module:
            _active.calls[-1].__exit__(None, None, None)


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
            attachment.interests = [*attachment.interests, _Interest(module, client)]


def detach(modules: Iterable[RecurrentModule], client: Client) -> None:
    """Undo :func:`attach`; the hooks go with a module's last client."""
    with _lock:
        for module in modules:
            attachment = _attachments.get(module.module)
            if attachment is None:
                continue
            attachment.interests = [other for other in attachment.interests if other.client is not client]
            attachment.leave_if_unused()


def without_hooks(copied: nn.Module) -> nn.Module:
    """Take the inert copies of our hooks off a copied model."""
    for module in copied.modules():
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            for key in [key for key, hook in hooks.items() if isinstance(hook, ModelHook)]:
                del hooks[key]
                module._forward_pre_hooks_with_kwargs.pop(key, None)
                module._forward_hooks_always_called.pop(key, None)
    return copied


@contextlib.contextmanager
def attached(modules: Iterable[RecurrentModule], client: Client) -> Iterator[None]:
    """Attach for the length of a block, whatever happens in it."""
    modules = tuple(modules)
    attach(modules, client)
    try:
        yield
    finally:
        _discard_stale()
        detach(modules, client)


def _discard_stale() -> None:
    """Leave modes whose module is no longer running: PyTorch calls no hook after a KeyboardInterrupt."""
    while _active.calls and not _on_stack(_active.calls[-1].frame):
        _active.calls[-1].__exit__(None, None, None)


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - only the stack tells who is still running
    while frame is not None:
        yield frame
        frame = frame.f_back


def _on_stack(frame: FrameType | None) -> bool:
    return any(other is frame for other in _frames())


def _module_calls(module: nn.Module) -> Iterator[FrameType]:
    """The calls of ``module`` that are on this thread's stack, innermost first."""
    return (
        frame for frame in _frames() if frame.f_code.co_name == "_call_impl" and frame.f_locals.get("self") is module
    )
