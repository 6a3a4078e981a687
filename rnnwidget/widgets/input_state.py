"""The input of an inspector as a person reads and sets it."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch

from rnnwidget.widgets.frame import channel_names
from rnnwidget.widgets.input_edits import InputEdits, Written, plain, typed
from rnnwidget.widgets.picture import Picture
from rnnwidget.widgets.probe import Probe
from rnnwidget.widgets.pulses import Pulse, added, put_again
from rnnwidget.widgets.stimulus import NOT_FOUND, place_read_by
from rnnwidget.widgets.view_state import ViewState
from rnnwidget.widgets.wire import Frame
from rnnwidget.widgets.writing_frame import writing_frame

NO_INPUT = "there is no input yet: call the model once, or give the inspector inputs="


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

    def retype(self, words: Sequence[str], sequence: int | None = None) -> None:
        """Other words in one sequence, by default the one on show; needs ``tokens`` and ``encode``.

        Raises
        ------
        ValueError, IndexError
            The input has no words, there is no ``encode`` or it failed, or there is no such sequence.

        Examples
        --------
        >>> inspector.retype(["not", "a", "good", "film"], sequence=0)  # doctest: +SKIP
        """
        own = self.sequence if sequence is None else sequence
        self._write(self._writing.with_words(own, list(words), padded=False))

    def move_pulse(
        self,
        channel: int,
        start: int,
        stop: int,
        by: int = 0,
        times: float = 1.0,
        sequence: int | None = None,
        layer: str | None = None,
    ) -> None:
        """Move the steps [start, stop) of a stimulus channel ``by`` steps and scale them, over what is beside them.

        The channel is one that ``layer`` reads, by default the one on show.

        Raises
        ------
        ValueError
            The layer reads no such channel as it is given, or there is nothing to move or to scale.

        Examples
        --------
        >>> inspector.move_pulse(0, 20, 30, by=5, times=2.0)  # doctest: +SKIP
        """
        wish = {"channel": channel, "start": start, "stop": stop, "move": by, "gain": times}
        own = self.sequence if sequence is None else sequence
        self._write(self._with_pulse(self._writing.current, self._pulse(own, wish, layer)))

    def _write(self, written: Written) -> None:
        with self._at_once():
            if self._picture is None:
                raise RuntimeError(NO_INPUT)
            if written is self._writing.current:
                return
            self._picture, self._writing.current = self._probe.rewrite(self._writing.original, written, self.edits)
            self._rewritten()

    @abstractmethod
    def _at_once(self) -> AbstractContextManager[None]:
        """Hold the lock for what a person waits for; what nobody has asked for gives way meanwhile."""

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

    def _asked_input(self, wish: Mapping[str, Any], sequence: int) -> Written:
        """What the page wishes the input to be, about a sequence of it."""
        writing = self._writing
        if wish["kind"] == "reset":
            return writing.original
        if wish["kind"] == "words":
            known = [word for words in writing.current.given or () for word in words]
            return writing.with_words(sequence, typed(wish["words"], known))
        base = writing.held(wish["gesture"])
        if wish.get("again"):
            return base.with_pulses(put_again(base.pulses, self._pulse(sequence, wish)))
        still = (int(wish["move"]), float(wish["gain"])) == (0, 1.0)
        return base if still else self._with_pulse(base, self._pulse(sequence, wish))

    def _with_pulse(self, base: Written, pulse: Pulse) -> Written:
        alone, joined = pulse.put(base.inputs), base.with_pulses(added(base.pulses, pulse))
        same = torch.allclose(pulse.series(alone), pulse.series(joined.inputs), equal_nan=True)
        return joined if same else base.with_pulses((*base.pulses, pulse))

    def _pulse(self, sequence: int, wish: Mapping[str, Any], layer: str | None = None) -> Pulse:
        picture = self._picture
        channel, start, stop = int(wish["channel"]), int(wish["start"]), int(wish["stop"])
        if picture is None:
            raise RuntimeError(NO_INPUT)
        if not 0 <= sequence < picture.batch:
            raise IndexError(f"there is no sequence {sequence}: the input holds {picture.batch}, numbered from 0")
        layer = self.layer if layer is None else layer
        if layer not in picture.recording:
            raise KeyError(f"no layer {layer!r}; the input reaches {', '.join(picture.recording.layers)}")
        first = next(module.layers[0].name for module in self._modules if self._layers[layer] in module.layers)
        read = picture.recording[first].inputs[: picture.steps(first, sequence), sequence]
        place = place_read_by(picture.recording[first], self._writing.current.inputs, sequence)
        if place is None:
            raise ValueError(NOT_FOUND)
        names = channel_names(read.size(-1))
        if not 0 <= channel < len(names):
            raise IndexError(f"there is no channel {channel}: the layer reads {len(names)}, numbered from 0")
        steps, move, gain = read.size(0), int(wish["move"]), float(wish["gain"])
        name = names[channel] if picture.batch == 1 else f"sequence {sequence + 1}: {names[channel]}"
        stop = stop if start >= steps else min(stop, steps)
        told = layer if len(self._modules) > 1 else None
        return Pulse(place, sequence, channel, start, stop, move, gain, steps, name, told)
