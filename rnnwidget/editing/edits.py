"""Edits: what is changed, where and when."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rnnwidget.cells import families, gru, lstm
from rnnwidget.cells.activations import RANGES
from rnnwidget.cells.edits import Operation
from rnnwidget.recording.modules import Layer

Value = float | int | Tensor
Indices = int | slice | Iterable[int] | None

_BOUNDS = {site: RANGES[activation] for family in (lstm, gru) for site, activation in family.activations.items()}


@dataclass(frozen=True, eq=False)
class Edit:
    """One edit. Make it with :func:`clamp`, :func:`shift`, :func:`scale` or :func:`nudge`."""

    operation: Operation
    site: str
    value: Value
    layer: str | None = None
    units: tuple[int, ...] | None = None
    steps: tuple[int, ...] | slice | None = None
    batch: tuple[int, ...] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Edit) and self._scope() == other._scope() and _same_value(self.value, other.value)

    def __hash__(self) -> int:
        return hash(self._scope())

    def _scope(self) -> tuple[object, ...]:
        places = (self.units, self.steps, self.batch)
        if isinstance(self.value, Tensor):
            return self.operation, self.site, self.layer, *map(_hashable, places)
        return self.operation, self.site, self.layer, *(_hashable(_in_order(place)) for place in places)

    def __repr__(self) -> str:
        scope = {"layer": self.layer, "units": self.units, "steps": self.steps, "batch": self.batch}
        shown = "".join(
            f", {name}={list(value) if isinstance(value, tuple) else value!r}"
            for name, value in scope.items()
            if value is not None
        )
        value = self.value if isinstance(self.value, Tensor) else f"{self.value:.6g}"
        return f"{self.operation}({self.site!r}, {value}{shown})"

    @property
    def identity(self) -> bool:
        """Whether the edit changes nothing."""
        neutral = {"scale": 1.0, "shift": 0.0, "nudge": 0.0}.get(self.operation)
        if neutral is None:
            return False
        return bool((self.value == neutral).all()) if isinstance(self.value, Tensor) else self.value == neutral

    def has_site(self, layer: Layer) -> bool:
        """Whether ``layer`` has the site, with a pre-activation if the edit needs one."""
        sites: Iterable[str] = layer.family.activations if self.operation == "shift" else layer.family.sites
        return self.site in sites


def clamp(
    site: str,
    value: Value,
    *,
    layer: str | None = None,
    units: Indices = None,
    steps: Indices = None,
    batch: Indices = None,
) -> Edit:
    """The value of ``site`` becomes ``value``.

    ``site`` is a gate, candidate or state by name or letter; ``value`` a number or a tensor that broadcasts to the
    scope ``(steps, batch, units)``. ``layer=None`` means every layer that has the site, None elsewhere means all.

    Raises
    ------
    ValueError
        The value is outside the gate's range: [0, 1] for sigmoid gates, [−1, 1] for the candidate.
    KeyError, IndexError, TypeError
        The site is unknown; an index is negative; an index is no integer.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model, x = torch.nn.LSTM(3, 4), torch.randn(5, 1, 3)
    >>> with rw.record(model) as recording, rw.edited(model, rw.clamp("forget_gate", 1.0, units=[2])):
    ...     output, _ = model(x)
    >>> recording["l0"]["f"][:, 0, 2].tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    edit = _edit("clamp", site, value, layer, units, steps, batch)
    low, high = _BOUNDS.get(edit.site, (-math.inf, math.inf))
    values = edit.value if isinstance(edit.value, Tensor) else torch.tensor(edit.value)
    if edit.site in _BOUNDS and not bool(((values >= low) & (values <= high)).all()):
        found = (
            f"values from {float(values.min()):g} to {float(values.max()):g}" if values.numel() > 1 else f"{value!r}"
        )
        raise ValueError(
            f"clamp({edit.site!r}): got {found}; a {edit.site.replace('_', ' ')} lies in [{low:g}, {high:g}]"
        )
    return edit


