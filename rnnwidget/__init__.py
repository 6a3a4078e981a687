"""Open up recurrent networks: states and gates at every timestep, edits that re-run the model, gradient flow."""

from importlib import import_module
from typing import TYPE_CHECKING

from rnnwidget.analysis import Ledger, cell_ledger
from rnnwidget.cells import register
from rnnwidget.editing import (
    Edit,
    Intervention,
    InterventionResult,
    LesionScores,
    Sweep,
    answer_steps,
    clamp,
    edited,
    intervene,
    lesion,
    lesion_scores,
    nudge,
    patch,
    scale,
    shift,
    sweep,
    sweep_steps,
)
from rnnwidget.gradients import gradient_flow
from rnnwidget.recording import LayerRecording, Recording, load, record

if TYPE_CHECKING:
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

_WIDGETS = {"RNNInspector": "rnnwidget.widgets.inspector"}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    # Widgets load when asked for: the engine serves scripts and servers without ipywidgets too.
    if name in _WIDGETS:
        return getattr(import_module(_WIDGETS[name]), name)
    raise AttributeError(f"module 'rnnwidget' has no attribute {name!r}")
