"""One edit: what is changed, where and when."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from rnnwidget.cells import families
from rnnwidget.cells.edits import Operation, SiteEdit
from rnnwidget.editing.recorded_values import RecordedValues
from rnnwidget.editing.scopes import Chosen, Indices, chosen, chosen_steps, hashable, in_order
from rnnwidget.recording.modules import Layer

Value = float | int | Tensor
Verb = Operation | Literal["lesion", "patch"]


@dataclass(frozen=True, eq=False)
class Edit:
    """One edit. Make it with ``clamp``, ``shift``, ``scale``, ``nudge``, ``lesion`` or ``patch``.

    A lesion or a patch is carried out as a clamp, to a number or to what a recording holds.
    """

    operation: Verb
    site: str
    value: Value | RecordedValues
    layer: str | None = None
    units: tuple[int, ...] | None = None
    steps: Chosen = None
    batch: tuple[int, ...] | None = None
    at_all_times: dict[tuple[int, torch.dtype, torch.device], SiteEdit] = field(
        default_factory=dict, init=False, repr=False
    )
    """What the edit is over layers of a width, where it is one number at every step: the same in every call."""
    in_windows: dict[tuple[int, torch.dtype, torch.device, int, tuple[int, int]], SiteEdit] = field(
        default_factory=dict, init=False, repr=False
    )
    """What it is in windows of calls of some length."""
    fits: list[tuple[tuple[Layer, ...], ...]] = field(default_factory=list, init=False, repr=False)
    """The layers of the modules that the edit was found to fit last."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Edit) and self._scope() == other._scope() and _same_value(self.value, other.value)

    def __hash__(self) -> int:
        return hash(self._scope())

    def _scope(self) -> tuple[object, ...]:
        places = (self.units, self.steps, self.batch)
        if isinstance(self.value, Tensor):
            return self.operation, self.site, self.layer, *map(hashable, places)
        return self.operation, self.site, self.layer, *(hashable(in_order(place)) for place in places)

    def __repr__(self) -> str:
        scope = {"layer": self.layer, "units": self.units, "steps": self.steps, "batch": self.batch}
        shown = [
            f"{name}={list(value) if isinstance(value, tuple) else value!r}"
            for name, value in scope.items()
            if value is not None
        ]
        if self.operation == "lesion":
            to = f"to='mean', recording={self.value!r}" if isinstance(self.value, RecordedValues) else "to='zero'"
            arguments = [repr(list(self.units or ())), *(part for part in shown if not part.startswith("units")), to]
        else:
            value = f"{self.value:.6g}" if isinstance(self.value, (int, float)) else repr(self.value)
            arguments = [repr(self.site), value, *shown]
        return f"{self.operation}({', '.join(arguments)})"

    @property
    def does(self) -> Operation:
        """What happens to the site: a lesion and a patch are clamps."""
        match self.operation:
            case "lesion" | "patch":
                return "clamp"
            case operation:
                return operation

    @property
    def number(self) -> float | None:
        """The value where it is a plain number, else None."""
        return None if isinstance(self.value, (Tensor, RecordedValues)) else float(self.value)

    @property
    def identity(self) -> bool:
        """Whether the edit changes nothing."""
        neutral = _NEUTRAL.get(self.operation)
        if neutral is None or isinstance(self.value, RecordedValues):
            return False
        if not isinstance(self.value, Tensor):
            return self.value == neutral
        # A value that is learned may begin at nothing.
        return not self.value.requires_grad and bool((self.value == neutral).all())

    def is_for(self, layer: Layer) -> bool:
        """Whether ``layer`` is targeted and has the site."""
        return self.layer in (None, layer.name) and self.has_site(layer)

    def has_site(self, layer: Layer) -> bool:
        """Whether ``layer`` has the site, with a pre-activation if the edit needs one."""
        sites: Iterable[str] = layer.family.activations if self.operation == "shift" else layer.family.sites
        return self.site in sites


_NEUTRAL: dict[str, float] = {"scale": 1.0, "shift": 0.0, "nudge": 0.0}


def made(
    operation: Verb,
    site: str,
    value: Value | RecordedValues,
    layer: str | None,
    units: Indices,
    steps: Indices,
    batch: Indices,
) -> Edit:
    """Check what can be checked before a model is known.

    Raises
    ------
    KeyError, IndexError, TypeError, ValueError
        The site is unknown; an index is negative; an index, a value or a name is of a wrong type; a tensor has more
        than three dimensions.
    """
    if not isinstance(site, str):
        raise TypeError(f"site must be a name such as 'forget_gate', got {type(site).__name__}: {site!r:.80}")
    site_of_letter = {letter: known for family in reversed(families()) for known, letter in family.letters.items()}
    sites = list(dict.fromkeys(known for family in families() for known in family.sites))
    full = site if site in sites else site_of_letter.get(site, site)
    if full not in sites:
        raise KeyError(f"no site {site!r}; sites are {', '.join(sites)}")
    if layer is not None and not isinstance(layer, str):
        raise TypeError(f"layer must be a layer's name or None, got {type(layer).__name__}: {layer!r:.80}")
    if isinstance(value, Tensor):
        if value.dim() > 3:
            raise ValueError(
                f"{operation}({full!r}): a value of shape {tuple(value.shape)} has more dimensions than "
                "(steps, batch, units)"
            )
        value = value.clone()
    elif not isinstance(value, RecordedValues):
        try:
            value = math.fsum([value])  # float() would read strings too
        except (TypeError, ValueError):
            raise TypeError(f"{operation}({full!r}) takes a number or a tensor, got {value!r:.80}") from None
    return Edit(operation, full, value, layer, chosen("units", units), chosen_steps(steps), chosen("batch", batch))


def _same_value(one: Value | RecordedValues, other: Value | RecordedValues) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
    return not isinstance(one, Tensor) and not isinstance(other, Tensor) and one == other
