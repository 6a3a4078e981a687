"""The input of an inspector as a person reads and sets it."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from rnnwidget.widgets.frame import channel_names
from rnnwidget.widgets.input_edits import InputEdits, Written, plain
from rnnwidget.widgets.picture import Picture
from rnnwidget.widgets.probe import Probe
from rnnwidget.widgets.stimulus import NOT_FOUND, stimulus_place, told_of_pulse, with_pulse
from rnnwidget.widgets.view_state import ViewState
from rnnwidget.widgets.wire import Frame
from rnnwidget.widgets.writing_frame import writing_frame


class InputState(ViewState):
    """Words and stimuli that can be changed: the picture then compares the first input, unedited, with the new one."""

    _lock: threading.RLock
    _probe: Probe
    _writing: InputEdits
    _frame_about: tuple[object, Frame] | None = None

    @property
    def inputs(self) -> Any:
        """The input in force; None while waiting.

        Set it to see another input beside the first one: it holds as many sequences, of any length. None goes back.
        """
        return plain(self._writing.current.inputs)

    @inputs.setter
    def inputs(self, inputs: object) -> None:
        if inputs is None:
            self.reset_inputs()
        else:
            self._write(self._writing.with_inputs(inputs))

    @property
    def tokens(self) -> list[list[str]] | None:
        """The words of the input in force, without padding; setting them needs ``encode``."""
        words = self._writing.current.given
        return None if words is None else [list(own) for own in words]

    @tokens.setter
    def tokens(self, tokens: object) -> None:
        self._write(self._writing.retyped(tokens))

    def reset_inputs(self) -> None:
        """Go back to the input that the picture began with."""
        self._write(self._writing.original)

    def _write(self, written: Written) -> None:
        with self._lock:
            if self._picture is None:
                raise RuntimeError("there is no input yet: call the model once, or give the inspector inputs=")
            if written is self._writing.current:
                return
            self._picture, self._writing.current = self._probe.rewrite(self._writing.original, written, self.edits)
            self._rewritten()

    @abstractmethod
    def _rewritten(self) -> None:
        """The picture is of another input now."""

    def _written_frame(self, picture: Picture, vocabulary: Sequence[str] | None) -> Frame:
        """The frame's part about the input; edits do not change it, so that a drag finds it made."""
        about = (self._writing.current, picture.steps(self.layer, self.sequence), self.layer, self.sequence)
        if self._frame_about is None or self._frame_about[0] != about:
            made = writing_frame(picture, self._modules, self._writing, self.layer, self.sequence, vocabulary)
            self._frame_about = about, made
        return self._frame_about[1]

    def _asked_input(self, wish: Mapping[str, Any]) -> Written:
        """What the page wishes the input to be."""
        writing = self._writing
        if wish["kind"] == "reset":
            return writing.original
        if wish["kind"] == "words":
            return writing.with_words(self.sequence, wish["words"])
        base = writing.held(wish["gesture"])
        move, gain = int(wish["move"]), float(wish["gain"])
        channel, start, stop = int(wish["channel"]), int(wish["start"]), int(wish["stop"])
        if (move, gain) == (0, 1.0):
            return base
        picture = self._picture
        assert picture is not None
        first = next(module.layers[0].name for module in self._modules if self._layers[self.layer] in module.layers)
        read = picture.recording[first].inputs[: picture.steps(first, self.sequence), self.sequence]
        place = stimulus_place(writing.current.inputs, read, self.sequence)
        if place is None:
            raise ValueError(NOT_FOUND)
        inputs = with_pulse(base.inputs, place, self.sequence, channel, start, stop, move, gain, read.size(0))
        name = channel_names(read.size(-1))[channel]
        told = told_of_pulse(name, start, min(stop, read.size(0)), move, gain)
        return Written(inputs, base.words, (*base.told, told), base.given)
