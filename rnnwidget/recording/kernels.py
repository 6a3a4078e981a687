"""PyTorch's own recurrent kernels, and how their arguments are read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnnwidget.cells import Family
from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.recording.call_stack import packed_on_stack
from rnnwidget.recording.model_hook import ModelHook
from rnnwidget.recording.recurrent_call import Kernel, RecurrentCall
from rnnwidget.recording.sequences import SequenceLayout

_STACKS: frozenset[Kernel] = frozenset({torch._VF.lstm, torch._VF.gru, torch._VF.rnn_tanh, torch._VF.rnn_relu})
_CELLS: frozenset[Kernel] = frozenset(
    {torch._VF.lstm_cell, torch._VF.gru_cell, torch._VF.rnn_tanh_cell, torch._VF.rnn_relu_cell}
)
KERNELS = _STACKS | _CELLS
# A class of a person's own may begin from a state that it keeps.
PYTORCHS_OWN = frozenset({nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell, nn.GRUCell, nn.RNNCell})


def parse_kernel_call(
    kernel: Kernel,
    arguments: tuple[Any, ...],
    module: nn.Module,
    family: Family,
    sequence: object,
    given: tuple[Tensor, ...],
) -> RecurrentCall:
    """Read the positional arguments of a kernel; the module was called with ``sequence`` and the states ``given``.

    NotImplementedError where a call cannot be read; the message says why.
    """
    if kernel in _CELLS:
        return _parse_cell(kernel, arguments, family, from_zero=begins_from_zero(module, given))
    packed = not isinstance(arguments[3], bool)
    if packed and not isinstance(sequence, PackedSequence):
        sequence = packed_on_stack()
    if packed and not isinstance(sequence, PackedSequence):
        raise NotImplementedError(
            f"{type(module).__name__} packs its input inside its own forward, which hides the order of the batch; "
            "pass it a PackedSequence to record or edit it"
        )
    if isinstance(sequence, PackedSequence):
        data, batch_sizes, states, flat, biased, layers, dropout, training, bidirectional = arguments
        layout = SequenceLayout(
            steps=len(batch_sizes),
            batch=int(batch_sizes[0]),
            batch_first=False,
            batch_sizes=batch_sizes,
            sorted_indices=sequence.sorted_indices,
            unsorted_indices=sequence.unsorted_indices,
        )
    else:
        data, states, flat, biased, layers, dropout, training, bidirectional, batch_first = arguments
        steps, batch = (data.size(1), data.size(0)) if batch_first else (data.size(0), data.size(1))
        layout = SequenceLayout(steps=steps, batch=batch, batch_first=batch_first)
    projected = bool(getattr(module, "proj_size", 0))
    return RecurrentCall(
        form="stack",
        kernel=kernel,
        family=family,
        layout=layout,
        input=data,
        initial=tuple(states) if isinstance(states, (tuple, list)) else (states,),
        weights=_by_layer(flat, layers, 2 if bidirectional else 1, biased=biased, projected=projected),
        dropout=dropout,
        training=training,
        from_zero=begins_from_zero(module, given),
    )


def begins_from_zero(module: nn.Module, given: tuple[Tensor, ...]) -> bool:
    """Whether PyTorch's own forward makes the states that a call begins from.

    None were ``given`` when our hook was called, and no hook of somebody's own comes after it, which may give some.
    """
    if given or type(module) not in PYTORCHS_OWN or "forward" in vars(module):
        return False
    hooks = module._forward_pre_hooks
    return not hooks or isinstance(next(reversed(hooks.values())), ModelHook)


def weights_of(stack: nn.RNNBase) -> tuple[tuple[LayerWeights, ...], ...]:
    """The parameters of one of PyTorch's own stacks, by layer and direction."""
    flat = [getattr(stack, name) for name in stack._flat_weights_names]  # noqa: SLF001 - it has no other list
    directions, projected = 1 + stack.bidirectional, bool(stack.proj_size)
    return _by_layer(flat, stack.num_layers, directions, biased=stack.bias, projected=projected)


def states_of(kernel: Kernel, arguments: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """The states that a kernel begins from, as it was given them."""
    packed = kernel not in _CELLS and not isinstance(arguments[3], bool)
    states = arguments[2 if packed else 1]
    return tuple(states) if isinstance(states, (tuple, list)) else (states,)


def _parse_cell(kernel: Kernel, arguments: tuple[Any, ...], family: Family, *, from_zero: bool) -> RecurrentCall:
    x, given, input_hidden, hidden_hidden, *biases = arguments
    input_bias, hidden_bias = biases or (None, None)
    states: tuple[Tensor, ...] = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    return RecurrentCall(
        form="cell",
        kernel=kernel,
        family=family,
        layout=SequenceLayout(steps=1, batch=x.size(0), batch_first=False),
        input=x.unsqueeze(0),
        initial=tuple(state.unsqueeze(0) for state in states),
        weights=((LayerWeights(input_hidden, hidden_hidden, input_bias, hidden_bias),),),
        from_zero=from_zero,
    )


def _by_layer(
    flat: list[Tensor], layers: int, directions: int, *, biased: bool, projected: bool
) -> tuple[tuple[LayerWeights, ...], ...]:
    each = 2 + 2 * biased + projected

    def one(position: int) -> LayerWeights:
        tensors = flat[position * each : (position + 1) * each]
        input_bias, hidden_bias = tensors[2:4] if biased else (None, None)
        return LayerWeights(tensors[0], tensors[1], input_bias, hidden_bias, tensors[-1] if projected else None)

    return tuple([tuple([one(layer * directions + side) for side in range(directions)]) for layer in range(layers)])
