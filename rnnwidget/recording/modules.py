"""Which recurrent layers a model has, and what they are called."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from torch import nn

from rnnwidget.cells import Family, gru, lstm, registration_of, rnn, rnn_relu
from rnnwidget.cells.registry import Registration
from rnnwidget.recording.opaque import refuse_if_opaque


@dataclass(frozen=True)
class Layer:
    """One layer and direction of one recurrent module.

    ``hidden_size`` is None for a registered module that tells its widths only when it is called. Where such a module
    carries several states, its ``hidden_size`` tells of the hidden one alone, and not of all.
    """

    name: str
    family: Family
    index: int = 0
    reverse: bool = False
    hidden_size: int | None = None
    projected_size: int | None = None
    tells_all: bool = True

    def width(self, site: str) -> int | None:
        """How many units ``site`` has; None if only a call can tell."""
        if not self.tells_all and site != "hidden" and len(self.family.states) > 1:
            return None
        return self.projected_size if site == "hidden" and self.projected_size else self.hidden_size


class RecurrentModule(NamedTuple):
    """A recurrent module of a model, under its first path."""

    path: str
    module: nn.Module
    layers: tuple[Layer, ...]
    registration: Registration | None = None

    @property
    def family(self) -> Family:
        return self.layers[0].family

    @property
    def called(self) -> str:
        """What a message calls the module."""
        return self.path or type(self.module).__name__


def plain_path(path: str, *, parallel: bool) -> str:
    """A module's dotted path without what ``torch.compile`` and a data-parallel wrapper around the model add."""
    if not parallel and "_orig_mod" not in path:
        return path
    parts = [part for part in path.split(".") if part != "_orig_mod"]
    return ".".join(parts[1:] if parallel and parts[:1] == ["module"] else parts)


def path_of_each(model: nn.Module) -> dict[str, nn.Module]:
    """Every module by its plain dotted path, ``""`` being the model itself; a shared one under its first path."""
    if not model._modules:  # noqa: SLF001 - to ask for a missing attribute takes long
        return {"": model}
    children = model._modules  # noqa: SLF001 - likewise
    compiled = children["_orig_mod"] if "_orig_mod" in children else model  # noqa: SIM401 - TorchScript's has no get
    parallel = isinstance(compiled, (nn.DataParallel, nn.parallel.DistributedDataParallel))
    # A wrapper comes before what it wraps under the same path: the one that a person wrote is the inner one.
    return {plain_path(path, parallel=parallel): module for path, module in model.named_modules()}


def family_of(module: nn.RNNBase | nn.RNNCellBase) -> Family:
    """The family that computes one of PyTorch's modules."""
    if isinstance(module, (nn.LSTM, nn.LSTMCell)):
        return lstm
    if isinstance(module, (nn.GRU, nn.GRUCell)):
        return gru
    return rnn if getattr(module, "nonlinearity", "tanh") == "tanh" else rnn_relu


@lru_cache(maxsize=256)
def _layers(path: str, family: Family, layers: int, units: int, projected: int, *, both: bool) -> tuple[Layer, ...]:
    prefix = f"{path}." if path else ""
    return tuple(
        Layer(
            name=f"{prefix}l{index}{'_reverse' if reverse else ''}",
            family=family,
            index=index,
            reverse=reverse,
            hidden_size=units,
            projected_size=projected or units,
        )
        for index in range(layers)
        for reverse in ((False, True) if both else (False,))
    )


_CELLS = (nn.LSTMCell, nn.GRUCell, nn.RNNCell)


def recurrent_modules(model: nn.Module) -> tuple[RecurrentModule, ...]:
    """The recurrent modules of ``model`` in the order of ``named_modules``.

    Raises
    ------
    TypeError
        ``model`` is not an ``nn.Module``.
    NotImplementedError
        It has a recurrent module of a kind that cannot be opened; the message names it and says why.
    ValueError
        It has no recurrent module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}: {model!r:.80}")
    found: list[RecurrentModule] = []
    for clean, module in path_of_each(model).items():
        registration = registration_of(module)
        if registration is not None:
            size = getattr(module, "hidden_size", None)
            known = size if isinstance(size, int) else None
            ours = type(module).__module__.startswith("rnnwidget.")
            layer = Layer(clean or "cell", registration.family, hidden_size=known, tells_all=ours)
            found.append(RecurrentModule(clean, module, (layer,), registration))
        elif isinstance(module, (nn.LSTM, nn.GRU, nn.RNN)):
            sizes = module.num_layers, module.hidden_size, module.proj_size
            layers = _layers(clean, family_of(module), *sizes, both=bool(module.bidirectional))
            found.append(RecurrentModule(clean, module, layers))
        elif isinstance(module, _CELLS):
            size = module.hidden_size
            layer = Layer(clean or "cell", family_of(module), hidden_size=size, projected_size=size)
            found.append(RecurrentModule(clean, module, (layer,)))
        elif not type(module).__module__.startswith("torch.nn.modules"):
            refuse_if_opaque(clean, module)
    names = [layer.name for module in found for layer in module.layers] if len(found) > 1 else []
    if len(set(names)) < len(names):
        found = [_renamed(module, names) if not module.path else module for module in found]
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no recurrent module: looked for nn.RNN, nn.LSTM, nn.GRU, their cells and "
            f"registered classes, found {_listed(model)}. A layer of your own, written as a loop over the steps, opens "
            "once its step is registered: see rnnwidget.register"
        )
    return tuple(found)


def _renamed(module: RecurrentModule, taken: list[str]) -> RecurrentModule:
    """The top of a model, where a part of it is called what it would be called: by its family's name."""
    name = module.family.name
    while name in taken:
        name += "_"
    return module._replace(layers=tuple(replace(layer, name=name) for layer in module.layers))


def _listed(model: nn.Module, most: int = 12) -> str:
    leaves = [(path, module) for path, module in model.named_modules() if not any(module.children())]
    names = [f"{path}: {_kind(module)}" if path else _kind(module) for path, module in leaves[:most]]
    return ", ".join(names) + (f" and {len(leaves) - most} more" if len(leaves) > most else "")


def _kind(module: nn.Module) -> str:
    """The class, with where it comes from where it is called as one of PyTorch's and is none."""
    kind = type(module)
    takes_its_name = hasattr(nn, kind.__name__) and not kind.__module__.startswith("torch.")
    return f"{kind.__module__}.{kind.__qualname__}" if takes_its_name else kind.__name__