def shift(
    site: str,
    delta: Value,
    *,
    layer: str | None = None,
    units: Indices = None,
    steps: Indices = None,
    batch: Indices = None,
) -> Edit:
    """The pre-activation of ``site`` is added to: gates, the candidate, and ``"hidden"`` of the rnn family.

    For the rnn family this is an injected current. Scope and errors as for :func:`clamp`.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model, x = torch.nn.GRU(3, 4), torch.randn(5, 1, 3)
    >>> with rw.record(model) as plain:
    ...     _ = model(x)
    >>> with rw.record(model) as shifted, rw.edited(model, rw.shift("update_gate", 2.0)):
    ...     _ = model(x)
    >>> moved = shifted["l0"].preactivation("z")[0] - plain["l0"].preactivation("z")[0]
    >>> torch.allclose(moved, torch.full_like(moved, 2.0), atol=1e-6)
    True
    """
    return _edit("shift", site, delta, layer, units, steps, batch)


def scale(
    site: str,
    factor: Value,
    *,
    layer: str | None = None,
    units: Indices = None,
    steps: Indices = None,
    batch: Indices = None,
) -> Edit:
    """The value of ``site`` is multiplied. Scope and errors as for :func:`clamp`.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model, x = torch.nn.LSTM(3, 4), torch.randn(5, 1, 3)
    >>> with rw.edited(model, rw.scale("output_gate", 0.0, units=[1])):
    ...     output, _ = model(x)
    >>> output[:, 0, 1].abs().max().item()
    0.0
    """
    return _edit("scale", site, factor, layer, units, steps, batch)


def nudge(
    site: str,
    delta: Value,
    *,
    layer: str | None = None,
    units: Indices = None,
    steps: Indices = None,
    batch: Indices = None,
) -> Edit:
    """The value of ``site`` is added to, after the nonlinearity. Scope and errors as for :func:`clamp`.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model, x = torch.nn.GRU(3, 4), torch.randn(5, 1, 3)
    >>> result = rw.intervene(model, x, rw.nudge("hidden", 0.5, units=[2], steps=[0]))
    >>> round(result.change["l0"][0, 0, 2].item(), 6)
    0.5
    """
    return _edit("nudge", site, delta, layer, units, steps, batch)


def _edit(
    operation: Operation,
    site: str,
    value: Value,
    layer: str | None,
    units: Indices,
    steps: Indices,
    batch: Indices,
) -> Edit:
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
    else:
        try:
            value = math.fsum([value])  # float() would read strings too
        except (TypeError, ValueError):
            raise TypeError(f"{operation}({full!r}) takes a number or a tensor, got {value!r:.80}") from None
    return Edit(
        operation,
        full,
        value,
        layer,
        None if units is None else _indices("units", units),
        steps if isinstance(steps, slice) and _valid_slice(steps) else _optional("steps", steps),
        _optional("batch", batch),
    )


def _in_order(place: tuple[int, ...] | slice | None) -> tuple[int, ...] | slice | None:
    return tuple(sorted(set(place))) if isinstance(place, tuple) else place


def _hashable(place: tuple[int, ...] | slice | None) -> object:
    return (slice, place.start, place.stop, place.step) if isinstance(place, slice) else place


def _optional(what: str, given: Any) -> tuple[int, ...] | None:
    return None if given is None else _indices(what, given)


def _valid_slice(steps: slice) -> bool:
    for bound in (steps.start, steps.stop):
        if bound is not None and operator.index(bound) < 0:
            raise IndexError(f"steps count from the first input position; {steps} has a negative bound")
    return True


def _indices(what: str, given: Any) -> tuple[int, ...]:
    listed: Any = given.tolist() if isinstance(given, Tensor) else given
    if hasattr(listed, "__index__") and not isinstance(listed, bool):
        listed = [listed]
    try:
        found = [operator.index(item) for item in listed if not isinstance(item, bool)]
        booleans = any(isinstance(item, bool) for item in listed)
    except TypeError:
        found, booleans = [], True
    if booleans:
        raise TypeError(f"{what} must be integers, got {given!r:.80}")
    if any(index < 0 for index in found):
        raise IndexError(f"{what} count from 0, got {min(found)}")
    return tuple(found)


def _same_value(one: Value, other: Value) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
    return not isinstance(one, Tensor) and not isinstance(other, Tensor) and one == other
