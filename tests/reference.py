"""Plain step loops written from the formulas in PyTorch's documentation: what the engine is measured against.

One sequence at a time, one step at a time, ordinary autograd; nothing here knows rnnwidget.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Change:
    """An edit spelled out for every step, sequence and unit of one layer (None: every layer that has the site)."""

    operation: str
    site: str
    value: Tensor
    mask: Tensor
    layer: str | None = None

    def apply(self, tensor: Tensor, step: int, sequence: int) -> Tensor:
        value = self.value[step, sequence].to(tensor.dtype)
        changed = {
            "clamp": lambda: value,
            "scale": lambda: tensor * value,
            "nudge": lambda: tensor + value,
            "shift": lambda: tensor + value,
        }[self.operation]()
        return torch.where(self.mask[step, sequence], changed, tensor)


@dataclass
class ReferenceLayer:
    """Nodes of one layer and direction by site, then sequence, then step; ``outward`` is h_t as others read it."""

    nodes: dict[str, list[list[Tensor]]] = field(default_factory=dict)

    def keep(self, site: str, sequence: int, step: int, length: int, tensor: Tensor) -> Tensor:
        rows = self.nodes.setdefault(site, [])
        while len(rows) <= sequence:
            rows.append([])
        if not rows[sequence]:
            rows[sequence] = [tensor] * length
        rows[sequence][step] = tensor
        return tensor

    def __getitem__(self, site: str) -> Tensor:
        return padded([torch.stack(row) for row in self.nodes[site]])

    def gradient(self, loss: Tensor, site: str) -> Tensor:
        flat = [node for row in self.nodes[site] for node in row]
        found = iter(torch.autograd.grad(loss, flat, retain_graph=True, allow_unused=True))
        gradients = [[next(found) for _ in row] for row in self.nodes[site]]
        return padded(
            [
                torch.stack([torch.zeros_like(node) if g is None else g for node, g in zip(row, grads, strict=True)])
                for row, grads in zip(self.nodes[site], gradients, strict=True)
            ]
        )


@dataclass
class Reference:
    layers: dict[str, ReferenceLayer]
    inputs: dict[str, Tensor]
    outputs: list[Tensor]
    finals: tuple[Tensor, ...]

    @property
    def output(self) -> Tensor:
        return padded(self.outputs)


def padded(sequences: Sequence[Tensor]) -> Tensor:
    """(time, batch, unit) with NaN after each sequence's end."""
    steps = max(len(sequence) for sequence in sequences)
    return torch.stack(
        [nn.functional.pad(sequence, (0, 0, 0, steps - len(sequence)), value=torch.nan) for sequence in sequences],
        dim=1,
    )


def run(
    module: nn.RNNBase,
    sequences: Sequence[Tensor],
    state: tuple[Tensor, ...],
    changes: Sequence[Change] = (),
    noises: Sequence[Tensor] = (),
) -> Reference:
    """Run ``module`` on sequences (time, feature); ``state`` is h_0 (and c_0), each (row, sequence, unit).

    ``noises`` are dropout's factors between layers, (time, batch, unit).
    """
    layers: dict[str, ReferenceLayer] = {}
    inputs: dict[str, Tensor] = {}
    finals: list[list[tuple[Tensor, ...]]] = []
    below = list(sequences)
    for index in range(module.num_layers):
        sides = []
        for suffix in ("", "_reverse")[: 1 + module.bidirectional]:
            name = f"l{index}{suffix}"
            layer, row = ReferenceLayer(), len(finals)
            active = [change for change in changes if change.layer in (None, name)]
            inputs[name] = padded(below)
            reached = [
                _one_sequence(module, name, read, tuple(s[row, b] for s in state), layer, active, b)
                for b, read in enumerate(below)
            ]
            layers[name] = layer
            finals.append(reached)
            sides.append([torch.stack(row) for row in layer.nodes["outward"]])
        below = [torch.cat(parts, dim=-1) for parts in zip(*sides, strict=True)]
        outputs = below
        if noises and index + 1 < module.num_layers:
            below = [read * noises[index][: len(read), b] for b, read in enumerate(below)]
    stacked = tuple(
        torch.stack([torch.stack([sequence[which] for sequence in row]) for row in finals])
        for which in range(len(state))
    )
    return Reference(layers, inputs, outputs, stacked)


