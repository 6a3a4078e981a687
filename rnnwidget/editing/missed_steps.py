"""Edits of steps that no call had, where a layer was called many times and each call began at step 0."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from typing import NamedTuple

from rnnwidget.editing.edit import Edit
from rnnwidget.recording.call_stack import level_of_caller
from rnnwidget.recording.modules import RecurrentModule


class Calls(NamedTuple):
    """How many calls of a module there were, each from a state of its own, and the steps of the longest."""

    number: int
    longest: int


def warn_of_missed_steps(called: str, edits: Iterable[Edit], calls: Iterable[tuple[RecurrentModule, Calls]]) -> None:
    """RuntimeWarning for the first edit that touched nothing for want of a call as long as its steps."""
    every = list(calls)
    if all([number == 1 for _, (number, _) in every]):
        return
    for edit in edits:
        meant = [
            (layer.name, of_module) for module, of_module in every for layer in module.layers if edit.is_for(layer)
        ]
        if not meant or edit.identity or not _has_any(edit, sys.maxsize):
            continue
        if any(number == 1 or _has_any(edit, longest) for _, (number, longest) in meant):
            continue
        name, (number, longest) = meant[0]
        warnings.warn(
            f"{called}: {edit!r} changed nothing: {name!r} was called {number} times, each time from another state "
            f"than it had just given, so that each call counts its steps from 0, and the longest had {longest}. "
            "Without steps= every call is edited",
            RuntimeWarning,
            stacklevel=level_of_caller(),
        )
        return


def _has_any(edit: Edit, steps: int) -> bool:
    """Whether a call of so many steps has one of the edit's."""
    if isinstance(edit.steps, slice):
        return bool(range(*edit.steps.indices(steps)))
    return edit.steps is None or any(step < steps for step in edit.steps)
