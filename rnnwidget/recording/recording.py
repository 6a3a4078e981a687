"""A recording: every state and gate of every recurrent layer at every timestep."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rnnwidget.cells.edits import NO_EDITS, LayerEdits
from rnnwidget.cells.family import Quantities
from rnnwidget.recording.continuation import HandedOut
from rnnwidget.recording.gradient_flow import GradientFlow
from rnnwidget.recording.gradient_tap import GradientTap
from rnnwidget.recording.interception import SeenCall
from rnnwidget.recording.modules import Layer
from rnnwidget.recording.recorded_call import RecordedCall


class LayerRecording:
    """One layer and direction in one call.

    Index t is input position t in both directions: at t the reverse layer has read from the end down to t. Steps past
    a sequence's end are NaN. Tensors are detached, on the model's device; those derived from a half-precision model
    are float32.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model = torch.nn.LSTM(3, 4)
    >>> with rw.record(model) as recording:
    ...     output, _ = model(torch.randn(5, 2, 3))
    >>> layer = recording["l0"]
    >>> layer["forget_gate"].shape == layer["f"].shape == (5, 2, 4)
    True
    >>> layer.replay_error < 1e-5
    True
    """

    def __init__(self, recorded: RecordedCall, layer: Layer) -> None:
        self._recorded = recorded
        self._layer = layer

    @property
    def name(self) -> str:
        """The layer's name: its module's dotted path and PyTorch's own parameter suffix."""
        return self._layer.name

    @property
    def family(self) -> str:
        """``"lstm"``, ``"gru"``, ``"rnn"`` or a registered name."""
        return self._layer.family.name

    @property
    def gates(self) -> tuple[str, ...]:
        """The names of the gates and the candidate."""
        return self._layer.family.gates

    @property
    def states(self) -> tuple[str, ...]:
        """The names of the states."""
        return self._layer.family.states

    @property
    def edits(self) -> LayerEdits:
        """The edits that were in force, laid out by input position."""
        return self._recorded.edits.get(self.name, NO_EDITS)

    def __getitem__(self, site: str) -> Float[Tensor, "time batch unit"]:
        """A gate or state by name or letter: i f g o, r z n, h c.

        Raises
        ------
        KeyError
            The family has no such site; the message lists those it has.
        """
        full = self._layer.family.site(site)
        if full == "hidden":
            return self._hidden
        return self._by_position[full]

    @property
    def hidden(self) -> Float[Tensor, "time batch unit"]:
        """h_t as the model gave it, in its dtype."""
        return self["hidden"]

    @property
    def cell(self) -> Float[Tensor, "time batch unit"]:
        """c_t; KeyError for a family without a cell state."""
        return self["cell"]

    def preactivation(self, site: str) -> Float[Tensor, "time batch unit"]:
        """The affine value before the nonlinearity of ``site``, shifts included; for the rnn family of ``"hidden"``.

        Raises
        ------
        KeyError
            The site has no pre-activation of its own.
        """
        full = self._layer.family.site_with_preactivation(site)
        return self._preactivations[full]

    @cached_property
    def inputs(self) -> Float[Tensor, "time batch feature"]:
        """What the layer read at each step, after dropout between layers."""
        recorded = self._recorded
        inputs = recorded.call.layout.to_time_first(recorded.trace.inputs[self._layer.index])
        return recorded.blank_padding(inputs.clone())

    @cached_property
    def lengths(self) -> Int[Tensor, " batch"]:
        """The number of steps of each sequence."""
        return self._recorded.call.layout.lengths(self._recorded.output.device)

    @property
    def batch_first(self) -> bool | None:
        """Whether the call passed (batch, time, feature); None for a ``PackedSequence``."""
        layout = self._recorded.call.layout
        return None if layout.packed else layout.batch_first

    @cached_property
    def initial(self) -> dict[str, Float[Tensor, "batch unit"]]:
        """The state before the layer's first step, by state name."""
        states = self._recorded.run_of(self._layer).initial
        return dict(zip(self.states, states, strict=True))

    @cached_property
    def replay_error(self) -> float:
        """One-step residual: max |h rebuilt from the gates − h the model gave| / max(1, |h|).

        Each step starts from the hidden state that the model gave, so errors do not add up. Layers below the top were
        rebuilt by a replay; for them the residuals of the layers above, which rest on that replay, count too. NaN
        where a live state is not finite, 0.0 for an empty batch.
        """
        own = self._residual
        if self._recorded.ran_by_layer is not None:
            return own
        above = [
            LayerRecording(self._recorded, layer)._residual  # noqa: SLF001 - another instance of this class
            for layer in self._recorded.module.layers
            if layer.index > self._layer.index
        ]
        return max([own, *(residual for residual in above if not math.isnan(residual))])

    @cached_property
    def _residual(self) -> float:
        recorded, rebuilt = self._recorded, self._quantities["hidden"]
        given = recorded.by_position(self._layer, recorded.hidden_of(self._layer)).to(rebuilt.dtype)
        layout = recorded.call.layout
        live = layout.live(rebuilt.device).expand_as(rebuilt)
        states = [self._quantities[state] for state in self.states] + [given]
        if not all(bool(torch.isfinite(state[layout.live(state.device).expand_as(state)]).all()) for state in states):
            return float("nan")
        error = ((rebuilt - given).abs() / given.abs().clamp(min=1))[live]
        return float(error.max()) if error.numel() else 0.0

    @cached_property
    def _hidden(self) -> Tensor:
        return self._recorded.blank_padding(self._recorded.hidden_of(self._layer).clone())

    @cached_property
    def _quantities(self) -> Quantities:
        return self._recorded.quantities(self._layer)

    @cached_property
    def _by_position(self) -> Quantities:
        return self._placed(self._quantities)

    @cached_property
    def _preactivations(self) -> Quantities:
        with torch.no_grad():
            return self._placed(self._layer.family.preactivations(self._recorded.run_of(self._layer)))

    def _placed(self, quantities: Quantities) -> Quantities:
        recorded = self._recorded
        return {
            site: recorded.blank_padding(recorded.by_position(self._layer, tensor))
            for site, tensor in quantities.items()
        }

    def __repr__(self) -> str:
        steps, batch, units = self._hidden.shape
        return f"LayerRecording({self.name!r}, {self.family}, time={steps}, batch={batch}, units={units})"


