"""What an edit does inside one step of a recurrent layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Num, Shaped
from numpy.typing import NDArray
from torch import Tensor

Operation = Literal["clamp", "scale", "nudge", "shift"]


@dataclass(frozen=True)
class SiteEdit:
    """One edit of one site of one layer, laid out over ``(time, batch, unit)``.

    ``value`` and ``mask`` broadcast against the site; ``mask`` is None where the edit covers everything. Where the
    edit is known to be one number in every sequence, that is ``number``, at every step or in a ``window``
    [start, stop), and ``units`` are those in ``mask``, None being all.
    """

    site: str
    operation: Operation
    value: Num[Tensor, "#time #batch #unit"]
    mask: Bool[Tensor, "#time #batch #unit"] | None = None
    number: float | None = None
    units: tuple[int, ...] | None = None
    window: tuple[int, int] | None = None

    @property
    def plain(self) -> bool:
        """Whether the edit is known to be one number at every step of every sequence."""
        return self.number is not None and self.window is None

    @property
    def at_all_times(self) -> bool:
        """Whether the edit is the same at every step."""
        return self.value.size(0) == 1 and (self.mask is None or self.mask.size(0) == 1)

    @cached_property
    def inside(self) -> SiteEdit:
        """The edit as it is at each step of its ``window``."""
        assert self.window is not None
        mask = None
        if self.units is not None and self.mask is not None:
            mask = self.mask[self.window[0] : self.window[0] + 1]
        return SiteEdit(self.site, self.operation, self.value, mask, self.number, self.units)

    @cached_property
    def places(self) -> Int[Tensor, " unit"]:
        """The ``units`` as an index."""
        with torch.inference_mode(mode=False):
            return torch.tensor(self.units, dtype=torch.int64, device=self.value.device)

    @cached_property
    def spared(self) -> Float[Tensor, " unit"]:
        """1 where a unit is left alone and 0 where it is one of ``units``."""
        assert self.mask is not None
        with torch.inference_mode(mode=False):
            return 1 - self.mask.reshape(-1).to(self.value.dtype)

    @cached_property
    def touched(self) -> NDArray[np.bool_]:
        """For each step whether the edit falls on it; one for all where it is the same at every step."""
        if self.mask is None:
            return np.ones(1, dtype=bool)
        by_step = self.mask.flatten(1)
        return (by_step if by_step.size(1) == 1 else by_step.any(dim=1)).flatten().cpu().numpy()

    def arranged(self, arrange: Callable[[Tensor], Tensor]) -> SiteEdit:
        """The same edit with its tensors in another order."""
        value, mask = arrange(self.value), None if self.mask is None else arrange(self.mask)
        return self if value is self.value and mask is self.mask else SiteEdit(self.site, self.operation, value, mask)

    def reordered(self, flip: Callable[[Tensor], Tensor]) -> SiteEdit:
        """The same edit in another order of time."""
        return self.arranged(lambda tensor: flip(tensor) if tensor.size(0) > 1 else tensor)

    def cloned(self) -> SiteEdit:
        """The same edit in memory of its own."""
        return replace(self, value=self.value.clone(), mask=None if self.mask is None else self.mask.clone())

    def of_first(self, sequences: int) -> SiteEdit:
        """The part of the edit that falls on the first sequences of a batch."""
        mask = self.mask if self.mask is None or self.mask.size(1) == 1 else self.mask[:, :sequences]
        return replace(self, value=self.value if self.value.size(1) == 1 else self.value[:, :sequences], mask=mask)

    def between(self, start: int, stop: int) -> SiteEdit:
        """The part of the edit that falls on some steps."""
        value = self.value[start:stop] if self.value.size(0) > 1 else self.value
        mask = self.mask
        if mask is not None and mask.size(0) > 1:
            mask = mask[start:stop]
        if self.window is not None:
            return SiteEdit(self.site, self.operation, value, mask)
        return replace(self, value=value, mask=mask)

    def __call__(self, tensor: Shaped[Tensor, "time batch unit"]) -> Shaped[Tensor, "time batch unit"]:
        value = self.value.to(tensor.dtype)
        match self.operation:
            case "clamp":
                # By where, so that a run that is clamped all over still has a graph, with zero gradients.
                changed = torch.where(torch.ones_like(tensor, dtype=torch.bool), value, tensor)
            case "scale":
                changed = tensor * value
            case "nudge" | "shift":
                changed = tensor + value
        return changed if self.mask is None else torch.where(self.mask, changed, tensor)

    def derivative(self, tensor: Shaped[Tensor, "time batch unit"]) -> Shaped[Tensor, "time batch unit"]:
        """∂(edited site)/∂(site), given the derivative so far."""
        match self.operation:
            case "clamp":
                changed = torch.zeros_like(tensor)
            case "scale":
                changed = tensor * self.value.to(tensor.dtype)
            case "nudge" | "shift":
                return tensor
        return changed if self.mask is None else torch.where(self.mask, changed, tensor)


class Leg(NamedTuple):
    """Steps that run as one, in the layer's order of reading: on the fused kernel, or step by step."""

    start: int
    stop: int
    stepped: bool = False


