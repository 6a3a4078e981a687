"""Calls of modules that a person registered: they step by themselves, and are read from what goes in and comes out."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rnnwidget.cells.registry import Registration
from rnnwidget.recording.one_sequence import is_one_sequence, is_the_state
from rnnwidget.recording.recurrent_call import LayerOutput, RecurrentCall
from rnnwidget.recording.results import tensors_in
from rnnwidget.recording.sequences import SequenceLayout


class WrongArgumentsError(TypeError):
    """A module was called with arguments that its own forward does not take."""


@dataclass(frozen=True)
class OwnArguments:
    """What a registered module was called with: its input, and the state before the first step where one was given."""

    x: Tensor
    states: tuple[Tensor, ...]


def read_arguments(
    registration: Registration, module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> OwnArguments:
    """The input and the given states.

    TypeError if there is no tensor where the input should be, or not one state for each name.
    """
    x: Any
    given: Any
    if registration.takes is not None:
        x, given = registration.takes(module, *arguments, **keywords)
    else:
        values = list(arguments)
        if keywords:
            try:
                bound = inspect.signature(module.forward).bind(*arguments, **keywords)
            except TypeError as error:
                raise WrongArgumentsError from error
            values = list(bound.arguments.values())
        x, given = (values[0] if values else None), (values[1] if len(values) > 1 else None)
    if not isinstance(x, Tensor) or x.dim() not in (1, 2, 3):
        maps = isinstance(x, Tensor) and x.dim() > 3
        raise TypeError(
            f"{_name(module)} was called with {_kind(x)} where its input should be: a tensor (batch, feature) for one "
            "step, (time, batch, feature) or (batch, time, feature) for a sequence. "
            + ("A layer that reads and keeps maps, such as a ConvLSTM, cannot be opened; i" if maps else "I")
            + f"f its input is another argument, register({_name(module)}, takes=…) can say which"
        )
    states = tensors_in(given)
    wanted = registration.family.states
    if states and len(states) != len(wanted):
        raise TypeError(
            f"{_name(module)} was called with {len(states)} states; family {registration.family.name!r} has "
            f"{', '.join(wanted)}. register({_name(module)}, takes=…) can say where they are"
        )
    return OwnArguments(x, states)


@dataclass(frozen=True)
class OwnResult:
    """What a registered module returned: hidden states of every step (None where one step returned states alone), the
    final states where it gave some, and what else is in it, such as a readout. ``picked`` says that the states are
    tensors of what was returned, and none that ``returns=`` computed from these."""

    returned: Any
    output: Tensor | None
    finals: tuple[Tensor, ...]
    others: tuple[Tensor, ...]
    picked: bool = True

    def exchanges(
        self, output: Tensor | None, finals: tuple[Tensor, ...], others: tuple[Tensor, ...] = ()
    ) -> dict[int, Tensor]:
        """Which tensor takes the place of which, by identity."""
        pairs = [*zip(self.finals, finals, strict=bool(self.finals)), *zip(self.others, others, strict=bool(others))]
        if self.output is not None and output is not None:
            pairs.append((self.output, output))
        return {id(old): new.reshape(old.shape) for old, new in pairs}


def read_result(registration: Registration, module: nn.Module, arguments: OwnArguments, returned: Any) -> OwnResult:
    """Find the states in what a module returned; TypeError where they cannot be told."""
    states = registration.family.states
    found = tensors_in(registration.returns(returned) if registration.returns is not None else returned)
    one_step = arguments.x.dim() < 3 and not is_one_sequence(
        registration.family, module, arguments.x, arguments.states, found
    )
    hidden: Tensor | None = None
    if one_step and len(found) in (len(states), 1 + len(states)):
        finals = found[-len(states) :]
        if arguments.x.dim() == 2 and arguments.x.size(0) > 1 and any(state.dim() == 1 for state in finals):
            raise TypeError(
                f"{_name(module)} returned a state without a batch for {_kind(arguments.x)}, which is read as one step "
                "of a batch: give one sequence as (time, 1, feature), or (1, time, feature) if it takes the batch first"
            )
        if len(found) > len(states) and registration.returns is None:
            _check_beside(registration, module, arguments, found)
    elif not one_step and len(found) in (1, 1 + len(states)):
        hidden, finals = found[0], found[1:]
    else:
        raise TypeError(
            f"{_name(module)} returned {len(found)} tensors; expected {_expected(states, one_step=one_step)}. "
            f"register({_name(module)}, returns=…) can say where the states are"
        )
    if hidden is not None and hidden.shape[: arguments.x.dim() - 1] != arguments.x.shape[:-1]:
        raise TypeError(
            f"{_name(module)} returned {tuple(hidden.shape)} for an input of {tuple(arguments.x.shape)}: not a hidden "
            f"state for every step. register({_name(module)}, returns=…) can say where the hidden states are"
        )
    if hidden is not None and finals and registration.returns is None:
        _check_final(registration, module, hidden, finals[0])
    own = {id(tensor) for tensor in (hidden, *finals)}
    everything = {id(tensor): tensor for tensor in tensors_in(returned)}
    others = tuple(tensor for key, tensor in everything.items() if key not in own)
    return OwnResult(returned, hidden, finals, others, picked=own <= {*everything, id(None)})


def _check_final(registration: Registration, module: nn.Module, hidden: Tensor, final: Tensor) -> None:
    """TypeError if what stands in the place of the final state is not the hidden state of the last step."""
    time = 1 if hidden.dim() > 2 and is_batch_first(registration, module) else 0
    if hidden.size(time) == 0:
        return
    last = hidden.select(time, -1)
    if not _is_nearly(final, last):
        raise TypeError(
            f"{_name(module)} returned {_kind(hidden)} and {_kind(final)}, which is not the first one's last step: "
            f"register({_name(module)}, returns=lambda output: (hidden, None)) says which are the hidden states"
        )


def _check_beside(
    registration: Registration, module: nn.Module, arguments: OwnArguments, found: tuple[Tensor, ...]
) -> None:
    """TypeError if one step returned the state first and something else after it."""
    first, state = found[0], found[-len(registration.family.states)]
    if not state.is_floating_point() or not first.is_floating_point():
        wrong = not state.is_floating_point()
    elif first.shape == state.shape and not _is_nearly(first, state):
        wrong = is_the_state(registration.family, module, arguments.x, arguments.states, first, state)
    else:
        wrong = bool(arguments.states) and state.size(-1) != arguments.states[0].size(-1)
    if wrong:
        raise TypeError(
            f"{_name(module)} returned {_kind(first)} and {_kind(state)} after one step: the second should be the "
            f"state. register({_name(module)}, returns=lambda output: (output[0], None)) says that it is the first"
        )


def _is_nearly(one: Tensor, other: Tensor) -> bool:
    if one.numel() != other.numel():
        return False
    # Without a graph: activation checkpointing counts what a backward needs. And no mode sees us read a value.
    with torch._C.DisableTorchFunction():  # noqa: SLF001 - torch has no public name for it
        one, other = one.detach().reshape(other.shape), other.detach()
        return bool(torch.isclose(one, other, rtol=1e-3, atol=1e-5, equal_nan=True).all())


def is_batch_first(registration: Registration, module: nn.Module) -> bool:
    """Whether a sequence is (batch, time, feature)."""
    if registration.batch_first is not None:
        return registration.batch_first
    return bool(getattr(module, "batch_first", False))


def own_call(
    registration: Registration, module: nn.Module, arguments: OwnArguments, result: OwnResult
) -> RecurrentCall:
    """The call in the common form."""
    x = arguments.x
    batch_first = is_batch_first(registration, module)
    if x.dim() == 3:
        steps, batch = (x.size(1), x.size(0)) if batch_first else (x.size(0), x.size(1))
    elif result.output is not None:
        batch_first, steps, batch = False, x.size(0), 1
        x = x.unsqueeze(1)
    else:
        batch_first, steps, batch = False, 1, x.size(0) if x.dim() == 2 else 1
        x = x.reshape(1, batch, -1)
    widths = _widths(registration, result)
    initial = tuple(
        _rows(registration, module, arguments.states[place], batch, width)
        if arguments.states
        else torch.zeros(1, batch, width, dtype=_dtype(result), device=x.device)
        for place, width in enumerate(widths)
    )
    return RecurrentCall(
        form="module",
        kernel=None,
        family=registration.family,
        layout=SequenceLayout(steps=steps, batch=batch, batch_first=batch_first),
        input=x,
        initial=initial,
        weights=((module,),),
        training=module.training,
    )


def common_result(call: RecurrentCall, result: OwnResult) -> LayerOutput:
    """Output in the call's layout and final states (1, batch, unit), as far as the module gave them."""
    batch = call.layout.batch
    finals = tuple(state.reshape(1, batch, state.size(-1)) for state in result.finals)
    if result.output is None:
        return LayerOutput(finals[0], finals)
    return LayerOutput(result.output.reshape(*call.input.shape[:-1], result.output.size(-1)), finals)


def _rows(registration: Registration, module: nn.Module, state: Tensor, batch: int, width: int) -> Tensor:
    """A given state as (1, batch, unit); one that broadcasts over the batch is spread out."""
    if state.numel() == batch * width:
        return state.reshape(1, batch, width)
    try:
        return state.expand(1, batch, width)
    except RuntimeError:
        raise TypeError(
            f"{_name(module)} was called with {_kind(state)} where its state should be, which has shape "
            f"{(batch, width)} (batch, unit). register({_name(module)}, takes=…) can say where the states are"
        ) from None


def _widths(registration: Registration, result: OwnResult) -> list[int]:
    if result.finals:
        return [state.size(-1) for state in result.finals]
    assert result.output is not None
    return [result.output.size(-1)] * len(registration.family.states)


def _dtype(result: OwnResult) -> torch.dtype:
    return result.output.dtype if result.output is not None else result.finals[0].dtype


def _expected(states: tuple[str, ...], *, one_step: bool) -> str:
    named = " and ".join(states)
    return f"{named} after one step" if one_step else f"the hidden states, or them and the final {named}"


def _name(module: nn.Module) -> str:
    return type(module).__name__


def _kind(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
