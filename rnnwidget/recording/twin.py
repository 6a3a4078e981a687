"""A copy of a model to try things on: it shares the parameters' memory and nothing else with the original."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rnnwidget.recording.clients import Client, Editor
from rnnwidget.recording.copies import copied_module, same_settings
from rnnwidget.recording.interception import attached
from rnnwidget.recording.modules import RecurrentModule, recurrent_modules
from rnnwidget.recording.randomness import PrivateRandomness
from rnnwidget.recording.recording import Recording

SAMPLED = 2**20


@dataclass(frozen=True)
class Arguments:
    """Positional and keyword arguments of a call that was seen rather than asked for."""

    positional: tuple[object, ...]
    keywords: Mapping[str, object]


def call_model(model: nn.Module, x: object) -> object:
    """Call ``model`` on ``x``: an exact tuple is its positional arguments, an exact dict its keywords."""
    if isinstance(x, Arguments):
        return model(*x.positional, **x.keywords)
    if type(x) is tuple:
        return model(*x)
    if type(x) is dict:
        return model(**x)
    return model(x)


class Twin:
    """Runs a model's computation without touching the model.

    The copy holds the parameters' own memory, detached: it follows every optimiser step, costs nothing and takes no
    gradients. Buffers are its own. A model that cannot be copied is run itself, one run at a time, its buffers put
    back afterwards; ``why_not_copied`` then says why.
    """

    def __init__(self, model: nn.Module) -> None:
        self._original = model
        self._lock = threading.RLock()
        self.why_not_copied = ""
        recurrent_modules(model)
        self._make()

    @property
    def state(self) -> object:
        """Differs once a parameter or a buffer has been replaced or changed in place.

        ``p.data.clamp_()`` moves values behind PyTorch's back, so contents are looked at too; those of recurrent
        modules are left to recordings, which compare them.
        """
        tensors = [*self._original.parameters(), *self._original.buffers()]
        versions = tuple(None if tensor.is_inference() else tensor._version for tensor in tensors)
        others = _contents([tensor for tensor in tensors if id(tensor) not in self._recurrent])
        return _addresses(self._original), versions, tuple(m.training for m in self._original.modules()), others

    @property
    def recurrent_contents(self) -> object:
        """Differs once values of recurrent modules have moved, however that was done."""
        tensors = [*self._original.parameters(), *self._original.buffers()]
        return _contents([tensor for tensor in tensors if id(tensor) in self._recurrent])

    def _make(self) -> None:
        self._addresses = _addresses(self._original)
        recurrent = (each.module for each in recurrent_modules(self._original))
        self._recurrent = {id(tensor) for module in recurrent for tensor in (*module.parameters(), *module.buffers())}
        try:
            self.model = copied_module(self._original, Tensor.detach)
        except Exception as error:  # noqa: BLE001 - a user's class may raise anything when copied
            self.why_not_copied = f"{type(error).__name__}: {error}"
            self.model = self._original
        self.modules: tuple[RecurrentModule, ...] = recurrent_modules(self.model)

    def run(
        self,
        x: object,
        *,
        editor: Editor | None = None,
        loss: Callable[[object], Tensor] | None = None,
        seed: int = 0,
    ) -> tuple[object, Recording]:
        """Run once and record, in the caller's grad mode; with ``loss`` the gradients at every recurrent call too.

        Random numbers come from a generator seeded with ``seed``, so that two runs differ only by their edits.
        """
        with self._lock, self._buffers_kept():
            self._follow()
            recording = Recording(gradients=loss is not None, start_graph=loss is not None, whole=True)
            client = Client(threading.get_ident(), recorder=recording, editor=editor)
            try:
                with attached(self.modules, client), PrivateRandomness(seed):
                    if loss is None:
                        return call_model(self.model, x), recording
                    with torch.inference_mode(mode=False), torch.enable_grad():
                        output = call_model(self.model, x)
                        _differentiate(loss(output), recording)
                        return output, recording
            finally:
                recording.close()

    def output(self, x: object, *, editor: Editor | None = None, seed: int = 0) -> object:
        """The output alone of a run like :meth:`run`, which nobody looks into."""
        with self._lock, self._buffers_kept():
            self._follow()
            client = Client(threading.get_ident(), editor=editor)
            with attached(self.modules, client), PrivateRandomness(seed):
                return call_model(self.model, x)

    @contextmanager
    def _buffers_kept(self) -> Iterator[None]:
        if not self.why_not_copied:
            yield
            return
        # The user's own graphs may hold the buffers: clones stand in for them, so that their version does not move.
        kept = [(module, dict(module._buffers)) for module in self._original.modules()]
        try:
            for module, buffers in kept:
                for name, buffer in buffers.items():
                    module._buffers[name] = None if buffer is None else buffer.detach().clone()
            yield
        finally:
            for module, buffers in kept:
                module._buffers.update(buffers)

    def _follow(self) -> None:
        """Take over what the original has become since: replaced parameters, buffers, train or eval."""
        if self.model is self._original:
            return
        if _addresses(self._original) != self._addresses or not same_settings(self._original, self.model):
            self._make()
        for module, original in zip(self.model.modules(), self._original.modules(), strict=True):
            module.training = original.training
        with torch.no_grad():
            for ours, theirs in zip(self.model.buffers(), self._original.buffers(), strict=True):
                ours.copy_(theirs)


def _differentiate(loss: Tensor, recording: Recording) -> None:
    tapped = [tensor for tap in recording.taps for tensor in tap.tapped]
    if tapped and loss.requires_grad:
        torch.autograd.grad(loss, tapped, allow_unused=True)
    if all(tap.empty for tap in recording.taps):
        raise RuntimeError("the loss does not depend on the output of any recurrent module, so no gradient flows there")


def _contents(tensors: Iterable[Tensor]) -> tuple[str, ...]:
    """Two sums for each tensor, over a sample where it is large; as text, so that NaN equals NaN."""
    found = []
    with torch.no_grad():
        for tensor in tensors:
            values = tensor.detach().reshape(-1)[:: 1 + tensor.numel() // SAMPLED]
            values = values if values.is_floating_point() else values.double()
            found.append(f"{float(values.sum())!r} {float(torch.linalg.vector_norm(values))!r}")
    return tuple(found)


def _addresses(model: nn.Module) -> tuple[tuple[int, torch.dtype, tuple[int, ...]], ...]:
    """Tells a parameter that was replaced or moved from one that was stepped in place."""
    return tuple((p.data_ptr(), p.dtype, tuple(p.shape)) for p in model.parameters())
