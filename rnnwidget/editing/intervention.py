"""Before and after: a model's answer with and without edits, on a copy that shares its parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float
from torch import Tensor, nn

from rnnwidget.editing.edited import EditList
from rnnwidget.editing.edits import Edit
from rnnwidget.editing.targets import validated
from rnnwidget.recording.modules import recurrent_modules
from rnnwidget.recording.recording import Recording
from rnnwidget.recording.twin import Twin


@dataclass(frozen=True, eq=False)
class InterventionResult:
    """A model's outputs and recordings without and with edits. Outputs are the model's own objects."""

    baseline: object
    output: object
    baseline_recording: Recording
    recording: Recording

    @cached_property
    def change(self) -> dict[str, Float[Tensor, "time batch unit"]]:
        """How far the edits moved the hidden state: after − before, for each layer's last call."""
        return {
            layer: self.recording[layer].hidden - self.baseline_recording[layer].hidden
            for layer in self.recording.layers
            if layer in self.baseline_recording
        }


class Intervention:
    """Runs a model on one input under any edits, and keeps the unedited run beside them.

    Works on a copy that shares the parameters' memory, in the caller's grad mode: gradients reach the inputs, for
    gradients of parameters use :func:`rnnwidget.edited`. Random numbers are the same in every run and the process's
    generators stay where they were.

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
        self._x = x
        self.baseline, self.baseline_recording = self.twin.run(x)

    def run(self, edits: Sequence[Edit], *, loss: Callable[[object], Tensor] | None = None) -> InterventionResult:
        """Run under ``edits``; errors as for :func:`rnnwidget.edited`."""
        kept = validated(edits, self.twin.modules)
        before = (self.baseline, self.baseline_recording)
        before, (output, recording) = edited_pair(self.twin, self._x, kept, before, loss=loss)
        return InterventionResult(before[0], output, before[1], recording)


def edited_pair(
    twin: Twin,
    x: object,
    edits: Sequence[Edit],
    before: tuple[object, Recording],
    *,
    loss: Callable[[object], Tensor] | None = None,
) -> tuple[tuple[object, Recording], tuple[object, Recording]]:
    """The runs before and after edits, through one kernel path.

    Where edits had to be stepped, the run before is stepped as well: a chaotic network would tell kernels apart.
    """
    editor = EditList(edits)
    after = twin.run(x, editor=editor, loss=loss)
    if editor.stepped:
        before = twin.run(x, editor=EditList((), stepped=editor.stepped))
    return before, after


def intervene(model: nn.Module, x: object, edits: Sequence[Edit]) -> InterventionResult:
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
