"""A recording: every state and gate of every recurrent layer at every timestep."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rnnwidget.recording.arithmetic import our_arithmetic
from rnnwidget.recording.clients import SeenCall
from rnnwidget.recording.continuation import HandedOut
from rnnwidget.recording.gradient_flow import GradientFlow
from rnnwidget.recording.gradient_tap import GradientTap
from rnnwidget.recording.layer_recording import LayerRecording
from rnnwidget.recording.layer_source import RebuiltLayer
from rnnwidget.recording.module_outputs import ModuleOutputs
from rnnwidget.recording.modules import Layer, RecurrentModule
from rnnwidget.recording.recorded_call import RecordedCall
from rnnwidget.recording.saving import save
from rnnwidget.recording.transforms import REFUSED, in_a_transform, outside_of_transforms, plainly_seen
from rnnwidget.recording.unseen import WHY_UNSEEN
from rnnwidget.recording.xarray_tree import data_tree

if TYPE_CHECKING:
    import xarray


class Recording:
    """What :func:`rnnwidget.record` saw: a :class:`LayerRecording` for each layer and direction of each call.

    Calls that go on from the state that their module handed out last, as in a loop over cells, in step-by-step
    generation or in truncated backpropagation, are one call here.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> cell, state = torch.nn.LSTMCell(3, 4), None
    >>> with rw.record(cell) as recording:
    ...     for x in torch.randn(6, 2, 3):
    ...         state = cell(x, state)
    >>> recording.layers, recording["cell"]["forget_gate"].shape
    (('cell',), torch.Size([6, 2, 4]))
    """

    def __init__(
        self, *, gradients: bool = False, start_graph: bool = False, also: Sequence[str] = (), whole: bool = False
    ) -> None:
        self._runs: list[list[RecordedCall]] = []
        self._current: dict[nn.Module, list[RecordedCall]] = {}
        self._begun: dict[nn.Module, tuple[bool, bool, tuple[Tensor, ...]]] = {}
        self._looked_at: dict[tuple[int, int, str], LayerRecording] = {}
        self._handed_out = HandedOut()
        self.outputs_beside = ModuleOutputs(also)
        self.also: Mapping[str, Tensor] = self.outputs_beside
        self._gradients = gradients
        self._start_graph = start_graph
        self._whole = whole
        self.received = 0
        """How many calls have been kept so far."""

    @classmethod
    def of(cls, recorded: RecordedCall) -> Recording:
        """A recording of a call that was made elsewhere."""
        recording = cls()
        recording._runs, recording.received = [[recorded]], 1
        return recording

    @property
    def keeps_gradients(self) -> bool:
        """Whether the recording listens for gradients."""
        return self._gradients

    @property
    def starts_graph(self) -> bool:
        """Whether gradients are to arrive though nothing before a call needs one."""
        return self._start_graph

    def begin(self, module: RecurrentModule, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """A call begins with the states ``given``; the interception core tells of it."""
        goes_on = self._handed_out.is_continued_by(module.module, given)
        cut = goes_on and self._handed_out.is_cut_by(module.module, given)
        if self._gradients and goes_on and torch.is_grad_enabled():
            # What flows back through the state can then be told from what else reaches the same tensor.
            given = tuple(state.view_as(state) for state in given)
        self._begun[module.module] = goes_on, cut, given
        return given

    def receive(self, seen: SeenCall) -> None:
        """Keep a call; the interception core tells of it."""
        self.received += 1
        goes_on, cut, given = self._begun.pop(seen.module.module, (False, False, ()))
        tap = None
        if in_a_transform():
            seen = self._plainly(seen)
        if self._gradients:
            through = given if goes_on else ()
            tap = GradientTap(seen.module.called, seen.handed, through, seen.beside)
        with outside_of_transforms(), our_arithmetic(seen.call.input.device.type):
            recorded = RecordedCall.of(seen, tap, cut=cut, whole=self._whole)
        current = self._current.get(seen.module.module)
        self.outputs_beside.called(seen.module.module, seen.call.layout, goes_on=goes_on)
        if goes_on and current is not None:
            current.append(recorded)
            return
        self._current[seen.module.module] = [recorded]
        self._runs.append(self._current[seen.module.module])

    def _plainly(self, seen: SeenCall) -> SeenCall:
        if self._gradients:
            raise NotImplementedError(REFUSED.format("a call with gradients, which are the transform's,"))
        with outside_of_transforms():
            return plainly_seen(seen)

    def returned(self, module: RecurrentModule, states: tuple[Tensor, ...]) -> None:
        """A call has ended, and these are the states that the user got."""
        self._handed_out.keep(module.module, states)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers that were called, in order of their first call."""
        return tuple(dict.fromkeys(layer.name for run in self._runs for layer in run[0].module.layers))

    def _found(self, name: str) -> list[tuple[tuple[int, int], Callable[[], LayerRecording]]]:
        """What each call of a layer is known by, oldest first, and how to look at it."""
        return [
            ((place, len(run)), partial(_rebuilt, run, layer))
            for place, run in enumerate(self._runs)
            for layer in run[0].module.layers
            if layer.name == name
        ]

    def __getitem__(self, layer: str) -> LayerRecording:
        """The last call of a layer; KeyError names the layers that exist."""
        return self._kept(layer, last=True)[-1]

    def calls(self, layer: str) -> tuple[LayerRecording, ...]:
        """Every call of a layer, oldest first; KeyError names the layers that exist."""
        return self._kept(layer)

    def call_count(self, layer: str) -> int:
        """How many calls of a layer there are; those that go on from each other's states are one."""
        return len(self._found(layer))

    def passing_calls(self, layer: str) -> Iterator[LayerRecording]:
        """Like :meth:`calls`, and what is computed for a call goes when the caller lets go of it."""
        for key, look in self._found(layer):
            yield self._looked_at.get((*key, layer)) or look()

    def _kept(self, name: str, *, last: bool = False) -> tuple[LayerRecording, ...]:
        found = self._found(name)
        if not found:
            known = (
                ", ".join(self.layers)
                or f"none: the model was not called while it was recorded; or its recurrent modules: {WHY_UNSEEN}"
            )
            raise KeyError(f"no layer {name!r} in this recording; it has {known}")
        recordings = []
        for key, look in found[-1:] if last else found:
            if (*key, name) not in self._looked_at:
                self._looked_at[(*key, name)] = look()
            recordings.append(self._looked_at[(*key, name)])
        return tuple(recordings)

    def __contains__(self, layer: object) -> bool:
        return layer in self.layers

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def keys(self) -> tuple[str, ...]:
        """The names of the layers, as ``dict(recording)`` asks for them."""
        return self.layers

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recording to a file that :func:`rnnwidget.load` opens: all numbers, no code and no weights.

        The file is in the safetensors format, so ``something.safetensors`` is a good name. It has every call of every
        layer: gates, states and pre-activations as they are, bit for bit, inputs, lengths, initial states and edits,
        and coarse levels of series longer than 2048 steps. A file of that name is replaced, and only once the new one
        is complete. Gradients are not kept.

        Raises
        ------
        ImportError
            The package safetensors is missing: ``pip install 'rnnwidget[files]'``.
        OSError
            The folder is missing, the path is a folder, or the file cannot be written.

        Examples
        --------
        >>> import tempfile, torch, rnnwidget as rw
        >>> model = torch.nn.LSTM(3, 4)
        >>> with rw.record(model) as recording:
        ...     _ = model(torch.randn(5, 2, 3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     recording.save(f"{folder}/run.safetensors")
        ...     rw.load(f"{folder}/run.safetensors")["l0"]["forget_gate"].equal(recording["l0"]["forget_gate"])
        True
        """
        save(self, path)

    def to_xarray(
        self,
        *,
        tokens: Sequence[str] | Sequence[Sequence[str]] | None = None,
        times: Any = None,
        unit: str | None = None,
        conditions: Any = None,
        events: Mapping[str, Any] | None = None,
        call: int = -1,
        preactivations: bool = False,
    ) -> xarray.DataTree:
        """A tree with a dataset for each layer, with dims (time, batch, unit) for every gate and state.

        Layers of an encoder and a decoder differ in time: each coordinate goes to the layers that it fits.
        The arrays share the recording's memory where they can; bfloat16 becomes float32.

        Parameters
        ----------
        tokens
            A list of strings for each sequence, or one flat list for one sequence: coordinate ``tokens``
            (batch, time), "" past a sequence's end.
        times
            The time of each step, or one number, the duration of a step, the first being at 0: coordinate ``time``.
        unit
            What times and events are in, such as ``"ms"``; kept as attribute ``units``.
        conditions
            A label for each sequence, coordinate ``condition``; or several by name, each with a value per sequence.
        events
            By name, the time of an event in each sequence, NaN or None where it did not happen.
        call
            Which call of each layer, the last by default.
        preactivations
            Also the values before each nonlinearity, as ``preactivation_<site>``.

        Raises
        ------
        ImportError
            The package xarray is missing: ``pip install 'rnnwidget[files]'``.
        ValueError
            Something fits no layer; the message says what each layer would need.

        Examples
        --------
        >>> import torch, rnnwidget as rw
        >>> model = torch.nn.GRU(3, 4)
        >>> with rw.record(model) as recording:
        ...     _ = model(torch.randn(5, 2, 3))
        >>> tree = recording.to_xarray(times=20.0, unit="ms", conditions=["left", "right"])
        >>> tree["l0"]["update_gate"].sel(time=slice(0, 40)).dims, tree["l0"].time.values.tolist()
        (('time', 'batch', 'unit'), [0.0, 20.0, 40.0, 60.0, 80.0])
        >>> tree["l0"].hidden.groupby("condition").mean(("batch", "time")).shape
        (2, 4)
        """
        return data_tree(
            self,
            tokens=tokens,
            times=times,
            unit=unit,
            conditions=conditions,
            events=events,
            call=call,
            preactivations=preactivations,
        )

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
        return GradientFlow(self._runs, scale)

    @property
    def recorded_calls(self) -> list[RecordedCall]:
        """Every call of every module; those of one module oldest first."""
        return [recorded for run in self._runs for recorded in run]

    @property
    def taps(self) -> list[GradientTap]:
        """The gradient taps of the recorded calls, oldest first."""
        return [recorded.tap for run in self._runs for recorded in run if recorded.tap is not None]

    def close(self) -> None:
        """Stop listening for gradients, and let go of the states that calls handed out."""
        for tap in self.taps:
            tap.close()
        self._handed_out = HandedOut()
        self._begun.clear()

    def __repr__(self) -> str:
        counts = {name: self.call_count(name) for name in self.layers}
        told = (name if count == 1 else f"{name} ({count} calls)" for name, count in counts.items())
        return f"Recording({', '.join(told) or 'empty'})"


def _rebuilt(run: list[RecordedCall], layer: Layer) -> LayerRecording:
    return LayerRecording(RebuiltLayer(run, layer))
