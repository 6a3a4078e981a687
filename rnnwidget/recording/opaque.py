"""Modules that hide their steps: scripted, quantised and exported ones."""

from __future__ import annotations

import torch
from torch import nn

from rnnwidget.cells.registry import registered_names

TORCHS_OWN = ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell")
OPERATORS = ("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
REASON = "TorchScript and quantised modules hide their steps; pass the original module"
EXPORTED = "what torch.export or torch.fx made of it hides the steps; pass the original module"


def refuse_if_opaque(path: str, module: nn.Module) -> None:
    """NotImplementedError that names ``module`` and says why, if it is recurrent and cannot be opened."""
    kind = type(module).__module__
    name = getattr(module, "original_name", type(module).__name__)
    if isinstance(module, torch.fx.GraphModule):
        if any(
            str(node.target).startswith(f"aten.{operator}.") for node in module.graph.nodes for operator in OPERATORS
        ):
            _refuse(path, name, EXPORTED)
    elif isinstance(module, torch.jit.ScriptModule):
        if name in TORCHS_OWN or name in registered_names() or _is_one_graph_with_a_recurrent_operator(module):
            _refuse(path, name, REASON)
    elif name in TORCHS_OWN and kind.startswith(("torch.ao.nn", "torch.nn.quantized", "torch.nn.quantizable")):
        _refuse(path, name, REASON)


def _is_one_graph_with_a_recurrent_operator(module: torch.jit.ScriptModule) -> bool:
    """Whether a frozen module, which has no parts any more, runs a recurrent kernel."""
    if any(True for _ in module.children()):
        return False
    graph = getattr(module, "inlined_graph", None)
    return graph is not None and any(graph.findNode(f"aten::{operator}") is not None for operator in OPERATORS)


def _refuse(path: str, name: str, reason: str) -> None:
    raise NotImplementedError(f"cannot open {name} at {path or 'the top of the model'!r}: {reason}")
