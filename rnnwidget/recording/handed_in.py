"""What a model is given: it may write into its input, and the next run is to find it as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from rnnwidget.recording.owned import owned

_UNCHANGING = (str, bytes, bool, int, float, complex, type(None), torch.dtype, torch.device)


class HandedIn:
    """Gives copies of what runs are made on: the same one as long as nobody has written into it, else a fresh one.

    Examples
    --------
    >>> import torch
    >>> handed_in, x = HandedIn(), torch.zeros(2)
    >>> first = handed_in(x)
    >>> handed_in(x) is first, handed_in(first.add_(1)) is first, handed_in(x)
    (True, False, tensor([0., 0.]))
    """

    def __init__(self) -> None:
        self._given: Any = None
        self._copied: Any = None
        self._forms: object = None

    def __call__(self, given: Any) -> Any:
        """A copy of ``given``, through which gradients reach it."""
        if self._forms is None or self._given is not given or self._forms != _forms(given, self._copied):
            self._given, self._copied = given, owned(given, graph=True, expanded=False)
            self._forms = _forms(given, self._copied)
        return self._copied


class _CannotTell(Exception):  # noqa: N818 - nothing went wrong
    """A value may change without leaving a trace."""


def _forms(*values: Any) -> object:
    """The same as long as nothing is written into any of the values; None where that cannot be told."""
    try:
        return torch.is_grad_enabled(), *map(_form, values)
    except _CannotTell:
        return None


def _form(value: Any) -> object:
    if isinstance(value, Tensor) and not value.is_inference():
        return id(value), value._version
    if isinstance(value, (tuple, list)):
        return id(value), *map(_form, value)
    if isinstance(value, Mapping):
        return id(value), *((name, _form(part)) for name, part in value.items())
    if is_dataclass(value) and not isinstance(value, type):
        return id(value), *(_form(getattr(value, part.name)) for part in fields(value))
    if isinstance(value, _UNCHANGING):
        return id(value)
    raise _CannotTell
