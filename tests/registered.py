"""Recurrent layers as people write them, their registered steps, and the same as plain loops."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw
from rnnwidget.cells import registry
from tests import plain_loop
from tests.cases import assert_close
from tests.plain_loop import At, PlainRun

FEATURES, UNITS, STEPS, BATCH = 3, 4, 6, 2
SIZES = (STEPS, BATCH, UNITS)


@pytest.fixture(autouse=True)
def registrations_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_families", dict(registry._families))
    monkeypatch.setattr(registry, "_registrations", dict(registry._registrations))


class CTRNN(nn.Module):
    """The shape in which most such networks are written; ``gives`` and ``batch_first`` are how they differ."""

    def __init__(self, gives: str = "output and state", *, batch_first: bool = False) -> None:
        super().__init__()
        self.input2h, self.h2h = nn.Linear(FEATURES, UNITS), nn.Linear(UNITS, UNITS)
        self.alpha, self.gives, self.batch_first = 0.2, gives, batch_first
        self.double()

    def recurrence(self, x: Tensor, h: Tensor) -> Tensor:
        return h * (1 - self.alpha) + self.alpha * torch.relu(self.input2h(x) + self.h2h(h))

    def forward(self, x: Tensor, h: Tensor | None = None) -> object:
        x = x.transpose(0, 1) if self.batch_first else x
        h = x.new_zeros(x.size(1), UNITS) if h is None else h
        output = []
        for x_t in x:
            h = self.recurrence(x_t, h)
            output.append(h)
        stacked = torch.stack(output, dim=int(self.batch_first))
        last = stacked.select(int(self.batch_first), -1)
        return {"output": stacked, "output and state": (stacked, h), "output and its last": (stacked, last)}[self.gives]


class Cell(nn.Module):
    """One step; its caller loops."""

    def __init__(self) -> None:
        super().__init__()
        self.input2h, self.h2h = nn.Linear(FEATURES, UNITS).double(), nn.Linear(UNITS, UNITS).double()
        self.alpha = 0.2

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return CTRNN.recurrence(self, x, h)


class Adapting(nn.Module):
    """Two states: a rate, and an adaptation that follows it slowly."""

    def __init__(self) -> None:
        super().__init__()
        self.input2h, self.h2h = nn.Linear(FEATURES, UNITS).double(), nn.Linear(UNITS, UNITS).double()

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h, a = state or (x.new_zeros(x.size(1), UNITS), x.new_zeros(x.size(1), UNITS))
        output = []
        for x_t in x:
            a = 0.9 * a + 0.1 * h
            h = torch.tanh(self.input2h(x_t) + self.h2h(h) - a)
            output.append(h)
        return torch.stack(output), (h, a)


def leaky_step(module: nn.Module, x: Tensor, h: Tensor, at: object) -> Tensor:
    return (1 - module.alpha) * h + module.alpha * at.gate("drive", module.input2h(x) + module.h2h(h))


def adapting_step(module: nn.Module, x: Tensor, state: tuple[Tensor, Tensor], at: object) -> tuple[Tensor, Tensor]:
    h, a = state
    a = at.state("adaptation", 0.9 * a + 0.1 * h)
    return at.gate("hidden", module.input2h(x) + module.h2h(h) - a), a


def register_all() -> None:
    for kind in (CTRNN, Cell):
        rw.register(kind, gates={"drive": "relu"})(leaky_step)
    rw.register(Adapting, states=("hidden", "adaptation"), gates={"hidden": "tanh"})(adapting_step)


def plain_leaky(at: At, module: nn.Module, x: Tensor, h: Tensor) -> tuple[Tensor]:
    total = module.input2h.weight @ x + module.input2h.bias + module.h2h.weight @ h + module.h2h.bias
    return (at.state("hidden", 0.8 * h + 0.2 * at.gate("drive", torch.relu, total)),)


def plain_adapting(at: At, module: nn.Module, x: Tensor, h: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    a = at.state("adaptation", 0.9 * a + 0.1 * h)
    total = module.input2h.weight @ x + module.input2h.bias + module.h2h.weight @ h + module.h2h.bias - a
    return at.state("hidden", torch.tanh(at.before("hidden", total))), a


SITES = {CTRNN: ("drive", "hidden"), Cell: ("drive", "hidden"), Adapting: ("hidden", "adaptation")}
PREACTIVATIONS = {CTRNN: ("drive",), Cell: ("drive",), Adapting: ("hidden",)}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def built(kind: Callable[..., nn.Module], *arguments: object, **options: object) -> nn.Module:
    register_all()
    torch.manual_seed(0)
    return kind(*arguments, **options)


def expected_of(module: nn.Module, x: Tensor, *changes: object, initial: tuple[Tensor, ...] | None = None) -> PlainRun:
    zeros = tuple(x.new_zeros(x.size(1), UNITS) for _ in range(1 + isinstance(module, Adapting)))
    step = plain_adapting if isinstance(module, Adapting) else plain_leaky
    return plain_loop.run(step, module, x, initial or zeros, changes)


def assert_recorded(layer: rw.LayerRecording, module: nn.Module, expected: PlainRun, tolerance: float = 1e-12) -> None:
    for site in SITES[type(module)]:
        assert_close(layer[site], expected.layer[site], tolerance)
    for site in PREACTIVATIONS[type(module)]:
        assert_close(layer.preactivation(site), expected.layer[f"preactivation:{site}"], tolerance)
    assert layer.replay_error <= tolerance


class Result(NamedTuple):
    readout: Tensor
    rates: Tensor
    state: Tensor


class Unusual(CTRNN):
    """Called with a dictionary and a mask, and returns a named tuple that begins with something else."""

    def forward(self, batch: dict[str, Tensor], mask: Tensor) -> Result:
        output, h = super().forward(batch["stimulus"] * mask)
        return Result(output.sum(-1), output, h)
