"""Stretches of one layer's time that are computed as one: a call, or single steps that follow each other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor, nn

from rnnwidget.cells.edits import NO_EDITS, LayerEdits
from rnnwidget.cells.family import Family, Quantities
from rnnwidget.cells.large_memory import large_copy
from rnnwidget.cells.layer_run import LayerRun, LayerWeights
from rnnwidget.recording.arithmetic import in_single
from rnnwidget.recording.clients import is_half
from rnnwidget.recording.copies import copy_of
from rnnwidget.recording.known_quantities import KnownQuantities
from rnnwidget.recording.modules import Layer
from rnnwidget.recording.one_step_residual import one_step_residual
from rnnwidget.recording.packed_layer import PackedLayer, packed_layer
from rnnwidget.recording.randomness import PrivateRandomness
from rnnwidget.recording.recorded_call import RecordedCall
from rnnwidget.recording.recurrent_call import Weights
from rnnwidget.recording.sequences import SequenceLayout, Window

_NOTHING = nullcontext()
AS_NEAR = 4
"""So many roundings may lie between a state that is rebuilt in single and the model's own."""


@dataclass(eq=False)
class Stretch:
    """One layer and direction over steps that share their weights, by input position, zeros at padding."""

    layer: Layer
    layout: SequenceLayout
    inputs: Tensor
    hidden: Tensor
    initial: tuple[Tensor, ...]
    weights: Weights
    edits: LayerEdits
    precision: torch.dtype | None
    handed: tuple[Tensor, ...] = ()
    reached: tuple[Tensor, ...] = ()
    _known: KnownQuantities = field(default_factory=KnownQuantities)

    @property
    def family(self) -> Family:
        return self.layer.family

    @cached_property
    def run(self) -> LayerRun:
        """The whole stretch in the order in which the layer reads.

        In half precision states are rebuilt in single; where they would not end where the model's did, they are rounded
        from step to step, as kernels do.
        """
        run = self._run(None)
        return run if not self.reached or self._reaches_the_models(run) else self._run(self.hidden.dtype)

    def _run(self, rounding: torch.dtype | None) -> LayerRun:
        edits = self.edits.reordered(self.layout.flipped) if self.layer.reverse else self.edits
        hidden = self._computed(self.by_reading(self.hidden))
        initial = tuple([self._computed(state) for state in self.initial])
        return LayerRun(
            inputs=self._computed(self.by_reading(self.inputs)),
            initial=initial,
            later=hidden[:-1],
            weights=self._computed_weights,
            edits=edits,
            handed=tuple([self._computed(state) for state in self.handed]),
            rounding=rounding,
        )

    def _reaches_the_models(self, run: LayerRun) -> bool:
        known: Quantities = {}
        last = self.layout.lengths(self.hidden.device) - 1
        for site, reached in zip(self.family.states[1:], self.reached, strict=False):
            with self._casting():
                found = in_single(self.family.evaluate(run, site, known))
            if not found.numel():
                continue
            end, true = found[last, torch.arange(found.size(1), device=last.device)], in_single(reached)
            off = (end - true).abs() / true.abs().clamp(min=1)
            if bool((off > AS_NEAR * torch.finfo(self.hidden.dtype).eps).any()):
                return False
        self._known.update(known)
        return True

    def by_reading(self, tensor: Tensor) -> Tensor:
        """From input positions to the layer's own order of time, and back."""
        return self.layout.flipped(tensor) if self.layer.reverse else tensor

    def site(self, site: str) -> Tensor:
        """A gate or state by input position, NaN at padding; the hidden state as the model gave it."""
        if site == "hidden":
            return self._blanked(large_copy(self.hidden))
        run = self.run
        with self._known.alone:
            self._evaluate(run, site)
            return self._known.lend(site, self._placed, for_good=self._little)

    def preactivation(self, site: str) -> Tensor:
        """The affine value before a nonlinearity, by input position, NaN at padding."""
        run = self.run
        with self._known.alone, self._casting():
            found = self.family.preactivation(run, site, lambda other: self.family.evaluate(run, other, self._known))
        return self._placed(found)

    def window(self, site: str, window: Window, *, preactivation: bool = False) -> Tensor:
        """Some steps of a site; they cost what they are, and not what the whole stretch is."""
        start, stop = window
        if site == "hidden" and not preactivation:
            return self.blank(self.hidden)[start:stop].clone()
        if self._only_whole(site) or stop <= start:
            if preactivation:
                return self.preactivation(site)[start:stop]
            run = self.run
            with self._known.alone:
                self._evaluate(run, site)
                return self._part_of(self._known[site], start, stop)
        part = self._part(start, stop)
        return part.preactivation(site) if preactivation else part.site(site)

    def _only_whole(self, site: str) -> bool:
        """Whether a part of a site costs what all of it costs, or less than computing it."""
        with self._known.alone:
            return self.layout.packed or site in self.family.scanned or site in self._known

    def _part(self, start: int, stop: int) -> Stretch:
        """A window of a dense stretch; the states that build up over time start from zero and mean nothing in it."""
        before = start - 1 if not self.layer.reverse else stop
        first = self.initial[0] if before in (-1, self.layout.steps) else self.hidden[before]
        return Stretch(
            self.layer,
            SequenceLayout(stop - start, self.layout.batch, batch_first=False),
            self.inputs[start:stop],
            self.hidden[start:stop],
            (first, *self.initial[1:]),
            self.weights,
            self.edits.between(start, stop),
            self.precision,
        )

    def _part_of(self, known: Tensor, start: int, stop: int) -> Tensor:
        if self.layout.packed:
            return self._placed(known)[start:stop].clone()
        begin, end = (known.size(0) - stop, known.size(0) - start) if self.layer.reverse else (start, stop)
        return self._placed(known[begin:end].clone())

    @cached_property
    def residual(self) -> float:
        """max |h rebuilt from the gates − h the model gave| / max(1, |h|), each step from the model's own h."""
        run = self.run
        with self._known.alone, self._casting():
            evaluated = [self.family.evaluate(run, state, self._known) for state in self.family.states]
        rebuilt, *others = [in_single(state) for state in evaluated]
        live = self.layout.live(rebuilt.device) if self.layout.packed else None
        return one_step_residual(rebuilt, self.by_reading(self.hidden).to(rebuilt.dtype), others, live)

    @property
    def shown_inputs(self) -> Tensor:
        """What the layer read, NaN where a sequence has ended."""
        return self.blank(self.inputs.clone())

    @property
    def first_states(self) -> tuple[Tensor, ...]:
        """The states before the first step, in the precision in which we compute."""
        return self.run.initial

    def blank(self, tensor: Tensor) -> Tensor:
        """NaN where a sequence has ended."""
        return self._blanked(tensor.clone()) if self.layout.packed else tensor

    def _blanked(self, tensor: Tensor) -> Tensor:
        """Like :meth:`blank`, in place."""
        if self.layout.packed:
            tensor[self._ended] = torch.nan
        return tensor

    @cached_property
    def _ended(self) -> tuple[Tensor, ...]:
        """The steps, and the sequences that have ended there: a mask would be read for every unit."""
        return (~self.layout.live(self.inputs.device).squeeze(-1)).nonzero(as_tuple=True)

    @cached_property
    def _little(self) -> bool:
        """Whether all that is known costs little more than one gate: then it is computed before any is given away."""
        return self.family.pays_at_once(self.run)

    def _evaluate(self, run: LayerRun, site: str) -> None:
        if site not in self._known:
            with self._casting():
                for each in (site, *self.family.states[1:]) if self._little else (site,):
                    self.family.evaluate(run, each, self._known)

    def _placed(self, tensor: Tensor) -> Tensor:
        """By input position, NaN at padding; what is derived from a run under autocast is float32."""
        shown = self.by_reading(in_single(tensor) if self.precision is None else tensor.float())
        # What a kernel's families compute is memory of its own, and nothing live is computed from padding.
        return self._blanked(shown if isinstance(self.weights, LayerWeights) else shown.clone())

    def _casting(self) -> AbstractContextManager[object]:
        """A module that steps by itself steps under autocast again; a kernel's own casting is done by hand."""
        if isinstance(self.weights, LayerWeights):
            return _NOTHING
        context = ExitStack()
        # Where a step draws noise, a look leaves the process's generator alone.
        context.enter_context(PrivateRandomness())
        if self.precision is not None:
            context.enter_context(torch.autocast(self.inputs.device.type, self.precision, cache_enabled=False))
        return context

    def _computed(self, tensor: Tensor) -> Tensor:
        """A value as the kernel read it, in the precision in which we compute."""
        casts = self.precision is not None and tensor.dtype != torch.float64 and isinstance(self.weights, LayerWeights)
        if casts and tensor.is_floating_point():
            tensor = tensor.to(self.precision)
        return in_single(tensor)

    @property
    def _computed_weights(self) -> Weights:
        if isinstance(self.weights, LayerWeights):
            as_they_are = self.precision is None and not is_half(self.weights.hidden_hidden.dtype)
            return self.weights if as_they_are else self.weights.map(self._computed)
        halves = any(tensor.dtype in (torch.float16, torch.bfloat16) for tensor in self.weights.parameters())
        return _module_in_single(self.weights) if halves else self.weights


