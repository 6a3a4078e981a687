"""What a family of recurrent layers must provide."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property

import torch
from torch import Tensor

from rnnwidget.cells.activations import Activation, activate, activate_in_place, slope
from rnnwidget.cells.layer_run import Arrivals, LayerRun, LayerWeights, recurrent_affine

Quantities = dict[str, Tensor]
Get = Callable[[str], Tensor]


class Family(ABC):
    """The mathematics of one recurrent layer: pure functions of tensors.

    ``gates`` and ``states`` name the quantities, hidden state first among the states; ``letters`` are the names in
    equations, and ``activations`` gives the nonlinearity of every site that has a pre-activation.
    """

    name: str
    gates: tuple[str, ...]
    states: tuple[str, ...]
    letters: Mapping[str, str]

    @property
    @abstractmethod
    def activations(self) -> dict[str, Activation]:
        """The nonlinearity of each site that has a pre-activation."""

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Every gate and state."""
        return self.gates + self.states

    @property
    def scanned(self) -> tuple[str, ...]:
        """The sites that a window of time cannot give, since they build up from the first step."""
        return self.states[1:]

    def site(self, name: str) -> str:
        """The full name of a site given by name or letter; KeyError with the valid ones otherwise."""
        if name in self.sites:
            return name
        full = {letter: site for site, letter in self.letters.items()}.get(name)
        if full is None:
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
    def preactivation(self, run: LayerRun, site: str, get: Get) -> Tensor:
        """The affine value before the nonlinearity of ``site``, shifts included; ``get`` gives other sites."""

    @abstractmethod
    def compute(self, run: LayerRun, site: str, get: Get) -> Tensor:
        """A gate or state over time, edits included; ``get`` gives other sites."""

    def evaluate(self, run: LayerRun, site: str, known: Quantities) -> Tensor:
        """A gate or state, from ``known`` ones where there are some; what is computed on the way becomes known."""
        if site not in known:
            if site in self.gates and self.pays_at_once(run):
                known |= self.all_gates(run)
            else:
                known[site] = self.compute(run, site, lambda other: self.evaluate(run, other, known))
        return known[site]

    def pays_at_once(self, run: LayerRun) -> bool:
        """Whether all gates together cost little more than one."""
        return False

    def all_gates(self, run: LayerRun) -> Quantities:
        """Every gate over time, edits included."""
        known: Quantities = {}
        return {gate: self.evaluate(run, gate, known) for gate in self.gates}

    def preactivations(self, run: LayerRun) -> Quantities:
        """The affine value before each nonlinearity, shifts included."""
        known: Quantities = {}
        return {
            site: self.preactivation(run, site, lambda other: self.evaluate(run, other, known))
            for site in self.activations
        }

    def quantities(self, run: LayerRun) -> Quantities:
        """Every gate and state over time, edits included, from the hidden states that each step started from."""
        known = self.all_gates(run)
        return {site: self.evaluate(run, site, known) for site in self.sites}

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

        The keys of the first result are the names of the states, and ``preactivation:<site>``.
        """


# Numbers of all gates up to which one matrix product for them all beats one for each: then calls cost, not products.
AT_ONCE = 2**19


class MatrixFamily(Family):
    """A family whose weights are PyTorch's stacked matrices, the rows of a gate after those of the other."""

    def pays_at_once(self, run: LayerRun) -> bool:
        steps, batch = run.inputs.shape[:2]
        return steps * batch * run.matrices.hidden_hidden.size(0) <= AT_ONCE

    def scan(self, get: Get, initial: Tensor, live: Tensor, *, reverse: bool) -> Tensor:
        """The state beside the hidden one that builds up, by input position, NaN where ``live`` says no. No autograd.

        ``get`` gives gates likewise; ``reverse`` says that each sequence is read from its last step to its first.
        """
        raise NotImplementedError(f"no state of family {self.name!r} builds up beside the hidden one")

    def rows(self, run: LayerRun, site: str) -> LayerWeights:
        """The rows that compute the pre-activation of ``site``."""
        sites = list(self.activations)
        units = run.matrices.hidden_hidden.size(0) // len(sites)
        start = sites.index(site) * units
        return run.matrices.rows(start, start + units)

    def preactivation(self, run: LayerRun, site: str, get: Get) -> Tensor:
        return run.edits.before(site, recurrent_affine(run, self.rows(run, site)))

    def activated(self, run: LayerRun, site: str, preactivation: Tensor) -> Tensor:
        """The nonlinearity of ``site`` and the edits after it; may overwrite the pre-activation."""
        return run.edits.after(site, activate_in_place(self.activations[site], preactivation))


def by_gate(stacked: Tensor, gates: tuple[str, ...]) -> Quantities:
    """The rows of PyTorch's stacked gates by name, each as a view."""
    return dict(zip(gates, stacked.chunk(len(gates), dim=-1), strict=True))


def totals_like(states: Tensor) -> tuple[Tensor, Tensor]:
    """Memory for the totals of a reverse scan, and the zero that it carries first."""
    return torch.empty_like(states), torch.zeros_like(states[0])
