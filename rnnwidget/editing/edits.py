"""Edits: what is changed, where and when."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rnnwidget.cells import gru, lstm, rnn
from rnnwidget.cells.edits import LayerEdits, Operation, SiteEdit
from rnnwidget.cells.family import RANGES
from rnnwidget.recording.modules import Layer, RecurrentModule

Value = float | int | Tensor
Indices = int | slice | Iterable[int] | None

_SITE_OF_LETTER = {letter: site for family in (lstm, gru, rnn) for site, letter in family.letters.items()}
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

    def check_shape(self, layer: Layer) -> None:
        """ValueError if a tensor value cannot broadcast to the scope, as far as that shows before a call."""
        if isinstance(self.value, Tensor):
            value = _in_three_dimensions(self.value)
            for dim, indices in enumerate((self.steps, self.batch, self.units)):
                if isinstance(indices, tuple):
                    self._check_width(value, dim, len(indices))
            if self.units is None:
                self._check_width(value, 2, layer.width(self.site))

    def laid_out(self, layer: Layer, steps: int, batch: int, like: Tensor) -> SiteEdit:
        """The edit over ``(time, batch, unit)`` of one layer in a call of so many steps and sequences."""
        width = layer.width(self.site)
        check_batch([self], batch)
        wanted = (
            None if self.steps is None else _expanded(self.steps, steps),
            self.batch,
            self.units,
        )
        sizes = (steps, batch, width)
        value = _in_three_dimensions(torch.as_tensor(self.value, dtype=like.dtype, device=like.device))
        mask: Tensor | None = None
        for dim, (indices, size) in enumerate(zip(wanted, sizes, strict=True)):
            self._check_width(value, dim, size if indices is None else len(indices))
            if indices is None:
                continue
            inside = [(place, index) for place, index in enumerate(indices) if index < size]
            rows = torch.tensor([index for _, index in inside], dtype=torch.int64, device=like.device)
            if value.size(dim) != 1:
                places = torch.tensor([place for place, _ in inside], dtype=torch.int64, device=like.device)
                full = [*value.shape]
                full[dim] = size
                value = value.new_zeros(full).index_copy(dim, rows, value.index_select(dim, places))
            along = torch.zeros(size, dtype=torch.bool, device=like.device).index_fill(0, rows, value=True)
            along = along.reshape([size if axis == dim else 1 for axis in range(3)])
            mask = along if mask is None else mask & along
        return SiteEdit(self.site, self.operation, value, mask)

    def _check_width(self, value: Tensor, dim: int, size: int) -> None:
        if value.size(dim) not in (1, size):
            raise ValueError(
                f"{self.operation}({self.site!r}): a value of shape {tuple(value.shape)} does not broadcast to the "
                f"scope's {('steps', 'batch', 'units')[dim]}: {size} of them, {value.size(dim)} values"
            )


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


def validated(edits: Sequence[Edit] | Edit, modules: Sequence[RecurrentModule]) -> tuple[Edit, ...]:
    """Check edits against a model's layers; equal ones count once.

    Raises
    ------
    TypeError
        Something in the list is no edit.
    KeyError
        A layer does not exist, or no targeted layer has the site.
    IndexError
        A unit is outside every targeted layer.
    ValueError
        A tensor does not broadcast to the scope.
    """
    layers = [layer for module in modules for layer in module.layers]
    kept: list[Edit] = []
    for edit in [edits] if isinstance(edits, Edit) else edits:
        if isinstance(edit, (list, tuple)):
            raise TypeError("got a list of edits where an edit is expected: write edited(model, *edits)")
        if not isinstance(edit, Edit):
            raise TypeError(
                f"edits are made with clamp, shift, scale or nudge; got {type(edit).__name__}: {edit!r:.80}"
            )
        named = [layer for layer in layers if edit.layer in (None, layer.name)]
        if not named:
            known = ", ".join(layer.name for layer in layers)
            raise KeyError(f"{edit!r}: no layer {edit.layer!r}; the model has {known}")
        targets = [layer for layer in named if edit.has_site(layer)]
        if not targets:
            families = {layer.family.name: layer.family for layer in named}
            known = "; ".join(
                f"{name}: {', '.join(family.activations if edit.operation == 'shift' else family.sites)}"
                for name, family in families.items()
            )
            raise KeyError(f"{edit!r}: no targeted layer has that site to {edit.operation}; there are {known}")
        width = max(layer.width(edit.site) for layer in targets)
        outside = [unit for unit in edit.units or () if unit >= width]
        if outside:
            raise IndexError(f"{edit!r}: units {outside} do not exist; {edit.site!r} has units 0 to {width - 1}")
        for layer in targets:
            edit.check_shape(layer)
        if edit not in kept:
            kept.append(edit)
    return tuple(kept)


def check_batch(edits: Sequence[Edit], batch: int) -> None:
    """IndexError if an edit names a sequence that a batch of this size does not have."""
    for edit in edits:
        if edit.batch is not None and max(edit.batch, default=-1) >= batch:
            raise IndexError(f"{edit!r}: batch index {max(edit.batch)} is outside a batch of {batch}")


def edits_of_layer(edits: Sequence[Edit], layer: Layer, steps: int, batch: int, like: Tensor) -> LayerEdits:
    """The edits that concern one layer, laid out over its call; identities are left out."""
    return LayerEdits(
        tuple(
            edit.laid_out(layer, steps, batch, like)
            for edit in edits
            if edit.layer in (None, layer.name) and edit.has_site(layer) and not edit.identity
        )
    )


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
    full = _SITE_OF_LETTER.get(site, site)
    if full not in _SITE_OF_LETTER.values():
        raise KeyError(f"no site {site!r}; sites are {', '.join(dict.fromkeys(_SITE_OF_LETTER.values()))}")
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


def _in_three_dimensions(value: Tensor) -> Tensor:
    return value.reshape((1,) * (3 - value.dim()) + tuple(value.shape))


def _optional(what: str, given: Any) -> tuple[int, ...] | None:
    return None if given is None else _indices(what, given)


def _valid_slice(steps: slice) -> bool:
    for bound in (steps.start, steps.stop):
        if bound is not None and operator.index(bound) < 0:
            raise IndexError(f"steps count from the first input position; {steps} has a negative bound")
    return True


def _indices(what: str, given: Any) -> tuple[int, ...]:
    listed = [given] if isinstance(given, int) and not isinstance(given, bool) else given
    if isinstance(listed, Tensor):
        listed = listed.tolist()
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


def _expanded(steps: tuple[int, ...] | slice, length: int) -> tuple[int, ...]:
    return tuple(range(*steps.indices(length))) if isinstance(steps, slice) else steps


def _same_value(one: Value, other: Value) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
    return not isinstance(one, Tensor) and not isinstance(other, Tensor) and one == other
