"""The inspector: a recurrent model opened in a notebook."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import traitlets
from torch import Tensor, nn

from rnnwidget.editing import Edit
from rnnwidget.editing.targets import check_batch, validated
from rnnwidget.recording.model_capture import CapturedCall, ModelCapture
from rnnwidget.recording.modules import Layer, recurrent_modules
from rnnwidget.recording.recording import Recording
from rnnwidget.widgets.answers import AnswerOf, Reading, read_answer
from rnnwidget.widgets.dials import dials_of, with_dials
from rnnwidget.widgets.frame import Shown, layer_label, model_frame, picture_frame
from rnnwidget.widgets.page import Contents, Page
from rnnwidget.widgets.picture import Picture, RowOrders, gradient_norms
from rnnwidget.widgets.probe import Probe
from rnnwidget.widgets.tokens import check_tokens, token_lists

_log = logging.getLogger(__name__)


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
        self._layers: dict[str, Layer] = {layer.name: layer for module in self._modules for layer in module.layers}
        self._tokens = token_lists(tokens)
        self._loss, self._labels, self._answer = loss, labels, answer
        self._lock = threading.RLock()
        self._model_frame = model_frame(model, self._modules)
        self._orders = RowOrders()
        self._probe = Probe(model, loss, targets)
        self._picture: Picture | None = None
        self._capture: ModelCapture | None = None
        self._newest = 0
        self._closed = False
        if inputs is not None:
            self._picture = self._probe.fill(inputs)
            if not self._picture.recording.layers:
                raise ValueError(f"{type(model).__name__} did not call its recurrent modules on these inputs")
            if self._picture.batch == 0:
                raise ValueError("inputs hold no sequence: the model read a batch of size 0")
            check_tokens(self._tokens, self._picture.recording)
        super().__init__(layer=next(iter(self._picture.recording.layers if self._picture else self._layers)))
        self._page = Page(self._contents, layer=self.layer, site=self.site)
        self._wire()
        self._say_ready() if self._picture else self._page.say("waiting")
        if inputs is None:
            self._capture = ModelCapture(model, self._modules, self._on_call, self._fail, self._wants_calls)

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
            self._page.close()

    def __repr__(self) -> str:
        layers = ", ".join(
            f"{layer.name} ({layer.family.name}" + (f", {layer.hidden_size} units)" if layer.hidden_size else ")")
            for layer in self._layers.values()
        )
        waiting = "waiting for a call" if self._picture is None else repr(self._picture.recording)
        return f"RNNInspector({self._model_frame['title']}: {layers}; {'closed' if self._closed else waiting})"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        if self._closed:
            return {"text/plain": repr(self)}
        with self._lock:
            self._page.display()
            self._show()
        bundle = self._page.box._repr_mimebundle_(**options)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        if data is not None:
            data["text/plain"] = repr(self)
        return bundle

    @traitlets.validate("layer")
    def _valid_layer(self, proposal: Any) -> str:
        name: str = proposal["value"]
        known = self._layers if self._picture is None else self._picture.recording.layers
        if name not in known:
            raise KeyError(f"no layer {name!r}; {'called were' if self._picture else 'there are'} {', '.join(known)}")
        return name

    @traitlets.validate("sequence")
    def _valid_sequence(self, proposal: Any) -> int:
        sequence: int = proposal["value"]
        count = 1 if self._picture is None else self._picture.batch
        if not 0 <= sequence < count:
            raise IndexError(f"no sequence {sequence}; there are sequences 0 to {count - 1}")
        return sequence

    @traitlets.validate("site")
    def _valid_site(self, proposal: Any) -> str:
        return self._layers[self.layer].family.site(proposal["value"])

    @traitlets.validate("units")
    def _valid_units(self, proposal: Any) -> list[int]:
        layer = self._layers[self.layer]
        width = layer.hidden_size or (self._picture.recording[layer.name].hidden.size(-1) if self._picture else 0)
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
        edits = validated(proposal["value"], self._modules)
        if self._picture is not None:
            check_batch(edits, self._picture.batch)
        return list(edits)

    def _wire(self) -> None:
        score = self._page.score
        for name in ("layer", "sequence", "site", "units"):
            traitlets.link((self, name), (score, name))
        score.observe(lambda change: setattr(self, "steps", change["new"]), names=["steps"])
        score.observe(self._on_request, names=["_request"])
        score.observe(self._on_scope, names=["scope"])
        self.observe(lambda change: setattr(score, "steps", change["new"] and list(change["new"])), names=["steps"])
        self.observe(self._on_layer, names=["layer"])
        self.observe(self._on_view, names=["sequence", "site", "units"])
        self.observe(self._on_edits, names=["edits"])

    def _wants_calls(self) -> bool:
        return not self._closed and not self._page.stalled

    def _on_call(self, captured: CapturedCall) -> None:
        """A call of the user's own has ended; nothing that goes wrong here may reach it, nor may it wait for a drag."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            check_tokens(self._tokens, captured.recording)
            self._picture = self._probe.take(captured, self.edits)
            if self.layer not in captured.recording:
                self.layer = captured.recording.layers[0]
            self.sequence = min(self.sequence, self._picture.batch - 1)
            self._say_ready()
            self._show()
        finally:
            self._lock.release()

    def _on_request(self, change: Any) -> None:
        request = change["new"]
        if not request:
            return
        serial = int(request["serial"])
        self._newest = max(self._newest, serial)
        with self._lock:
            if serial < self._newest:
                return
            self._page.answers = serial
            try:
                edits = with_dials(self.edits, request)
                if edits == self.edits:
                    self._show()
                else:
                    self.edits = edits
            except Exception as error:  # noqa: BLE001 - a user's model may raise anything
                self._fail(error)

    def _on_edits(self, change: Any) -> None:
        with self._lock:
            self._follow_edits()
            if self._picture is not None:
                try:
                    self._picture = self._probe.edited(self.edits)
                except Exception as error:
                    self._fail(error)
                    raise
                self._say_ready()
            self._show()

    def _on_layer(self, change: Any) -> None:
        with self._lock:
            self.units = []
            if self.site not in self._layers[self.layer].family.sites:
                self.site = "hidden"
            self._show()

    def _on_view(self, change: Any) -> None:
        with self._lock:
            self._show()

    def _on_scope(self, change: Any) -> None:
        with self._lock:
            self._page.show_dials(self.edits, self.layer, self.units)

    def _follow_edits(self) -> None:
        """Let the panel's scope and the selection follow edits that were set from Python."""
        selected, this = self._page.scope
        layer, units = self.layer if this else None, self.units if selected and self.units else None
        if not self.edits or dials_of(self.edits, layer, units):
            return
        first = self.edits[0]
        self.layer = first.layer or self.layer
        if first.units is not None:
            self.units = list(first.units)
        covers_all = first.units is None and bool(self.units)
        self._page.score.scope = {
            "units": "all" if covers_all else "selected",
            "layers": "all" if first.layer is None else "this",
        }

    def _show(self) -> None:
        try:
            self._page.show_dials(self.edits, self.layer, self.units)
            self._page.publish()
        except Exception as error:  # noqa: BLE001 - a person's own answer= may raise anything
            self._fail(error)

    def _contents(self) -> Contents:
        picture = self._picture
        if picture is None:
            return Contents(self._model_frame, {})
        shown = Shown(self.layer, self.sequence, self.site, self.units, self._tokens)
        frame = picture_frame(self._modules, picture, shown, self._orders, self._readings(picture))
        norms = {}
        if picture.flow is not None:
            alone = len(self._modules) == 1
            norms = {
                layer_label(module, layer, alone=alone): gradient_norms(
                    picture.flow, picture.recording[layer.name], self.sequence
                )[0]
                for module in self._modules
                for layer in module.layers
                if layer.name in picture.flow
            }
        return Contents(self._model_frame | frame, norms)

    def _readings(self, picture: Picture) -> tuple[Reading, Reading] | None:
        layer = picture.recording[picture.recording.layers[0]]
        before, after = (
            read_answer(
                output,
                self.sequence,
                picture.batch,
                lengths=layer.lengths.tolist(),
                batch_first=layer.batch_first,
                loss=self._loss,
                labels=self._labels,
                answer=self._answer,
            )
            for output in (picture.baseline_output, picture.output)
        )
        return None if before is None or after is None else (before, after)

    def _say_ready(self) -> None:
        why = self._probe.twin.why_not_copied
        self._page.say("ready", f"This model cannot be copied ({why}); edits run on the model itself." if why else "")

    def _fail(self, error: Exception) -> None:
        _log.debug("the inspector could not run the model", exc_info=error)
        self._page.say("error", f"{type(error).__name__}: {error}")