class Recording:
    """What :func:`rnnwidget.record` saw: a :class:`LayerRecording` for each layer and direction of each call."""

    def __init__(self, *, gradients: bool = False, start_graph: bool = False) -> None:
        self._calls: dict[str, list[LayerRecording]] = {}
        self._recorded: list[RecordedCall] = []
        self._handed_out = HandedOut()
        self._gradients = gradients
        self._start_graph = start_graph

    def receive(self, seen: SeenCall) -> None:
        """Keep a call; the interception core tells of it.

        NotImplementedError if it goes on from the state that its module last handed out.
        """
        name = seen.module.path or type(seen.module.module).__name__
        if self._handed_out.is_continued_by(seen.module.module, seen.call):
            raise NotImplementedError(
                f"{name} was called with the state that its last call handed out: one sequence in several calls is not "
                "recorded as one yet. Record each call in a block of its own, or give the module the whole sequence"
            )
        self._handed_out.keep(seen.module.module, seen.result[1:])
        tap = None
        if self._gradients:
            tap = GradientTap(name, seen.result, start_graph=self._start_graph)
        with torch.inference_mode(mode=False):
            recorded = RecordedCall.of(seen, tap)
        self._recorded.append(recorded)
        for layer in seen.module.layers:
            self._calls.setdefault(layer.name, []).append(LayerRecording(recorded, layer))

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers that were called, in order of their first call."""
        return tuple(self._calls)

    def __getitem__(self, layer: str) -> LayerRecording:
        """The last call of a layer; KeyError names the layers that exist."""
        return self.calls(layer)[-1]

    def calls(self, layer: str) -> tuple[LayerRecording, ...]:
        """Every call of a layer, oldest first; KeyError names the layers that exist."""
        if layer not in self._calls:
            known = ", ".join(self._calls) or "none: the model was not called while it was recorded"
            raise KeyError(f"no layer {layer!r} in this recording; it has {known}")
        return tuple(self._calls[layer])

    def __contains__(self, layer: object) -> bool:
        return layer in self._calls

    def gradient_flow(self, scale: float = 1.0) -> GradientFlow:
        """Local and total gradients of every state and pre-activation at every step.

        ``scale`` divides, for losses that a ``GradScaler`` multiplied by it.

        Raises
        ------
        RuntimeError
            The recording was made without ``gradients=True``, or no backward ran inside its block.
        """
        if not self._gradients:
            raise RuntimeError("this recording kept no gradients: record(model, gradients=True) does")
        return GradientFlow(self._recorded, scale)

    @property
    def taps(self) -> list[GradientTap]:
        """The gradient taps of the recorded calls, oldest first."""
        return [recorded.tap for recorded in self._recorded if recorded.tap is not None]

    def close(self) -> None:
        """Stop listening for gradients."""
        for tap in self.taps:
            tap.close()

    def __repr__(self) -> str:
        return f"Recording({', '.join(self._calls) or 'empty'})"
