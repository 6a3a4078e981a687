"""What a family of recurrent layers must provide, and the families there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rnnwidget.cells.edits import NO_EDITS, LayerEdits

Activation = Literal["sigmoid", "tanh", "relu"]
Quantities = dict[str, Tensor]

RANGES: dict[Activation, tuple[float, float]] = {
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, float("inf")),
}


def activate(activation: Activation, preactivation: Tensor) -> Tensor:
    """Apply a nonlinearity by name."""
    match activation:
        case "sigmoid":
            return torch.sigmoid(preactivation)
        case "tanh":
            return torch.tanh(preactivation)
        case "relu":
            return torch.relu(preactivation)


def activate_in_place(activation: Activation, preactivation: Tensor) -> Tensor:
    """Like :func:`activate`, over the memory of ``preactivation`` where autograd does not need it."""
    if torch.is_grad_enabled():
        return activate(activation, preactivation)
    match activation:
        case "sigmoid":
            return preactivation.sigmoid_()
        case "tanh":
            return preactivation.tanh_()
        case "relu":
            return preactivation.relu_()


def slope(activation: Activation, value: Tensor) -> Tensor:
    """The derivative of a nonlinearity, from its value."""
    match activation:
        case "sigmoid":
            return value * (1 - value)
        case "tanh":
            return 1 - value * value
        case "relu":
            return (value > 0).to(value.dtype)


@dataclass(frozen=True)
class LayerWeights:
    """The weights of one layer and direction, in PyTorch's layout (rows are gate after gate)."""

    input_hidden: Float[Tensor, "rows feature"]
    hidden_hidden: Float[Tensor, "rows hidden"]
    input_bias: Float[Tensor, " rows"] | None = None
    hidden_bias: Float[Tensor, " rows"] | None = None
    projection: Float[Tensor, "projected unit"] | None = None

    def tensors(self) -> list[Tensor]:
        """The weights as PyTorch's flat list has them."""
        every = (self.input_hidden, self.hidden_hidden, self.input_bias, self.hidden_bias, self.projection)
        return [weight for weight in every if weight is not None]

    def map(self, function: Callable[[Tensor], Tensor]) -> LayerWeights:
        """The same weights with ``function`` applied to each tensor."""

        def maybe(weight: Tensor | None) -> Tensor | None:
            return None if weight is None else function(weight)

        return LayerWeights(
            function(self.input_hidden),
            function(self.hidden_hidden),
            maybe(self.input_bias),
            maybe(self.hidden_bias),
            maybe(self.projection),
        )


@dataclass(frozen=True)
class LayerRun:
    """One layer and direction over a whole sequence, in the order in which the layer reads it.

    ``previous`` is the hidden state each step started from; ``initial`` holds the state before the first step,
    hidden state first.
    """

    inputs: Float[Tensor, "time batch feature"]
    previous: Float[Tensor, "time batch hidden"]
    initial: tuple[Float[Tensor, "batch _"], ...]
    weights: LayerWeights
    edits: LayerEdits = NO_EDITS


@dataclass(frozen=True)
class Arrivals:
    """Gradients that reach a layer from outside its own recurrence, in the layer's own order of time."""

    hidden: Float[Tensor, "time batch hidden"]
    cell: Float[Tensor, "time batch unit"] | None = None


class Family(ABC):
    """The mathematics of one recurrent layer: pure functions of tensors.

    ``gates`` and ``states`` name the quantities in PyTorch's order, ``letters`` are the names in equations, and
    ``activations`` gives the nonlinearity of every site that has a pre-activation.
    """

    name: ClassVar[str]
    gates: ClassVar[tuple[str, ...]]
    states: ClassVar[tuple[str, ...]]
    letters: ClassVar[dict[str, str]]

    @property
    @abstractmethod
    def activations(self) -> dict[str, Activation]:
        """The nonlinearity of each site that has a pre-activation."""

    @property
    def sites(self) -> tuple[str, ...]:
        """Every gate and state."""
        return self.gates + self.states

    def site(self, name: str) -> str:
        """The full name of a site given by name or letter; KeyError with the valid ones otherwise."""
        full = {letter: site for site, letter in self.letters.items()}.get(name, name)
        if full not in self.sites:
            valid = ", ".join(f"{site} ({self.letters[site]})" for site in self.sites)
            raise KeyError(f"{name!r} is not a site of family {self.name!r}; it has {valid}")
        return full

    def site_with_preactivation(self, name: str) -> str:
        """Like :meth:`site`, for sites behind a nonlinearity of their own."""
        full = self.site(name)
        if full not in self.activations:
            valid = ", ".join(self.activations)
            raise KeyError(f"{full!r} of family {self.name!r} has no pre-activation; {valid} have one")
        return full

    @abstractmethod
    def preactivations(self, run: LayerRun) -> Quantities:
        """The affine value before each nonlinearity, shifts included."""

    @abstractmethod
    def quantities(self, run: LayerRun) -> Quantities:
        """Every gate and state over time, edits included, from the hidden states that each step started from."""

    def slopes(self, run: LayerRun, quantities: Quantities) -> Quantities:
        """The derivative of each gate by its pre-activation, through the edits made after the nonlinearity."""
        if not run.edits:
            return {site: slope(kind, quantities[site]) for site, kind in self.activations.items()}
        preactivations = self.preactivations(run)
        return {
            site: run.edits.derivative(site, slope(kind, activate(kind, preactivations[site])))
            for site, kind in self.activations.items()
        }

    @abstractmethod
    def backward(self, run: LayerRun, quantities: Quantities, arrivals: Arrivals) -> tuple[Quantities, Tensor]:
        """Total gradients of states and pre-activations by a reverse scan, and the gradient of the inputs.

        The keys of the first result are ``hidden``, ``cell`` where there is one, and ``preactivation:<site>``.
        """


def affine(
    inputs: Float[Tensor, "time batch feature"],
    weight: Float[Tensor, "rows feature"],
    bias: Float[Tensor, " rows"] | None,
) -> Float[Tensor, "time batch rows"]:
    """x Wᵀ + b at every step in one matrix product."""
    return torch.nn.functional.linear(inputs, weight, bias)


def recurrent_affine(run: LayerRun) -> Float[Tensor, "time batch rows"]:
    """W_ih x + b_ih + W_hh h + b_hh at every step, in memory of its own."""
    weights = run.weights
    total = affine(run.inputs, weights.input_hidden, weights.input_bias)
    if torch.is_grad_enabled():
        return total + affine(run.previous, weights.hidden_hidden, weights.hidden_bias)
    if weights.hidden_bias is not None:
        total += weights.hidden_bias
    total.view(-1, total.size(-1)).addmm_(run.previous.flatten(0, 1), weights.hidden_hidden.t())
    return total


def gate_chunks(stacked: Float[Tensor, "time batch rows"], gates: tuple[str, ...]) -> Quantities:
    """The rows of PyTorch's stacked gates by name, each as a view."""
    return dict(zip(gates, stacked.chunk(len(gates), dim=-1), strict=True))


_FAMILIES: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Make a family known under its name."""
    _FAMILIES[family.name] = family
    return family


def family_named(name: str) -> Family:
    """The family registered under ``name``; KeyError with the known names otherwise."""
    if name not in _FAMILIES:
        raise KeyError(f"no recurrent family is named {name!r}; known: {', '.join(sorted(_FAMILIES))}")
    return _FAMILIES[name]
