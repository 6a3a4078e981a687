"""Open up recurrent networks: states and gates at every timestep, edits that re-run the model, gradient flow."""

from importlib import import_module
from typing import TYPE_CHECKING

from rnnwidget.cells import register
from rnnwidget.editing import (
    Edit,
    Intervention,
    InterventionResult,
    clamp,
    edited,
    intervene,
    lesion,
    nudge,
    patch,
    scale,
    shift,
)
from rnnwidget.recording import LayerRecording, Recording, record

if TYPE_CHECKING:
    from rnnwidget.analysis.ledger import Ledger, cell_ledger
    from rnnwidget.editing.answer_steps import answer_steps
    from rnnwidget.editing.lesion_scores import LesionScores, lesion_scores
    from rnnwidget.editing.sweep import Sweep, sweep, sweep_steps
    from rnnwidget.gradients import gradient_flow
    from rnnwidget.recording.loading import load
    from rnnwidget.widgets.inspector import RNNInspector

__version__ = "0.1.0"

__all__ = [
    "Edit",
    "Intervention",
    "InterventionResult",
    "LayerRecording",
    "Ledger",
    "LesionScores",
    "RNNInspector",
    "Recording",
    "Sweep",
    "__version__",
    "answer_steps",
    "cell_ledger",
    "clamp",
    "edited",
    "gradient_flow",
    "intervene",
    "lesion",
    "lesion_scores",
    "load",
    "nudge",
    "patch",
    "record",
    "register",
    "scale",
    "shift",
    "sweep",
    "sweep_steps",
]

# What a first look does not need loads when it is asked for. Widgets: scripts and servers do without ipywidgets. The
# rest: an import that allocates much sets off a collection of all that PyTorch's left, which takes longer than ours.
_LATER = {
    "Ledger": "analysis.ledger",
    "LesionScores": "editing.lesion_scores",
    "RNNInspector": "widgets.inspector",
    "Sweep": "editing.sweep",
    "answer_steps": "editing.answer_steps",
    "cell_ledger": "analysis.ledger",
    "gradient_flow": "gradients",
    "lesion_scores": "editing.lesion_scores",
    "load": "recording.loading",
    "sweep": "editing.sweep",
    "sweep_steps": "editing.sweep",
}


def __dir__() -> list[str]:
    return sorted([*__all__, "cells"])


def __getattr__(name: str) -> object:
    if name in _LATER:
        return getattr(import_module(f"rnnwidget.{_LATER[name]}"), name)
    raise AttributeError(f"module 'rnnwidget' has no attribute {name!r}")
