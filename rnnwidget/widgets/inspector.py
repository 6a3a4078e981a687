"""The inspector: a recurrent model opened in a notebook."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import traitlets
from torch import Tensor, nn

from rnnwidget.recording.model_capture import CapturedCall, ModelCapture
from rnnwidget.recording.modules import Layer, recurrent_modules
from rnnwidget.recording.recording import Recording
from rnnwidget.recording.unseen import none_seen
from rnnwidget.widgets.after_cells import after_each_cell
from rnnwidget.widgets.answer_lane import LONG_PAUSE
from rnnwidget.widgets.answers import AnswerOf, Reader, Reading, comparable
from rnnwidget.widgets.before_cells import BeforeCells
from rnnwidget.widgets.change_views import ChangeViews
from rnnwidget.widgets.counted import counted
from rnnwidget.widgets.dial_tracks import DialTracks
from rnnwidget.widgets.frame import Shown, model_frame, picture_frame, total_norms
from rnnwidget.widgets.input_edits import Encode, InputEdits
from rnnwidget.widgets.page import Contents, Page
from rnnwidget.widgets.panel import Panel
from rnnwidget.widgets.picture import Picture, RowOrders
from rnnwidget.widgets.probe import Probe
from rnnwidget.widgets.ripple import Ripple
from rnnwidget.widgets.steering import Steering
from rnnwidget.widgets.tokens import check_tokens


class RNNInspector(Steering):
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
    encode
        ``encode(tokens)`` returns what to call the model on; with it, words can be retyped in the view.
    targets, loss
        ``loss(output, targets)``, or ``loss(output)`` without targets, shows gradients and says what the output means.
    labels
        Names of the classes.
    vocabulary
        Names of the tokens that a language model gives a number each: its answer is the next token.
    logits
        Whether the outputs are logits: they are shown as probabilities, as they are with a loss that says so.
    answer
        ``answer(output)``, or ``answer(output, sequence)``, returns the number, the numbers by name, or the widget to
        show as the model's answer.

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
        vocabulary: Sequence[str] | None = None,
        logits: bool = False,
        encode: Encode | None = None,
    ) -> None:
        self._modules = recurrent_modules(model)
        self._layers: dict[str, Layer] = {layer.name: layer for module in self._modules for layer in module.layers}
        self._writing, self._vocabulary = InputEdits(tokens, encode), vocabulary
        self._lock = threading.RLock()
        self._model_frame = model_frame(model, self._modules)
        self._orders, self._befores = RowOrders(), BeforeCells()
        self._probe = Probe(model, loss, targets)
        self._picture: Picture | None = None
        self._capture: ModelCapture | None = None
        self._closed = False
        self._obeyed = {}
        if inputs is not None:
            self._picture = self._probe.fill(inputs)
            if not self._picture.recording.layers:
                raise ValueError(none_seen(model))
            if self._picture.batch == 0:
                raise ValueError("inputs hold no sequence: the model read a batch of size 0")
            check_tokens(self._writing.original.words, self._picture.recording)
            self._writing.begin(inputs)
        super().__init__(layer=next(iter(self._picture.recording.layers if self._picture else self._layers)))
        self._page = Page(self._contents, self._lock, layer=self.layer, site=self.site)
        self._changes = ChangeViews(
            str(self._model_frame["title"]),
            self._probe.twin,
            self._modules,
            self._orders,
            Reader(loss, labels, answer, vocabulary, targets, logits),
            self._page.score,
            self._lock,
            now=lambda: None if self._picture is None else (self._picture, self._shown()),
            wanted=lambda: not self._closed and self._page.watched and self._probe.may_ask,
            renew=self._renew,
            pause=LONG_PAUSE if inputs is None else None,
        )
        families = {name: layer.family for name, layer in self._layers.items()}
        self._panel = Panel(self, self._page.score, families)
        self._tracks = DialTracks(
            self._panel,
            self._probe,
            self._page.score,
            self._lock,
            readings=self._numbers,
            read=self._read,
            wanted=lambda: not self._closed and self._page.watched,
            renew=self._renew,
        )
        self._wire()
        self._leave_cells = after_each_cell(self._after_cell)
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

    def ripple(self) -> Ripple:
        """Where a change travels, as a widget to show in a cell of its own: it follows this inspector.

        Every layer stands on one time axis, after − before on one colour scale, the answer above.
        """
        return self._changes.ripple()

    def close(self) -> None:
        """Take every hook off the model and close the widgets."""
        self._tracks.give_up()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._leave_cells()
            self._changes.close()
            if self._capture is not None:
                self._capture.close()
            self._page.close()

    def __repr__(self) -> str:
        layers = ", ".join(
            f"{layer.name} ({layer.family.name}"
            + (f", {counted(layer.hidden_size, 'unit')})" if layer.hidden_size else ")")
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

    def _wire(self) -> None:
        score = self._page.score
        for name in ("layer", "sequence", "site", "units"):
            traitlets.link((self, name), (score, name))
        score.observe(lambda change: setattr(self, "steps", change["new"]), names=["steps"])
        score.observe(self._on_request, names=["_request"])
        score.observe(self._on_scope, names=["scope"])
        score.observe(self._on_view, names=["ripple", "told"])
        self.observe(self._on_steps, names=["steps"])
        self.observe(self._on_layer, names=["layer"])
        self.observe(self._on_view, names=["sequence", "site", "units"])
        self.observe(self._on_edits, names=["edits"])

    def _next_call_is_wanted(self) -> None:
        if self._capture is not None:
            self._capture.resume()

    def _wants_calls(self) -> bool:
        return not self._closed and not self._page.stalled

    def _on_call(self, captured: CapturedCall) -> None:
        """A call of the user's own has ended; nothing that goes wrong here may reach it, nor may it wait for a drag."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            with self._at_once():
                check_tokens(self._writing.original.words, captured.recording)
                self._picture = self._probe.take(captured, self.edits)
                self._writing.begin(captured.arguments)
                self._unwritten = ""
                self._panel.forget_inputs()
                self._choose_what_there_is()
                self._say_ready()
                self._show()
        finally:
            self._lock.release()

    def _after_cell(self) -> None:
        """A cell may have trained the model, whose numbers the page shows; the next cell's first call is shown too."""
        self._next_call_is_wanted()
        if self._page.painted:
            self._renew()

    def _renew(self) -> bool:
        """Make the picture again if the model has been trained since, before anything is set beside it."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            stale = not self._closed and self._picture is not None and self._probe.may_ask and self._probe.moved
            if stale:
                self._picture = self._probe.edited(self.edits)
                self._say_ready()
                self._show()
        except Exception as error:  # noqa: BLE001 - a user's model may raise anything
            self._fail(error)
            return False
        finally:
            self._lock.release()
        return stale

    def _shown(self) -> Shown:
        words = self._writing.current.words
        if self._picture is not None and not self._picture.reads_words(self.layer):
            words = None
        return Shown(self.layer, self.sequence, self.site, self.units, words, self._page.score.told)

    def _contents(self) -> Contents:
        if self._picture is None:
            return Contents(self._model_frame, {})
        with self._probe.threads():
            return self._contents_of(self._picture)

    def _contents_of(self, picture: Picture) -> Contents:
        shown, readings = self._shown(), self._readings(picture)
        frame = picture_frame(self._modules, picture, shown, self._orders, self._befores, readings)
        frame |= self._changes.parts(picture, shown, readings)
        frame["writing"] = self._written_frame(picture, self._vocabulary)
        norms = total_norms(picture, self._modules, self.sequence)
        own = self._changes.own_answers(picture, readings)
        return Contents(self._model_frame | frame, norms, own, self._befores.wire)

    def _readings(self, picture: Picture) -> tuple[Reading, Reading] | None:
        return self._changes.readings(picture, self.sequence)

    def _numbers(self) -> tuple[Reading, Reading] | None:
        readings = None if self._picture is None else self._readings(self._picture)
        return readings if comparable(readings) else None

    def _read(self, output: object) -> Reading | None:
        assert self._picture is not None
        return self._changes.read(self._picture, self.sequence, output)
