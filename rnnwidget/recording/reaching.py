"""Whether what a module holds leads to modules of its model, by ways that a copy does not know."""

from __future__ import annotations

import dis
from collections.abc import Collection, Iterator
from functools import lru_cache, partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

MOST = 2000
_LIBRARIES = frozenset({"torch", "numpy", "functools", "contextlib"})
_NO_WAY = (str, bytes, int, float, complex, Tensor, type, ModuleType, type(None))


def leads_to(values: Collection[Any], modules: Collection[int], *, untold: bool = True) -> bool:
    """Whether one of the ``modules``, by their ids, is found from ``values``; ``untold`` where they hold too much."""
    seen: set[int] = set()
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if id(value) in modules:
            return True
        if id(value) in seen or isinstance(value, _NO_WAY):
            continue
        seen.add(id(value))
        if len(seen) > MOST:
            return untold
        waiting += _held(value)
    return False


def called_by_functions(values: Collection[Any], modules: Collection[int]) -> bool:
    """Whether ``values``, by ways that ``deepcopy`` goes, hold a function that leads to one of the ``modules``.

    A copy would hold the same function, and so call the original's modules.
    """
    seen: set[int] = set()
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if id(value) in seen or id(value) in modules or isinstance(value, _NO_WAY):
            continue
        seen.add(id(value))
        if isinstance(value, FunctionType):
            if leads_to([value], modules, untold=False):
                return True
        elif isinstance(value, MethodType):
            waiting.append(value.__self__)
            if leads_to([value.__func__], modules, untold=False):
                return True
        else:
            waiting += _held(value)
    return False


def _held(value: Any) -> Iterator[Any]:
    """What an object refers to."""
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from value
    elif isinstance(value, MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, FunctionType):
        yield from (cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell))
        yield from value.__defaults__ or ()
        yield from (value.__kwdefaults__ or {}).values()
        yield from _named(value)
    elif not isinstance(value, nn.Module):
        yield from getattr(value, "__dict__", {}).values()


def _named(function: FunctionType) -> Iterator[Any]:
    """What a person's function names in its own file: in a notebook the model itself is a global."""
    if (function.__module__ or "").partition(".")[0] in _LIBRARIES:
        return
    for name in _globals_of(function.__code__):
        value = function.__globals__.get(name)
        if isinstance(value, (nn.Module, MethodType, partial, FunctionType)):
            yield value


@lru_cache(maxsize=1024)
def _globals_of(code: CodeType) -> frozenset[str]:
    """The globals that code reads, in the functions inside it too."""
    found = {each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    inside = [_globals_of(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return frozenset(found).union(*inside)


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - only to look
    except ValueError:
        return False
    return True