def shown_stretches(calls: Sequence[RecordedCall], layer: Layer) -> list[Stretch | PackedLayer]:
    """Like :func:`stretches`, for those who look: packed calls on their rows where that can be."""
    return [packed_layer(group[0], layer) or _stretch(group, layer) for group in _groups(calls, layer)]


def stretches(calls: Sequence[RecordedCall], layer: Layer) -> list[Stretch]:
    """Cut calls that continue each other where weights, edits or layouts change."""
    return [_stretch(group, layer) for group in _groups(calls, layer)]


def _groups(calls: Sequence[RecordedCall], layer: Layer) -> list[list[RecordedCall]]:
    groups: list[list[RecordedCall]] = [[calls[0]]]
    for before, call in pairwise(calls):
        if _alike(before, call) and not layer.reverse:
            groups[-1].append(call)
        else:
            groups.append([call])
    return groups


def _alike(one: RecordedCall, other: RecordedCall) -> bool:
    return (
        one.snapshot is other.snapshot
        and one.autocast == other.autocast
        and not (one.edits or other.edits or one.call.layout.packed or other.call.layout.packed)
        and (_is_one_step(one) == _is_one_step(other))
        and not (is_half(one.output.dtype) and not _is_one_step(one))
    )


def _is_one_step(call: RecordedCall) -> bool:
    return call.call.layout.steps == 1


