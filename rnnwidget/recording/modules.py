"""Which recurrent layers a model has, and what they are called."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from rnnwidget.cells import Family, gru, lstm, rnn, rnn_relu


@dataclass(frozen=True)
class Layer:
    """One layer and direction of one recurrent module."""

    name: str
    family: Family
    index: int
    reverse: bool
    hidden_size: int
    projected_size: int

    def width(self, site: str) -> int:
        """How many units ``site`` has."""
        return self.projected_size if site == "hidden" else self.hidden_size


@dataclass(frozen=True)
class RecurrentModule:
    """A recurrent module of a model, under its first path."""

    path: str
    module: nn.RNNBase
    layers: tuple[Layer, ...]

    @property
    def family(self) -> Family:
        return self.layers[0].family


def plain_path(path: str, *, parallel: bool) -> str:
    """A module's dotted path without what ``torch.compile`` and a data-parallel wrapper around the model add."""
    parts = [part for part in path.split(".") if part != "_orig_mod"]
    return ".".join(parts[1:] if parallel and parts[:1] == ["module"] else parts)


def family_of(module: nn.RNNBase) -> Family:
    """The family that computes a fused module."""
    if isinstance(module, nn.LSTM):
        return lstm
    if isinstance(module, nn.GRU):
        return gru
    return rnn if getattr(module, "nonlinearity", "tanh") == "tanh" else rnn_relu


def _layers(path: str, module: nn.RNNBase) -> tuple[Layer, ...]:
    prefix = f"{path}." if path else ""
    return tuple(
        Layer(
            name=f"{prefix}l{index}{'_reverse' if reverse else ''}",
            family=family_of(module),
            index=index,
            reverse=reverse,
            hidden_size=module.hidden_size,
            projected_size=module.proj_size or module.hidden_size,
        )
        for index in range(module.num_layers)
        for reverse in ((False, True) if module.bidirectional else (False,))
    )


_CELLS = (nn.RNNCellBase,)
_OPAQUE_NAMES = ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell")


def recurrent_modules(model: nn.Module) -> tuple[RecurrentModule, ...]:
    """The recurrent modules of ``model`` in the order of ``named_modules``.

    Raises
    ------
    TypeError
        ``model`` is not an ``nn.Module``.
    NotImplementedError
        It has a recurrent module of a kind that cannot be opened yet; the message names it.
    ValueError
        It has no recurrent module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}: {model!r:.80}")
    found: list[RecurrentModule] = []
    parallel = isinstance(getattr(model, "_orig_mod", model), (nn.DataParallel, nn.parallel.DistributedDataParallel))
    for path, module in model.named_modules():
        clean = plain_path(path, parallel=parallel)
        if isinstance(module, (nn.LSTM, nn.GRU, nn.RNN)):
            found.append(RecurrentModule(clean, module, _layers(clean, module)))
        elif isinstance(module, _CELLS):
            _refuse(clean, module, "cells in a loop are not recorded yet; nn.RNN, nn.LSTM and nn.GRU are")
        elif getattr(module, "original_name", type(module).__name__) in _OPAQUE_NAMES and _is_opaque(module):
            _refuse(clean, module, "TorchScript and quantised modules hide their steps; pass the original module")
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no recurrent module: looked for nn.RNN, nn.LSTM and nn.GRU, "
            f"found {_listed(model)}. Custom cells, written by hand as a loop over the steps, are not covered yet."
        )
    return tuple(found)


def _listed(model: nn.Module, most: int = 12) -> str:
    leaves = [(path, module) for path, module in model.named_modules() if not any(module.children())]
    names = [f"{path}: {type(module).__name__}" if path else type(module).__name__ for path, module in leaves[:most]]
    return ", ".join(names) + (f" and {len(leaves) - most} more" if len(leaves) > most else "")


def _is_opaque(module: nn.Module) -> bool:
    kind = type(module).__module__
    return kind.startswith(("torch.jit", "torch.ao.nn", "torch.nn.quantized", "torch.nn.quantizable"))


def _refuse(path: str, module: nn.Module, reason: str) -> None:
    name = getattr(module, "original_name", type(module).__name__)
    raise NotImplementedError(f"cannot open {name} at {path or 'the top of the model'!r}: {reason}")
