"""Copies of modules that carry nothing of ours and hold other tensors."""

from __future__ import annotations

import contextlib
import copy
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import is_
from types import MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rnnwidget.recording.model_hook import without_hooks
from rnnwidget.recording.randomness import PrivateRandomness
from rnnwidget.recording.reaching import called_by_functions, leads_to

LEADS_BACK = "it holds objects or functions that lead to its own modules"


def copied_module(module: nn.Module, parameter_for: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy whose parameters are what ``parameter_for`` gives; buffers and other tensors in it are cloned.

    ``deepcopy`` alone refuses tensors that have a graph, which a module with ``weight_norm`` or a log of its states
    holds after a forward.
    """
    parts = modules_of(module)
    attributes = [value for part in parts for name, value in vars(part).items() if name not in _TORCHS_OWN]
    if called_by_functions(attributes, {id(part) for part in parts}):
        raise TypeError(LEADS_BACK)
    memo: dict[int, object] = {}
    with torch.inference_mode(mode=False), torch.no_grad():
        for part in module.modules():
            for parameter in part._parameters.values():
                if parameter is not None:
                    memo[id(parameter)] = nn.Parameter(parameter_for(parameter), requires_grad=False)
            for tensor in _tensors_in(list(vars(part).values())):
                if id(tensor) not in memo:
                    memo[id(tensor)] = tensor.detach().clone()
        with PrivateRandomness():  # a class may draw what it is made with once more
            copied = without_hooks(copy.deepcopy(module, memo))
    for part in modules_of(copied):
        if isinstance(part, nn.RNNBase):
            # By these a copy would find its weights changed and list the parameters, whatever was listed before.
            # What is computed by a parametrization has to be found changed, and is not to be computed here.
            named = [{**vars(part), **part._parameters}.get(name) for name in part._flat_weights_names]  # noqa: SLF001 - no other list
            before = vars(part)["_flat_weight_refs"]
            pairs = zip(named, before, strict=True)
            vars(part)["_flat_weight_refs"] = [old if each is None else weakref.ref(each) for each, old in pairs]
    return copied


def bare(copied: nn.Module) -> nn.Module:
    """A copy without a person's hooks, which are not to be told of what we look at; weight_norm's pre-hooks stay."""
    for part in copied.modules():
        part._forward_hooks.clear()
        part._forward_hooks_with_kwargs.clear()
        part._forward_hooks_always_called.clear()
    return copied


def copy_of(module: nn.Module, parameter_for: Callable[[Tensor], Tensor]) -> nn.Module:
    """A deep copy, or a shallow one of what cannot be copied deep; raises the deep one's error where neither can."""
    try:
        return copied_module(module, parameter_for)
    except Exception:  # a person's class may raise anything when copied
        with contextlib.suppress(Exception):
            return shallow_copy(module, parameter_for)
        raise


def shallow_copy(module: nn.Module, parameter_for: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy with tensors of its own that shares what else its modules hold.

    For modules with a lock, a generator or an open file among their attributes, which ``deepcopy`` refuses. TypeError
    where the copy would call the original's modules: by way of an object that holds them, or a function that closes
    over them.
    """
    copies = {id(part): type(part).__new__(type(part)) for part in modules_of(module)}
    own = _Own(copies, parameter_for)
    shared = [leaf for part in modules_of(module) for value in vars(part).values() for leaf in own.shared(value)]
    if leads_to(shared, copies) or any(_slots(type(part)) for part in modules_of(module)):
        raise TypeError(LEADS_BACK)
    with torch.inference_mode(mode=False), torch.no_grad():
        for part in modules_of(module):
            vars(copies[id(part)]).update({name: own(value) for name, value in vars(part).items()})
    return without_hooks(copies[id(module)])


def _slots(kind: type) -> bool:
    return any(vars(each).get("__slots__") for each in kind.__mro__)


class _Own:
    """Tensors cloned, parameters and modules exchanged for a copy's, in plain containers too; the rest as it is."""

    def __init__(self, modules: Mapping[int, nn.Module], parameter_for: Callable[[Tensor], Tensor]) -> None:
        self._modules, self._parameter_for = modules, parameter_for

    def shared(self, value: Any) -> Iterator[Any]:
        """What of a value the copy has in common with the original."""
        parts: Iterable[Any] = ()
        if type(value) in (dict, OrderedDict):
            parts = value.values()
        elif type(value) in (list, tuple):
            parts = value
        elif type(value) is partial:
            parts = (value.func, *value.args, *value.keywords.values())
        elif not isinstance(value, (Tensor, nn.Module)) and not self._is_own_method(value):
            yield value
        for part in parts:
            yield from self.shared(part)

    def _is_own_method(self, value: Any) -> bool:
        return isinstance(value, MethodType) and id(value.__self__) in self._modules

    def __call__(self, value: Any) -> Any:  # noqa: PLR0911 - a case for each kind of value
        if isinstance(value, nn.Module):
            return self._modules.get(id(value), value)
        if isinstance(value, nn.Parameter):
            return nn.Parameter(self._parameter_for(value), requires_grad=False)
        if isinstance(value, Tensor):
            return value.detach().clone()
        if type(value) in (dict, OrderedDict):
            return type(value)((name, self(part)) for name, part in value.items())
        if type(value) in (list, tuple):
            return type(value)(map(self, value))
        if self._is_own_method(value):
            return MethodType(value.__func__, self._modules[id(value.__self__)])
        if type(value) is partial:
            return partial(self(value.func), *self(value.args), **self(value.keywords))
        return value


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors_in(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors_in(item)


def same_settings(module: nn.Module, copied: nn.Module) -> bool:
    """Whether everything but parameters, buffers and hooks has the same values, such as a time constant."""
    return all_same_settings(modules_of(module), modules_of(copied))


def all_same_settings(ours: Sequence[nn.Module], theirs: Sequence[nn.Module]) -> bool:
    """As :func:`same_settings`, for the modules of two models."""
    return len(ours) == len(theirs) and all(map(_alike_but_for_tensors, ours, theirs))


def modules_of(model: nn.Module) -> list[nn.Module]:
    """A module and all inside it, each once; those of a copy in the same order."""
    found, seen = [model], {id(model)}
    for part in found:
        for child in part._modules.values():  # noqa: SLF001 - modules() takes four times as long
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                found.append(child)
    return found


# The weak references stand for the tensors of _flat_weights, which are compared.
_TORCHS_OWN = frozenset(vars(nn.Module())) | {"_flat_weight_refs"}
_AND_LISTED = _TORCHS_OWN | {"_flat_weights"}


def _alike_but_for_tensors(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = vars(one), vars(other)
    both_list = isinstance(one, nn.RNNBase) and _lists_parameters(ours) and _lists_parameters(theirs)
    left_out = _AND_LISTED if both_list else _TORCHS_OWN
    for name, value in ours.items():
        if name not in left_out:
            if name not in theirs:
                return False
            other = theirs[name]
            if value is not other and not _alike(value, other):
                return False
    return all([name in ours or name in left_out for name in theirs])


def _lists_parameters(settings: Mapping[str, Any]) -> bool:
    """Whether PyTorch's list of a recurrent module's weights is that of its parameters."""
    listed, parameters = settings.get("_flat_weights", ()), settings["_parameters"]
    return len(listed) == len(parameters) > 0 and all(map(is_, listed, parameters.values()))


def _all_alike(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> bool:
    return one.keys() == other.keys() and all(_alike(value, other[key]) for key, value in one.items())


def _alike(one: Any, other: Any) -> bool:  # noqa: PLR0911 - a case for each kind of value
    if one is other or type(one) is not type(other):
        return one is other
    if isinstance(one, Tensor):
        same_form = one.shape == other.shape and one.dtype == other.dtype and one.stride() == other.stride()
        return same_form and (one.data_ptr() == other.data_ptr() != 0 or torch.equal(one, other))
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, other))
    if isinstance(one, weakref.ref):
        return _alike(one(), other())
    of_tensors = isinstance(one, (list, tuple)) and one and isinstance(one[0], (Tensor, weakref.ref))
    if not of_tensors and _equal_at_once(one, other):
        return True
    if isinstance(one, Mapping):
        return _all_alike(one, other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_alike, one, other))
    if hasattr(one, "__dict__") and not callable(one):
        return _all_alike(vars(one), vars(other))
    return callable(one)  # a copy shares code


def _equal_at_once(one: Any, other: Any) -> bool:
    """By Python's own comparison, fast for a long vocabulary; tensors in a list make it fail."""
    try:
        return bool(one == other)
    except (RuntimeError, ValueError):
        return False
