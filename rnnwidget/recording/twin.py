"""A copy of a model to try things on: it shares the parameters' memory and nothing else with the original."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from rnnwidget.recording.clients import Client, Editor, recomputing
from rnnwidget.recording.contents import contents
from rnnwidget.recording.copies import all_same_settings, copy_of, modules_of
from rnnwidget.recording.eager import not_compiled
from rnnwidget.recording.giving_up import check_wanted
from rnnwidget.recording.guarded_memory import Apart, GuardedMemory, place_of
from rnnwidget.recording.handed_in import HandedIn
from rnnwidget.recording.interception import attached
from rnnwidget.recording.model_state import ModelState, looked_at, tensors_of, versions_of
from rnnwidget.recording.modules import recurrent_modules
from rnnwidget.recording.randomness import PrivateRandomness
from rnnwidget.recording.recording import Recording
from rnnwidget.recording.same_values import same_values
from rnnwidget.recording.shapeless import check_shapes, shapeless
from rnnwidget.recording.unseen import none_seen

_written_to: weakref.WeakKeyDictionary[nn.Module, set[int]] = weakref.WeakKeyDictionary()
"""The places in memory of a model's parameters into which its forward writes."""

_Held = TypeVar("_Held")
NOTHING = nullcontext()
COPIES = 3


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
    gradients. Buffers are its own, and so are parameters into which the forward writes. A model that cannot be copied
    is run itself, one run at a time, its buffers put back afterwards; ``why_not_copied`` then says why. One whose
    parameters have no shape yet is copied when it is run.
    """

    def __init__(self, model: nn.Module) -> None:
        self._original = model
        self._lock = threading.RLock()
        self._handed_in = HandedIn()
        self.why_not_copied = ""
        self.model, self.modules = model, recurrent_modules(model)
        self._made = False
        self._written = _written_to.setdefault(model, set())
        if not shapeless(model):
            self._make()

    @property
    def parts(self) -> list[nn.Module]:
        """The original's modules, in the order of :attr:`counted`'s ``training``."""
        return modules_of(self._original)

    @property
    def state(self) -> ModelState:
        """Differs once a parameter or a buffer has been replaced or changed in place.

        ``p.data.clamp_()`` moves values behind PyTorch's back, so contents are looked at too; those of recurrent
        modules are left to recordings, which compare them.
        """
        self._make_once()
        found = looked_at(self._original)
        if len(found.versions) == len(self._recurrent):
            return found
        others = [tensor for tensor in tensors_of(self._original) if id(tensor) not in self._recurrent]
        return found._replace(others=contents(others)) if others else found

    @property
    def counted(self) -> ModelState:
        """The part of :attr:`state` that PyTorch keeps count of: quick, and the same on any number of threads."""
        self._make_once()
        return looked_at(self._original)

    def is_at(self, state: ModelState) -> bool:
        """Whether PyTorch has counted no step of parameters and buffers since a :attr:`state`."""
        return versions_of(tensors_of(self._original)) == state.versions

    @property
    def recurrent_contents(self) -> object:
        """Differs once values of recurrent modules have moved, however that was done."""
        return contents([tensor for tensor in tensors_of(self._original) if id(tensor) in self._recurrent])

    def _make_once(self) -> None:
        if not self._made:
            with self._lock:
                self._make()

    def _make(self) -> None:
        check_shapes(self._original)
        found = looked_at(self._original)
        self._copied = found.addresses, found.hooks
        recurrent = (each.module for each in recurrent_modules(self._original))
        self._recurrent = {id(tensor) for module in recurrent for tensor in (*module.parameters(), *module.buffers())}
        try:
            self.model = copy_of(self._original, Apart(self._written))
        except Exception as error:  # noqa: BLE001 - a user's class may raise anything when copied
            self.why_not_copied = f"{type(error).__name__}: {error}"
            self.model = self._original
        self.modules = recurrent_modules(self.model)
        copied = self.model is not self._original
        shared = [each for each in self._original.parameters() if copied and place_of(each) not in self._written]
        self._memory = GuardedMemory(shared) if shared else None
        self._apart = copied and len(shared) < sum(1 for _ in self._original.parameters())
        self._guarded, self._made = False, True

    def still(self) -> Twin:
        """A twin of a copy whose parameters are clones: whoever trains the original does not move it.

        Of one moment, if there is one: a loop that never pauses may step some parameters while others are cloned.
        """
        for _ in range(COPIES):
            state = self.counted
            copied = copy_of(self._original, lambda tensor: tensor.detach().clone())
            if self.is_at(state):
                break
        return Twin(copied)

    def run(
        self,
        x: object,
        *,
        editor: Editor | None = None,
        loss: Callable[[object], Tensor] | None = None,
        seed: int = 0,
        state: ModelState | None = None,
    ) -> tuple[object, Recording]:
        """Run once and record, in the caller's grad mode; with ``loss`` the gradients at every recurrent call too.

        Random numbers come from a generator seeded with ``seed``, so that two runs differ only by their edits.
        ``state`` spares a look at the model where somebody has just taken one.
        """

        def once() -> tuple[object, Recording]:
            recording = Recording(gradients=loss is not None, start_graph=loss is not None, whole=True)
            client = Client(threading.get_ident(), recorder=recording, editor=editor)
            try:
                with attached(self.modules, client), PrivateRandomness(seed, self._memory):
                    if loss is None:
                        return call_model(self.model, self._handed_in(x)), recording
                    with torch.inference_mode(mode=False), torch.enable_grad(), _at_work():
                        output = call_model(self.model, self._handed_in(x))
                        _differentiate(loss(output), recording, self.model)
                        return output, recording
            finally:
                recording.close()
                if editor is not None and self.model is not self._original and torch.is_grad_enabled():
                    self._guard_against_backwards()

        return self._carried_out(once, editor, state)

    def on_copy(self, done: Callable[[nn.Module], _Held], state: ModelState | None) -> _Held:
        """What is ``done`` with the copy, which has taken over what the original has become, instead of a run."""
        with self._lock:
            check_wanted()
            self._follow(state)
            return done(self.model)

    def _carried_out(self, once: Callable[[], _Held], editor: Editor | None, state: ModelState | None) -> _Held:
        """Follow the original and run; once more where the forward was about to write into a parameter."""
        with self._lock, self._buffers_kept(), not_compiled():
            while True:
                check_wanted()
                self._follow(state)
                try:
                    result = once()
                except Exception:
                    if not self._writes():
                        raise
                else:
                    if not self._writes():
                        return result
                assert self._memory is not None
                # One that writes into two may write into all of them: each that is found costs a run that was begun.
                found = self._memory.written if not self._written else self._memory.places
                self._written |= found
                self._make()
                if editor is not None:
                    editor.restart()

    def _writes(self) -> bool:
        return self._memory is not None and bool(self._memory.written)

    def _guard_against_backwards(self) -> None:
        """The graph of an edited run outlives the edits: what it has to run again would be run without them."""
        if not self._guarded:
            self._guarded = True
            for each in self.modules:
                each.module.register_forward_pre_hook(_refuse_to_run_again)

    def output(
        self,
        x: object,
        *,
        editor: Editor | None = None,
        seed: int = 0,
        within: AbstractContextManager[object] = NOTHING,
    ) -> object:
        """The output alone of a run like :meth:`run`, that nobody looks into; ``within`` is around the model's call."""

        def once() -> object:
            client = Client(threading.get_ident(), editor=editor)
            with attached(self.modules, client), PrivateRandomness(seed, self._memory), within:
                return call_model(self.model, self._handed_in(x))

        return self._carried_out(once, editor, None)

    def _buffers_kept(self) -> AbstractContextManager[None]:
        return self._with_buffers_kept() if self.why_not_copied else nullcontext()

    @contextmanager
    def _with_buffers_kept(self) -> Iterator[None]:
        # The user's own graphs may hold the buffers: clones stand in for them, so that their version does not move.
        parts = [(part, dict(part._buffers), dict(part._parameters)) for part in self._original.modules()]
        flat = [(part, part._flat_weights) for part, _, _ in parts if isinstance(part, nn.RNNBase)]  # noqa: SLF001
        flat = [(part, list(weights)) for part, weights in flat]
        try:
            for part, buffers, _ in parts:
                for name, buffer in buffers.items():
                    part._buffers[name] = None if buffer is None else buffer.detach().clone()
            yield
        finally:
            for part, buffers, parameters in parts:
                _put_back(part._buffers, buffers)
                _put_back(part._parameters, parameters)  # a forward that drops weights makes new ones
            for recurrent, weights in flat:
                vars(recurrent)["_flat_weights"] = weights

    def _follow(self, state: ModelState | None) -> None:
        """Take over what the original has become since: replaced parameters, buffers, train or eval."""
        self._make_once()
        if self.model is self._original:
            return
        state = state or looked_at(self._original)
        parts = modules_of(self.model)
        as_copied = (state.addresses, state.hooks) == self._copied
        # What a forward has written into its copy may be in the graph of a result through which a backward is to come.
        if self._apart or not as_copied or not all_same_settings(self.parts, parts):
            self._make()
            parts = modules_of(self.model)
        for module, training in zip(parts, state.training, strict=True):
            if module.training != training:  # PyTorch makes much of setting it
                module.training = training
        if any([module._buffers for module in parts]):
            with torch.no_grad():
                for ours, theirs in zip(self.model.buffers(), self._original.buffers(), strict=True):
                    if not same_values(ours, theirs):  # a copy would count as a write into a graph
                        ours.copy_(theirs)


