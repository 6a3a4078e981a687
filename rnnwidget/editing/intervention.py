"""Before and after: a model's answer with and without edits, on a copy that shares its parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rnnwidget.cells.edits import Path
from rnnwidget.editing.earlier_runs import EarlierRuns
from rnnwidget.editing.edit import Edit
from rnnwidget.editing.edited import EditList, Paths
from rnnwidget.editing.only_call import OnlyCall, Run
from rnnwidget.editing.targets import validated
from rnnwidget.recording.clients import autocast_of
from rnnwidget.recording.model_state import ModelState
from rnnwidget.recording.modules import recurrent_modules
from rnnwidget.recording.owned import owned
from rnnwidget.recording.prefixes import leaves
from rnnwidget.recording.recording import Recording
from rnnwidget.recording.results import tensors_in
from rnnwidget.recording.twin import Twin
from rnnwidget.recording.unseen import none_seen

PathKey = tuple[tuple[tuple[str, int], Path], ...]
KEPT = 4
TOLD, QUICKLY_COMPARED = 4, 2**24
"""How many layers the text form tells of, and up to how many numbers it compares."""


class InterventionResult:
    """A model's outputs and recordings without and with edits. Outputs are the model's own objects."""

    def __init__(self, before: Run, after: Run) -> None:
        self._before = before[0]
        self.output = after[0]
        self.baseline_recording, self.recording = before[1], after[1]

    @cached_property
    def baseline(self) -> object:
        """The output without edits."""
        return _given(self._before)

    @cached_property
    def change(self) -> dict[str, Float[Tensor, "time batch unit"]]:
        """How far the edits moved the hidden state: after − before, for each layer's last call."""
        return {
            layer: self.recording[layer].hidden - self.baseline_recording[layer].hidden
            for layer in self.recording.layers
            if layer in self.baseline_recording
        }

    def __repr__(self) -> str:
        layers = [layer for layer in self.recording.layers if layer in self.baseline_recording]
        numbers = sum(call.output.numel() for call in self.recording.recorded_calls)
        compared = bool(layers) and numbers <= QUICKLY_COMPARED
        told = [f"{layer} {self._moved(layer)}" if compared else layer for layer in layers[:TOLD]]
        what = "max |change|: " if compared else ""
        return f"InterventionResult({what}{', '.join(told + ['…'] * (len(layers) > TOLD)) or 'no layer was called'})"

    def _moved(self, layer: str) -> str:
        """How far a layer's hidden state was moved at most, in three digits."""
        before, after = (run[layer].hidden for run in (self.baseline_recording, self.recording))
        if before.shape != after.shape:
            return f"over {before.size(0)} and {after.size(0)} steps"
        live = after.isfinite() & before.isfinite()
        moved = (after - before)[live].abs()
        return f"{float(moved.max()):.3g}" if moved.numel() else "no finite value"


