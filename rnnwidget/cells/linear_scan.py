"""c_t = f_t ⊙ c_{t−1} + w_t over time: the one recurrence that the fused kernel does not hand out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from rnnwidget.cells.edits import LayerEdits

# Narrower than this a step costs the call of the operator and not its arithmetic: NumPy's cheaper calls pay, and blocks
# of steps in a run that is not short.
NARROW, SHORT = 512, 512


def scan_in_place(
    keep: Float[Tensor, "time batch unit"],
    written: Float[Tensor, "time batch unit"],
    initial: Float[Tensor, "batch unit"],
) -> Float[Tensor, "time batch unit"]:
    """The states, over the memory of ``written``."""
    steps = keep.size(0)
    if steps < SHORT or initial.numel() > NARROW:
        return _step_by_step(keep, written, initial)
    length = math.isqrt(steps // 2)
    blocks = steps // length
    whole = blocks * length
    # Where something is not finite, or grows, 0 · ∞ would put a NaN where the steps have none.
    tame = math.isfinite(float(written.sum() + initial.sum())) and float(keep.amax()) <= 1
    if not (tame and written.is_contiguous()):
        return _step_by_step(keep, written, initial)
    _by_blocks(keep[:whole].unflatten(0, (blocks, length)), written[:whole].unflatten(0, (blocks, length)), initial)
    if whole < steps:
        _step_by_step(keep[whole:], written[whole:], written[whole - 1])
    return written


def padded_scan(
    keep: Float[Tensor, "time batch unit"],
    written: Float[Tensor, "time batch unit"],
    initial: Float[Tensor, "batch unit"],
    live: Bool[Tensor, "time batch 1"],
    *,
    reverse: bool,
) -> Float[Tensor, "time batch unit"]:
    """The states, NaN at padding as ``keep`` and ``written`` are; ``reverse`` reads from each last step to the first.

    The memory of ``written`` is used again.
    """
    if written.device.type != "cpu" or initial.numel() > NARROW:
        return _backwards(keep, written, initial, live) if reverse else _step_by_step(keep, written, initial)
    full = bool(live.all())
    if not full:
        keep, written = keep.masked_fill(~live, 1), written.masked_fill_(~live, 0)  # padding keeps the state
    if reverse:
        states = scan_in_place(keep.flip(0), written.flip(0), initial).flip(0)
    else:
        states = scan_in_place(keep, written, initial)
    return states if full else states.masked_fill_(~live, torch.nan)


def _backwards(keep: Tensor, written: Tensor, initial: Tensor, live: Tensor) -> Tensor:
    state, everywhere = initial, live.flatten(1).all(dim=1).tolist()
    pairs = zip(keep.unbind(0), written.unbind(0), live.unbind(0), everywhere, strict=True)
    for kept, state_now, here, all_here in reversed(list(pairs)):
        state_now.addcmul_(kept, state)
        state = state_now if all_here else torch.where(here, state_now, initial)
    return written


def _step_by_step(keep: Tensor, written: Tensor, state: Tensor) -> Tensor:
    if written.device.type == "cpu" and state.numel() <= NARROW:
        _by_calls_of_numpy(*[tensor.detach().numpy() for tensor in (keep, written, state)])
        return written
    for kept, state_now in zip(keep.unbind(0), written.unbind(0), strict=True):
        state = state_now.addcmul_(kept, state)
    return written


def _by_calls_of_numpy(keep: NDArray[Any], written: NDArray[Any], state: NDArray[Any]) -> None:
    through = np.empty_like(state)
    with np.errstate(all="ignore"):  # what is not finite goes its way here as it does in PyTorch
        for kept, state_now in zip(keep, written, strict=True):
            np.multiply(kept, state, through)
            np.add(state_now, through, state_now)
            state = state_now


def _by_blocks(keep: Tensor, written: Tensor, initial: Tensor) -> None:
    """All blocks of (block, step, batch, unit) at once from zero, then what each block was handed.

    Within a block c_t = c_t|₀ + (Π f) c_before: exact in real numbers, and stable, since the products shrink.
    """
    through = torch.empty_like(keep)
    through[:, 0] = keep[:, 0]
    kept, states, products = keep.unbind(1), written.unbind(1), through.unbind(1)
    for step in range(1, len(kept)):
        states[step].addcmul_(kept[step], states[step - 1])
        torch.mul(kept[step], products[step - 1], out=products[step])
    handed = torch.empty_like(states[0])
    handed[0] = initial
    before, ends, factors = handed.unbind(0), states[-1].unbind(0), products[-1].unbind(0)
    for block in range(1, len(before)):
        torch.addcmul(ends[block - 1], factors[block - 1], before[block - 1], out=before[block])
    written.addcmul_(through, handed.unsqueeze(1))


def edited_scan(
    keep: Float[Tensor, "time batch unit"],
    written: Float[Tensor, "time batch unit"],
    initial: Float[Tensor, "batch unit"],
    edits: LayerEdits,
    site: str,
    rounded: Callable[[Tensor], Tensor],
) -> Float[Tensor, "time batch unit"]:
    """The states with the edits of ``site`` made at every step, and ``rounded``; autograd may look on."""
    states: list[Tensor] = []
    state = initial
    for step, (kept, write) in enumerate(zip(keep.unbind(0), written.unbind(0), strict=True)):
        state = torch.addcmul(write, kept, state)
        state = rounded(edits.at(step).after(site, state.unsqueeze(0)).squeeze(0))
        states.append(state)
    return torch.stack(states) if states else torch.empty_like(written)
