"""The one place that sees recurrent calls.

Between a pre-hook and an always-called hook on each recurrent module the fused kernel's call is handed to the clients
of that module: recorders look, editors run it layer by layer. Hooks
are there only while a module has a client, and hold no state: they look the module up in a registry, so that a copied
or pickled model carries nothing of ours that acts.
"""

from __future__ import annotations

import inspect
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from rnnwidget.recording.call_stack import WithStatement, interrupted_ends, with_statement
from rnnwidget.recording.clients import Block, Client, Interest, Parties, no_block, recomputing
from rnnwidget.recording.eager import EagerBlock, begin_running_eagerly, end_running_eagerly, keep_dynamo_out
from rnnwidget.recording.intercepted_call import InterceptedCall, calls_under_way
from rnnwidget.recording.model_hook import ModelHook
from rnnwidget.recording.modules import RecurrentModule
from rnnwidget.recording.own_modules import WrongArgumentsError


@dataclass(eq=False, slots=True)
class _Attachment:
    """Who looks at one module. Hooks stay while another thread is inside a call that has to be left."""

    module: nn.Module
    interests: list[Interest] = field(default_factory=list)
    handles: list[RemovableHandle] = field(default_factory=list)
    running: list[weakref.ref[InterceptedCall]] = field(default_factory=list)

    def ended(self, call: InterceptedCall) -> None:
        """A call has ended; a thread that has ended leaves none behind."""
        with _lock:
            self.running = [each for each in self.running if each() not in (None, call)]
            self.leave_if_unused()

    def leave_if_unused(self) -> None:
        if not self.interests and not any([each() for each in self.running]):
            for handle in self.handles:
                handle.remove()
            if _attachments.get(id(self.module)) is self:
                del _attachments[id(self.module)]


_lock = threading.RLock()
_attachments: dict[int, _Attachment] = {}
"""By the identity of a module, which lives as long as it stands here: its attachment holds it."""


class _Enter(ModelHook):
    def __call__(self, module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        calls_under_way()
        with _lock:
            attachment = _attachments.get(id(module))
            if attachment is None:
                return None
            again = recomputing()
            interests = [
                interest
                for interest in list(attachment.interests)
                if interest.holds() and not (again and interest.client.editor is None)
            ]
            if not interests:
                return None
            parties = Parties(tuple(interests), recomputing=again)
            try:
                call = InterceptedCall(parties, arguments, keywords, attachment.ended)
            except WrongArgumentsError:
                return None  # the module itself will say so
            except Exception as error:  # noqa: BLE001 - a person's own takes= may raise anything
                parties.refuse(error)
                return None
            attachment.running.append(weakref.ref(call))
        try:
            changed = call.begin(arguments, keywords)
        except BaseException:
            attachment.ended(call)  # it never was entered, so that nobody will leave it
            raise
        call.enter()
        return changed


class _Leave(ModelHook):
    def __call__(self, module: nn.Module, arguments: tuple[Any, ...], output: object) -> object:
        calls = calls_under_way()
        if not calls or calls[-1].module.module is not module:
            return None
        call = calls[-1]
        call.leave()
        return call.end(output)


_ENTER, _LEAVE = _Enter(), _Leave()


def attach(modules: Iterable[RecurrentModule], client: Client, block: Callable[[], Block | None] = no_block) -> None:
    """Let ``client`` see the calls of ``modules`` until it is detached, or until its ``block`` has been abandoned."""
    keep_dynamo_out()
    calls_under_way()
    with _lock:
        if _attachments:
            there = [interest for attachment in list(_attachments.values()) for interest in list(attachment.interests)]
            for interest in {id(interest.block): interest for interest in there}.values():
                interest.holds()
        for interest in [Interest(module, client, block) for module in modules]:
            _attach(interest)


def _attach(interest: Interest) -> None:
    module = interest.module.module
    # A collection of garbage may end the last block of a module in the middle of this, lock or not.
    while (attachment := _attachments.get(id(module))) is not None:
        attachment.interests.append(interest)
        if _attachments.get(id(module)) is attachment:
            return
    attachment = _Attachment(module, [interest])
    attachment.handles = [
        module.register_forward_pre_hook(_ENTER, with_kwargs=True),
        module.register_forward_hook(_LEAVE, always_call=True),
    ]
    _attachments[id(module)] = attachment


def detach(modules: Iterable[RecurrentModule], client: Client) -> None:
    """Undo :func:`attach`; the hooks go with a module's last client."""
    calls_under_way()
    with _lock:
        for module in modules:
            attachment = _attachments.get(id(module.module))
            if attachment is None:
                continue
            for interest in list(attachment.interests):
                if interest.client is client:
                    attachment.interests.remove(interest)
            attachment.leave_if_unused()


def check_not_entered(block: attached | None, called: str) -> None:
    """RuntimeError where a block has begun and not ended: what it took would never be put back."""
    if block is not None and block.is_open():
        raise RuntimeError(f"this {called} block has begun and not ended: give each block a {called} of its own")


class attached:  # noqa: N801 - reads as the block that it is
    """Attach for the length of a block, whatever happens in it.

    An interrupt may come between the last statement of a block and its ``__exit__``, which is never called then. Such a
    block is left when it is let go of, or when its modules are called and its ``with`` is no more on the stack, or is
    handling the interrupt: a traceback that somebody keeps would hold it.

    A class: beside a short call the generators of ``contextmanager`` would show.
    """

    _begun_by: WithStatement | None = None

    def __init__(self, modules: Sequence[RecurrentModule], client: Client) -> None:
        self._modules, self._client = modules, client
        self._open = False
        self._eagerly = EagerBlock()
        self._undo: Callable[[], None] | None = None

    def at_its_end(self, undo: Callable[[], None]) -> None:
        """What else is to be undone when the block is left; it must not hold the block."""
        self._undo = undo

    def leave_if_abandoned(self) -> bool:
        """Leave the block if nobody will."""
        if self._begun_by is None or not self._client.concerned():
            return False
        if not (self._begun_by.is_over or (sys.exc_info()[1] is not None and self._is_being_handled())):
            return False
        self.leave()
        return True

    def _is_being_handled(self) -> bool:
        """Whether its begin or end was interrupted, and the function of the ``with`` is handling that."""
        for frame in interrupted_ends():
            owner = frame.f_locals.get("self")
            its_own = owner, frame.f_locals.get("block"), inspect.getattr_static(owner, "_attached", None)
            if any(each is self for each in its_own):
                return True
        return False

    def is_open(self) -> bool:
        """Whether the block has begun and will be left."""
        return self._open and not self.leave_if_abandoned()

    def leave(self) -> None:
        """Undo everything; all of it can be undone twice, since an interrupt may come in the middle."""
        if not self._open:
            return
        try:
            if self._undo is not None:
                self._undo()
        finally:
            end_running_eagerly(self._eagerly)
            detach(self._modules, self._client)
        self._open, self._begun_by, self._undo = False, None, None

    def __enter__(self) -> None:
        self._open, self._begun_by = True, with_statement()
        try:
            attach(self._modules, self._client, no_block if self._begun_by is None else weakref.ref(self))
            begin_running_eagerly(self._eagerly)
        except BaseException:
            self.leave()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def __del__(self) -> None:
        # One that was begun by hand stays until it is ended by hand.
        if self._begun_by is not None and not sys.is_finalizing():
            self.leave()
