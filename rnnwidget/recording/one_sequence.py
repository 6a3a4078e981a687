"""Whether a registered layer that reads (n, feature) made n steps of one sequence, or one step of n sequences."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rnnwidget.cells.family import Family
from rnnwidget.cells.layer_run import LayerRun
from rnnwidget.recording.randomness import PrivateRandomness
from rnnwidget.recording.snapshots import snapshot

CLEARLY = 0.5
ROUNDING = 16
"""What a rebuilt state may be off by, in units of its precision's epsilon; 1e-3 in those that are finer."""


def is_one_sequence(
    family: Family, module: nn.Module, x: Tensor, given: Sequence[Tensor], returned: Sequence[Tensor]
) -> bool:
    """Whether what was ``returned`` for ``x`` are the steps of one sequence without a batch.

    One final state beside n hidden states tells. Hidden states alone may be either: then the step is asked whether it
    rebuilds them as one sequence, and not as n.
    """
    rows = x.size(0)
    if x.dim() != 2 or rows < 2 or not returned or returned[0].dim() != 2 or returned[0].size(0) != rows:
        return False
    hidden, finals = returned[0], returned[1:]
    if len(finals) == len(family.states):
        return all(final.numel() == final.size(-1) for final in finals)
    if finals or any(state.numel() != state.size(-1) for state in given):
        return False
    if module not in _known:
        one, each = (_residual(family, module, x, given, hidden, batch=batch) for batch in (1, rows))
        fits = [
            residual <= _near(hidden) and residual < CLEARLY * other for residual, other in ((one, each), (each, one))
        ]
        if not any(fits):
            return False
        _known[module] = fits[0]
    return _known[module]


def is_the_state(
    family: Family, module: nn.Module, x: Tensor, given: Sequence[Tensor], first: Tensor, other: Tensor
) -> bool:
    """Whether the ``first`` of two tensors that one step returned is its state, and not the ``other``."""
    rows = x.size(0) if x.dim() == 2 else 1
    if module in _beside or len(family.states) > 1:
        return _beside.get(module, False)
    read = [tensor.reshape(rows, -1) for tensor in (first, other)]
    one, last = (_residual(family, module, x.reshape(rows, -1), given, hidden, batch=rows) for hidden in read)
    fits = one <= _near(first) and one < CLEARLY * last
    if fits or last <= _near(other):
        _beside[module] = fits
    return fits


_known: weakref.WeakKeyDictionary[nn.Module, bool] = weakref.WeakKeyDictionary()
_beside: weakref.WeakKeyDictionary[nn.Module, bool] = weakref.WeakKeyDictionary()


def _near(hidden: Tensor) -> float:
    return max(1e-3, ROUNDING * torch.finfo(hidden.dtype).eps)


def _residual(
    family: Family, module: nn.Module, x: Tensor, given: Sequence[Tensor], hidden: Tensor, *, batch: int
) -> float:
    """The one-step residual of ``hidden``, read as that of so many sequences."""
    with PrivateRandomness(), torch.no_grad():
        width = hidden.size(-1)
        states = given or [hidden.new_zeros(width)] * len(family.states)
        steps = hidden.detach().reshape(-1, batch, width)
        run = LayerRun(
            inputs=x.detach().reshape(-1, batch, x.size(-1)),
            initial=tuple(state.detach().reshape(-1, state.size(-1)).expand(batch, -1) for state in states),
            later=steps[:-1],
            weights=snapshot(module, ((module,),)).weights[0][0],
        )
        rebuilt = family.quantities(run)["hidden"]
    with torch._C.DisableTorchFunction(), torch.no_grad():  # noqa: SLF001 - torch has no public name for it
        return float(((rebuilt - steps).abs() / steps.abs().clamp(min=1)).max())
