"""A family given by the mathematics of one step, for layers that PyTorch has no kernel for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rnnwidget.cells.activations import RANGES, Activation, activate
from rnnwidget.cells.edits import NO_EDITS, LayerEdits
from rnnwidget.cells.family import Family, Get, Quantities, totals_like
from rnnwidget.cells.layer_run import Arrivals, LayerRun

Step = Callable[..., Tensor | tuple[Tensor, ...]]
Nonlinearity = Activation | Callable[[Any], Activation]


class Sites:
    """What one step hands its gates and states through, so that they can be seen and edited.

    ``gate`` gives the activation of a pre-activation; ``state`` gives a state as the rest of the step has to use it.
    """

    def __init__(self, family: StepFamily, edits: LayerEdits, shape: tuple[int, int]) -> None:
        self._family, self._edits, self._shape = family, edits, shape
        self.preactivations: Quantities = {}
        self.values: Quantities = {}

    def gate(self, site: str, preactivation: Tensor) -> Tensor:
        """The nonlinearity of ``site``, edited.

        Raises
        ------
        KeyError
            The family was registered without such a gate.
        ValueError
            ``preactivation`` is not (batch, unit).
        """
        kind = self._family.activations[self._family.site_with_preactivation(site)]
        self._check(site, preactivation)
        if torch.is_grad_enabled():
            # Of its own, so that its gradient leaves out what else the step does with the same tensor.
            preactivation = preactivation.view_as(preactivation)
        shifted = self._edited(self._edits.before, site, preactivation)
        self.preactivations[site] = shifted
        value = activate(kind, shifted)
        if site in self._family.states:
            return value
        self.values[site] = self._edited(self._edits.after, site, value)
        return self.values[site]

    def state(self, site: str, value: Tensor) -> Tensor:
        """A new state, edited. States that a step returns without this are edited when it returns them."""
        if site not in self._family.states:
            raise KeyError(f"{site!r} is no state of family {self._family.name!r}; it has {self._family.states}")
        self._check(site, value)
        self.values[site] = self._edited(self._edits.after, site, value)
        return self.values[site]

    def _check(self, site: str, value: Tensor) -> None:
        rows = self._shape[0] * self._shape[1]
        if value.dim() != 2 or value.size(0) != rows:
            raise ValueError(
                f"{site!r} of family {self._family.name!r} must be (batch, unit), a row for each of the {rows} rows "
                f"of the input, got {tuple(value.shape)}; expand what is the same for all"
            )

    def _edited(self, edit: Callable[[str, Tensor], Tensor], site: str, value: Tensor) -> Tensor:
        if not self._edits:
            return value
        return edit(site, value.unflatten(0, self._shape)).flatten(0, 1)


class StepFamily(Family):
    """A family whose ``step(module, x, state, at)`` computes new states from an input and the states before.

    ``x`` is (batch, feature); ``state`` is the one state, or the tuple of states, each (batch, unit); ``at.gate(name,
    preactivation)`` gives a gate's activation. ``step`` returns the new state or states, hidden state first.
    A gate's nonlinearity is a name, or a function of the module that gives the name; :meth:`of` asks it.
    """

    def __init__(
        self,
        name: str,
        step: Step,
        *,
        states: tuple[str, ...] = ("hidden",),
        gates: Mapping[str, Nonlinearity] | None = None,
        letters: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.states = name, states
        self._step = step
        self._nonlinearities: dict[str, Nonlinearity] = dict(gates or {})
        # Before a module is known, one that depends on it counts as having no bounds.
        self._activations: dict[str, Activation] = {
            site: "identity" if callable(kind) else kind for site, kind in self._nonlinearities.items()
        }
        self._variants: dict[tuple[Activation, ...], StepFamily] = {}
        self.gates = tuple(gate for gate in self._activations if gate not in states)
        self.letters = _letters((*self.gates, *states), letters or {})

    def of(self, module: nn.Module) -> StepFamily:
        """The family with the nonlinearities that ``module`` has; ValueError for one that is not known."""
        if not any(callable(kind) for kind in self._nonlinearities.values()):
            return self
        kinds = {site: kind(module) if callable(kind) else kind for site, kind in self._nonlinearities.items()}
        odd = {site: kind for site, kind in kinds.items() if kind not in tuple(RANGES)}
        if odd:
            raise ValueError(f"{type(module).__name__}: nonlinearities are {', '.join(RANGES)}; got {odd}")
        known = tuple(kinds.values())
        if known not in self._variants:
            self._variants[known] = StepFamily(
                self.name, self._step, states=self.states, gates=kinds, letters=self.letters
            )
        return self._variants[known]

    @property
    def activations(self) -> dict[str, Activation]:
        return self._activations

    @property
    def scanned(self) -> tuple[str, ...]:
        return self.sites if len(self.states) > 1 else ()

    def advance(self, run: LayerRun, x: Tensor, state: tuple[Tensor, ...], edits: LayerEdits, time: int = 1) -> Sites:
        """One step on (time·batch, feature), the steps of ``time`` side by side."""
        at = Sites(self, edits, (time, x.size(0) // time if time else 0))
        returned: Any = self._step(run.module, x, state[0] if len(self.states) == 1 else state, at)
        new = returned if isinstance(returned, (tuple, list)) else (returned,)
        if len(new) != len(self.states) or not all(isinstance(value, Tensor) for value in new):
            kinds = ", ".join(type(value).__name__ for value in new) or "nothing"
            raise TypeError(
                f"the step of family {self.name!r} must return {' and '.join(self.states)}, a tensor each; got {kinds}"
            )
        for site, value, before in zip(self.states, new, state, strict=True):
            if value.shape != before.shape:
                raise ValueError(
                    f"the step of family {self.name!r} returned {site} of shape {tuple(value.shape)}; "
                    f"it was {tuple(before.shape)} before the step"
                )
            if at.values.get(site) is not value:
                at.state(site, value)
        missing = [site for site in self._activations if site not in at.preactivations]
        if missing:
            raise KeyError(f"the step of family {self.name!r} never called at.gate for {', '.join(missing)}")
        return at

    def preactivation(self, run: LayerRun, site: str, get: Get) -> Tensor:
        return get(f"preactivation:{site}")

    def compute(self, run: LayerRun, site: str, get: Get) -> Tensor:
        return self._everything(run)[site]

    def evaluate(self, run: LayerRun, site: str, known: Quantities) -> Tensor:
        if site not in known:
            known |= self._everything(run)
        return known[site]

    def preactivations(self, run: LayerRun) -> Quantities:
        everything = self._everything(run)
        return {site: everything[f"preactivation:{site}"] for site in self._activations}

    def all_gates(self, run: LayerRun) -> Quantities:
        everything = self._everything(run)
        return {site: everything[site] for site in self.gates}

    def quantities(self, run: LayerRun) -> Quantities:
        everything = self._everything(run)
        return {site: everything[site] for site in self.sites}

    def _everything(self, run: LayerRun) -> Quantities:
        """Every site and pre-activation: at once if the hidden state is all that is carried, else step by step."""
        steps, batch = run.inputs.shape[:2]
        previous = run.previous
        if len(self.states) == 1 or run.handed:
            before = tuple(state.flatten(0, 1) for state in (previous, *run.previous_others))
            at = self.advance(run, run.inputs.flatten(0, 1), before, run.edits, steps)
            found = at.values | {f"preactivation:{site}": value for site, value in at.preactivations.items()}
            return {site: value.unflatten(0, (steps, batch)) for site, value in found.items()}
        rows: list[Quantities] = []
        state = run.initial
        for step in range(steps):
            edits = run.edits.at(step) if run.edits else NO_EDITS
            at = self.advance(run, run.inputs[step], (previous[step], *state[1:]), edits)
            at.values |= {site: run.rounded(at.values[site]) for site in self.states[1:]}
            state = tuple(at.values[site] for site in self.states)
            rows.append(at.values | {f"preactivation:{site}": value for site, value in at.preactivations.items()})
        if not rows:
            return self._nothing(run)
        return {site: torch.stack([row[site] for row in rows]) for site in rows[0]}

    def _nothing(self, run: LayerRun) -> Quantities:
        at = self.advance(run, run.inputs.new_zeros(run.inputs.shape[1:]), run.initial, NO_EDITS)
        found = at.values | {f"preactivation:{site}": value for site, value in at.preactivations.items()}
        return {site: value.new_zeros(0, *value.shape) for site, value in found.items()}

    def backward(self, run: LayerRun, quantities: Quantities, arrivals: Arrivals) -> tuple[Quantities, Tensor]:
        carried = arrivals.carried or tuple(torch.zeros_like(quantities[site]) for site in self.states[1:])
        arriving = (arrivals.hidden, *carried)
        others = zip(self.states[1:], run.initial[1:], strict=True)
        before = (run.previous, *(torch.cat([start[None], quantities[site][:-1]]) for site, start in others))
        found: Quantities = {site: totals_like(quantities[site])[0] for site in self.states}
        found |= {f"preactivation:{site}": torch.empty_like(value) for site, value in self.preactivations(run).items()}
        to_inputs = torch.empty_like(run.inputs)
        carry = [totals_like(gradient)[1] for gradient in arriving]
        for step in range(run.inputs.size(0) - 1, -1, -1):
            handed = [gradient[step] + further for gradient, further in zip(arriving, carry, strict=True)]
            with torch.inference_mode(mode=False), torch.enable_grad():
                x, *state = (t[step].detach().clone().requires_grad_() for t in (run.inputs, *before))
                edits = run.edits.at(step) if run.edits else NO_EDITS
                at = self.advance(run, x, tuple(state), edits)
                nodes = [*at.preactivations.values(), *(at.values[site] for site in self.states)]
                gradients = torch.autograd.grad(
                    [at.values[site] for site in self.states],
                    [x, *state, *nodes],
                    handed,
                    allow_unused=True,
                    materialize_grads=True,
                )
            to_inputs[step] = gradients[0]
            carry = list(gradients[1 : 1 + len(state)])
            names = [*(f"preactivation:{site}" for site in at.preactivations), *self.states]
            for name, gradient in zip(names, gradients[1 + len(state) :], strict=True):
                found[name][step] = gradient
        return found, to_inputs


def _letters(sites: tuple[str, ...], given: Mapping[str, str]) -> dict[str, str]:
    """Each site's letter as given, else its first one where no other site begins with it."""
    first = [site[0] for site in sites]
    return {site: given.get(site, site[0] if first.count(site[0]) == 1 else site) for site in sites}