def _put_back(held: dict[str, _Held], before: Mapping[str, _Held]) -> None:
    for name in held.keys() - before.keys():
        del held[name]
    held.update(before)


_work = threading.local()


@contextmanager
def _at_work() -> Iterator[None]:
    """In a run of ours a backward is ours too."""
    before = getattr(_work, "under_way", False)
    _work.under_way = True
    try:
        yield
    finally:
        _work.under_way = before


def _refuse_to_run_again(module: nn.Module, arguments: object) -> None:
    if recomputing() and not getattr(_work, "under_way", False):
        raise RuntimeError(
            f"activation checkpointing runs {type(module).__name__} again in this backward, on a copy of the model "
            "where edits are no longer in force: call the model and its backward inside one "
            "`with rnnwidget.edited(model, …):`"
        )


def _differentiate(loss: Tensor, recording: Recording, model: nn.Module) -> None:
    tapped = [edge for tap in recording.taps for edge in tap.tapped]
    if tapped and loss.requires_grad:
        torch.autograd.grad(loss, tapped, allow_unused=True)
    if not recording.layers:
        raise RuntimeError(none_seen(model))
    if all(tap.empty for tap in recording.taps):
        raise RuntimeError("the loss does not depend on the output of any recurrent module, so no gradient flows there")