class BeforeAndAfter:
    """A model on one input, unedited and under any edits, through one kernel path.

    Kernels differ in their last bits, which a chaotic network makes much of: where edits had a layer run leg by leg,
    the run before goes through the same legs. What an edited run shares with the unedited one is not computed again.
    The input is kept as it was: ``x`` is a copy through which gradients reach the one that was given.
    """

    def __init__(self, twin: Twin, x: object, baseline: Run | None = None) -> None:
        self._twin, self.x = twin, owned(x, graph=True)
        self._moves_itself = False
        self._begin(baseline)

    def _begin(self, baseline: Run | None = None) -> None:
        state, recurrent = (self._twin.state, _modes()), self._twin.recurrent_contents
        self._baseline = baseline or self._twin.run(self.x)
        self._has_graph = _has_graph(self._baseline[0])
        self._state, self._recurrent = state, recurrent
        self._earlier = EarlierRuns(self._baseline[1])
        around = state[0].hooks or self._twin.why_not_copied
        self._only = None if around else OnlyCall.of(self._twin.model, self._baseline)
        self._by_path: dict[PathKey, Run] = {}

    @property
    def baseline(self) -> Run:
        """The output and the recording without edits; made again once the model's weights have moved."""
        if (self._twin.state, _modes()) != self._state or self._twin.recurrent_contents != self._recurrent:
            self._begin()
        return self._baseline

    def run(self, edits: Sequence[Edit], *, loss: Callable[[object], Tensor] | None = None) -> tuple[Run, Run]:
        """The output and the recording without edits, and those under ``edits``; with ``loss`` with gradients.

        Where another thread trains the model meanwhile, both are runs of one copy of its weights.
        """
        state = self._twin.state
        try:
            both = self._both(edits, loss, state)
        except RuntimeError:
            # Autograd refuses weights that were written to between forward and backward.
            if self._twin.is_at(state) or self._twin.why_not_copied:
                raise
            both = None
        if both is not None and (self._moves_itself or self._twin.why_not_copied or self._twin.is_at(state)):
            return both
        apart = BeforeAndAfter(self._twin.still(), self.x)
        state = apart._twin.state
        both = apart._both(edits, loss, state)
        self._moves_itself = not apart._twin.is_at(state)
        return both

    def _both(
        self, edits: Sequence[Edit], loss: Callable[[object], Tensor] | None, state: ModelState
    ) -> tuple[Run, Run]:
        if (state, _modes()) != self._state:
            self._begin()
        if loss is None and self._only is not None:
            editor = EditList(edits, earlier=self._earlier)
            after = self._twin.on_copy(partial(self._only.run, editor), state)
            if after is not None:
                return self._before(editor.paths), after
            if editor.saw_a_call:
                self._begin()  # weights have moved in a way that PyTorch does not count
        editor, after = self._edited(edits, loss, state)
        if edits and not after[1].layers and any(tensor.numel() for tensor in tensors_in(after[0])):
            raise ValueError(none_seen(self._twin.model))
        if not self._earlier.hold_for(after[1]):
            self._begin()  # likewise
            editor, after = self._edited(edits, loss, None)
        editor.warn_of_missed_steps("a run under edits")
        return self._before(editor.paths), after

    def _edited(
        self, edits: Sequence[Edit], loss: Callable[[object], Tensor] | None, state: ModelState | None
    ) -> tuple[EditList, Run]:
        editor = EditList(edits, earlier=None if loss is not None else self._earlier)
        return editor, self._twin.run(self.x, editor=editor, loss=loss, state=state)

    def _before(self, paths: Paths) -> Run:
        if self._has_graph:
            # Autograd frees a graph that has been gone back through: each result gets its own.
            return self._twin.run(self.x, editor=EditList((), paths, earlier=self._earlier))
        if not paths:
            return self._baseline
        key = tuple(paths.items())
        known = self._by_path.get(key)
        if known is None:
            for oldest in list(self._by_path)[: len(self._by_path) - KEPT + 1]:
                self._by_path.pop(oldest, None)  # another thread may be at it
            known = self._twin.run(self.x, editor=EditList((), paths, earlier=self._earlier))
            self._by_path[key] = known
        return known


class Intervention:
    """Runs a model on one input under any edits, and keeps the unedited run beside them.

    What comes before the first edited step is not computed again. Works on a copy that shares the parameters' memory,
    in the caller's grad mode: gradients reach the inputs, for gradients of parameters use :func:`rnnwidget.edited`.
    When the parameters or buffers have moved since, the unedited run is made again. PyTorch's random numbers are the
    same in every run and its generators stay where they were, unless the model itself seeds them.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model, x = torch.nn.LSTM(3, 4), torch.randn(5, 1, 3)
    >>> runner = rw.Intervention(model, x)
    >>> result = runner.run([rw.clamp("forget_gate", 0.0)])
    >>> bool(result.change["l0"].abs().max() > 0)
    True
    """

    def __init__(self, model: nn.Module, x: object) -> None:
        self.twin = Twin(model)
        self._runs = BeforeAndAfter(self.twin, x)

    @property
    def baseline(self) -> object:
        """The output without edits."""
        return _given(self._runs.baseline[0])

    @property
    def baseline_recording(self) -> Recording:
        """The recording without edits."""
        return self._runs.baseline[1]

    def run(
        self, edits: Sequence[Edit] | Edit, *, loss: Callable[[object], Tensor] | None = None
    ) -> InterventionResult:
        """Run under ``edits``; with ``loss`` the recording has gradients. Errors as for :func:`rnnwidget.edited`."""
        kept = validated(edits, self.twin.modules)
        before, after = self._runs.run(kept, loss=loss)
        return InterventionResult(before, after)


def _modes() -> tuple[object, ...]:
    """The modes of PyTorch in which a run of now would be made."""
    return torch.is_grad_enabled(), autocast_of("cpu"), autocast_of("cuda")


def _has_graph(output: object) -> bool:
    return any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in leaves(output))


def _given(output: object) -> object:
    """An output to hand out, which may be changed in place, while the one that is kept stays as it was."""
    return output if _has_graph(output) else owned(output)


def intervene(model: nn.Module, x: object, edits: Sequence[Edit] | Edit) -> InterventionResult:
    """Run ``model`` on ``x`` without and with ``edits``.

    ``x`` of exact type tuple is ``model(*x)``, of exact type dict ``model(**x)``, anything else the one argument.
    Errors as for :func:`rnnwidget.edited`; the model's own exceptions pass through.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model, x = torch.nn.GRU(3, 4), torch.randn(5, 1, 3)
    >>> result = rw.intervene(model, x, [rw.shift("update_gate", 3.0)])
    >>> result.recording["l0"]["z"].mean() > result.baseline_recording["l0"]["z"].mean()
    tensor(True)
    """
    validated(edits, recurrent_modules(model))
    return Intervention(model, x).run(edits)
