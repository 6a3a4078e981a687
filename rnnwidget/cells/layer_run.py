"""One layer and direction over a stretch of time: what a family computes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rnnwidget.cells.edits import NO_EDITS, LayerEdits
from rnnwidget.cells.large_memory import large_empty


class LayerWeights(NamedTuple):
    """The weights of one layer and direction, in PyTorch's layout (rows are gate after gate)."""

    input_hidden: Float[Tensor, "rows feature"]
    hidden_hidden: Float[Tensor, "rows hidden"]
    input_bias: Float[Tensor, " rows"] | None = None
    hidden_bias: Float[Tensor, " rows"] | None = None
    projection: Float[Tensor, "projected unit"] | None = None

    def tensors(self) -> list[Tensor]:
        """The weights as PyTorch's flat list has them."""
        return [weight for weight in self if weight is not None]

    def map(self, function: Callable[[Tensor], Tensor]) -> LayerWeights:
        """The same weights with ``function`` applied to each tensor."""
        return LayerWeights(*[None if weight is None else function(weight) for weight in self])  # type: ignore[arg-type]

    def rows(self, start: int, stop: int) -> LayerWeights:
        """The rows of one gate."""
        return LayerWeights(
            self.input_hidden[start:stop],
            self.hidden_hidden[start:stop],
            None if self.input_bias is None else self.input_bias[start:stop],
            None if self.hidden_bias is None else self.hidden_bias[start:stop],
        )


@dataclass(frozen=True)
class LayerRun:
    """One layer and direction over a stretch of time, in the order in which the layer reads it.

    ``initial`` holds the state before the first step, hidden state first; ``later`` is the hidden state that each step
    after the first started from. ``weights`` are the matrices of a layer that PyTorch computes, else the module that
    holds them. ``handed`` are the other states that each step after the first started from, where every step was a call
    that was handed them. ``rounding`` is the half precision in which states go from step to step, None for none.
    """

    inputs: Float[Tensor, "time batch feature"]
    initial: tuple[Float[Tensor, "batch _"], ...]
    later: Float[Tensor, "_ batch hidden"]
    weights: LayerWeights | nn.Module
    edits: LayerEdits = NO_EDITS
    handed: tuple[Float[Tensor, "_ batch _"], ...] = ()
    rounding: torch.dtype | None = None

    def rounded(self, state: Tensor) -> Tensor:
        """A state as the next step gets it."""
        return state if self.rounding is None else state.to(self.rounding).to(state.dtype)

    @property
    def previous_others(self) -> tuple[Float[Tensor, "time batch _"], ...]:
        """The other states that each step started from, where they were handed in."""
        return tuple(
            torch.cat([first[None], later]) for first, later in zip(self.initial[1:], self.handed, strict=True)
        )

    @property
    def previous(self) -> Float[Tensor, "time batch hidden"]:
        """The hidden state that each step started from."""
        if self.inputs.size(0) == 0:
            return self.later
        first = self.initial[0].unsqueeze(0)
        return torch.cat([first, self.later]) if self.later.size(0) else first

    @property
    def matrices(self) -> LayerWeights:
        """The weights of a layer that PyTorch computes."""
        assert isinstance(self.weights, LayerWeights)
        return self.weights

    @property
    def module(self) -> nn.Module:
        """The module that computes the layer itself."""
        assert isinstance(self.weights, nn.Module)
        return self.weights


@dataclass(frozen=True)
class Arrivals:
    """Gradients that reach a layer from outside its own recurrence, in the layer's own order of time.

    ``carried`` are those of the states after the hidden state, in the family's order; none of them means zero.
    """

    hidden: Float[Tensor, "time batch hidden"]
    carried: tuple[Float[Tensor, "time batch _"], ...] = ()


def affine(
    inputs: Float[Tensor, "time batch feature"],
    weight: Float[Tensor, "rows feature"],
    bias: Float[Tensor, " rows"] | None,
) -> Float[Tensor, "time batch rows"]:
    """x Wᵀ + b at every step in one matrix product."""
    return torch.nn.functional.linear(inputs, weight, bias)


