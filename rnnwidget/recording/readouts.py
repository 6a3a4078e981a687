"""What a registered module gives beside its states: made of edited ones, and gone back through by gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rnnwidget.cells.registry import Readout, Registration
from rnnwidget.recording.own_modules import OwnResult
from rnnwidget.recording.results import tensors_in

COMPUTED = (
    "{0} can be recorded, but edits and gradients do not reach what it returns: returns= has to pick tensors out of "
    "that, so that others can take their place, and computed new ones (a transpose, a stack) or took them from what is "
    "no tuple, dict or dataclass. Of a class that gives the batch first, say register({0}, batch_first=True)"
)


def edited_others(
    registration: Registration, module: nn.Module, result: OwnResult, hidden: Tensor
) -> tuple[Tensor, ...]:
    """What a module returns beside its states, from edited hidden states.

    NotImplementedError if nobody said how it follows from them.
    """
    if not result.picked:
        raise NotImplementedError(COMPUTED.format(_name(module)))
    if not result.others:
        return ()
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in result.others)
    readout = _readout_of(registration, module, f", of shape {shapes}, which edits have to reach")
    with_shape = hidden if result.output is None else hidden.reshape(result.output.shape)
    return _read_out(readout, module, with_shape, len(result.others))


def gradient_through_readout(
    registration: Registration, module: nn.Module, hidden: Tensor, arrived: Sequence[Tensor | None]
) -> Tensor:
    """∂L/∂h through what a module returns beside its states, ``arrived`` being ∂L/∂ of each of these.

    NotImplementedError if nobody said how it follows from the hidden states.
    """
    readout = _readout_of(registration, module, ", and a gradient arrives there")
    with torch.enable_grad():
        leaf = hidden.detach().clone().requires_grad_()
        given = _read_out(readout, module, leaf, len(arrived))
        reached = [(one, by.to(one.dtype)) for one, by in zip(given, arrived, strict=True) if by is not None]
        if not any(one.requires_grad for one, _ in reached):
            return torch.zeros_like(hidden)
        ones, by = zip(*[(one, by) for one, by in reached if one.requires_grad], strict=True)
        (found,) = torch.autograd.grad(ones, leaf, by, allow_unused=True)
    return torch.zeros_like(hidden) if found is None else found


def _so_many(tensors: int) -> str:
    return "1 tensor" if tensors == 1 else f"{tensors} tensors"


def _readout_of(registration: Registration, module: nn.Module, why: str) -> Readout:
    if registration.readout is None:
        raise NotImplementedError(
            f"{_name(module)} returns more than its states{why}: "
            f"register({_name(module)}, readout=lambda module, hidden: …) says how it follows from the hidden states. "
            "Where it depends on the input as well, or on the state before the step, it has to be computed outside of "
            f"{_name(module)}, by the module that calls it"
        )
    return registration.readout


def _read_out(readout: Readout, module: nn.Module, hidden: Tensor, count: int) -> tuple[Tensor, ...]:
    given = tensors_in(readout(module, hidden))
    if len(given) != count:
        raise TypeError(
            f"the readout of {_name(module)} gave {_so_many(len(given))}, the module {_so_many(count)} beside its "
            "states: readout(module, hidden) returns the same, without the states"
        )
    return given


def _name(module: nn.Module) -> str:
    return type(module).__name__