Path = tuple[Leg, ...]


@dataclass(frozen=True)
class LayerEdits:
    """All edits of one layer, in the order in which they apply; nothing to do is falsy.

    ``path`` asks for legs although no edit needs them: kernels differ in their last bits, so a run without edits is
    compared with an edited one through the same legs.
    """

    edits: tuple[SiteEdit, ...] = field(default=())
    path: Path = ()

    def __bool__(self) -> bool:
        return bool(self.edits) or bool(self.path)

    def _of(self, site: str, *, shifts: bool) -> Sequence[SiteEdit]:
        if not self.edits:
            return ()
        return [edit for edit in self.edits if edit.site == site and (edit.operation == "shift") == shifts]

    def before(self, site: str, preactivation: Tensor) -> Tensor:
        """The pre-activation of ``site`` with its shifts added."""
        for edit in self._of(site, shifts=True):
            preactivation = edit(preactivation)
        return preactivation

    def after(self, site: str, activation: Tensor) -> Tensor:
        """The activation of ``site`` after its clamps, scales and nudges, in list order."""
        for edit in self._of(site, shifts=False):
            activation = edit(activation)
        return activation

    def touch(self, site: str) -> bool:
        """Whether something is done to ``site`` after its nonlinearity."""
        return bool(self._of(site, shifts=False))

    def derivative(self, site: str, activation: Tensor) -> Tensor:
        """The derivative of ``site`` by its pre-activation, carried through the edits made after the nonlinearity."""
        for edit in self._of(site, shifts=False):
            activation = edit.derivative(activation)
        return activation

    def between(self, start: int, stop: int) -> LayerEdits:
        """What falls on some steps."""
        return LayerEdits(tuple(edit.between(start, stop) for edit in self.edits))

    def at(self, step: int) -> LayerEdits:
        """What falls on one step."""
        return self.between(step, step + 1)

    def reordered(self, flip: Callable[[Tensor], Tensor]) -> LayerEdits:
        """The same edits in another order of time."""
        return LayerEdits(tuple(edit.reordered(flip) for edit in self.edits))

    def arranged(self, arrange: Callable[[Tensor], Tensor]) -> LayerEdits:
        """The same edits with their tensors in another order."""
        return LayerEdits(tuple(edit.arranged(arrange) for edit in self.edits))

    def cloned(self) -> LayerEdits:
        """The same edits in memory of their own."""
        return LayerEdits(tuple([edit.cloned() for edit in self.edits]), self.path)

    def of_first(self, sequences: int) -> LayerEdits:
        """What falls on the first sequences of a batch."""
        return LayerEdits(tuple(edit.of_first(sequences) for edit in self.edits))


NO_EDITS = LayerEdits()