def _stretch(calls: list[RecordedCall], layer: Layer) -> Stretch:
    first = calls[0]
    inputs, hidden = [call.inputs_of(layer) for call in calls], [call.hidden_of(layer) for call in calls]
    layout = first.call.layout
    if len(calls) > 1:
        layout = SequenceLayout(sum(call.call.layout.steps for call in calls), layout.batch, batch_first=False)
    return Stretch(
        layer,
        layout,
        inputs[0] if len(calls) == 1 else torch.cat(inputs),
        hidden[0] if len(calls) == 1 else torch.cat(hidden),
        first.initial_of(layer),
        first.call.weights[layer.index][int(layer.reverse)],
        first.edits.get(layer.name, NO_EDITS),
        first.autocast,
        _handed(calls, layer),
        first.reached_of(layer) if len(calls) == 1 else (),
    )


def _handed(calls: list[RecordedCall], layer: Layer) -> tuple[Tensor, ...]:
    """The states beside the hidden one that single steps after the first were handed: they are the model's own."""
    if len(calls) == 1 or not _is_one_step(calls[0]):
        return ()
    by_call = [call.initial_of(layer)[1:] for call in calls[1:]]
    return tuple(torch.stack(states) for states in zip(*by_call, strict=True))


def _module_in_single(module: nn.Module) -> nn.Module:
    return copy_of(module, lambda parameter: parameter.detach().clone()).float()
