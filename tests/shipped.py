"""The layers that ship beside PyTorch's own, and plain loops written from the papers' formulas."""

from dataclasses import dataclass
from functools import cached_property

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from rnnwidget.cells import ExcitatoryInhibitoryRNN, LeakyRNN, MinGRU, PeepholeLSTM
from tests.plain_loop import At, PlainRun, run

DT, TAU = 15.0, 50.0


def leaky(at: At, module: nn.Module, x: Tensor, h: Tensor) -> tuple[Tensor]:
    f = torch.tanh if module.nonlinearity == "tanh" else torch.relu
    drive = at.gate("drive", f, module.weight_ih @ x + module.weight_hh @ h + module.bias)
    return (at.state("hidden", (1 - DT / TAU) * h + DT / TAU * drive),)


def excitatory_inhibitory(at: At, module: nn.Module, u: Tensor, r: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    units = len(r)
    received = []
    for to in range(units):
        total = module.bias[to] + module.weight_ih[to] @ u
        for sender in range(units):
            magnitude = module.weight_hh[to, sender].abs()
            if sender != to:
                total = total + (magnitude if sender < module.excitatory_size else -magnitude) * r[sender]
        received.append(total)
    drive = at.gate("drive", torch.clone, torch.stack(received))
    x = at.state("current", x + DT / TAU * (-x + drive))
    return at.gate("hidden", torch.relu, x), x


def peephole(at: At, module: nn.Module, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    units = len(h)

    def affine(row: int) -> Tensor:
        rows = slice(row * units, (row + 1) * units)
        return module.weight_ih[rows] @ x + module.weight_hh[rows] @ h + module.bias[rows]

    i = at.gate("input_gate", torch.sigmoid, affine(0) + module.weight_peephole[0] * c)
    f = at.gate("forget_gate", torch.sigmoid, affine(1) + module.weight_peephole[1] * c)
    g = at.gate("candidate", torch.tanh, affine(2))
    c = at.state("cell", f * c + i * g)
    o = at.gate("output_gate", torch.sigmoid, affine(3) + module.weight_peephole[2] * c)
    return at.state("hidden", o * torch.tanh(c)), c


def min_gru(at: At, module: nn.Module, x: Tensor, h: Tensor) -> tuple[Tensor]:
    z = at.gate("update_gate", torch.sigmoid, module.to_update_gate.weight @ x + module.to_update_gate.bias)
    candidate = at.gate("candidate_state", torch.clone, module.to_candidate.weight @ x + module.to_candidate.bias)
    return (at.state("hidden", (1 - z) * h + z * candidate),)


@dataclass(frozen=True)
class Kind:
    build: type[nn.Module]
    step: object
    family: str
    gates: tuple[str, ...]
    states: tuple[str, ...] = ("hidden",)
    options: tuple[tuple[str, object], ...] = ()
    preactivations: tuple[str, ...] = ()


TIMES = (("dt", DT), ("tau", TAU))
KINDS = {
    "leaky relu": Kind(LeakyRNN, leaky, "leaky_rnn", ("drive",), options=TIMES),
    "leaky tanh": Kind(LeakyRNN, leaky, "leaky_rnn", ("drive",), options=(*TIMES, ("nonlinearity", "tanh"))),
    "excitatory-inhibitory": Kind(
        ExcitatoryInhibitoryRNN,
        excitatory_inhibitory,
        "excitatory_inhibitory_rnn",
        ("drive",),
        ("hidden", "current"),
        (*TIMES, ("excitatory", 0.6)),
        ("hidden",),
    ),
    "peephole": Kind(
        PeepholeLSTM,
        peephole,
        "peephole_lstm",
        ("input_gate", "forget_gate", "candidate", "output_gate"),
        ("hidden", "cell"),
    ),
    "min": Kind(MinGRU, min_gru, "min_gru", ("update_gate", "candidate_state")),
}


@dataclass(frozen=True)
class Shipped:
    """One layer and one call of it."""

    kind: str
    features: int = 3
    units: int = 4
    steps: int = 5
    batch: int = 2
    batch_first: bool = False
    given: bool = True
    dtype: torch.dtype = torch.float64
    seed: int = 0

    @property
    def of(self) -> Kind:
        return KINDS[self.kind]

    @cached_property
    def module(self) -> nn.Module:
        torch.manual_seed(self.seed)
        built = self.of.build(self.features, self.units, batch_first=self.batch_first, **dict(self.of.options))
        with torch.no_grad():
            for parameter in built.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        return built.to(self.dtype)

    def _drawn(self, offset: int, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(self.seed + offset), dtype=self.dtype)

    @cached_property
    def x(self) -> Tensor:
        """(time, batch, feature)."""
        return self._drawn(1, self.steps, self.batch, self.features)

    @cached_property
    def initial(self) -> tuple[Tensor, ...]:
        drawn = [self._drawn(2 + place, self.batch, self.units) for place in range(len(self.of.states))]
        return tuple(state if self.given else torch.zeros_like(state) for state in drawn)

    def call(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Output as (time, batch, unit), and final states."""
        x = self.x.transpose(0, 1) if self.batch_first else self.x
        state = self.initial if len(self.initial) > 1 else self.initial[0]
        output, finals = self.module(x, state) if self.given else self.module(x)
        return output.transpose(0, 1) if self.batch_first else output, (
            finals if isinstance(finals, tuple) else (finals,)
        )

    def loop(self, *changes: object) -> PlainRun:
        return run(self.of.step, self.module, self.x, self.initial, changes)

    @property
    def sites(self) -> tuple[str, ...]:
        return self.of.gates + self.of.states

    @property
    def preactivations(self) -> tuple[str, ...]:
        return self.of.gates + self.of.preactivations

    @property
    def tolerance(self) -> float:
        return 1e-12 if self.dtype is torch.float64 else 1e-5


def shipped(**fixed: object) -> st.SearchStrategy[Shipped]:
    ranges = {
        "kind": st.sampled_from(list(KINDS)),
        "features": st.integers(1, 4),
        "units": st.integers(1, 5),
        "steps": st.integers(1, 6),
        "batch": st.integers(1, 3),
        "batch_first": st.booleans(),
        "given": st.booleans(),
        "dtype": st.sampled_from([torch.float64, torch.float32]),
        "seed": st.integers(0, 2**16),
    }
    return st.builds(Shipped, **(ranges | {name: st.just(value) for name, value in fixed.items()}))
