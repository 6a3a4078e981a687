"""Sees whole calls of a model, from whatever thread: its arguments, its output and its recurrent layers."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from rnnwidget.recording.clients import Client, SeenCall, States
from rnnwidget.recording.eager import not_compiled
from rnnwidget.recording.interception import attach, detach
from rnnwidget.recording.model_hook import ModelHook
from rnnwidget.recording.modules import RecurrentModule
from rnnwidget.recording.owned import owned
from rnnwidget.recording.recording import Recording
from rnnwidget.recording.transforms import in_a_transform
from rnnwidget.recording.twin import Arguments

SHARE, AT_ONCE = 9, 3


@dataclass(frozen=True)
class CapturedCall:
    """One call of a model; arguments and output are clones."""

    arguments: Arguments
    output: object
    recording: Recording
    grad_enabled: bool


class _Current(threading.local):
    def __init__(self) -> None:
        self.recording: Recording | None = None
        self.arguments: Arguments | None = None
        self.refusal: Exception | None = None


@dataclass(eq=False, slots=True)
class _CaptureClient(Client):
    current: _Current | None = None

    def concerned(self) -> bool:
        return self.current is not None and self.current.recording is not None

    def refused(self, error: Exception) -> None:
        """Keep the reason, and the user's call out of it."""
        if self.current is not None:
            self.current.refusal = error


class ModelCapture:
    """Tells ``receive`` of calls of ``model``, and ``refuse`` of what cannot be captured.

    A training loop must not be held up: there are at most one call in ``pause`` seconds and one in :data:`SHARE` times
    what receiving the last one took, in the long run: :data:`AT_ONCE` that follow each other are received, as two calls
    in a cell, unless that takes long. Those of one model share that time. What the very first takes, for which much is
    loaded, does not count. And only while ``wanted``. Nothing that goes wrong here may reach the call.
    """

    def __init__(
        self,
        model: nn.Module,
        modules: tuple[RecurrentModule, ...],
        receive: Callable[[CapturedCall], None],
        refuse: Callable[[Exception], None],
        wanted: Callable[[], bool],
        *,
        pause: float = 0.2,
    ) -> None:
        self._current = _Current()
        self._modules = modules
        self._receive, self._refuse = weakref.WeakMethod(receive), weakref.WeakMethod(refuse)
        self._wanted = weakref.WeakMethod(wanted)
        self._pause, self._warm = pause, False
        self.resume()
        self._client = _CaptureClient(None, recorder=self, current=self._current)
        attach(modules, self._client)
        self._model = weakref.ref(model)
        watched = _watched.get(model)
        if watched is None:
            watched = _watched[model] = _Watched(
                [
                    model.register_forward_pre_hook(_Begin(), with_kwargs=True, prepend=True),
                    model.register_forward_hook(_End(), always_call=True),
                ]
            )
        watched.captures = (*watched.captures, self)

    def resume(self) -> None:
        """The next call is wanted, however long the last one took."""
        self._resumes, self._left = -float("inf"), AT_ONCE

    keeps_gradients = starts_graph = False

    def begin(self, module: RecurrentModule, given: States) -> States:
        """Pass on that a recurrent call begins."""
        recording = self._current.recording
        return given if recording is None else recording.begin(module, given)

    def returned(self, module: RecurrentModule, states: States) -> None:
        """Pass on what the user gets."""
        if self._current.recording is not None:
            self._current.recording.returned(module, states)

    def receive(self, seen: SeenCall) -> None:
        """Pass a recurrent call to the recording of the model's call in progress on this thread."""
        if self._current.recording is None:
            return
        try:
            self._current.recording.receive(seen)
        except Exception as error:  # noqa: BLE001 - kept out of the user's call
            self._current.refusal = error

    def is_wanted(self) -> bool:
        """Whether somebody looks."""
        wanted = self._wanted()
        return wanted is not None and wanted()

    def model_begins(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        """The model's call begins; arguments of a call inside a transform of ``torch.func`` are gone with that."""
        if not self.is_wanted() or in_a_transform():
            return
        if time.monotonic() >= self._resumes:
            self._left = AT_ONCE
        if self._left == 0:
            return
        self._current.refusal = None
        try:
            self._current.arguments = Arguments(owned(arguments), owned(keywords))
        except Exception as error:  # noqa: BLE001 - kept out of the user's call
            self._current.refusal = error
        self._current.recording = Recording(whole=True)

    def model_ends(self, output: object) -> None:
        """The model's call has ended; ``output`` is None if it failed."""
        current = self._current
        recording, arguments, refusal = current.recording, current.arguments, current.refusal
        current.recording = current.arguments = current.refusal = None
        if recording is None or output is None:
            return
        started = time.monotonic()
        receive, refuse = self._receive(), self._refuse()
        try:
            if refusal is None and receive is not None and arguments is not None and recording.layers:
                receive(CapturedCall(arguments, owned(output), recording, torch.is_grad_enabled()))
        except Exception as error:  # noqa: BLE001 - kept out of the user's call
            refusal = error
        if refusal is not None and refuse is not None:
            refuse(refusal)
        now = time.monotonic()
        took = now - started if self._warm else 0.0
        self._warm = True
        self._left = self._left - 1 if took <= self._pause else 0
        model = self._model()
        sharing = 1 if model is None else len([other for other in _captures_of(model) if other.is_wanted()])
        self._resumes = max(now, self._resumes) + max(self._pause, SHARE * took * max(1, sharing))

    def close(self) -> None:
        """Stop seeing calls; the hooks go with a model's last capture."""
        detach(self._modules, self._client)
        model = self._model()
        watched = None if model is None else _watched.get(model)
        if model is None or watched is None:
            return
        watched.captures = tuple(other for other in watched.captures if other is not self)
        if not watched.captures:
            for handle in watched.handles:
                handle.remove()
            del _watched[model]


@dataclass(eq=False)
class _Watched:
    handles: list[RemovableHandle]
    captures: tuple[ModelCapture, ...] = ()


_watched: weakref.WeakKeyDictionary[nn.Module, _Watched] = weakref.WeakKeyDictionary()


def _captures_of(module: nn.Module) -> tuple[ModelCapture, ...]:
    watched = _watched.get(module)
    return () if watched is None else watched.captures


class _Begin(ModelHook):
    def __call__(self, module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        with not_compiled():
            for capture in _captures_of(module):
                capture.model_begins(arguments, keywords)


class _End(ModelHook):
    def __call__(self, module: nn.Module, arguments: tuple[Any, ...], output: object) -> None:
        with not_compiled():
            for capture in _captures_of(module):
                capture.model_ends(output)
