"""Recording and editing against the plain forward and against a hand-written loop."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import rnnwidget as rw
from tests.benchmarks.comparison import Row, compare
from tests.benchmarks.hand_written import with_gates


@dataclass(frozen=True)
class Workload:
    """A module of two layers and a batch of sequences."""

    kind: type[nn.LSTM] | type[nn.GRU]
    units: int
    steps: int
    batch: int

    @property
    def name(self) -> str:
        return f"{self.kind.__name__} 2×{self.units}, T={self.steps}, B={self.batch}"

    def build(self) -> tuple[nn.LSTM | nn.GRU, Tensor]:
        torch.manual_seed(0)
        return self.kind(self.units, self.units, num_layers=2), torch.randn(self.steps, self.batch, self.units)


WORKLOADS = (
    Workload(nn.LSTM, 128, 200, 1),
    Workload(nn.LSTM, 256, 500, 1),
    Workload(nn.LSTM, 256, 200, 32),
    Workload(nn.GRU, 256, 200, 32),
)


def recorded(module: nn.Module, x: Tensor) -> rw.Recording:
    with rw.record(module) as recording:
        module(x)
    return recording


def everything(module: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Record, and look at every gate and every state of every layer."""
    recording = recorded(module, x)
    layers = [recording[name] for name in recording.layers]
    return {f"{layer.name} {site}": layer[site] for layer in layers for site in layer.gates + layer.states}


def clamped(module: nn.Module, x: Tensor, edit: rw.Edit) -> object:
    with rw.edited(module, edit):
        return module(x)


def rows(seconds: float) -> Iterator[Row]:
    """Every comparison, the noise first; without gradients, in float32."""
    for load in WORKLOADS:
        module, x = load.build()
        edit = rw.clamp("forget_gate" if load.kind is nn.LSTM else "update_gate", 1.0, units=[0])
        with torch.no_grad():
            _assert_the_same(module, x)
            yield compare(
                f"noise: everything, {load.name}",
                lambda m=module, x=x: everything(m, x),
                lambda m=module, x=x: everything(m, x),
                "the same again",
                seconds=seconds,
            )
            plain = (lambda m=module, x=x: m(x), "plain forward")
            yield compare(f"record, {load.name}", lambda m=module, x=x: recorded(m, x), *plain, seconds=seconds)
            yield compare(f"everything, {load.name}", lambda m=module, x=x: everything(m, x), *plain, seconds=seconds)
            yield compare(
                f"everything, {load.name}",
                lambda m=module, x=x: everything(m, x),
                lambda m=module, x=x: with_gates(m, x),
                "hand-written loop with gates",
                seconds=seconds,
            )
            yield compare(
                f"clamp of a gate, {load.name}",
                lambda m=module, x=x, e=edit: clamped(m, x, e),
                *plain,
                seconds=seconds,
            )


def _assert_the_same(module: nn.Module, x: Tensor) -> None:
    """Both sides of the comparison compute the same numbers."""
    ours, theirs = everything(module, x), with_gates(module, x)
    letters = {"input_gate": "i", "forget_gate": "f", "output_gate": "o", "reset_gate": "r", "update_gate": "z"}
    letters |= {"hidden": "h", "cell": "c", "candidate": "g" if isinstance(module, nn.LSTM) else "n"}
    for name, tensor in ours.items():
        layer, site = name.split()
        torch.testing.assert_close(tensor, theirs[f"{layer} {letters[site]}"], rtol=1e-4, atol=1e-4)
