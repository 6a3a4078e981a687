"""The inspector: a recurrent model opened in a notebook."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import torch
import traitlets
from torch import Tensor, nn

from rnnwidget.editing import Edit
from rnnwidget.editing.edited import EditList
from rnnwidget.editing.edits import validated
from rnnwidget.recording.model_capture import CapturedCall, ModelCapture
from rnnwidget.recording.modules import recurrent_modules
from rnnwidget.recording.recording import Recording
from rnnwidget.recording.twin import Twin
from rnnwidget.widgets.answers import AnswerOf, Reading, read_answer
from rnnwidget.widgets.dials import dials_of, with_dials
from rnnwidget.widgets.frame import Shown, layer_label, model_frame, picture_frame
from rnnwidget.widgets.gradient_figure import GradientFigure
from rnnwidget.widgets.picture import Picture, RowOrders, gradient_norms
from rnnwidget.widgets.score import Score

_log = logging.getLogger(__name__)
_NO_LOSS = "give the inspector targets= and loss= to see where the gradient goes"


class RNNInspector(traitlets.HasTraits):
    """Shows a model's recurrent layers and re-runs it, edited, on a copy. The model stays as it was.

    ``RNNInspector(model)`` attaches: the next ``model(x)``, on any thread, fills the view. With ``inputs`` it fills at
    once: an exact tuple is ``model(*inputs)``, an exact dict ``model(**inputs)``, anything else the one argument.

    Parameters
    ----------
    model
        An ``nn.Module`` with an ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU`` in it.
    inputs
        What to call the model on.
    tokens
        The text of each step: a list of strings for each sequence, or one list for one sequence.
    targets, loss
        ``loss(output, targets)``, or ``loss(output)`` without targets, shows gradients and says what the output means.
    labels
        Names of the classes.
    answer
        ``answer(output)`` returns the number, or the numbers by name, to show as the model's answer.

    Raises
    ------
    TypeError
        ``model`` is no module, or ``tokens`` no lists of strings.
    ValueError
        The model has no recurrent module, or ``tokens`` do not fit the sequences.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> inspector = rw.RNNInspector(torch.nn.LSTM(3, 8), inputs=torch.randn(5, 1, 3))
    >>> inspector.edits = [rw.clamp("forget_gate", 1.0)]
    >>> inspector.recording["l0"]["f"].min().item()
    1.0
    >>> inspector.close()
    """

    layer = traitlets.Unicode(help="The layer on show, by name.")
    sequence = traitlets.Int(0, help="The sequence on show, by its place in the batch.")
    site = traitlets.Unicode("hidden", help="The gate or state that the heatmap shows.")
    units = traitlets.List(traitlets.Int(), help="The selected units; the last one's trace is shown.")
    steps = traitlets.Any(None, allow_none=True, help="The brushed steps (start, stop), or None.")
    edits = traitlets.List(traitlets.Instance(Edit), help="The edits in force; the sliders set them and follow them.")

    def __init__(
        self,
        model: nn.Module,
        *,
        inputs: object = None,
        tokens: Sequence[str] | Sequence[Sequence[str]] | None = None,
        targets: object = None,
        loss: Callable[..., Tensor] | None = None,
        labels: Sequence[str] | None = None,
        answer: AnswerOf | None = None,
    ) -> None:
        self._modules = recurrent_modules(model)
        self._tokens = _token_lists(tokens)
        self._loss, self._targets, self._labels, self._answer = loss, targets, labels, answer
        self._lock = threading.RLock()
        self._model_frame = model_frame(model, self._modules)
        self._title = type(model).__name__
        self._orders = RowOrders()
        self._picture: Picture | None = None
        self._twin = Twin(model)
        self._inputs: object = inputs
        self._newest = self._version = self._answered = 0
        self._shown = self._closed = False
        self._capture: ModelCapture | None = None
        self._grad_enabled = torch.is_grad_enabled()
        first = self._modules[0].layers[0]
        super().__init__(layer=first.name)
        if inputs is not None:
            output, recording = self._rerun(None)
            if not recording.layers:
                raise ValueError(f"{self._title} did not call any of its recurrent modules on these inputs")
            self._check_tokens(recording)
            self._picture = self._unedited(output, recording)
            self.layer = recording.layers[0]

        self._score = Score(layer=self.layer, site=self.site)
        self._figure = GradientFigure()
        self._box = ipywidgets.VBox([self._score, self._figure.figure], layout={"width": "100%"})
        for name in ("layer", "sequence", "site", "units"):
            traitlets.link((self, name), (self._score, name))
        self._score.observe(self._on_page_steps, names=["steps"])
        self._score.observe(self._on_request, names=["_request"])
        self._score.observe(self._on_drawn, names=["_drawn"])
        self._score.observe(self._on_scope, names=["scope"])
        self.observe(self._on_layer, names=["layer"])
        self.observe(self._on_view, names=["sequence", "site", "units"])
        self.observe(self._on_steps, names=["steps"])
        self.observe(self._on_edits, names=["edits"])
        if inputs is None:
            self._capture = ModelCapture(model, self._modules, self._on_call)
        self._say("ready" if self._picture else "waiting")

    @property
    def recording(self) -> Recording | None:
        """What is on show, edits included; None while waiting."""
        return None if self._picture is None else self._picture.recording

    @property
    def baseline_recording(self) -> Recording | None:
        """The run without edits."""
        return None if self._picture is None else self._picture.baseline_recording

    @property
    def output(self) -> object:
        """The model's output under the edits in force."""
        return None if self._picture is None else self._picture.output

    @property
    def baseline_output(self) -> object:
        """The model's output without edits."""
        return None if self._picture is None else self._picture.baseline_output

    def close(self) -> None:
        """Take every hook off the model and close the widgets."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._capture is not None:
                self._capture.close()
            self._score.close()
            self._figure.close()
            self._box.close()

    def __repr__(self) -> str:
        layers = ", ".join(
            f"{layer.name} ({layer.family.name}, {layer.hidden_size} units)"
            for module in self._modules
            for layer in module.layers
        )
        state = "closed" if self._closed else "waiting for a call" if self._picture is None else repr(self._picture.recording)
        return f"RNNInspector({self._title}: {layers}; {state})"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        with self._lock:
            self._shown = not self._closed
            self._publish()
        bundle = self._box._repr_mimebundle_(**options)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        if data is not None:
            data["text/plain"] = repr(self)
        return bundle

    @traitlets.validate("layer")
    def _valid_layer(self, proposal: Any) -> str:
        known = [layer.name for module in self._modules for layer in module.layers]
        if proposal["value"] not in known:
            raise KeyError(f"no layer {proposal['value']!r}; the model has {', '.join(known)}")
        if self._picture is not None and proposal["value"] not in self._picture.recording:
            raise KeyError(f"layer {proposal['value']!r} was not called; called were {self._picture.recording.layers}")
        return str(proposal["value"])

    @traitlets.validate("sequence")
    def _valid_sequence(self, proposal: Any) -> int:
        count = self._picture.batch if self._picture is not None else None
        if proposal["value"] < 0 or (count is not None and proposal["value"] >= count):
            raise IndexError(f"no sequence {proposal['value']}; there are {count if count is not None else 'none yet'}")
        return int(proposal["value"])

    @traitlets.validate("site")
    def _valid_site(self, proposal: Any) -> str:
        return self._layer_of(self.layer).family.site(proposal["value"])

    @traitlets.validate("units")
    def _valid_units(self, proposal: Any) -> list[int]:
        width = self._layer_of(self.layer).hidden_size
        outside = [unit for unit in proposal["value"] if not 0 <= unit < width]
        if outside:
            raise IndexError(f"units {outside} do not exist; layer {self.layer!r} has units 0 to {width - 1}")
        return list(dict.fromkeys(proposal["value"]))

    @traitlets.validate("steps")
    def _valid_steps(self, proposal: Any) -> tuple[int, int] | None:
        if proposal["value"] is None:
            return None
        try:
            start, stop = (int(bound) for bound in proposal["value"])
        except (TypeError, ValueError):
            raise TypeError(f"steps must be (start, stop) or None, got {proposal['value']!r:.80}") from None
        if not 0 <= start < stop:
            raise IndexError(f"steps (start, stop) need 0 ≤ start < stop, got ({start}, {stop})")
        return start, stop

    @traitlets.validate("edits")
    def _valid_edits(self, proposal: Any) -> list[Edit]:
        return list(validated(proposal["value"], self._modules))

    def _layer_of(self, name: str) -> Any:
        return next(layer for module in self._modules for layer in module.layers if layer.name == name)

    def _on_call(self, captured: CapturedCall) -> None:
        """A call of the user's own has ended; nothing that goes wrong here may reach it, nor may it wait for a drag."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if not self._closed:
                self._take(captured)
        except Exception as error:
            self._fail(error)
        finally:
            self._lock.release()

    def _take(self, captured: CapturedCall) -> None:
        self._check_tokens(captured.recording)
        self._inputs, self._grad_enabled = captured.arguments, captured.grad_enabled
        self._picture = self._unedited(captured.output, captured.recording, run_loss=False)
        if self.layer not in captured.recording:
            self.layer = captured.recording.layers[0]
        if self.sequence >= self._picture.batch:
            self.sequence = 0
        if self.edits or self._loss is not None:
            self._run()
        self._say("ready")
        self._publish()

    def _on_request(self, change: Any) -> None:
        request = change["new"]
        if not request:
            return
        self._newest = max(self._newest, int(request["serial"]))
        with self._lock:
            if int(request["serial"]) < self._newest:
                return
            self._answered = int(request["serial"])
            try:
                edits = with_dials(self.edits, request)
                if edits == self.edits:
                    self._publish()
                else:
                    self.edits = edits
            except Exception as error:
                self._fail(error)

    def _on_edits(self, change: Any) -> None:
        with self._lock:
            self._scope_to_edits()
            if self._picture is None:
                return
            try:
                self._run()
            except Exception as error:
                self._fail(error)
                return
            self._say("ready")
            self._publish()

    def _on_layer(self, change: Any) -> None:
        with self._lock:
            family = self._layer_of(self.layer).family
            with self.hold_trait_notifications():
                self.units = []
                if self.site not in family.sites:
                    self.site = "hidden"
            self._publish()

    def _on_view(self, change: Any) -> None:
        with self._lock:
            self._publish()

    def _on_scope(self, change: Any) -> None:
        with self._lock:
            self._publish_dials()

    def _on_steps(self, change: Any) -> None:
        self._score.steps = None if self.steps is None else list(self.steps)

    def _on_page_steps(self, change: Any) -> None:
        self.steps = None if change["new"] is None else tuple(change["new"])

    def _on_drawn(self, change: Any) -> None:
        with self._lock:
            if self._owed:
                self._publish()

    def _run(self) -> None:
        """Run the model under the edits in force; the picture changes only if all of it succeeds."""
        picture = self._picture
        assert picture is not None
        edits = tuple(self.edits)
        active = [edit for edit in edits if not edit.identity]
        baseline_output, baseline = picture.baseline_output, picture.baseline_recording
        if self._capture is not None and active and not self._rerun_matches:
            baseline_output, baseline = self._rerun(None)
            self._rerun_matches = True
        loss = self._loss_of if self._loss is not None else None
        editor = EditList(edits) if active else None
        flow, message = None, _NO_LOSS
        output, recording = baseline_output, baseline
        if active:
            output, recording = self._rerun(editor)
        if loss is not None:
            flow, message = self._flow(editor)
        self._picture = Picture(baseline_output, output, baseline, recording, edits, flow, message)

    def _rerun(self, editor: EditList | None) -> tuple[object, Recording]:
        with torch.set_grad_enabled(self._grad_enabled):
            return self._twin.run(self._inputs, editor=editor)

    def _unedited(self, output: object, recording: Recording, *, run_loss: bool = True) -> Picture:
        self._rerun_matches = self._capture is None
        flow, message = (None, _NO_LOSS)
        if self._loss is not None and run_loss:
            flow, message = self._flow(None)
        return Picture(output, output, recording, recording, (), flow, message)

    def _flow(self, editor: EditList | None) -> Any:
        _, recording = self._twin.run(self._inputs, editor=editor, loss=self._loss_of)
        return recording.gradient_flow(), ""

    def _loss_of(self, output: object) -> Tensor:
        assert self._loss is not None
        return self._loss(output) if self._targets is None else self._loss(output, self._targets)

    def _readings(self, picture: Picture) -> tuple[Reading, Reading] | None:
        readings = [
            read_answer(
                output, self.sequence, picture.batch, loss=self._loss, labels=self._labels, answer=self._answer
            )
            for output in (picture.baseline_output, picture.output)
        ]
        before, after = readings
        return None if before is None or after is None else (before, after)

    @property
    def _owed(self) -> bool:
        return self._shown and self._sent_of != self._wanted_of

    _sent_of = _wanted_of = 0

    def _publish(self) -> None:
        """Make a frame and send it; the page's echo calls for the next while it is still painting the last but one."""
        self._wanted_of += 1
        if not self._shown or self._closed:
            return
        drawn = self._score._drawn
        if drawn and self._version - drawn >= 2:
            return
        self._sent_of = self._wanted_of
        self._version += 1
        frame = {"version": self._version, "answers": self._answered, **self._model_frame}
        if self._picture is not None:
            shown = Shown(self.layer, self.sequence, self.site, self.units, self._tokens)
            frame |= picture_frame(self._modules, self._picture, shown, self._orders, self._readings(self._picture))
        with self._score.hold_sync():
            self._publish_dials()
            self._score._frame = frame
        self._show_norms()

    def _publish_dials(self) -> None:
        scope = self._score.scope
        layer = self.layer if scope.get("layers") == "this" else None
        units = list(self.units) if scope.get("units") == "selected" and self.units else None
        self._score.dials = dials_of(self.edits, layer, units)

    def _scope_to_edits(self) -> None:
        """Let the panel's scope follow edits that were set from Python."""
        if not self.edits:
            return
        scope = self._score.scope
        layer = self.layer if scope.get("layers") == "this" else None
        units = list(self.units) if scope.get("units") == "selected" and self.units else None
        if dials_of(self.edits, layer, units):
            return
        first = self.edits[0]
        if first.layer is not None:
            self.layer = first.layer
        if first.units is not None:
            self.units = list(first.units)
        self._score.scope = {
            "units": "selected" if first.units is not None or not self.units else "all",
            "layers": "all" if first.layer is None else "this",
        }

    def _show_norms(self) -> None:
        picture = self._picture
        if picture is None or picture.flow is None:
            self._figure.show({})
            return
        norms = {
            layer_label(module, layer, alone=len(self._modules) == 1): gradient_norms(
                picture.flow, picture.recording[layer.name], self.sequence
            )[0]
            for module in self._modules
            for layer in module.layers
            if layer.name in picture.flow
        }
        steps = {norm.numel() for norm in norms.values()}
        longest = max(steps, default=0)
        self._figure.show(
            {
                name: torch.cat([norm, norm.new_full((longest - norm.numel(),), torch.nan)])
                for name, norm in norms.items()
            }
        )

    def _say(self, state: str, message: str = "") -> None:
        if state == "ready" and self._twin.why_not_copied:
            message = f"This model cannot be copied ({self._twin.why_not_copied}); edits run on the model itself."
        self._score._status = {"state": state, "message": message, "answers": self._answered}

    def _fail(self, error: Exception) -> None:
        _log.debug("the inspector could not run the model", exc_info=error)
        self._say("error", f"{type(error).__name__}: {error}")

    def _check_tokens(self, recording: Recording) -> None:
        if self._tokens is None:
            return
        lengths = recording[recording.layers[0]].lengths.tolist()
        if len(self._tokens) != len(lengths):
            raise ValueError(
                f"tokens hold {len(self._tokens)} sequences, the model read {len(lengths)}: "
                "give one list of strings for each sequence"
            )
        for index, (tokens, steps) in enumerate(zip(self._tokens, lengths, strict=True)):
            if len(tokens) != steps:
                raise ValueError(
                    f"tokens[{index}] has {len(tokens)} tokens, the model read {steps} steps of that sequence: "
                    "give one token for each step, padding included where the model reads it"
                )


def _token_lists(tokens: Any) -> list[list[str]] | None:
    if tokens is None:
        return None
    if isinstance(tokens, str) or not isinstance(tokens, Sequence):
        raise TypeError(f"tokens must be a list of strings for each sequence, got {type(tokens).__name__}")
    if not tokens:
        raise ValueError("tokens is an empty list: give a list of strings for each sequence, or leave tokens out")
    nested = [list(tokens)] if all(isinstance(token, str) for token in tokens) else list(tokens)
    for index, sequence in enumerate(nested):
        if isinstance(sequence, str) or not isinstance(sequence, Sequence):
            raise TypeError(f"tokens[{index}] must be a list of strings, got {type(sequence).__name__}")
        for token in sequence:
            if not isinstance(token, str):
                raise TypeError(f"tokens[{index}] holds {token!r:.40} of type {type(token).__name__}; tokens are strings")
    return [list(sequence) for sequence in nested]