def recurrent_affine(run: LayerRun, weights: LayerWeights) -> Float[Tensor, "time batch rows"]:
    """W_ih x + b_ih + W_hh h + b_hh at every step, in memory of its own."""
    if torch.is_grad_enabled():
        return affine(run.inputs, weights.input_hidden, weights.input_bias) + affine(
            run.previous, weights.hidden_hidden, weights.hidden_bias
        )
    bias = weights.input_bias
    if bias is not None and weights.hidden_bias is not None:
        bias = bias + weights.hidden_bias
    total = _products(run, (run.inputs,), weights.input_hidden, bias)
    batch, recurrent = total.size(1), weights.hidden_hidden.t()
    if total.size(0):
        rows = total.flatten(0, 1)
        rows[:batch].addmm_(run.initial[0], recurrent)
        rows[batch:].addmm_(run.later.flatten(0, 1), recurrent)
    return total


def recurrent_affine_by_gate(run: LayerRun, gates: int) -> Float[Tensor, "gate time batch unit"]:
    """W_ih x + b_ih + W_hh h + b_hh at every step, the rows of each gate in one piece of memory. No autograd."""
    weights = run.matrices
    bias = weights.input_bias
    if bias is not None and weights.hidden_bias is not None:
        bias = bias + weights.hidden_bias
    total = _gate_products(run.inputs, weights.input_hidden, bias, gates)
    previous = run.previous.flatten(0, 1).expand(gates, -1, -1)
    total.flatten(1, 2).baddbmm_(previous, _by_gate(weights.hidden_hidden, gates))
    return total


def input_by_gate(run: LayerRun, gates: int) -> Float[Tensor, "gate time batch unit"]:
    """W_ih x + b_ih at every step, the rows of each gate in one piece of memory. No autograd."""
    return _gate_products(run.inputs, run.matrices.input_hidden, run.matrices.input_bias, gates)


def recurrent_by_gate(run: LayerRun, gates: int) -> Float[Tensor, "gate time batch unit"]:
    """W_hh h + b_hh at every step, the rows of each gate in one piece of memory. No autograd."""
    return _gate_products(run.previous, run.matrices.hidden_hidden, run.matrices.hidden_bias, gates)


def _gate_products(
    inputs: Float[Tensor, "time batch feature"], weight: Float[Tensor, "rows feature"], bias: Tensor | None, gates: int
) -> Float[Tensor, "gate time batch unit"]:
    given, by_gate = inputs.flatten(0, 1).expand(gates, -1, -1), _by_gate(weight, gates)
    products = torch.bmm(given, by_gate) if bias is None else torch.baddbmm(bias.view(gates, 1, -1), given, by_gate)
    return products.view(gates, *inputs.shape[:2], by_gate.size(2))


def _by_gate(weight: Float[Tensor, "rows feature"], gates: int) -> Float[Tensor, "gate feature unit"]:
    return weight.view(gates, -1, weight.size(1)).transpose(1, 2)


def input_part(run: LayerRun, weights: LayerWeights) -> Float[Tensor, "time batch rows"]:
    """W_ih x + b_ih at every step, in memory of its own."""
    if torch.is_grad_enabled():
        return affine(run.inputs, weights.input_hidden, weights.input_bias)
    return _products(run, (run.inputs,), weights.input_hidden, weights.input_bias)


def recurrent_part(run: LayerRun, weights: LayerWeights) -> Float[Tensor, "time batch rows"]:
    """W_hh h + b_hh at every step, in memory of its own."""
    if torch.is_grad_enabled() or run.inputs.size(0) == 0:
        return affine(run.previous, weights.hidden_hidden, weights.hidden_bias)
    stretches = (run.initial[0].unsqueeze(0), run.later)
    return _products(run, stretches, weights.hidden_hidden, weights.hidden_bias)


def _products(
    run: LayerRun, stretches: tuple[Tensor, ...], weight: Tensor, bias: Tensor | None
) -> Float[Tensor, "time batch rows"]:
    """x Wᵀ + b, x being stretches of steps that follow each other."""
    total = large_empty((*run.inputs.shape[:2], weight.size(0)), run.inputs)
    start = 0
    for stretch in stretches:
        inputs = stretch.flatten(0, 1)
        rows = total.flatten(0, 1)[start : start + inputs.size(0)]
        start += inputs.size(0)
        if bias is None:
            torch.mm(inputs, weight.t(), out=rows)
        else:
            torch.addmm(bias, inputs, weight.t(), out=rows)
    return total
