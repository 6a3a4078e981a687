"""Clones of a module's weights, shared between recordings while the weights have not moved."""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn

from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.recording.copies import bare, copy_of, same_settings
from rnnwidget.recording.recurrent_call import Weights
from rnnwidget.recording.same_values import KnownValues

StackWeights = tuple[tuple[Weights, ...], ...]


@dataclass(frozen=True, eq=False)
class WeightSnapshot:
    """The weights of a module as they were at one moment."""

    weights: StackWeights

    @cached_property
    def tensors(self) -> list[Tensor]:
        """All that the modules hold."""
        return _tensors(self.weights)

    @cached_property
    def known(self) -> list[KnownValues]:
        """The same, to be compared."""
        return [KnownValues(tensor) for tensor in self.tensors]

    @cached_property
    def nbytes(self) -> int:
        """How much memory they take."""
        return sum([tensor.nbytes for tensor in self.tensors])

    @cached_property
    def modules(self) -> list[nn.Module]:
        """The modules that step by themselves."""
        return _modules(self.weights)


_lock = threading.RLock()  # what a collection of garbage ends may call a model
_latest: weakref.WeakKeyDictionary[nn.Module, weakref.ref[WeightSnapshot]] = weakref.WeakKeyDictionary()


def snapshot(module: nn.Module, weights: StackWeights) -> WeightSnapshot:
    """Clone ``weights``, with grad mode off, or hand out the module's latest clone if every value is the same.

    Values are compared, since ``parameter.data.clamp_()`` moves a weight without touching its version.
    """
    with _lock:
        reference = _latest.get(module)
        known = reference() if reference is not None else None
        if known is not None and _same(known, weights):
            return known
        fresh = WeightSnapshot(_cloned(weights))
        _latest[module] = weakref.ref(fresh)
        return fresh


def _cloned(weights: StackWeights) -> StackWeights:
    def cloned(side: Weights) -> Weights:
        if isinstance(side, LayerWeights):
            return side.map(Tensor.clone)
        try:
            copied = copy_of(side, lambda tensor: tensor.detach().clone())
        except Exception:  # noqa: BLE001 - a person's class may raise anything when copied
            return side  # replay_error tells when it has changed since
        return bare(copied)

    return tuple([tuple([cloned(side) for side in layer]) for layer in weights])


def _tensors(weights: StackWeights) -> list[Tensor]:
    found: list[Tensor] = []
    for layer in weights:
        for side in layer:
            if isinstance(side, LayerWeights):
                found += side.tensors()
            else:
                found += [*side.parameters(), *side.buffers()]
    return found


def _modules(weights: StackWeights) -> list[nn.Module]:
    return [side for layer in weights for side in layer if isinstance(side, nn.Module)]


def _same(known: WeightSnapshot, current: StackWeights) -> bool:
    modules = _modules(current)
    if modules and any(
        one is not other and not same_settings(other, one) for one, other in zip(known.modules, modules, strict=True)
    ):
        return False
    ours, theirs = known.known, _tensors(current)
    return len(ours) == len(theirs) and all(map(KnownValues.are_in, ours, theirs))
