"""Modules called step by step or chunk by chunk, their own state handed back, and the one long call they amount to."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from tests import reference
from tests.cases import FEATURES, STATES, UNITS

CELLS = (nn.LSTMCell, nn.GRUCell, nn.RNNCell)


def stepped(
    cell: nn.RNNCellBase, x: Tensor, state: object = None, *, detached: int | None = None
) -> tuple[Tensor, object]:
    """A cell's loop over ``x`` (time, batch, feature), from a detached state at one of the steps."""
    hidden = []
    for step, x_t in enumerate(x):
        state = cell(x_t, detach(state) if step == detached else state)
        hidden.append(state[0] if isinstance(state, tuple) else state)
    return torch.stack(hidden), state


def chunks(
    module: nn.RNNBase, x: Tensor, parts: Sequence[int], state: object = None, *, detached: int | None = None
) -> tuple[Tensor, object]:
    """The calls of ``module`` on unequal parts of ``x``, one of them from a detached state."""
    outputs = []
    for index, part in enumerate(x.split(list(parts))):
        output, state = module(part, detach(state) if index == detached else state)
        outputs.append(output)
    return torch.cat(outputs), state


def detach(state: object) -> object:
    return tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()


def as_stack(cell: nn.RNNCellBase, stack: nn.RNNBase, index: int = 0) -> nn.RNNBase:
    """Give a layer of ``stack`` the very parameters of ``cell``."""
    for name, parameter in cell.named_parameters():
        setattr(stack, f"{name}_l{index}", parameter)
    return stack


@dataclass(frozen=True)
class Loop:
    """A module and the parts in which it reads a sequence; a cell reads it step by step."""

    family: str = "lstm"
    by_cell: bool = True
    layers: int = 1
    bias: bool = True
    parts: tuple[int, ...] = (1, 1, 1)
    batch: int = 2
    detached: int | None = None
    given_state: bool = False
    grad: bool = True
    seed: int = 0

    @property
    def steps(self) -> int:
        return sum(self.parts)

    @cached_property
    def module(self) -> nn.Module:
        torch.manual_seed(self.seed)
        options = {"bias": self.bias, "dtype": torch.float64}
        if self.family in ("tanh", "relu"):
            options["nonlinearity"] = self.family
        kind = {"lstm": "LSTM", "gru": "GRU"}.get(self.family, "RNN")
        if self.by_cell:
            return getattr(nn, f"{kind}Cell")(FEATURES, UNITS, **options)
        return getattr(nn, kind)(FEATURES, UNITS, num_layers=self.layers, **options)

    @cached_property
    def stack(self) -> nn.RNNBase:
        """The module of the one long call, with the same parameters."""
        if not self.by_cell:
            return self.module
        options = {"nonlinearity": self.family} if self.family in ("tanh", "relu") else {}
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}.get(self.family, nn.RNN)
        return as_stack(self.module, kind(FEATURES, UNITS, bias=self.bias, dtype=torch.float64, **options))

    @property
    def names(self) -> tuple[str, ...]:
        return ("cell",) if self.by_cell else self.reference_names

    @property
    def reference_names(self) -> tuple[str, ...]:
        return tuple(f"l{index}" for index in range(self.layers))

    @cached_property
    def x(self) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed + 1)
        return torch.randn(self.steps, self.batch, FEATURES, generator=generator, dtype=torch.float64)

    @cached_property
    def state(self) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(self.seed + 2)
        shape = (self.layers, self.batch, UNITS)
        drawn = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in STATES[self.family]]
        return tuple(one if self.given_state else torch.zeros_like(one) for one in drawn)

    def run(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(output, final states)."""
        given = tuple(one[0] for one in self.state) if self.by_cell else self.state
        state = (given if self.family == "lstm" else given[0]) if self.given_state else None
        with torch.set_grad_enabled(self.grad):
            if self.by_cell:
                output, finals = stepped(self.module, self.x, state, detached=self.detached)
            else:
                output, finals = chunks(self.module, self.x, self.parts, state, detached=self.detached)
        return output, finals if isinstance(finals, tuple) else (finals,)

    def reference(self, changes: tuple[reference.Change, ...] = ()) -> reference.Reference:
        return reference.run(self.stack, list(self.x.unbind(1)), self.state, changes)


@st.composite
def loops(draw: st.DrawFn, **fixed: object) -> Loop:
    """Loops over the whole range; ``fixed`` holds some of it."""
    by_cell = draw(st.booleans())
    parts = draw(st.lists(st.just(1) if by_cell else st.integers(1, 3), min_size=2, max_size=4))
    chosen = {
        "family": draw(st.sampled_from(["lstm", "gru", "tanh", "relu"])),
        "by_cell": by_cell,
        "layers": 1 if by_cell else draw(st.integers(1, 2)),
        "bias": draw(st.booleans()),
        "parts": tuple(parts),
        "batch": draw(st.integers(1, 3)),
        "detached": draw(st.none() | st.integers(1, len(parts) - 1)),
        "given_state": draw(st.booleans()),
        "grad": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**16)),
    }
    return Loop(**chosen | fixed)


class CellLoop(nn.Module):
    """A GRU cell stepped over time; the answer is its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 6, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for x_t in x:
            state = self.cell(x_t, state)
        return state