def one_step(
    module: nn.RNNBase, name: str, sequences: Sequence[Tensor], given: Sequence[Tensor], state: tuple[Tensor, ...]
) -> ReferenceLayer:
    """One layer with each step taken from the hidden state ``given`` at the step before; a cell state is carried on.

    ``sequences`` and ``given`` are (time, feature) and (time, unit) each; ``state`` is each (sequence, unit).
    """
    layer = ReferenceLayer()
    step_of = _STEPS[module.mode]
    for b, (read, hidden) in enumerate(zip(sequences, given, strict=True)):
        reached = tuple(one[b] for one in state)
        for step in _order(name, len(read)):
            new = step_of(_Step(module, name, layer, (), b, step, len(read)), read[step], *reached)
            reached = (hidden[step], *new[1:])
    return layer


def _order(name: str, length: int) -> range:
    return range(length - 1, -1, -1) if name.endswith("_reverse") else range(length)


def _one_sequence(
    module: nn.RNNBase,
    name: str,
    read: Tensor,
    state: tuple[Tensor, ...],
    layer: ReferenceLayer,
    changes: Sequence[Change],
    sequence: int,
) -> tuple[Tensor, ...]:
    step_of = _STEPS[module.mode]
    outward = state[0]
    for step in _order(name, len(read)):
        at = _Step(module, name, layer, changes, sequence, step, len(read))
        state = step_of(at, read[step], *state)
        outward = layer.keep("outward", sequence, step, len(read), state[0].view_as(state[0]))
    return (outward, *state[1:])


@dataclass(frozen=True)
class _Step:
    module: nn.RNNBase
    name: str
    layer: ReferenceLayer
    changes: Sequence[Change]
    sequence: int
    step: int
    length: int

    def rows(self, kind: str, vector: Tensor, gate: int) -> Tensor:
        """W v + b of one gate, ``kind`` being "ih" or "hh"."""
        size = self.module.hidden_size
        chosen = slice(gate * size, (gate + 1) * size)
        total = getattr(self.module, f"weight_{kind}_{self.name}")[chosen] @ vector
        return total + getattr(self.module, f"bias_{kind}_{self.name}")[chosen] if self.module.bias else total

    def both(self, x: Tensor, h: Tensor, gate: int) -> Tensor:
        return self.rows("ih", x, gate) + self.rows("hh", h, gate)

    def change(self, site: str, tensor: Tensor, *, shifts: bool) -> Tensor:
        for change in self.changes:
            if change.site == site and (change.operation == "shift") == shifts:
                tensor = change.apply(tensor, self.step, self.sequence)
        return tensor

    def keep(self, site: str, tensor: Tensor) -> Tensor:
        return self.layer.keep(site, self.sequence, self.step, self.length, tensor)

    def gate(self, site: str, nonlinearity: object, preactivation: Tensor) -> Tensor:
        preactivation = self.keep(f"preactivation:{site}", self.change(site, preactivation, shifts=True))
        return self.keep(site, self.change(site, nonlinearity(preactivation), shifts=False))


def _lstm(at: _Step, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i = at.gate("input_gate", torch.sigmoid, at.both(x, h, 0))
    f = at.gate("forget_gate", torch.sigmoid, at.both(x, h, 1))
    g = at.gate("candidate", torch.tanh, at.both(x, h, 2))
    o = at.gate("output_gate", torch.sigmoid, at.both(x, h, 3))
    c = at.keep("cell", at.change("cell", f * c + i * g, shifts=False))
    h = o * torch.tanh(c)
    if at.module.proj_size:
        h = getattr(at.module, f"weight_hr_{at.name}") @ h
    return at.keep("hidden", at.change("hidden", h, shifts=False)), c


def _gru(at: _Step, x: Tensor, h: Tensor) -> tuple[Tensor]:
    r = at.gate("reset_gate", torch.sigmoid, at.both(x, h, 0))
    z = at.gate("update_gate", torch.sigmoid, at.both(x, h, 1))
    n = at.gate("candidate", torch.tanh, at.rows("ih", x, 2) + r * at.rows("hh", h, 2))
    return (at.keep("hidden", at.change("hidden", (1 - z) * n + z * h, shifts=False)),)


def _rnn(at: _Step, x: Tensor, h: Tensor) -> tuple[Tensor]:
    nonlinearity = torch.tanh if at.module.nonlinearity == "tanh" else torch.relu
    return (at.gate("hidden", nonlinearity, at.both(x, h, 0)),)


_STEPS = {"LSTM": _lstm, "GRU": _gru, "RNN_TANH": _rnn, "RNN_RELU": _rnn}
