"""One call of a recurrent module while it runs: its kernel is seen and handed to the module's clients.

Recorders look, editors run it layer by layer.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from rnnwidget.recording.call_stack import call_on_stack, is_on_stack
from rnnwidget.recording.clients import Parties, States, mixes_halves
from rnnwidget.recording.kernel_watch import KernelWatch, watched_by
from rnnwidget.recording.kernels import PYTORCHS_OWN, begins_from_zero, parse_kernel_call, states_of
from rnnwidget.recording.modules import RecurrentModule
from rnnwidget.recording.own_modules import (
    OwnArguments,
    common_result,
    own_call,
    read_arguments,
    read_result,
)
from rnnwidget.recording.own_step import warn_of_another_step
from rnnwidget.recording.randomness import drawn_as_from, noise_now, nothing_drawn, randomness_is_private
from rnnwidget.recording.readouts import COMPUTED, edited_others
from rnnwidget.recording.recurrent_call import RecurrentCall, grown_stack
from rnnwidget.recording.results import with_tensors
from rnnwidget.recording.unseen import warn_of_no_kernel

NO_VALUES = "{} a call has no values of its own to record or edit: make it elsewhere"


class _Active(threading.local):
    def __init__(self) -> None:
        self.calls: list[InterceptedCall] = []


_active = _Active()


def calls_under_way() -> list[InterceptedCall]:
    """The calls on this thread, the outermost first; without those whose module no longer runs.

    PyTorch calls no hook after a KeyboardInterrupt.
    """
    calls = _active.calls
    while calls and not is_on_stack(calls[-1].frame):
        calls[-1].leave()
    return calls


class InterceptedCall:
    """In force from the pre-hook of a recurrent module to its forward hook; ``left`` is told when it is so no more."""

    def __init__(
        self,
        parties: Parties,
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        left: Callable[[InterceptedCall], None],
    ) -> None:
        self._left = left
        self._watch: KernelWatch | None = None
        self.module = parties.interests[0].module
        self.parties = parties
        self.sequence, self.given = _read(self.module, arguments, keywords)
        self.started = self.given
        self.handed: States | None = None
        redraws = self.module.registration is not None and parties.editors
        self.noise = noise_now() if redraws else None
        self.frame: FrameType | None = call_on_stack(self.module.module)

    def begin(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, Any] | None:
        """Tell that the call begins; the arguments to make it with where they are to be others."""
        given = self.given
        with nothing_drawn():
            self.given = self.parties.begin(given, self.sequence)
        if self.module.registration is not None:
            self.started = tuple(state.clone() for state in self.given)
        if self.given is given or all(new is old for new, old in zip(self.given, given, strict=True)):
            return None
        new = {id(old): fresh for old, fresh in zip(given, self.given, strict=True)}
        return with_tensors(arguments, new), with_tensors(keywords, new)

    def enter(self) -> None:
        """See the kernels of this thread from now on."""
        if self.module.registration is None:  # a registered module runs no kernel of its own
            self._watch = watched_by(self, self.module.module)
        _active.calls.append(self)

    def leave(self) -> None:
        """See no more of them."""
        _active.calls.remove(self)
        self.frame = None
        if self._watch is not None:
            self._watch.leave()
        self._left(self)

    def is_innermost(self) -> bool:
        """Whether this is the call whose kernel is about to run, and not one around it or one that was interrupted."""
        for call in reversed(_active.calls):
            if is_on_stack(call.frame):
                return call is self
        return False

    def see(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The innermost call's kernel is called: make the call, as the module's clients want it."""
        if args and args[0].device.type == "meta":
            self.parties.refuse(NotImplementedError(NO_VALUES.format("on device meta")))
            return func(*args, **kwargs)
        if self.handed is not None:
            args = self._begun_again(func, args, self.handed)
        elif not kwargs and begins_from_zero(self.module.module, self.given):
            as_before = self._run_as_before(func, args)
            if as_before is not None:
                return as_before
        try:
            call = parse_kernel_call(func, args, self.module.module, self.module.family, self.sequence, self.given)
        except NotImplementedError as error:
            self.parties.refuse(error)
            return func(*args, **kwargs)
        with contextlib.nullcontext() if call.drops else nothing_drawn():
            returned = self._carried_through(call, func, args, kwargs)
        self.handed = _tensors(returned[1:] if call.form == "stack" else returned)
        return returned

    def _run_as_before(self, func: Any, args: tuple[Any, ...]) -> States | None:
        editor = self.parties.only_editor
        if editor is None:
            return None
        with nothing_drawn():
            returned = editor.run_as_before(self.module, func, args)
        if returned is not None:
            self.handed = returned[1:]
        return returned

    def _begun_again(self, func: Any, args: tuple[Any, ...], handed: States) -> tuple[Any, ...]:
        """A module whose own forward loops over a kernel: each is a call, and may go on from the one before."""
        states = states_of(func, args)
        if self.parties.recomputing and all(new is old for new, old in zip(states, handed, strict=True)):
            return args  # the steps of the first time go on
        with nothing_drawn():
            self.parties.returned(handed)
            self.given = self.parties.begin(states, self.sequence)
        new = {id(old): fresh for old, fresh in zip(states, self.given, strict=True) if old is not fresh}
        return with_tensors(args, new) if new else args

    def _carried_through(self, call: RecurrentCall, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the kernel, or what takes its place, and tell of it; what the kernel returns."""
        edits = self.parties.edits(call)
        trace = None
        whole = self.parties.run_whole(call, edits) if any(edits) else None
        if whole is not None:
            return call.returned(whole)
        if any(edits) or _runs_by_layer(call) or any([editor.goes_by_layer for _, editor in self.parties.editors]):
            trace = self.parties.run_by_layer(call, edits)
        if trace is not None:
            result, returned = trace.result, call.returned(trace.result)
        elif _is_more_than_its_layers(call):
            random_state = torch.get_rng_state() if call.drops else None
            returned = func(*args, **kwargs)
            result = call.read(returned)
            trace = grown_stack(call, result, random_state)
        else:
            # On the very tensors that PyTorch handed over: views of them would sum gradients in another order.
            returned = func(*args, **kwargs)
            result = call.read(returned)
        if self.parties.keep_gradients and (call.form == "cell" or self.parties.starts_graph):
            # A cell's new c lies on the way to its new h: nodes of their own tell what arrives at either.
            returned = with_tensors(returned, {id(each): self._on_its_node(each) for each in _tensors(returned)})
        if self.parties.recorders:
            handed = returned if call.form == "stack" else (None, *_tensors(returned))
            self.parties.tell(call, result, handed, edits, trace)
        return returned

    def _on_its_node(self, tensor: Tensor) -> Tensor:
        """A tensor that the user may write into, whose gradient is told before that."""
        if self.parties.starts_graph and tensor.is_floating_point() and not tensor.requires_grad:
            tensor = tensor.detach().requires_grad_()
        return tensor.clone()

    def end(self, output: object) -> object:
        """What the module returned; what it is to return instead, or None."""
        if output is None:
            return None
        if self.module.registration is None:
            if self.handed is None and any([editor.concerns(module) for module, editor in self.parties.editors]):
                warn_of_no_kernel(self.module, output)
            states = output[1] if isinstance(self.module.module, nn.RNNBase) and isinstance(output, tuple) else output
            with nothing_drawn():
                self.parties.returned(_tensors(states))
            return None
        return self._end_own(output)

    def _end_own(self, returned: object) -> object:
        registration, module = self.module.registration, self.module.module
        assert registration is not None
        arguments = OwnArguments(self.sequence, self.started)
        try:
            if torch._C._functorch.is_batchedtensor(self.sequence):  # noqa: SLF001 - torch has no other way to ask
                raise NotImplementedError(NO_VALUES.format("inside torch.vmap"))  # noqa: TRY301 - refused like the rest
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
            assert self.noise is not None
            warn_of_another_step(self.module, call, common.output, self.noise)
            with drawn_as_from(self.noise):  # a run again draws what the module itself drew
                trace = self.parties.run_by_layer(call, edits)
            common = trace.result
            others = edited_others(registration, module, result, common.output)
            new = result.exchanges(common.output, common.finals, others)
            if self.parties.keep_gradients:
                new = {key: self._on_its_node(tensor) for key, tensor in new.items()}
            # A module that keeps its state in an attribute goes on from there.
            vars(module).update({name: new[id(value)] for name, value in vars(module).items() if id(value) in new})
        elif self.parties.keep_gradients:
            # One may lie on the way to another, as the final state on that to the output: each gets a node of its own.
            if not result.picked:
                raise NotImplementedError(COMPUTED.format(type(module).__name__))
            returns = [tensor for tensor in (result.output, *result.finals, *result.others) if tensor is not None]
            new = {id(tensor): self._on_its_node(tensor) for tensor in returns}
        if new:
            returned = with_tensors(returned, new)
            result = replace(
                result,
                output=None if result.output is None else new[id(result.output)],
                finals=tuple(new[id(state)] for state in result.finals),
                others=tuple(new.get(id(other), other) for other in result.others),
            )
        handed = (result.output, *(None if state is result.output else state for state in result.finals))
        self.parties.tell(call, common, handed, edits, trace, result.others)
        self.parties.returned(result.finals)
        return returned if new else None


def _is_more_than_its_layers(call: RecurrentCall) -> bool:
    """Whether PyTorch computes an LSTM's stack otherwise than layer by layer: one half precision inside the other.

    Where random numbers are private the kernel cannot draw them, so that there it goes by layer nevertheless.
    """
    if len(call.weights) == 1 or call.family.name != "lstm" or not mixes_halves(call.input):
        return False
    return call.input.device.type == "cpu" and not (call.drops and randomness_is_private())


def _runs_by_layer(call: RecurrentCall) -> bool:
    """On CPU a stack costs the same layer by layer; elsewhere it is done only where dropout has to be seen."""
    if len(call.weights) == 1 or _is_more_than_its_layers(call):
        return False
    return call.input.device.type == "cpu" or call.drops or (call.training and randomness_is_private())


def _read(module: RecurrentModule, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, States]:
    """Input and given states; of a registered module by its own reading, the input cloned before it can change."""
    if type(module.module) in PYTORCHS_OWN:
        x = arguments[0] if arguments else keywords.get("input")
        return x, _tensors(arguments[1] if len(arguments) > 1 else keywords.get("hx"))
    if module.registration is None:
        return _sequence_and_states(arguments, keywords, len(module.family.states))
    own = read_arguments(module.registration, module.module, arguments, keywords)
    return own.x.clone(), own.states


def _sequence_and_states(arguments: tuple[Any, ...], keywords: dict[str, Any], count: int) -> tuple[Any, States]:
    """Where PyTorch has them; else a subclass may name its state otherwise, or take h and c apart."""
    values = [*arguments, *keywords.values()]
    if not arguments and "input" in keywords:
        values = [keywords["input"], *(value for name, value in keywords.items() if name != "input")]
    usual = _tensors(arguments[1] if len(arguments) > 1 else keywords.get("hx"))
    gathered = tuple([tensor for value in values[1:] for tensor in _tensors(value)])
    states = next((found for found in (usual, gathered) if len(found) == count), ())
    return (values[0] if values else None), states


def _tensors(states: object) -> States:
    if isinstance(states, Tensor):
        return (states,)
    return tuple([state for state in states if isinstance(state, Tensor)]) if isinstance(states, (tuple, list)) else ()
