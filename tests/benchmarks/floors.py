"""What nobody can do without who watches a model, or looks at its gates: how near the other rows can come.

Each is a few lines for the one case that it measures: no names, no edits, no checks, nothing but what has to be done.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.overrides import TorchFunctionMode

import rnnwidget as rw
from rnnwidget.recording.same_values import same_values
from tests.benchmarks.comparison import Row, compare
from tests.benchmarks.editing import stack
from tests.benchmarks.engine import WORKLOADS, Workload
from tests.benchmarks.hand_written import with_gates


class _SeesAll(TorchFunctionMode):
    """A function mode that passes everything on."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


class _LayerByLayer(_SeesAll):
    """Runs a dense LSTM's stack as a call for each layer: what passes between the layers is to be seen."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is not torch._VF.lstm or args[4] == 1:
            return func(*args, **(kwargs or {}))
        output, (hidden, cell), weights, *rest = args
        finals = []
        for layer in range(rest[1]):
            states, own = (hidden[layer : layer + 1], cell[layer : layer + 1]), weights[4 * layer : 4 * layer + 4]
            output, *reached = func(output, states, own, rest[0], 1, *rest[2:])
            finals.append(reached)
        return output, *(torch.cat(states) for states in zip(*finals, strict=True))


def watched(module: nn.Module, x: object, kind: type[_SeesAll] = _SeesAll) -> Callable[[], object]:
    """A call with two hooks that enter and leave a function mode, and nothing else."""

    def call() -> object:
        mode = kind()
        handles = (
            module.register_forward_pre_hook(lambda *_: mode.__enter__() and None),
            module.register_forward_hook(lambda *_: mode.__exit__(None, None, None), always_call=True),
        )
        try:
            return module(x)
        finally:
            for handle in handles:
                handle.remove()

    return call


def cloned(module: nn.Module, x: Tensor | PackedSequence) -> Callable[[], object]:
    """A watched call, layer by layer, and clones of what a recording owns: input, output and weights."""
    dense = isinstance(module, nn.LSTM) and isinstance(x, Tensor)
    call = watched(module, x, _LayerByLayer if dense else _SeesAll)

    def recorded() -> object:
        output, _ = call()
        parts = (x, output) if isinstance(x, Tensor) else (x.data, output.data)
        return [part.clone() for part in (*parts, *module.parameters())]

    return recorded


def cleared(module: nn.LSTM, x: Tensor) -> Callable[[], object]:
    """A watched call beside copies of the weights, the rows of one gate at zero."""
    call, weights = watched(module, x), list(module.parameters())
    copies, units = [weight.detach().clone() for weight in weights], module.hidden_size
    rows = [copy[units : 2 * units] for copy in copies]

    def clamped() -> object:
        torch._foreach_copy_(copies, weights)
        torch._foreach_zero_(rows)
        return call()

    return clamped


def last_tenth(module: nn.LSTM, x: Tensor) -> Callable[[], object]:
    """A watched call of the last tenth; input and weights are compared, and a whole output is put together."""
    kept, steps = [tensor.detach().clone() for tensor in (x, *module.parameters())], x.size(0)
    call, output = watched(module, x[steps - steps // 10 :]), module(x)[0]
    before = output[: steps - steps // 10]

    def intervened() -> object:
        if not all(map(same_values, kept, (x, *module.parameters()))):
            raise AssertionError
        return torch.cat([before, call()[0]]).clone()

    return intervened


def rebuilt(load: Workload, module: nn.RNNBase, x: Tensor | PackedSequence) -> Callable[[], object]:
    """A floor of ``record``; the layers below the top once more where it does not keep them; products, nonlinearities.

    Packed gates are put in their places in time and batch, and cell states take their one operation a step.
    """
    rows, sides = (x.data if isinstance(x, PackedSequence) else x.flatten(0, 1)).size(0), 1 + module.bidirectional
    gates = module.weight_ih_l0.size(0)
    reads = [module.input_size] + [sides * load.units] * (load.layers - 1)
    inputs = [torch.randn(rows, width) for width in reads]
    hidden, weights = torch.randn(rows, load.units), [torch.randn(gates, width) for width in reads]
    recurrent, state = torch.randn(gates, load.units), torch.zeros(load.batch, load.units)
    places = torch.arange(load.steps * load.batch).clamp_(max=rows - 1) if load.packed else None
    with rw.record(module) as recording:
        module(x)
    below = None
    if any(call.replayed for call in recording.recorded_calls):
        below = type(module)(load.units, load.units, load.layers - 1, bidirectional=module.bidirectional)

    def layer(read: Tensor, weight: Tensor) -> object:
        opened = torch.mm(read, weight.t()).addmm_(hidden, recurrent.t()).sigmoid_()
        if places is not None:
            opened = opened.index_select(0, places)
        if not isinstance(module, nn.LSTM):
            return opened
        written, keep = opened.view(load.steps, load.batch, gates).chunk(4, dim=-1)[:2]
        cell, before = torch.empty(load.steps, load.batch, load.units), state
        for into, kept, added in zip(cell.unbind(), keep.unbind(), written.unbind(), strict=True):
            before = torch.addcmul(added, kept, before, out=into)
        return opened, cell

    recorded = cloned(module, x)

    def call() -> object:
        recorded()
        if below is not None:
            below(x)
        return [layer(read, weight) for read, weight in zip(inputs, weights, strict=True) for _ in range(sides)]

    return call


@torch.no_grad()
def rows(seconds: float) -> Iterator[Row]:
    """Without gradients, in float32."""
    for load in WORKLOADS:
        module, x, lengths = load.build()
        given = x if lengths is None else pack_padded_sequence(x, lengths, enforce_sorted=False)
        plain = (lambda m=module, x=given: m(x), "plain forward")
        if load.batch == 1:
            yield compare(f"floor: hooks and a mode, {load.name}", watched(module, given), *plain, seconds=seconds)
        yield compare(f"floor: record, {load.name}", cloned(module, given), *plain, seconds=seconds)
        floor = rebuilt(load, module, given)
        yield compare(f"floor: everything, {load.name}", floor, *plain, seconds=seconds)
        loop = (lambda m=module, x=x, n=lengths: with_gates(m, x, n), "hand-written loop with gates")
        yield compare(f"floor: everything, {load.name}", floor, *loop, seconds=seconds)
    for sizes in ((1, 128, 200), (2, 256, 500)):
        lstm, x, name = stack(*sizes)
        plain = (lambda m=lstm, x=x: m(x), "plain forward")
        yield compare(f"floor: clamp of a gate, {name}", cleared(lstm, x), *plain, seconds=seconds)
        yield compare(f"floor: last tenth clamped, {name}", last_tenth(lstm, x), *plain, seconds=seconds)
