"""Units, steps and sequences as a person gives them."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

Indices = int | slice | Iterable[int] | None
Chosen = tuple[int, ...] | slice | None


class StepRange(NamedTuple):
    """Neighbouring steps from ``start`` to before ``stop``: of an edit these, and not the two steps of a pair."""

    start: int
    stop: int


def chosen(what: str, given: Any) -> tuple[int, ...] | None:
    """Indices from a number, several, or a tensor or array of them; None is all.

    TypeError for what is no integer, IndexError for what is negative.
    """
    return None if given is None else _indices(what, given)


def chosen_steps(given: Any) -> Chosen:
    """Like :func:`chosen`; a slice is kept as it is, since only a call tells how many steps there are."""
    if isinstance(given, StepRange):
        given = slice(*given)
    if not isinstance(given, slice):
        return chosen("steps", given)
    for bound in (given.start, given.stop):
        if bound is not None and operator.index(bound) < 0:
            raise IndexError(f"steps count from the first input position; {given} has a negative bound")
    return given


def in_order(place: Chosen) -> Chosen:
    """The same places, each once."""
    return tuple(sorted(set(place))) if isinstance(place, tuple) else place


def hashable(place: Chosen) -> object:
    """A slice as something that has a hash in every Python."""
    return (slice, place.start, place.stop, place.step) if isinstance(place, slice) else place


def _indices(what: str, given: Any) -> tuple[int, ...]:
    listed: Any = given.tolist() if isinstance(given, (Tensor, np.ndarray)) else given
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
