"""A layer of a packed call on the rows that there are: nothing is computed for padding, and nothing is turned round."""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from rnnwidget.cells.edits import NO_EDITS
from rnnwidget.cells.family import MatrixFamily, Quantities
from rnnwidget.cells.layer_run import LayerRun, LayerWeights
from rnnwidget.recording.clients import is_half
from rnnwidget.recording.known_quantities import KnownQuantities
from rnnwidget.recording.modules import Layer
from rnnwidget.recording.one_step_residual import one_step_residual
from rnnwidget.recording.recorded_call import RecordedCall
from rnnwidget.recording.sequences import Window


class PackedLayer:
    """One layer and direction of a packed call in single or double precision that nothing edits.

    Every row is a sequence of one step, which begins from the state of the row before it. What is computed is kept by
    input position, (time, batch, unit) in the user's order, NaN where a sequence has ended.
    """

    def __init__(self, recorded: RecordedCall, layer: Layer, family: MatrixFamily, weights: LayerWeights) -> None:
        self.layout, self.inputs = recorded.call.layout, recorded.trace.inputs[layer.index]
        self.first_states = recorded.initial_of(layer)
        self._family, self._weights, self._reverse = family, weights, layer.reverse
        self._places = recorded.packed_places
        self._hidden = recorded.output_of(layer)
        self._initial_hidden = recorded.call.initial_of(layer.index)[0][int(layer.reverse)]
        self._known = KnownQuantities()

    @cached_property
    def _run(self) -> LayerRun:
        previous = self._places.previous(self._hidden, self._initial_hidden, reverse=self._reverse)
        return LayerRun(self.inputs[None], (previous,), previous.new_empty(0, *previous.shape), self._weights)

    def site(self, site: str) -> Tensor:
        """A gate or state; the hidden state as the model gave it."""
        if site == "hidden":
            return self._places.padded(self._hidden)
        with self._known.alone:
            self._evaluated(site)
            return self._known.lend(site)

    def preactivation(self, site: str) -> Tensor:
        """The affine value before the nonlinearity of ``site``."""
        with self._known.alone:
            return self._places.padded(self._family.preactivation(self._run, site, self._in_rows)[0])

    def window(self, site: str, window: Window, *, preactivation: bool = False) -> Tensor:
        """Some steps of a site; of what is computed they cost what all of them cost."""
        if site == "hidden" and not preactivation:
            return self._places.window(self._hidden, *window)
        with self._known.alone:
            whole = self.preactivation(site) if preactivation else self._evaluated(site)
            return whole[slice(*window)].clone()

    @property
    def shown_inputs(self) -> Tensor:
        """What the layer read."""
        return self._places.padded(self.inputs)

    @cached_property
    def residual(self) -> float:
        """The one-step residual."""
        with self._known.alone:
            (rebuilt,) = self._family.compute(self._run, "hidden", self._in_rows)
            others = [self._in_rows(state)[0] for state in self._family.scanned]
        return one_step_residual(rebuilt, self._hidden, others)

    def _evaluated(self, site: str) -> Tensor:
        if site not in self._known:
            self._known.update(self._computed(site))
        return self._known[site]

    def _computed(self, site: str) -> Quantities:
        family, padded = self._family, self._places.padded
        if site in family.scanned:
            before = self.first_states[family.states.index(site)]
            return {site: family.scan(self._evaluated, before, self._places.live, reverse=self._reverse)}
        if site in family.gates and family.pays_at_once(self._run):
            return {gate: padded(rows[0]) for gate, rows in family.all_gates(self._run).items()}
        return {site: padded(family.compute(self._run, site, self._in_rows)[0])}

    def _in_rows(self, site: str) -> Tensor:
        return self._places.rows(self._evaluated(site))[None]


def packed_layer(recorded: RecordedCall, layer: Layer) -> PackedLayer | None:
    """The layer of a call on its rows, None where it has to be padded."""
    weights, family = recorded.call.weights[layer.index][int(layer.reverse)], layer.family
    if not (recorded.call.layout.packed and isinstance(weights, LayerWeights) and isinstance(family, MatrixFamily)):
        return None
    edited = bool(recorded.edits.get(layer.name, NO_EDITS).edits)
    if edited or recorded.autocast is not None or is_half(recorded.output.dtype):
        return None
    return PackedLayer(recorded, layer, family, weights)
