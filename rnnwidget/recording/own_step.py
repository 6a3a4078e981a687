"""A registered step by itself: how wide its sites are, and whether it is what its module computes."""

from __future__ import annotations

import contextlib
import warnings
import weakref
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rnnwidget.cells.edits import NO_EDITS
from rnnwidget.cells.layer_run import LayerRun
from rnnwidget.cells.step_family import StepFamily
from rnnwidget.recording.call_stack import level_of_caller
from rnnwidget.recording.clients import autocast_of
from rnnwidget.recording.copies import bare, copied_module
from rnnwidget.recording.modules import RecurrentModule, recurrent_modules
from rnnwidget.recording.randomness import Noise, PrivateRandomness, drawn_as_from
from rnnwidget.recording.recurrent_call import RecurrentCall

FIRST, NEAR, ROUNDINGS = 8, 1e-3, 8
"""Steps that are compared, few enough for a chaotic layer to stay near; how near relative to max(1, |h|), and at least
how many roundings of the precision."""

_widths: weakref.WeakKeyDictionary[nn.Module, dict[tuple[object, ...], Mapping[str, int]]] = weakref.WeakKeyDictionary()
_compared: weakref.WeakSet[nn.Module] = weakref.WeakSet()


def _private(module: nn.Module) -> nn.Module:
    """A copy on which a step leaves no trace: counters, buffers and hooks of the module itself stay as they are."""
    return bare(copied_module(module, lambda parameter: parameter.detach().clone()))


def site_widths(module: nn.Module, call: RecurrentCall) -> Mapping[str, int]:
    """How many units each site has, by the first step of a call of one or more; empty where that cannot be told."""
    assert isinstance(call.family, StepFamily)
    now, before = call.layout.to_time_first(call.input.detach())[0], tuple(state[0].detach() for state in call.initial)
    key = call.family.name, *(tensor.size(-1) for tensor in (now, *before))
    known = _widths.setdefault(module, {})
    if key not in known:
        known[key] = {}
        with contextlib.suppress(Exception), PrivateRandomness(), torch.no_grad():
            run = LayerRun(now[None], before, before[0][None][:0], _private(module))
            at = call.family.advance(run, now, before, NO_EDITS)
            known[key] = {site: value.size(-1) for site, value in at.values.items()}
    return known[key]


def warn_of_another_step(module: RecurrentModule, call: RecurrentCall, given: Tensor, noise: Noise) -> None:
    """RuntimeWarning, once for a module, if its step without edits does not lead to the states that it ``given`` gave.

    The step draws what the module drew, which began to draw at ``noise``.
    """
    if module.module in _compared or not isinstance(call.family, StepFamily):
        return
    _compared.add(module.module)
    if len(recurrent_modules(module.module)) > 1:  # what is edited inside is in the states that the module gave
        return
    off = float("nan")
    with contextlib.suppress(Exception), torch.no_grad():  # the edited run says what is wrong with a step that fails
        off = _off(_private(module.module), call.family, call, call.layout.to_time_first(given.detach()), noise)
    precision = autocast_of(given.device.type) or given.dtype
    if off > max(NEAR, ROUNDINGS * torch.finfo(precision).eps):
        warnings.warn(
            f"the step registered for {type(module.module).__name__} does not give the states that the module gives "
            f"without edits: h is off by {off:.0e} within the first {FIRST} steps, and an edited run is off by that "
            "too. Have the step compute what the forward does, noise included, or pass the noise in as an input; "
            f"replay_error of {module.layers[0].name!r} in a recording without edits tells when it does",
            RuntimeWarning,
            stacklevel=level_of_caller(),
        )


def _off(module: nn.Module, family: StepFamily, call: RecurrentCall, given: Tensor, noise: Noise) -> float:
    """max |h of the step − h of the module| / max(1, |h|) over the first steps; NaN where none is finite."""
    x, state = call.layout.to_time_first(call.input.detach()), tuple(each[0].detach() for each in call.initial)
    run = LayerRun(x, state, given[:-1], module)
    most = float("nan")
    with drawn_as_from(noise):
        for now, wanted in zip(x[:FIRST], given, strict=False):
            at = family.advance(run, now, state, NO_EDITS)
            state = tuple(at.values[site] for site in family.states)
            off = (state[0] - wanted).abs() / wanted.abs().clamp(min=1)
            found = off[off.isfinite()]
            if found.numel():
                most = max(float(found.max()), most)  # of a number and NaN the first
    return most
